"""Worker processes that do one task after the other.

Those that die, or are ended because they take too long, are replaced, and only their task is lost.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from hear_edgel3.errors import INPUT_ERRORS, ComputationError

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Task], Result]
# So many workers in a row may die before they have begun.
_MOST_EARLY_DEATHS = 3
# With a process that was killed, and does not end: it hangs in the system, on a disk that does not answer.
_PATIENCE_S = 1.0
# With a limit, workers are looked after so often; of a longer time between two looks only twice as much counts, as this
# process was stopped for the rest of it, and the workers, too.
_LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


def attempt(work: Work[Task, Result], task: Task) -> Result | Exception:
    """Does a task; what is wrong with this one task alone is given back, not raised."""
    try:
        return work(task)
    except INPUT_ERRORS as error:
        return error


@dataclass(frozen=True)
class Died:
    """What a task gave whose worker died over it.

    Attributes:
        exit_code: Of the worker process; negative is the number of a signal.
    """

    exit_code: int | None


@dataclass(frozen=True)
class TimedOut:
    """What a task gave whose worker was ended, because the same step of it took longer than the limit.

    Attributes:
        limit: How many seconds it may take.
        step: Which step that was; None if it is not sure, or the work had marked none.
    """

    limit: float
    step: int | None


Mark = Callable[[int, bool], None]
"""Says which step of a task, by a number from 0, is being done, and whether it is sure that nothing else is."""

_NO_STEP = -1


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    mark: Any
    ready: bool = False
    task: tuple[Any] | None = None
    step: int = _NO_STEP
    in_step: float = 0.0

    def takes_longer_than(self, limit: float, passed: float) -> bool:
        """Whether its step takes longer than a limit, now that so many seconds have passed since this was asked."""
        step, _ = self.mark
        if step != self.step or self.task is None:
            self.step, self.in_step = step, 0.0
        else:
            self.in_step += passed
        return self.in_step > limit and not self.connection.poll()


class Pool(Generic[Task, Result]):
    """Worker processes, started afresh (``spawn``), since torch does not survive a fork.

    A script that uses this needs the usual ``if __name__ == "__main__":``. Without a limit, a worker that hangs is
    waited for: what it does may just take long.

    Args:
        make: Is called in each worker once; what it returns does a task. It, tasks and results must be picklable.
        count: How many processes there are.
        report: If this is given, work is also given two functions. One is to be called now and then with how far it is;
            ``report`` is called here with the number of the worker and that, and with the number and None when its task
            has ended. The other one is a :data:`Mark`.
        limit: How many seconds a step of a task may take, or the whole task, if it marks none; None for any time.
    """

    def __init__(
        self,
        make: Callable[[], Callable[..., Result]],
        count: int,
        report: Callable[[int, Any], None] | None = None,
        limit: float | None = None,
    ) -> None:
        self._make = make
        self._limit = limit
        self._count = count
        self._report = report
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._early_deaths = 0
        self._warned: dict[Any, Any] = {}

    def run(self, tasks: Iterable[Any]) -> Generator[tuple[int, Result | Exception], None, None]:
        """Does tasks, each once, and ends the workers when all are done or the generator is closed.

        Yields:
            The number of each task with its result, or with the error that it met, as soon as it is there.

        Raises:
            ComputationError: workers die as soon as they start, or one met something that no task should.
            HearEdgeL3Error: what ``make`` raised.
        """
        waiting = enumerate(tasks)
        doing: Pool[tuple[int, Any], Result | Exception] = Pool(_Attempts(self._make), self._count, limit=self._limit)
        for (number, _), result in doing.serve(lambda: next(waiting, None)):
            if isinstance(result, Died):
                yield (
                    number,
                    ComputationError(
                        f"the worker process died over it (exit code {result.exit_code}); if memory is short, use "
                        f"fewer --workers"
                    ),
                )
            elif isinstance(result, TimedOut):
                yield number, ComputationError(given_up(result))
            else:
                yield number, result

    def serve(self, ask: Callable[[], Task | None]) -> Generator[tuple[Task, Result | Died | TimedOut], None, None]:
        """Does the tasks that it is given when it asks; ends the workers when that is all, or the generator is closed.

        Args:
            ask: Gives a task; None if there is none for now. There may be some again when others have ended; it is all
                when none is being done.

        Yields:
            Each task with its result, or with what became of its worker, as soon as it is there.

        Raises:
            ComputationError: workers die as soon as they start, or one met something that it should not.
            HearEdgeL3Error: what ``make`` or a task raised.
        """
        upcoming: Task | None = None
        try:
            self._workers = [self._start(number) for number in range(self._count)]
            looked = time.monotonic()
            while True:
                for worker in self._workers:
                    upcoming = ask() if upcoming is None else upcoming
                    if upcoming is not None and worker.ready and worker.task is None:
                        with suppress(OSError):  # it has just died, which is heard below
                            worker.connection.send(upcoming)
                        worker.task, upcoming, worker.in_step = (upcoming,), None, 0.0
                if upcoming is None and not any(worker.task for worker in self._workers):
                    return
                often = None if self._limit is None else min(_LOOK_EVERY_S, self._limit / 4)
                heard = wait([worker.connection for worker in self._workers], often)
                for worker in [worker for worker in self._workers if worker.connection in heard]:
                    yield from self._hear(worker)
                if often is not None:
                    passed, looked = time.monotonic() - looked, time.monotonic()
                    yield from self._end_late_ones(min(passed, 2 * often))
        finally:
            self._stop()

    def _start(self, number: int) -> _Worker:
        mine, its = self._context.Pipe()
        mark = self._context.RawArray("q", [_NO_STEP, 0])
        given = (its, self._make, self._report is not None, mark)
        process = self._context.Process(target=_live, args=given, daemon=True)
        process.start()
        its.close()  # so that its death closes the pipe
        return _Worker(number, process, mine, mark)

    def _end_late_ones(self, passed: float) -> Generator[tuple[Task, TimedOut], None, None]:
        """Ends workers whose step takes too long.

        Args:
            passed: How many seconds there were since this was done last.
        """
        assert self._limit is not None
        for worker in list(self._workers):
            if worker.takes_longer_than(self._limit, passed) and worker.task is not None:
                (task,), (step, sure) = worker.task, worker.mark
                if self._report is not None:
                    self._report(worker.number, None)
                worker.process.kill()
                self._replace(worker)
                yield task, TimedOut(self._limit, step if sure and step != _NO_STEP else None)

    def _hear(self, worker: _Worker) -> list[tuple[Task, Result | Died | TimedOut]]:
        """What a worker has to say: the end of its task, or nothing yet."""
        kind: str
        value: Any
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            kind, value = "died", None
        if kind == "ready":
            worker.ready, self._early_deaths = True, 0
            return []
        if kind == "warning":
            text, category, filename, line = value
            warnings.warn_explicit(text, category, filename, line, registry=self._warned)
            return []
        if kind == "report":
            if self._report is not None:
                self._report(worker.number, value)
            return []
        if kind == "broken":
            error, trace = value
            _log.debug("a worker process failed:\n%s", trace)
            raise error
        if self._report is not None:
            self._report(worker.number, None)
        task, worker.task = worker.task, None
        if kind == "died":
            value = Died(self._replace(worker))
        return [] if task is None else [(task[0], value)]

    def _replace(self, worker: _Worker) -> int | None:
        worker.process.join(None if self._limit is None else _PATIENCE_S)
        worker.connection.close()
        code = worker.process.exitcode
        self._early_deaths += 0 if worker.ready else 1
        if self._early_deaths == _MOST_EARLY_DEATHS:
            raise ComputationError(
                f"worker processes die as soon as they start (exit code {code}): is there too little memory (use fewer "
                f"--workers), or does the script lack its `if __name__ == '__main__':`?"
            )
        self._workers[worker.number] = self._start(worker.number)
        return code

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # they keep nothing that is worth a farewell
        for worker in self._workers:
            worker.process.join(_PATIENCE_S)
            worker.connection.close()
        self._workers = []


class _Attempts:
    """Makes work of which :func:`attempt` is made, for tasks with numbers."""

    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self._make = make

    def __call__(self) -> Callable[[tuple[int, Any]], Any]:
        work = self._make()
        return lambda task: _picklable(attempt(work, task[1]))


def given_up(result: TimedOut) -> str:
    """What to say of a file that took too long."""
    return f"it was not done after {result.limit:g} s (--file-timeout), and was given up"


def _live(connection: Connection, make: Callable[[], Callable[..., Any]], reports: bool, marked: Any) -> None:
    """A worker's life."""
    # Ctrl-C and a batch system's SIGTERM reach all processes; it is for the parent to end its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()

    def mark(step: int, sure: bool) -> None:
        marked[:] = step, sure

    lock = threading.Lock()

    def send(kind: str, value: Any) -> None:
        with lock:  # threads that decode may warn while results are sent
            connection.send((kind, value))

    def warn(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *_file_and_line: object
    ) -> None:
        send("warning", (str(message), category, filename, lineno))

    # For the parent to show, once, in the way of the program that it is.
    warnings.showwarning = warn  # type: ignore[assignment]
    more = [partial(send, "report"), mark] if reports else []
    try:
        work = make()
        send("ready", None)
        while True:
            task = connection.recv()
            mark(_NO_STEP, False)
            send("done", work(task, *more))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
    except INPUT_ERRORS as error:
        send("broken", (_picklable(error), traceback.format_exc()))
    except Exception:
        trace = traceback.format_exc()
        send("broken", (ComputationError(f"a worker process failed:\n{trace}"), trace))


def _follow_parent() -> None:
    """Ends this process when its parent has been killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _picklable(value: Any) -> Any:
    """A result as it is, or an error that can be sent: not every one of another package can."""
    if isinstance(value, Exception):
        try:
            pickle.loads(pickle.dumps(value))  # noqa: S301  # made just here
        except Exception:
            return ComputationError(f"{type(value).__name__}: {value}")
    return value
