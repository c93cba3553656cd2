"""Jobs that are killed, stopped, starved or fed with what kills them: what is finished stays, the rest gets done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

import hear_edgel3
from hear_edgel3.dataset.dataset import Dataset, Description
from hear_edgel3.errors import ComputationError
from hear_edgel3.jobs import plan, worker
from hear_edgel3.jobs.manifest import list_items
from support import signals
from support.jobs import table
from support.paths import PACKAGE

HOME = os.fspath(PACKAGE.parent)


@pytest.fixture(autouse=True)
def _for_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HOME)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def numbered_clips(count: int, seconds: float = 0.3, rate: int = 32000) -> None:
    Path("in").mkdir()
    for i in range(count):
        soundfile.write(f"in/{i:03d}.wav", signals.clip(seconds, rate, seed=i), rate)


def left_over(folder: str = "out") -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    program = (
        "import signal, sys; from hear_edgel3.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # where these tests run in the background
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "extract", "in", "--output", "out", "--files-per-part", "4"]
    return subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, **options)


def wait_for_part(process: subprocess.Popen[bytes]) -> None:
    """Until one part is there; others are still to come."""
    for _ in range(600):
        if any(name.startswith("part-") for name in (os.listdir("out") if os.path.isdir("out") else ())):
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("no part has appeared in half a minute")


# torch is imported once; every run is a child of that process, killed at a random moment of it.
_KILLER = """
import json, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import hear_edgel3
from hear_edgel3.jobs import plan, worker as part

def run():
    pid = os.fork()
    if pid == 0:
        try:
            hear_edgel3.extract("in", "out", timestamps=True, files_per_part=3, workers=1)
            os._exit(0)
        except BaseException:
            import traceback; traceback.print_exc()
            os._exit(1)
    return pid

def wait(pid):
    return os.waitpid(pid, 0)[1]

def now(ending):
    there = os.scandir("out") if os.path.isdir("out") else ()
    return {entry.name: entry.stat().st_mtime_ns for entry in there if entry.name.endswith(ending)}

hear_edgel3.extract("in", "expected", timestamps=True, files_per_part=3, workers=1)
chance = random.Random(int(sys.argv[1]))
killed = torn = 0
kept = {}
for i in range(15):
    pid = run()
    # What is waited for, not how long, decides what a kill meets, however busy the machine is:
    # the start, a part that is being written, one that is just finished.
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if i % 3 == 0:
            time.sleep(chance.uniform(0, 0.1))
            break
        if (now(".part") if i % 3 == 1 else now(".parquet").keys() - kept):
            time.sleep(chance.uniform(0, 0.005))
            break
    else:
        break
    os.kill(pid, signal.SIGKILL)
    killed += os.WIFSIGNALED(wait(pid))
    torn += bool(now(".part"))
    parts = now(".parquet")
    assert kept.items() <= parts.items(), "a finished part was touched"
    kept = parts
print(json.dumps({"killed": killed, "torn": torn, "before": len(kept), "last": wait(run())}))
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    numbered_clips(45)
    done = subprocess.run([sys.executable, "-c", _KILLER, "0"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["last"] == 0, done.stderr
    # That it was stopped in the middle of parts, and had finished some, is what makes this a test.
    assert found["killed"] >= 10
    assert found["torn"] >= 1
    assert 1 <= found["before"] <= 15
    assert table().equals(table("expected"))
    assert len(Dataset("out").parts) == 15
    assert left_over() == []


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, "1"), (signal.SIGTERM, "2")])
def test_stopped(number: signal.Signals, workers: str) -> None:
    numbered_clips(400)
    process = start("--workers", workers, start_new_session=True)
    wait_for_part(process)
    # A terminal and a batch system send it to the workers too.
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err.decode()
    assert err.decode().rstrip().endswith("hear-edgel3: interrupted")
    assert b"Traceback" not in err
    assert left_over() == []
    assert 1 <= len(Dataset("out").parts) < 100


