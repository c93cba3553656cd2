"""Learning rates over time, as factors of the highest one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hear_edgel3._checks import check_between, check_positive, check_whole
from hear_edgel3.errors import InvalidOption

_LEAST = 1e-3


def cosine(done: float, warmup: float) -> float:
    """A line up, then half a cosine down (Loshchilov and Hutter 2017, without restarts), as distillation uses it.

    Args:
        done: The fraction of all steps that is done.
        warmup: The fraction over which the rate rises.

    Returns:
        The factor, from 0.001 to 1.001: the rate is never zero.
    """
    if done < warmup:
        return max(done / warmup, _LEAST)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) + _LEAST


@dataclass(frozen=True)
class UpDown:
    """EfficientAT's schedule: an exponential up, a level, a line down, and a level; constant within an epoch.

    ``up(e) = exp(-5 (1 - max(e, 0.5) / warmup)^2)`` before epoch ``warmup``, as in mean teachers (Tarvainen and Valpola
    2017); ``down(e)`` is 1 up to epoch ``start``, then falls on a line to ``last`` over ``length`` epochs.

    Attributes:
        warmup: The epochs of the rise; 0 for none.
        start: The last epoch at full rate.
        length: The epochs of the fall, at least 1.
        last: The factor afterwards.
    """

    warmup: int
    start: int
    length: int
    last: float

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name, least in (("warmup", 0), ("start", 0), ("length", 1)):
            check_whole(getattr(self, name), name, least)
        check_between(self.last, "last", 0, 1)

    def factor(self, epoch: int) -> float:
        """The factor of an epoch, which count from 0: ``up`` times ``down``."""
        up = math.exp(-5.0 * (1.0 - max(epoch, 0.5) / self.warmup) ** 2) if epoch < self.warmup else 1.0
        if epoch <= self.start:
            return up
        if epoch - self.start < self.length:
            return up * (self.last + (1.0 - self.last) * (self.length - epoch + self.start) / self.length)
        return up * self.last


@dataclass(frozen=True)
class Temperature:
    """The temperature of the attention of DyMN (Schmid et al. 2023), which falls on two lines that meet at 1.

    Attributes:
        highest: At the start.
        lowest: At the end.
        first_slope: By which it falls per epoch above 1.
        second_slope: Below 1.
    """

    highest: float = 30.0
    lowest: float = 1.0
    first_slope: float = 1.0
    second_slope: float = 0.02

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name in ("highest", "lowest", "first_slope"):
            check_positive(getattr(self, name), name)
        check_between(self.second_slope, "second_slope", 0)

    def of(self, epoch: int) -> float:
        """The temperature of an epoch, which count from 0."""
        first = self.highest - self.first_slope * epoch
        second = 1.0 + self.second_slope * (self.highest - 1.0) / self.first_slope - self.second_slope * epoch
        return max(first, second, self.lowest)


@dataclass(frozen=True)
class TwoPhases:
    """DeepSpectrumLite's schedule: the net is frozen in the first epochs, then its last layers learn at another rate.

    Attributes:
        pre_epochs: The epochs of the first phase, in which only the head learns. Batch norm does not measure in it.
        epochs: The epochs of the second.
        fine: The rate of the second phase, as a factor of that of the first.
        frozen_share: The share of the net's layers, from its input on, that stay frozen in the second phase.
    """

    pre_epochs: int
    epochs: int
    fine: float
    frozen_share: float

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name in ("pre_epochs", "epochs"):
            check_whole(getattr(self, name), name, 0)
        if self.pre_epochs + self.epochs < 1:
            raise InvalidOption("pre_epochs and epochs are both 0: nothing would be trained")
        check_positive(self.fine, "fine")
        check_between(self.frozen_share, "frozen_share", 0, 1)

    def is_fine(self, epoch: int) -> bool:
        """Whether an epoch, which count from 0, belongs to the second phase."""
        return epoch >= self.pre_epochs

    def factor(self, epoch: int) -> float:
        """The factor of an epoch, which count from 0."""
        return self.fine if self.is_fine(epoch) else 1.0

    def frozen_layers(self, n_layers: int, epoch: int) -> int:
        """How many of the net's layers, from its input on, are frozen in an epoch.

        Args:
            n_layers: The layers of the net, without the head.
            epoch: They count from 0.
        """
        return int(self.frozen_share * n_layers) if self.is_fine(epoch) else n_layers
