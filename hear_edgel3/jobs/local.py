"""Distributor: this process, or several processes on this machine, of which those that die are replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from hear_edgel3.errors import ComputationError
from hear_edgel3.jobs.plan import Job
from hear_edgel3.jobs.worker import Attempts, PartCounts, Resources, Task, model_of, run_task

Report = Callable[[int, PartCounts], None]
# So many workers in a row may die before they have begun.
_MOST_EARLY_DEATHS = 3


def run_here(
    job: Job, resources: Resources, parts: Iterable[Attempts], report: Report
) -> Generator[PartCounts, None, None]:
    """Does all parts in this process.

    Args:
        job: The job that the parts belong to.
        resources: What to compute with.
        parts: What is to be tried for each part.
        report: Is called now and then with the number of a worker (here 0) and the counts of what it is doing.

    Yields:
        The counts of each part, when it is finished.
    """
    for part in parts:
        counts = run_task(next(part), job, resources, lambda counts: report(0, counts))
        report(0, PartCounts())
        try:
            part.send(counts)
        except StopIteration as finished:
            yield finished.value


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    ready: bool = False
    doing: tuple[Attempts, Task] | None = None


class Processes:
    """Worker processes.

    Args:
        job: The job that the parts belong to.
        resources: What to compute with.
        count: How many processes there are.
        report: As for :func:`run_here`.
    """

    def __init__(self, job: Job, resources: Resources, count: int, report: Report) -> None:
        self._job = job
        self._resources = resources
        self._report = report
        self._count = count
        self._context = multiprocessing.get_context("spawn")  # torch does not survive a fork
        self._workers: list[_Worker] = []
        self._early_deaths = 0

    def run(self, parts: Iterable[Attempts]) -> Generator[PartCounts, None, None]:
        """Does all parts.

        Yields:
            The counts of each part, when it is finished.

        Raises:
            ComputationError: workers die again and again.
            HearEdgeL3Error: after what a worker met it is no use to go on: the disk is full, for example.
        """
        new = ((part, next(part)) for part in parts)
        waiting: deque[tuple[Attempts, Task]] = deque()
        try:
            self._workers = [self._start(number) for number in range(self._count)]
            while True:
                for worker in self._workers:
                    if not waiting:
                        waiting.extend(first for first in [next(new, None)] if first)
                    if waiting and worker.ready and worker.doing is None:
                        worker.doing = waiting.popleft()
                        worker.connection.send(worker.doing[1])
                if not waiting and not any(worker.doing for worker in self._workers):
                    return
                for worker in self._with_messages():
                    kind, value = self._receive(worker)
                    if kind == "ready":
                        worker.ready, self._early_deaths = True, 0
                    elif kind == "report":
                        self._report(worker.number, value)
                    elif kind == "failed":
                        raise value
                    else:
                        self._report(worker.number, PartCounts())
                        attempted = worker.doing
                        if kind == "died":
                            self._replace(worker)
                        worker.doing = None
                        if attempted is not None:
                            part = attempted[0]
                            try:
                                waiting.append((part, part.send(value)))
                            except StopIteration as finished:
                                yield finished.value
        finally:
            self._stop()

    def _start(self, number: int) -> _Worker:
        mine, its = self._context.Pipe()
        process = self._context.Process(target=_work, args=(its, self._job, self._resources), daemon=True)
        process.start()
        its.close()  # so that its death closes the pipe
        return _Worker(number, process, mine)

    def _with_messages(self) -> list[_Worker]:
        """Workers that have something to say; waits for one."""
        ready = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in ready]

    def _receive(self, worker: _Worker) -> tuple[str, Any]:
        try:
            message: tuple[str, Any] = worker.connection.recv()
        except (EOFError, OSError):
            return "died", None
        return message

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        worker.connection.close()
        self._early_deaths += 0 if worker.ready else 1
        if self._early_deaths == _MOST_EARLY_DEATHS:
            raise ComputationError(
                f"worker processes die as soon as they start (exit code {worker.process.exitcode}): is there too "
                f"little memory (use fewer --workers), or does the script lack its `if __name__ == '__main__':`?"
            )
        self._workers[worker.number] = self._start(worker.number)

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # they keep nothing that is worth a farewell
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []


def _work(connection: Connection, job: Job, resources: Resources) -> None:
    """A worker's life."""
    # Ctrl-C and a batch system's SIGTERM reach all processes; it is for the parent to end its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        model_of(job, resources)
        connection.send(("ready", None))
        while True:
            task: Task = connection.recv()
            counts = run_task(task, job, resources, lambda so_far: connection.send(("report", so_far)))
            connection.send(("done", counts))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
    except Exception as error:
        connection.send(("failed", error))


def _follow_parent() -> None:
    """Ends this process when its parent has been killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
