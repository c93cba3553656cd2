"""Which engine "auto" takes for a net that is not built, and why. Needs neither torch nor the engines themselves."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from hear_edgel3.errors import how_to_install

# With at least this fraction of its weights zero, that is the reason given for the kernels.
_MANY_ZEROS = 0.3

RUNS_EVERYWHERE = "it runs every net everywhere"


@dataclass(frozen=True)
class Choice:
    """An engine for a net.

    Attributes:
        name: the engine's, as in the table.
        reason: why it was chosen, in words.
    """

    name: str
    reason: str


def expected(kernels: bool, zeros: float) -> Choice:
    """What "auto" takes on the CPU for a net in float32, with the packages that are installed.

    Args:
        kernels: whether the compiled kernels can run such a net.
        zeros: fraction of its weights that are zero.
    """
    if not kernels:
        return Choice("torch", RUNS_EVERYWHERE)
    reason = kernels_pay(zeros)
    if reason is None:
        return Choice("torch", f"numba, which would run this net faster, is not installed: {how_to_install('fast')}")
    return Choice("numba", reason)


def chosen(engine: str, kernels: bool, device: str = "cpu") -> str:
    """The engine that runs a net that is not built: the one that is asked for, or what "auto" takes.

    Args:
        engine: one of :data:`~hear_edgel3.engine.table.NAMES`.
        kernels: as for :func:`expected`.
        device: where it will run, as torch calls it.
    """
    if engine != "auto":
        return engine
    return expected(kernels and device.partition(":")[0] == "cpu", 0.0).name


def kernels_pay(zeros: float) -> str | None:
    """Why the compiled kernels are worth taking for a net that they can run, or None where numba is not installed.

    Args:
        zeros: fraction of its weights that are zero.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    if zeros < _MANY_ZEROS:
        return "with its kernels nets of this kind are faster than in torch alone"
    return f"{100 * zeros:.1f} % of its weights are zero"
