"""What makes an event of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hear_edgel3._checks import check_seconds, check_several, check_share
from hear_edgel3.errors import InvalidOption


@dataclass(frozen=True)
class EventRules:
    """How probabilities become events. All times are in seconds.

    They count in this order: probabilities are smoothed; a stretch in which a class has at least ``hysteresis`` times
    its threshold is an event if it reaches the threshold somewhere in it; events of a class with little between them
    become one; what is short then is dropped.

    Attributes:
        thresholds: For each class the probability that an event must reach, above 0 and at most 1.
        hysteresis: The share of the threshold down to which an event goes on, above 0 and at most 1; 1 for none.
        smooth: The length of the median filter; 0 for none. It takes the odd number of slices that is nearest to it
            from below, and at the ends those that there are.
        merge: Events of a class with at most this between them are one.
        min_length: Shorter events are dropped.
        max_length: Longer events are cut into pieces of at most this; None for any length.

    Raises:
        InvalidOption: One of them cannot be used.
    """

    thresholds: Sequence[float]
    hysteresis: float = 0.5
    smooth: float = 0.0
    merge: float = 0.0
    min_length: float = 0.0
    max_length: float | None = None

    def __post_init__(self) -> None:
        several = check_several(self.thresholds, "thresholds", "a list of numbers, one for each class")
        object.__setattr__(self, "thresholds", tuple(check_share(value, "threshold") for value in several))
        object.__setattr__(self, "hysteresis", check_share(self.hysteresis, "hysteresis"))
        for name in ("smooth", "merge", "min_length"):
            object.__setattr__(self, name, check_seconds(getattr(self, name), name))
        if self.max_length is not None:
            longest = check_seconds(self.max_length, "max_length")
            if longest <= 0 or longest < self.min_length:
                raise InvalidOption(f"max_length={self.max_length!r} must be more than 0, and at least min_length")
            object.__setattr__(self, "max_length", longest)