def test_workers_end_with_their_parent() -> None:
    numbered_clips(400)
    process = start("--workers", "2", start_new_session=True)
    wait_for_part(process)
    process.kill()
    process.communicate()
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("workers go on without their parent")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk(workers: str) -> None:
    """The largest file that a process may write stands for it; what is finished stays, and the rest follows."""
    numbered_clips(12)
    soundfile.write("in/005.wav", signals.clip(60, 32000), 32000)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from hear_edgel3.cli import main; "
    command = "sys.exit(main(['extract', *sys.argv[1:]])) if __name__ == '__main__' else None"
    Path("limited.py").write_text(limit + ignore + command)
    options = ["in", "--timestamps", "--output", "out", "--files-per-part", "4", "--workers", workers]
    done = subprocess.run([sys.executable, "limited.py", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "part-000-000001.parquet: File too large" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    finished = {part.name for part in Dataset("out").parts}
    assert "part-000-000000.parquet" in finished
    assert "part-000-000001.parquet" not in finished
    assert left_over() == []
    before = Dataset("out").parts[0].stat().st_mtime_ns
    summary = hear_edgel3.extract("in", "out", timestamps=True, workers=1)
    assert (summary.parts_kept, summary.parts_done, summary.failed) == (len(finished), 3 - len(finished), 0)
    assert Dataset("out").parts[0].stat().st_mtime_ns == before


_DEADLY = """
import os, soundfile
opened = soundfile.SoundFile.__init__
def deadly(self, file, *arguments, **options):
    if b"deadly" in file:
        os.kill(os.getpid(), 9)
    opened(self, file, *arguments, **options)
soundfile.SoundFile.__init__ = deadly
"""


def test_a_file_that_kills_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    numbered_clips(8)
    for i in (2, 6):
        os.rename(f"in/00{i}.wav", f"in/00{i}deadly.wav")
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text(_DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["site", HOME]))
    summary = hear_edgel3.extract("in", "out", files_per_part=4, workers=2)
    assert (summary.files, summary.failed) == (8, 2)
    errors = {row["file"]: row["error"] for row in table().to_pylist() if row["error"]}
    assert errors == {
        name: f"ComputationError: {name} killed the process that embedded it, twice; leave it out or convert it"
        for name in ("in/002deadly.wav", "in/006deadly.wav")
    }
    assert left_over() == []


def part_of(n: int) -> tuple[plan.Job, plan.Part]:
    numbered_clips(n)
    description = Description("tiny", "", 1, 224, None, "float32", "0")
    job = plan.Job(os.path.abspath("out"), os.getcwd(), description, "auto")
    plan.publish(job, 0, list_items(["in"]).items, None)
    return job, plan.parts_of(job)[0]


def test_deaths_that_no_file_is_to_blame_for_end_the_job() -> None:
    tasks = worker.attempts(*part_of(3))
    asked = [next(tasks)]
    with pytest.raises(ComputationError, match=r"3 worker processes died .* use fewer --workers"):  # noqa: PT012
        while True:
            asked.append(tasks.send(worker.PartCounts() if asked[-1].only is not None else None))
    assert [task.only for task in asked] == [None, 0, 1, 2, None, 0, 1, 2, None]


def test_any_number_of_deadly_files_in_one_part() -> None:
    """Each time that one is found, deaths are explained, and counted anew; here a file kills only once in a while."""
    tasks = worker.attempts(*part_of(5))
    task = next(tasks)
    for deadly in range(4):
        assert (task.only, sorted(task.bad)) == (None, list(range(deadly)))
        task = tasks.send(None)
        while task.only is not None:
            task = tasks.send(None if task.only == deadly else worker.PartCounts())
    assert sorted(task.bad) == [0, 1, 2, 3]
    with pytest.raises(StopIteration):
        tasks.send(worker.PartCounts(files=5))


def test_a_chance_death_costs_nothing() -> None:
    tasks = worker.attempts(*part_of(2))
    assert next(tasks).only is None
    assert [tasks.send(None).only, tasks.send(worker.PartCounts()).only] == [0, 1]
    last = tasks.send(worker.PartCounts())
    assert (last.only, last.bad) == (None, {})
    counts = worker.PartCounts(2, 2, 0.6)
    with pytest.raises(StopIteration) as finished:
        tasks.send(counts)
    assert finished.value.value is counts


def test_workers_that_die_at_birth(monkeypatch: pytest.MonkeyPatch) -> None:
    numbered_clips(8)
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text(
        "import os, sys\nif 'spawn_main' in ' '.join(sys.orig_argv): os._exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["site", HOME]))
    with pytest.raises(ComputationError, match=r"die as soon as they start \(exit code 7\)"):
        hear_edgel3.extract("in", "out", files_per_part=4, workers=2)


def test_files_that_change_while_they_are_read() -> None:
    """Listed, and then gone, cut, a folder, or something else."""
    numbered_clips(5)
    hear_edgel3.extract("in", "out", files_per_part=4, workers=1, partition=(1, 2))
    Path("in/000.wav").unlink()
    Path("in/001.wav").write_bytes(Path("in/001.wav").read_bytes()[:3000])
    Path("in/002.wav").unlink()
    Path("in/002.wav").mkdir()
    Path("in/003.wav").write_bytes(b"RIFF")
    summary = hear_edgel3.extract([], "out", workers=1)
    assert (summary.files, summary.failed) == (4, 4)
    errors = [row["error"] for row in table().to_pylist()]
    assert "does not exist" in errors[0]
    assert "is truncated" in errors[1]
    assert "is a folder" in errors[2]
    assert "cannot be read as audio" in errors[3]
    assert errors[4] is None
