"""Worker processes: results whatever becomes of single tasks and workers."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

import pytest

from hear_edgel3.errors import AudioFileError, ComputationError, MissingExtra
from hear_edgel3.jobs import pool
from hear_edgel3.jobs.pool import Died, Mark, Pool, attempt
from support.paths import PACKAGE


def make() -> Callable[[int], int]:
    return work


def work(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 4:
        raise AudioFileError("four is bad")
    if task == 5:
        raise ZeroDivisionError("a fault of the program")
    return task * task


def make_broken() -> Callable[[int], int]:
    raise MissingExtra("this", "nothing", "none")


def make_dying() -> Callable[[int], int]:
    os._exit(7)


def test_attempt_gives_back_what_is_wrong_with_one_task() -> None:
    assert attempt(work, 2) == 4
    assert str(attempt(work, 4)) == "four is bad"
    with pytest.raises(ZeroDivisionError):
        attempt(work, 5)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_task_that_kills_its_worker_is_the_only_one_that_fails() -> None:
    found = dict(Pool(make, 2).run([0, 1, 2, 3, 4, 6, 7]))
    assert [found[number] for number in (0, 1, 2, 5, 6)] == [0, 1, 4, 36, 49]
    assert isinstance(found[3], ComputationError)
    assert "exit code -9" in str(found[3])
    assert isinstance(found[4], AudioFileError)


def test_a_fault_of_the_program_ends_all() -> None:
    with pytest.raises(ComputationError, match="ZeroDivisionError: a fault of the program"):
        list(Pool(make, 1).run([5]))


def test_workers_that_cannot_begin() -> None:
    with pytest.raises(MissingExtra, match="nothing"):
        list(Pool(make_broken, 1).run([1]))
    with pytest.raises(ComputationError, match=r"die as soon as they start \(exit code 7\)"):
        list(Pool(make_dying, 2).run([1]))


def test_no_tasks() -> None:
    assert list(Pool(make, 1).run([])) == []


# --- workers of a job ---


def once(name: str) -> bool:
    """Whether this is the first time that this is asked in any process."""
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def make_reporting() -> Callable[[int, Callable[[int], None]], int]:
    return reporting


def reporting(task: int, report: Callable[[int], None], mark: Mark) -> int:
    report(10 * task)
    if task == 3:
        raise AudioFileError("three is bad")
    return task * task


def make_dying_together() -> Callable[[int], int]:
    return dying_together


def dying_together(task: int) -> int:
    """The first three tasks die when all of them are being done, as where memory has run out."""
    if task < 3 and once(f"died{task}"):
        while not all(os.path.exists(f"died{i}") for i in range(3)):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return task * task


def make_signalled() -> Callable[[int], int]:
    return signalled


def signalled(task: int) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    time.sleep(0.1)
    return task


def make_slow() -> Callable[[int], int]:
    return slow


def slow(task: int) -> int:
    Path(f"busy{task}").write_text(str(os.getpid()))
    time.sleep(600)
    return task


def make_unpicklable() -> Callable[[int], int]:
    return unpicklable


class _Odd(RuntimeError):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def unpicklable(task: int) -> int:
    raise _Odd(task, task)


def asked(*tasks: int) -> Callable[[], int | None]:
    waiting = iter(tasks)
    return lambda: next(waiting, None)


def test_workers_report() -> None:
    heard: list[tuple[int, int | None]] = []
    pool: Pool[int, int] = Pool(make_reporting, 1, lambda number, so_far: heard.append((number, so_far)))
    assert list(pool.serve(asked(1, 2))) == [(1, 1), (2, 4)]
    assert heard == [(0, 10), (0, None), (0, 20), (0, None)]


def test_an_error_of_a_worker_comes_with_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AudioFileError, match="three is bad"):
        list(Pool(make_reporting, 1, lambda *_: None).serve(asked(3)))
    (said,) = [record.getMessage() for record in caplog.records if record.name == "hear_edgel3.jobs.pool"]
    assert "Traceback (most recent call last)" in said
    assert 'raise AudioFileError("three is bad")' in said


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    """It is not to look as if the worker had been killed."""
    with pytest.raises(ComputationError, match="_Odd: 5 and 5"):
        list(Pool(make_unpicklable, 1).serve(asked(5)))


def test_three_workers_that_die_at_once_are_replaced(here: Path) -> None:
    """They had all begun: it is only workers that never begin which end a job."""
    left = [0, 1, 2, 3, 4]
    again: list[int] = []
    pool: Pool[int, int] = Pool(make_dying_together, 3)
    done = {}
    for task, result in pool.serve(lambda: left.pop(0) if left else again.pop(0) if again else None):
        if isinstance(result, Died):
            assert result.exit_code == -signal.SIGKILL
            again.append(task)
        else:
            done[task] = result
    assert done == {i: i * i for i in range(5)}


def test_workers_leave_it_to_their_parent_to_stop_them() -> None:
    assert list(Pool(make_signalled, 1).serve(asked(7))) == [(7, 7)]


_PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_pool import make_slow, asked
from hear_edgel3.jobs.pool import Pool
if __name__ == "__main__":
    list(Pool(make_slow, 2).serve(asked(0, 1)))
"""


def test_workers_of_a_parent_that_was_killed_end_in_the_middle_of_their_tasks(here: Path) -> None:
    Path("parent.py").write_text(_PARENT)
    tests = Path(__file__).parent
    path = os.pathsep.join([str(PACKAGE.parent), str(tests), str(tests.parent)])
    parent = subprocess.Popen([sys.executable, "parent.py", str(tests)], env={**os.environ, "PYTHONPATH": path})
    deadline = time.monotonic() + 60
    while not all(os.path.exists(f"busy{i}") and Path(f"busy{i}").read_text() for i in range(2)):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = [int(Path(f"busy{i}").read_text()) for i in range(2)]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_late_ones_are_looked_for_often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times within a short limit, and each second within a long one."""
    asked: list[float | None] = []

    def watched(connections: list[Connection], seconds: float | None) -> list[object]:
        asked.append(seconds)
        return wait(connections, seconds)

    monkeypatch.setattr(pool, "wait", watched)
    for limit, often in ((2.0, 0.5), (100.0, 1.0), (None, None)):
        asked.clear()
        assert list(Pool(make, 1, limit=limit).run([1])) == [(0, 1)]
        assert set(asked) == {often}
