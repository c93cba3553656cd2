"""What killed processes leave: hidden files that tell what they were to become, and that the next run sweeps away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.disk import temporary
from hear_edgel3.disk.atomic import atomic_write
from support.files import files_under, write_clip

pytestmark = pytest.mark.usefixtures("here")

_HEX = "0123456789abcdef" * 2


def left_by(target: str, folder: bool = False) -> Path:
    """What a killed process leaves of a target."""
    path = Path(target)
    left = path.parent / f".{path.name}.{_HEX}.part"
    if folder:
        left.mkdir()
        (left / "inside").write_bytes(b"half")
    else:
        left.write_bytes(b"half")
    return left


def test_what_is_left_of_a_target_goes_when_it_is_written() -> None:
    left_by("a.npz")
    others = [left_by("b.npz"), left_by("aa.npz"), Path(".a.npz.part"), Path(f"a.npz.{_HEX}.part")]
    for other in others:
        other.write_bytes(b"not of a.npz, or not left by us")
    with atomic_write("a.npz") as file:
        file.write(b"whole")
    assert files_under(Path()) == sorted(["a.npz", *map(str, others)])


def test_what_a_living_process_writes_stays() -> None:
    writer = (
        "import sys; from hear_edgel3.disk.atomic import atomic_write\n"
        "with atomic_write('a') as file: print(flush=True); sys.stdin.read(); file.write(b'of the other')"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", writer], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        with atomic_write("a") as file:
            file.write(b"ours")
        assert Path("a").read_bytes() == b"ours"
        assert len(os.listdir()) == 2
        other.communicate(timeout=60)
        assert other.returncode == 0
    assert Path("a").read_bytes() == b"of the other"
    assert os.listdir() == ["a"]


def test_what_this_process_writes_stays() -> None:
    with temporary.temporary_folder(Path("folder")) as folder, temporary.temporary_file(Path("file")) as file:
        temporary.sweep([Path("file"), Path("folder")])
        assert sorted(os.listdir()) == sorted([folder.name, file.name])
        assert all(re.fullmatch(rf"\.{name}\.[0-9a-f]{{32}}\.part", path) for name, path in _named(folder, file.name))
    assert os.listdir() == []


def _named(folder: Path, file: str) -> list[tuple[str, str]]:
    return [("folder", folder.name), ("file", file)]


def test_folders_and_targets_of_links() -> None:
    Path("real").mkdir()
    os.symlink("real/file", "link")
    left_by("real/file")
    left_by("list", folder=True)
    temporary.sweep([Path("link"), Path("list"), Path("missing/x")])
    assert files_under(Path()) == []
    assert sorted(os.listdir()) == ["link", "real"]


@pytest.mark.parametrize(
    "name", ["n" * 100, "n" * 101, "n" * 255, "ä" * 120, "line\nbreak", os.fsdecode(b"\xff\xfe.x")]
)
def test_names_of_any_length_and_kind(name: str) -> None:
    with temporary.temporary_file(Path(name)) as file:
        there = Path(file.name)
        left = there.with_name(there.name[:-37] + _HEX + ".part")
        left.write_bytes(b"half")
        with temporary.temporary_file(Path("m" + name[1:])):
            pass
        temporary.sweep([Path(name)])
        assert there.exists()
        assert not left.exists()
        temporary.become(file, Path(name))
    assert os.listdir() == [name]


def test_what_was_swept_before_it_was_locked_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, calls = temporary._lock, []

    def late(handle: int) -> bool | None:
        calls.append(handle)
        if len(calls) == 1:
            for path in Path().iterdir():
                path.unlink()
        return False if len(calls) == 2 else lock(handle)  # first it is gone, then it is being looked at

    monkeypatch.setattr(temporary, "_lock", late)
    with atomic_write("a", swept=True) as file:
        file.write(b"whole")
    assert len(calls) == 3
    assert os.listdir() == ["a"]
    assert Path("a").read_bytes() == b"whole"


def test_a_folder_that_was_swept_before_it_was_opened_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, swept = os.open, []

    def late(path: Path, *arguments: Any, **options: Any) -> int:
        if not swept:
            swept.append(path)
            temporary.sweep([Path("folder")])
            assert not Path(path).exists()
        return real(path, *arguments, **options)

    monkeypatch.setattr(temporary.os, "open", late)
    with temporary.temporary_folder(Path("folder")) as folder:
        assert folder.is_dir()
        assert swept != [folder]


def test_where_nothing_can_be_locked_an_hour_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_lock", lambda _handle: None)
    left = left_by("a")
    temporary.sweep([Path("a")])
    assert left.exists()
    long_ago = time.time() - 3700
    os.utime(left, (long_ago, long_ago))
    temporary.sweep([Path("a")])
    assert not left.exists()


# Each command is killed when it gives a file its name, for the n-th time, and then run again.
_KILLED = """
import os, signal, sys
import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.disk import temporary

def run(arguments, kill):
    pid = os.fork()
    if pid == 0:
        left = [kill]
        def instead(*names, usual=temporary.become):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            usual(*names)
        import hear_edgel3.disk.atomic
        hear_edgel3.disk.atomic.become = instead
        os._exit(main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def left():
    return sorted(name for _, folders, files in os.walk(".") for name in folders + files if name.endswith(".part"))

# What is imported here, no child has to; but no net is loaded: OpenMP's threads would be missing in a child.
import hear_edgel3.extractor, hear_edgel3.jobs, hear_edgel3.search, hear_edgel3.tagging, hear_edgel3.weights.file
for kill, arguments in [
    (1, ["extract", "in", "-o", "out", "--workers", "1", "-q"]),
    (1, ["index", "out", "-q", "--overwrite"]),
    (1, ["explore", "out", "-o", "page.html", "--no-tags", "--projection", "pca", "-q"]),
    (2, ["embed", "in", "-o", "embedded", "-q"]),
    (1, ["tag", "in", "-o", "tags.csv", "-q"]),
    (2, ["tag", "in", "-o", "tags.csv", "-q", "--overwrite"]),
    (2, ["explore", "out", "-o", "page.html", "--no-tags", "--projection", "pca", "-q"]),
    (2, ["events", "in", "-o", "e.csv", "--clips", "cut", "--threshold", "0.01", "--workers", "1", "-q"]),
]:
    killed = run(arguments, kill)
    print(arguments[0], killed, [name for name in left() if name.startswith(".")], sep="|", flush=True)
    again = run([a for a in arguments if a != "--overwrite" or arguments[0] == "index"], 0)
    print(arguments[0], again, left(), sep="|", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_commands_that_are_killed_leave_nothing_for_the_next_run() -> None:
    for i in range(3):
        write_clip(f"in/{i}.wav", seed=i)
    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, check=True, timeout=200)
    lines = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    killed, again = lines[::2], lines[1::2]
    assert [(name, status) for name, status, _ in again] == [(name, "0") for name, _, _ in killed], done.stderr
    assert [left for _, _, left in again] == ["[]"] * 8
    targets = ["part-000-000000.parquet", "_index.usearch", "page.html", "1.npz", "tags.csv.options.json", "tags.csv"]
    assert [status for _, status, _ in killed] == ["-9"] * 6 + ["0", "-9"]  # explore gives but one file its name
    assert re.fullmatch(r"\['\.0\.wav_0-\S+s\.flac\.[0-9a-f]{32}\.part'\]", killed[-1][2])
    for (_, _, left), target in zip(killed, targets, strict=False):
        assert re.fullmatch(rf"\['\.{re.escape(target)}\.[0-9a-f]{{32}}\.part'\]", left)
