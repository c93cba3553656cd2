"""Worker processes that do one task after the other. Those that die are replaced, and only their task is lost."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
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


def attempt(work: Work[Task, Result], task: Task) -> Result | Exception:
    """Does a task; what is wrong with this one task alone is given back, not raised."""
    try:
        return work(task)
    except INPUT_ERRORS as error:
        return error


@dataclass
class _Worker(Generic[Task]):
    process: BaseProcess
    connection: Connection
    ready: bool = False
    doing: tuple[int, Task] | None = None


class Pool(Generic[Task, Result]):
    """Worker processes, started afresh (``spawn``), since torch does not survive a fork.

    A script that uses this needs the usual ``if __name__ == "__main__":``.

    Args:
        make: Is called in each worker once; what it returns does a task. It, tasks and results must be picklable.
        count: How many processes there are.
    """

    def __init__(self, make: Callable[[], Work[Task, Result]], count: int) -> None:
        self._make = make
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Task]] = []
        self._early_deaths = 0

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[int, Result | Exception], None, None]:
        """Does tasks, and ends the workers when all are done or the generator is closed.

        Yields:
            The number of each task with its result, or with the error that it met, as soon as it is there.

        Raises:
            ComputationError: workers die as soon as they start, or one met something that no task should.
            HearEdgeL3Error: what ``make`` raised.
        """
        waiting = enumerate(tasks)
        upcoming = next(waiting, None)
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while True:
                for worker in self._workers:
                    if upcoming is not None and worker.ready and worker.doing is None:
                        with suppress(OSError):  # it has just died, which is heard below
                            worker.connection.send(upcoming[1])
                        worker.doing, upcoming = upcoming, next(waiting, None)
                if upcoming is None and not any(worker.doing for worker in self._workers):
                    return
                heard = wait([worker.connection for worker in self._workers])
                for number, worker in enumerate(self._workers):
                    if worker.connection in heard and (done := self._hear(number, worker)) is not None:
                        yield done
        finally:
            self._stop()

    def _start(self) -> _Worker[Task]:
        mine, its = self._context.Pipe()
        process = self._context.Process(target=_live, args=(its, self._make), daemon=True)
        process.start()
        its.close()  # so that its death closes the pipe
        return _Worker(process, mine)

    def _hear(self, number: int, worker: _Worker[Task]) -> tuple[int, Result | Exception] | None:
        """What a worker has to say, if that is the end of its task."""
        kind: str
        value: Any
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            kind, value = "died", None
        if kind == "ready":
            worker.ready, self._early_deaths = True, 0
            return None
        if kind == "broken":
            raise value
        task, worker.doing = worker.doing, None
        if kind == "died":
            worker.process.join()
            worker.connection.close()
            value = ComputationError(
                f"the worker process died over it (exit code {worker.process.exitcode}); if memory is short, use fewer "
                f"--workers"
            )
            self._early_deaths += 0 if worker.ready else 1
            if self._early_deaths == _MOST_EARLY_DEATHS:
                raise ComputationError(
                    f"worker processes die as soon as they start (exit code {worker.process.exitcode}): is there too "
                    f"little memory (use fewer --workers), or does the script lack its `if __name__ == '__main__':`?"
                )
            self._workers[number] = self._start()
        return None if task is None else (task[0], value)

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # they keep nothing that is worth a farewell
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []


def _live(connection: Connection, make: Callable[[], Work[Any, Any]]) -> None:
    """A worker's life."""
    # Ctrl-C and a batch system's SIGTERM reach all processes; it is for the parent to end its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        work = make()
        connection.send(("ready", None))
        while True:
            connection.send(("done", _picklable(attempt(work, connection.recv()))))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
    except INPUT_ERRORS as error:
        connection.send(("broken", _picklable(error)))
    except Exception:
        connection.send(("broken", ComputationError(f"a worker process failed:\n{traceback.format_exc()}")))


def _picklable(value: Any) -> Any:
    """A result as it is, or an error that can be sent: not every one of another package can."""
    if isinstance(value, Exception):
        try:
            pickle.loads(pickle.dumps(value))  # noqa: S301  # made just here
        except Exception:
            return ComputationError(f"{type(value).__name__}: {value}")
    return value
