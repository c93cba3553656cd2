"""What the outputs of nets that tag are, as rows say it. Imports neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hear_edgel3.families.schema import Checkpoint, Local, Targets


@dataclass(frozen=True)
class Outputs:
    """How outputs are read.

    Attributes:
        targets: "several" (any number of classes, each by a sigmoid; all nets for AudioSet), "single" (one class of
            several, by a softmax) or "numbers".
        temperature: What logits are divided by first.
        thresholds: For each class the probability from which on it is said, None for a class without one; or None.
    """

    targets: Targets = "several"
    temperature: float = 1.0
    thresholds: tuple[float | None, ...] | None = None

    @property
    def are_numbers(self) -> bool:
        """Whether they are numbers, and there are no probabilities."""
        return self.targets == "numbers"


# How those of nets for AudioSet are.
AUDIOSET = Outputs()


def outputs_of(row: Checkpoint) -> Outputs:
    """How the outputs of a checkpoint are read."""
    if isinstance(row, Local) and row.classes:
        return Outputs(row.targets, row.temperature, row.thresholds)
    return AUDIOSET


def outputs_together(every: Sequence[Outputs]) -> Outputs:
    """How the mean of the outputs of several nets of one kind is read.

    Where their temperatures differ, each is to be divided by its own before
    (:func:`hear_edgel3.tagging.reading.in_common_scale`). A class has the mean of its thresholds, if all nets have one.
    """
    first = every[0]
    temperature = first.temperature if len({one.temperature for one in every}) == 1 else 1.0
    if any(one.thresholds is None for one in every):
        return Outputs(first.targets, temperature)
    by_class = zip(*(one.thresholds or () for one in every), strict=True)
    thresholds = tuple(
        None if None in some else sum(value for value in some if value is not None) / len(some) for some in by_class
    )
    return Outputs(first.targets, temperature, thresholds)
