"""The memory that a file takes in its engine, beyond the engine itself: ``python -m hear_edgel3.exporting.memory``.

In a process of its own, because what another has used before cannot be told apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hear_edgel3.exporting.targets import target_of


def peak_bytes(target: str, path: Path, shape: Sequence[int]) -> int | None:
    """The most memory that opening a file and running it once takes, above what the imported engine has.

    Args:
        target: As in the table.
        path: The file.
        shape: Of its input.

    Returns:
        Bytes; None where the system does not tell.
    """
    words = [sys.executable, "-m", "hear_edgel3.exporting.memory", target, str(path), *map(str, shape)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - this very Python
    if done.returncode != 0 or not done.stdout.strip():
        return None
    found: int | None = json.loads(done.stdout.splitlines()[-1])
    return found


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _measure(name: str, path: Path, shape: Sequence[int]) -> int | None:
    target = target_of(name)
    target.engine_version()  # which imports it
    x = np.zeros(shape, np.float32)
    before = _status("VmRSS")
    target.open_file(path)(x)
    after = _status("VmHWM")
    return None if before is None or after is None else max(0, after - before)


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]), [int(word) for word in sys.argv[3:]])))
