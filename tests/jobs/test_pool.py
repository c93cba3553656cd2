"""Worker processes: results whatever becomes of single tasks and workers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import pytest

from hear_edgel3.errors import AudioFileError, ComputationError, MissingExtra
from hear_edgel3.jobs.pool import Pool, attempt


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
