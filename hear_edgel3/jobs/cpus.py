"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """CPUs that this process may use: those that it is bound to, or fewer where a container has a quota of time."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        bound = os.cpu_count() or 1
    quota = cpu_quota(_GROUPS, _OWN_GROUP)
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def cpu_quota(groups: Path, own_group: Path) -> float | None:
    """How many CPUs' time the control groups of this process allow; None if they do not limit it.

    Args:
        groups: Where control groups are, of version 2 or 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu).
        own_group: The file that says which of them this process is in.
    """
    quotas = [quota for folder, unified in _own_folders(groups, own_group) if (quota := _quota_of(folder, unified))]
    return min(quotas, default=None)


def _own_folders(groups: Path, own_group: Path) -> Iterator[tuple[Path, bool]]:
    """The folders of this process's groups, from its own up to the root, and whether they are of version 2."""
    try:
        lines = own_group.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        # In a container the name may be that of the host, where only the root is to be seen.
        parts = [part for part in name.split("/") if part not in ("", "..")]
        for n in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:n]), not controllers


def _quota_of(folder: Path, unified: bool) -> float | None:
    try:
        if unified:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else None  # -1: no limit
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
