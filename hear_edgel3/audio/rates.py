"""Sample rates, and how many samples a clip has after its rate was changed."""

from __future__ import annotations

import math
from numbers import Real

from hear_edgel3.errors import InvalidOption

MIN_RATE = 1000
MAX_RATE = 768_000


def check_rate(sample_rate: object, name: str = "sample_rate", lowest: int = MIN_RATE, highest: int = MAX_RATE) -> int:
    """Returns ``sample_rate`` as an int, or says why it cannot be one.

    Args:
        sample_rate: a whole number of Hz (8000.0 is accepted, "8000" is not).
        name: how to call it in the error.
        lowest: smallest rate allowed.
        highest: largest rate allowed.

    Raises:
        InvalidOption: it is not a whole number, or outside the range.
    """
    # NumPy's numbers count as real ones, its truth values do not.
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Real):
        raise InvalidOption(f"{name} must be a whole number of Hz, got {sample_rate!r}")
    try:
        value = float(sample_rate)
    except OverflowError:
        raise InvalidOption(f"{name} must be between {lowest} and {highest} Hz; it is far more") from None
    if not math.isfinite(value) or value != int(value):
        raise InvalidOption(f"{name} must be a whole number of Hz, got {sample_rate!r}")
    if not lowest <= value <= highest:
        raise InvalidOption(f"{name} must be between {lowest} and {highest} Hz, got {sample_rate!r}")
    return int(value)


def resampled_length(n_samples: int, sr_orig: int, sr_new: int) -> int:
    """Number of samples after conversion: ``int(n * float(sr_new) / sr_orig)``, as resampy counts them."""
    return n_samples if sr_orig == sr_new else int(n_samples * (float(sr_new) / sr_orig))


def minimum_samples(sr_orig: int, sr_new: int) -> int:
    """The fewest input samples that give at least one output sample."""
    n = max(1, sr_orig // sr_new)
    while resampled_length(n, sr_orig, sr_new) < 1:
        n += 1
    return n
