"""Worker processes that do one task after the other. Those that die are replaced, and only their task is lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    ready: bool = False
    task: tuple[Any] | None = None


class Pool(Generic[Task, Result]):
    """Worker processes, started afresh (``spawn``), since torch does not survive a fork.

    A script that uses this needs the usual ``if __name__ == "__main__":``. A worker that hangs is waited for: what it
    does may just take long.

    Args:
        make: Is called in each worker once; what it returns does a task. It, tasks and results must be picklable.
        count: How many processes there are.
        report: If this is given, work is also given a function to call now and then with how far it is; ``report`` is
            called here with the number of the worker and that, and with the number and None when its task has ended.
    """

    def __init__(
        self,
        make: Callable[[], Callable[..., Result]],
        count: int,
        report: Callable[[int, Any], None] | None = None,
    ) -> None:
        self._make = make
        self._count = count
        self._report = report
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._early_deaths = 0

    def run(self, tasks: Iterable[Any]) -> Generator[tuple[int, Result | Exception], None, None]:
        """Does tasks, each once, and ends the workers when all are done or the generator is closed.

        Yields:
            The number of each task with its result, or with the error that it met, as soon as it is there.

        Raises:
            ComputationError: workers die as soon as they start, or one met something that no task should.
            HearEdgeL3Error: what ``make`` raised.
        """
        waiting = enumerate(tasks)
        doing: Pool[tuple[int, Any], Result | Exception] = Pool(_Attempts(self._make), self._count)
        for (number, _), result in doing.serve(lambda: next(waiting, None)):
            if isinstance(result, Died):
                yield (
                    number,
                    ComputationError(
                        f"the worker process died over it (exit code {result.exit_code}); if memory is short, use "
                        f"fewer --workers"
                    ),
                )
            else:
                yield number, result

    def serve(self, ask: Callable[[], Task | None]) -> Generator[tuple[Task, Result | Died], None, None]:
        """Does the tasks that it is given when it asks; ends the workers when that is all, or the generator is closed.

        Args:
            ask: Gives a task; None if there is none for now. There may be some again when others have ended; it is all
                when none is being done.

        Yields:
            Each task with its result, as soon as it is there.

        Raises:
            ComputationError: workers die as soon as they start, or one met something that it should not.
            HearEdgeL3Error: what ``make`` or a task raised.
        """
        upcoming: Task | None = None
        try:
            self._workers = [self._start(number) for number in range(self._count)]
            while True:
                for worker in self._workers:
                    upcoming = ask() if upcoming is None else upcoming
                    if upcoming is not None and worker.ready and worker.task is None:
                        with suppress(OSError):  # it has just died, which is heard below
                            worker.connection.send(upcoming)
                        worker.task, upcoming = (upcoming,), None
                if upcoming is None and not any(worker.task for worker in self._workers):
                    return
                heard = wait([worker.connection for worker in self._workers])
                for worker in [worker for worker in self._workers if worker.connection in heard]:
                    yield from self._hear(worker)
        finally:
            self._stop()

    def _start(self, number: int) -> _Worker:
        mine, its = self._context.Pipe()
        process = self._context.Process(target=_live, args=(its, self._make, self._report is not None), daemon=True)
        process.start()
        its.close()  # so that its death closes the pipe
        return _Worker(number, process, mine)

    def _hear(self, worker: _Worker) -> list[tuple[Task, Result | Died]]:
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
        worker.process.join()
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


def _live(connection: Connection, make: Callable[[], Callable[..., Any]], reports: bool) -> None:
    """A worker's life."""
    # Ctrl-C and a batch system's SIGTERM reach all processes; it is for the parent to end its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    report = [lambda so_far: connection.send(("report", so_far))] if reports else []
    try:
        work = make()
        connection.send(("ready", None))
        while True:
            connection.send(("done", work(connection.recv(), *report)))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
    except INPUT_ERRORS as error:
        connection.send(("broken", (_picklable(error), traceback.format_exc())))
    except Exception:
        trace = traceback.format_exc()
        connection.send(("broken", (ComputationError(f"a worker process failed:\n{trace}"), trace)))


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
