"""Distributor: tasks on a Ray cluster, or on a Ray of this machine alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable
from typing import Any

from hear_edgel3._extras import require
from hear_edgel3.jobs.plan import Job
from hear_edgel3.jobs.worker import Attempts, PartCounts, Resources, Task, run_task

_log = logging.getLogger(__name__)


def run(
    job: Job, resources: Resources, parts: Iterable[Attempts], concurrency: int | None, num_gpus: float
) -> Generator[PartCounts, None, None]:
    """Does all parts. Tasks write their parts themselves, so all nodes must see the output folder and the audio.

    Args:
        job: The job that the parts belong to.
        resources: What to compute with.
        parts: What is to be tried for each part.
        concurrency: How many tasks there are at once; None for as many as the cluster has CPUs for (or GPUs, where they
            take such).
        num_gpus: How many GPUs each task takes; less than 1 to share them.

    Yields:
        The counts of each part, when it is finished.

    Raises:
        MissingExtra: ray is not installed.
        HearEdgeL3Error: as :func:`hear_edgel3.jobs.local.run_in_processes`.
    """
    ray: Any = require("ray", 'runner="ray"', "ray")  # its types differ from version to version
    mine = not ray.is_initialized()
    # RAY_ADDRESS names a cluster; `ray job submit` sets it.
    alone = {} if "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
    if mine:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **alone)
    running: dict[Any, Attempts] = {}
    try:
        # A task whose node went away is given to another one; after that, `attempts` looks for the file to blame.
        task = ray.remote(num_cpus=resources.threads, num_gpus=num_gpus, max_retries=1)(_run_task)
        shared = ray.put((job, resources))
        if concurrency is None:
            has = ray.cluster_resources()
            concurrency = int(has.get("GPU", 0) // num_gpus if num_gpus else has.get("CPU", 1) // resources.threads)
        new = iter(parts)
        while True:
            while len(running) < max(concurrency, 1) and (part := next(new, None)) is not None:
                running[task.remote(shared, next(part))] = part
            if not running:
                return
            (done,), _ = ray.wait(list(running))
            part = running.pop(done)
            try:
                result: PartCounts | None = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                _log.debug("a Ray task failed:\n%s", error)
                raise error.cause from error
            except (
                ray.exceptions.WorkerCrashedError,
                ray.exceptions.OutOfMemoryError,
                ray.exceptions.NodeDiedError,
                ray.exceptions.ObjectLostError,
            ):
                result = None
            try:
                running[task.remote(shared, part.send(result))] = part
            except StopIteration as finished:
                yield finished.value
    finally:
        if mine and alone:
            ray.shutdown()
        else:
            for task in running:  # on a cluster that goes on without us
                ray.cancel(task, force=True)
            if mine:
                ray.shutdown()


def _run_task(shared: tuple[Job, Resources], task: Task) -> PartCounts:
    """A task."""
    job, resources = shared
    return run_task(task, job, resources, lambda _: None)
