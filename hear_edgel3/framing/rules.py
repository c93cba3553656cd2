"""Where the windows of a clip lie, and what time each one stands for.

Two rules exist. :class:`CentredFraming` is the one of the HEAR benchmark: window ``k`` is centred exactly at
``k * hop_ms`` and the last one lies no later than the end of the clip. :class:`EdgeL3Framing` is the one of the edgel3
library, kept to the sample so that its users get the same arrays.

A third, :class:`WholeClip`, is one window.

All are pure arithmetic: they never see audio. Positions are in samples at the net's rate, relative to the clip's first
sample. What lies before and behind the clip is zeros, or, where a framing says ``reflect``, the clip itself mirrored at
its first and last sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np
import torch

from hear_edgel3.errors import InvalidOption

_LONGEST_HOP = 1e9


class Framing(Protocol):
    """A rule that places windows."""

    @property
    def window(self) -> int:
        """Samples per window."""

    @property
    def reflect(self) -> bool:
        """Whether windows see the clip's reflection beyond its ends (else zeros)."""

    def start(self, k: int) -> int:
        """First sample of window ``k``."""

    def count(self, n_samples: int, duration: Fraction) -> int:
        """Number of windows of a clip of ``n_samples`` at the net's rate that lasts ``duration`` seconds."""


@dataclass(frozen=True)
class CentredFraming:
    """Windows centred at ``k * hop_ms`` for every ``k`` with ``k * hop_ms <= duration`` (HEAR's rule).

    Window ``k`` starts at ``round(k * hop)`` minus half a window, as hear-baseline's ``frame_audio`` does, so a hop
    that is no whole number of samples never drifts.

    Attributes:
        window: samples per window.
        sample_rate: net rate in Hz.
        hop_ms: distance between timestamps in milliseconds.
        reflect: whether windows see the clip's reflection beyond its ends (else zeros).
    """

    window: int
    sample_rate: int
    hop_ms: float
    reflect: bool = False
    center: ClassVar[bool] = True
    _hop: tuple[int, int] = field(init=False, repr=False, compare=False)  # samples between windows, as a fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "hop_ms", check_positive(self.hop_ms, "hop_ms", "milliseconds"))
        if Fraction(self.hop_ms) * self.sample_rate < 1000:
            raise InvalidOption(
                f"hop_ms={self.hop_ms!r} is less than one sample at {self.sample_rate} Hz; "
                f"use at least {1000 / self.sample_rate:g}"
            )
        object.__setattr__(self, "_hop", (Fraction(self.hop_ms) * self.sample_rate / 1000).as_integer_ratio())

    def start(self, k: int) -> int:
        """First sample of window ``k``."""
        # What round() makes of the fraction, which takes longer than to cut the window.
        samples, per = self._hop
        whole, rest = divmod(samples * k, per)
        return whole + (2 * rest > per or (2 * rest == per and whole % 2 == 1)) - self.window // 2

    def count(self, n_samples: int, duration: Fraction) -> int:
        """Number of windows; depends on the duration alone, so that no rounding of a resampler shows."""
        return math.floor(duration * 1000 / Fraction(self.hop_ms)) + 1

    @property
    def hop_size(self) -> float:
        """Distance between timestamps in seconds."""
        return self.hop_ms / 1000

    def timestamps_s(self, count: int) -> np.ndarray:
        """(count,) float64 seconds."""
        seconds: np.ndarray = np.arange(count) * self.hop_ms / 1000
        return seconds

    def timestamps_ms(self, count: int, duration: Fraction) -> torch.Tensor:
        """(count,) float32 milliseconds, computed in float64; none lies beyond the duration, even by rounding."""
        exact = np.arange(count, dtype=np.float64) * self.hop_ms
        rounded = exact.astype(np.float32)
        beyond = rounded.astype(np.float64) > float(duration * 1000)
        rounded[beyond] = np.nextafter(rounded[beyond], np.float32(0))
        return torch.from_numpy(rounded)


@dataclass(frozen=True)
class EdgeL3Framing:
    """The windows of edgel3 0.2.1 (``core.py``: ``_center_audio``, ``_pad_audio``, ``get_embedding``).

    Half a window of zeros goes in front if ``center``, windows are ``int(hop_size * sample_rate)`` apart, and the last
    one is the first that reaches the end of the clip.

    Attributes:
        window: samples per window.
        sample_rate: net rate in Hz.
        hop_size: distance between windows in seconds.
        center: whether a timestamp is the middle of its window (else its start).
    """

    window: int
    sample_rate: int
    hop_size: float
    center: bool
    reflect: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hop_size", check_positive(self.hop_size, "hop_size", "seconds"))
        if self.hop < 1:
            raise InvalidOption(
                f"hop_size={self.hop_size!r} is less than one sample at {self.sample_rate} Hz; "
                f"use at least {1 / self.sample_rate:g} (seconds)"
            )

    @property
    def hop(self) -> int:
        """Samples between windows. Truncated, as upstream: 0.29, 0.57 and 0.58 s lose a sample at 48 kHz."""
        return int(self.hop_size * self.sample_rate)

    @property
    def _pad(self) -> int:
        return self.window // 2 if self.center else 0

    def start(self, k: int) -> int:
        """First sample of window ``k``."""
        return k * self.hop - self._pad

    def count(self, n_samples: int, duration: Fraction) -> int:
        """Number of windows."""
        behind = n_samples + self._pad - self.window
        return 1 if behind < 0 else 1 - (-behind // self.hop)

    def timestamps_s(self, count: int) -> np.ndarray:
        """(count,) float64 seconds: ``k * hop_size``, as upstream multiplies it."""
        seconds: np.ndarray = np.arange(count) * self.hop_size
        return seconds


@dataclass(frozen=True)
class WholeClip:
    """One window, the clip itself.

    Attributes:
        window: samples of the clip.
    """

    window: int
    reflect: ClassVar[bool] = False

    def start(self, k: int) -> int:
        """First sample of the window; there is no second one within the clip."""
        return k * max(1, self.window)

    def count(self, n_samples: int, duration: Fraction) -> int:
        """One window."""
        return 1


def shortest(framing: Framing) -> int:
    """Samples a clip must have for its reflection to fill the windows; shorter ones are followed by zeros first."""
    return framing.window // 2 + 1 if framing.reflect else 0


def samples_needed(framing: Framing, k: int) -> int:
    """Samples of a clip that must be there before window ``k`` can be cut, unless the clip has ended."""
    start = framing.start(k)
    return max(start + framing.window, 1 - start if framing.reflect else 0)


def check_positive(value: object, name: str, unit: str) -> float:
    """Returns a positive number of reasonable size, or raises InvalidOption naming it."""
    try:
        good = isinstance(value, (int, float, np.integer, np.floating, Fraction)) and not isinstance(value, bool)
        number = float(value) if good else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number <= 0:
        raise InvalidOption(f"{name} must be a positive number of {unit}, got {value!r}")
    if number > _LONGEST_HOP:
        raise InvalidOption(f"{name} must be at most {_LONGEST_HOP:g} {unit}, got {value!r}")
    return number
