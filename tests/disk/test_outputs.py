"""Outputs that are links, pipes or other things than files: they are written, and not replaced."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from hear_edgel3.disk.atomic import atomic_write, check_writable
from hear_edgel3.errors import OutputError
from support.files import contents, write_clip
from support.processes import python

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")]


def through_a_pipe(path: str, write: Callable[[], object]) -> bytes:
    """What comes out of a pipe of this name while something is written into it."""
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(Path(path).read_bytes()), daemon=True)
    reader.start()
    write()
    reader.join(20)
    assert stat.S_ISFIFO(os.lstat(path).st_mode)
    assert os.listdir() == [path] or not any(name.endswith(".part") for name in os.listdir())
    return found[0]


def write(path: str, data: bytes = b"new") -> None:
    check_writable(Path(path))
    with atomic_write(path) as file:
        file.write(data)
        file.seek(0)  # archives are written so
        file.write(data[:1])


def test_a_pipe_gets_the_bytes() -> None:
    assert through_a_pipe("out", lambda: write("out", b"12345" * 100_000)) == b"12345" * 100_000


def test_a_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("hear_edgel3.disk.atomic._LONGEST_WAIT_S", 0.3)
    monkeypatch.setattr("hear_edgel3.disk.atomic._QUIET_WAIT_S", 0.1)
    os.mkfifo("out")
    with pytest.raises(OutputError, match=r"cannot write out: no program has read from this pipe within 0\.3 s"):
        write("out")
    assert capsys.readouterr().err == "hear_edgel3: waiting for a program that reads from the pipe out\n"
    assert stat.S_ISFIFO(os.lstat("out").st_mode)
    assert os.listdir() == ["out"]


def test_nothing_is_written_when_the_work_fails() -> None:
    os.mkfifo("out")
    with pytest.raises(ZeroDivisionError), atomic_write("out"):  # it would wait for a reader
        raise ZeroDivisionError
    assert os.listdir() == ["out"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays(there: bool) -> None:
    Path("folder").mkdir()
    if there:
        Path("folder/file").write_bytes(b"old")
    os.symlink("folder/file", "link")
    os.symlink("link", "link of a link")
    write("link of a link")
    assert Path("folder/file").read_bytes() == b"new"
    assert os.readlink("link of a link") == "link"
    assert os.readlink("link") == "folder/file"
    assert sorted(os.listdir("folder")) == ["file"]


def test_a_link_to_a_pipe() -> None:
    os.symlink("pipe", "link")
    assert through_a_pipe("pipe", lambda: write("link")) == b"new"
    assert os.path.islink("link")


def test_a_link_to_nowhere() -> None:
    os.symlink("folder/file", "link")
    for refuse in (lambda: check_writable(Path("link")), lambda: write("link")):
        with pytest.raises(OutputError, match=r"cannot write link: the folder .*folder does not exist"):
            refuse()
    os.symlink("circle", "circle")
    with pytest.raises(OutputError, match="cannot write circle"):
        write("circle")


@pytest.mark.parametrize("name", ["n" * 300, "no/" + "n" * 300, "d/" * 3000 + "n"])
def test_names_that_are_too_long(name: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write (n|no/n|d/d/)") as caught:
        check_writable(Path(name))
    assert len(str(caught.value)) < 400
    with pytest.raises(OutputError, match="cannot write"), atomic_write(name):
        pass
    assert os.listdir() == []


def test_commands_write_into_pipes() -> None:
    write_clip("a.wav")
    assert main(["extract", "a.wav", "-o", "d", "--workers", "1", "-q"]) == 0
    page = through_a_pipe(
        "page", lambda: main(["explore", "d", "-o", "page", "--no-tags", "--projection", "pca", "-q"])
    )
    assert page.endswith(b"</html>\n")
    tags = through_a_pipe("tags.jsonl", lambda: main(["tag", "a.wav", "-o", "tags.jsonl", "-q"]))
    assert json.loads(tags)["file"] == "a.wav"
    result = through_a_pipe("a.npz", lambda: main(["embed", "a.wav", "-q"]))
    Path("copy.npz").write_bytes(result)
    assert contents("copy.npz")["embedding"].shape[1] == 320
    assert sorted(os.listdir()) == ["a.npz", "a.wav", "copy.npz", "d", "page", "tags.jsonl"]


def test_tags_through_a_link() -> None:
    write_clip("a.wav")
    write_clip("b.wav", seed=1)
    os.symlink("real.csv", "tags.csv")
    assert main(["tag", "a.wav", "-o", "tags.csv", "-q"]) == 0
    assert main(["tag", "a.wav", "b.wav", "-o", "tags.csv", "-q"]) == 0
    assert os.path.islink("tags.csv")
    assert len(Path("real.csv").read_text().splitlines()) == 21


def test_a_disk_that_gets_full_is_told_of_once_and_by_name() -> None:
    """What is still in the buffer of a file fails again when it is closed, where nobody gave it a name."""
    code = """
import os, resource
from pathlib import Path
from hear_edgel3.disk.atomic import atomic_write, written_together
from hear_edgel3.errors import OutputError

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
def fill(file):
    for _ in range(1000):
        file.write(b"x" * 100)
try:
    if os.environ["KIND"] == "one":
        with atomic_write("a") as file:
            fill(file)
    else:
        with written_together() as write:
            for name in "ab":
                with write(Path(name)) as file:
                    fill(file) if name == "b" else file.write(b"x")
except OutputError as error:
    print(error)
"""
    for kind, name in (("one", "a"), ("several", "b")):
        done = python(code, KIND=kind)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"cannot write {name}: File too large\n"
    assert os.listdir() == []
