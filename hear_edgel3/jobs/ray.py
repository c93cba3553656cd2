"""Distributor: tasks on a Ray cluster, or on a Ray of this machine alone."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

from hear_edgel3._extras import require
from hear_edgel3.errors import ComputationError
from hear_edgel3.jobs.plan import Job
from hear_edgel3.jobs.worker import Attempts, PartCounts, Resources, Task, run_task

_log = logging.getLogger(__name__)

# A cluster that has not answered by then will not; one of this machine's own takes some seconds to start.
_PATIENCE_S = 60.0
# For a cluster to end: when all is done, and when something has ended the work.
_FAREWELL_S, _SHORT_FAREWELL_S = 10.0, 0.2
# Ray looks for Ctrl-C once a second only; between its calls Python does so at once.
_LOOK_EVERY_S = 0.2


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
        ComputationError: The cluster does not answer, or none can be started here.
        HearEdgeL3Error: as :func:`hear_edgel3.jobs.local.run_in_processes`.
    """
    ray: Any = require("ray", 'runner="ray"', "ray")  # its types differ from version to version
    mine = not ray.is_initialized()
    # RAY_ADDRESS names a cluster; `ray job submit` sets it. Without it, Ray would look into a file which says where the
    # last cluster was that was started on this machine, and wait for that one, however long it has been gone.
    cluster = os.environ.get("RAY_ADDRESS", "")
    alone = {} if cluster else {"address": "local", "include_dashboard": False}
    how = {"log_to_driver": False, "logging_level": logging.ERROR, **alone}
    connection = _Connection(ray, cluster, how) if mine else None
    running: dict[Any, Attempts] = {}
    done = False
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
                done = True
                return
            ready, _ = ray.wait(list(running), timeout=_LOOK_EVERY_S)
            if not ready:
                continue
            [task_done] = ready
            part = running.pop(task_done)
            try:
                result: PartCounts | None = ray.get(task_done)
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
        if cluster or not mine:  # it goes on without us
            for task in running:
                ray.cancel(task, force=True)
        if connection is not None:
            connection.close(_FAREWELL_S if done else _SHORT_FAREWELL_S)


class _Connection:
    """A connection to a cluster, or a cluster of this machine's own.

    Ray waits inside of compiled code, where neither Ctrl-C nor a time limit reaches it; so it does in a thread of its
    own, which is left behind if need be. It lives as long as the connection, because the system ends the processes of a
    cluster together with the thread that has started them.

    Args:
        ray: The package.
        cluster: The address of the cluster; empty for one of this machine's own.
        options: Of ``ray.init``.

    Raises:
        ComputationError: It does not answer, or cannot be started.
    """

    def __init__(self, ray: Any, cluster: str, options: dict[str, Any]) -> None:
        self._ray = ray
        self._options = options
        self._is_own = not cluster
        self._failed: list[BaseException] = []
        self._connected = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="hear-edgel3-ray", daemon=True)
        self._thread.start()
        what = f"the Ray cluster at {cluster} (RAY_ADDRESS)" if cluster else "a Ray of this machine's own"
        advice = "start it, or unset RAY_ADDRESS to use this machine alone" if cluster else "see its logs in /tmp/ray"
        try:
            if not self._connected.wait(_PATIENCE_S):
                raise ComputationError(f"{what} did not answer within {_PATIENCE_S:g} s; {advice}")
            if self._failed:
                raise ComputationError(f"{what} cannot be used: {self._failed[0]}; {advice}") from self._failed[0]
        except BaseException:
            # What is still being connected in the thread has nothing to say any more.
            logging.getLogger("ray").setLevel(logging.CRITICAL)
            self.close(0)
            raise

    def close(self, patience: float) -> None:
        """Lets go of the cluster, or ends it if it is this machine's own.

        Args:
            patience: So many seconds are waited for that. After them it goes on while this process lives, and then the
                system ends the cluster's processes.
        """
        self._over.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            atexit.unregister(self._ray.shutdown)  # it would wait once more

    def _live(self) -> None:
        try:
            self._ray.init(**self._options)
        except BaseException as error:
            self._failed.append(error)
            self._connected.set()
            return
        self._connected.set()
        self._over.wait()
        if self._is_own:
            # It ignores that it shall end, would be waited for a second, and has nothing to tidy up.
            with suppress(Exception):  # not documented, and may be called otherwise in another version
                self._ray._private.worker._global_node.kill_monitor(check_alive=False)
        self._ray.shutdown()


def _run_task(shared: tuple[Job, Resources], task: Task) -> PartCounts:
    """A task."""
    job, resources = shared
    return run_task(task, job, resources, lambda _: None)
