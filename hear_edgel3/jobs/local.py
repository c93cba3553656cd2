"""Distributor: this process, or several processes on this machine, of which those that die are replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial

from hear_edgel3.jobs.plan import Job
from hear_edgel3.jobs.pool import Died, Mark, Pool
from hear_edgel3.jobs.worker import Attempts, PartCounts, Resources, Task, forget_model, model_of, run_task
from hear_edgel3.jobs.worker import Report as PartReport

Report = Callable[[int, PartCounts], None]


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
    try:
        for part in parts:
            counts = run_task(next(part), job, resources, lambda counts: report(0, counts))
            report(0, PartCounts())
            try:
                part.send(counts)
            except StopIteration as finished:
                yield finished.value
    finally:
        forget_model()


def run_in_processes(
    job: Job,
    resources: Resources,
    parts: Iterable[Attempts],
    count: int,
    report: Report,
    file_timeout: float | None = None,
) -> Generator[PartCounts, None, None]:
    """Does all parts in worker processes.

    Args:
        job: The job that the parts belong to.
        resources: What to compute with.
        parts: What is to be tried for each part.
        count: How many processes there are.
        report: As for :func:`run_here`.
        file_timeout: How many seconds a file may take; None for any time.

    Yields:
        The counts of each part, when it is finished.

    Raises:
        ComputationError: workers die again and again.
        HearEdgeL3Error: after what a worker met it is no use to go on: the disk is full, for example.
    """
    new = ((part, next(part)) for part in parts)
    waiting: deque[tuple[Attempts, Task]] = deque()
    begun: dict[int, Attempts] = {}  # by the identity of the task

    def ask() -> Task | None:
        part, task = waiting.popleft() if waiting else next(new, (None, None))
        if part is not None and task is not None:
            begun[id(task)] = part
        return task

    pool: Pool[Task, PartCounts] = Pool(
        partial(_Worker, job, resources),
        count,
        lambda number, counts: report(number, counts or PartCounts()),
        file_timeout,
    )
    for task, result in pool.serve(ask):
        part = begun.pop(id(task))
        try:
            waiting.append((part, part.send(None if isinstance(result, Died) else result)))
        except StopIteration as finished:
            yield finished.value


class _Worker:
    """What does the tasks of a job in a worker process; makes its net ready at once."""

    def __init__(self, job: Job, resources: Resources) -> None:
        self._job = job
        self._resources = resources
        model_of(job, resources)

    def __call__(self, task: Task, report: PartReport, mark: Mark) -> PartCounts:
        return run_task(task, self._job, self._resources, report, mark)
