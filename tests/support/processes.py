"""Programs in processes of their own, and calls in threads."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, without the variables that are None."""
    merged = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={key: value for key, value in merged.items() if value is not None},
    )


def in_threads(call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """What a call gives for each argument, all at once in a thread each."""
    results: list[Any] = [None] * len(arguments)
    start = threading.Barrier(len(arguments))

    def work(i: int) -> None:
        start.wait()
        try:
            results[i] = call(arguments[i])
        except Exception as error:
            results[i] = error

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(arguments))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


SCRIPT = Path(sysconfig.get_path("scripts")) / "hear-edgel3"
