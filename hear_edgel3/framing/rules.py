"""Where the windows of a clip lie, and what time each one stands for.

Two framings place many windows. :class:`CentredFraming` is the one of the HEAR benchmark: window ``k`` is centred
exactly at ``k * hop_ms`` and the last one lies no later than the end of the clip. :class:`CoveringFraming` is the one
of the edgel3 library, kept to the sample so that its users get the same arrays; EfficientAT's windows of tags lie by it
too. Two place few: :class:`SegmentFraming` lays windows one behind the other, and :class:`WholeClip` is one window.

A :class:`WindowRule` is what a path from samples to windows is given. Framings are rules that have decided already;
:class:`SceneFraming` waits for the length of the clip, as far as it matters.

All are pure arithmetic: they never see audio. Positions are in samples at the net's rate, relative to the clip's first
sample. What lies before and behind the clip is zeros, or, where a framing says ``reflect``, the clip itself mirrored at
its first and last sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from hear_edgel3._checks import check_positive
from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    import numpy as np
    import torch


class WindowRule(Protocol):
    """Chooses the framing of a clip."""

    @property
    def window(self) -> int:
        """Samples per window; a clip that becomes one window as a whole may have fewer or more."""

    def decide(self, n_samples: int, ended: bool) -> Framing | None:
        """Where the windows lie.

        Args:
            n_samples: How many samples at the net's rate the clip has had so far.
            ended: Whether that is all of it.

        Returns:
            The framing, or None if more of the clip must be known first; never None if it has ended.
        """


class Framing(WindowRule, Protocol):
    """Places windows. It is a rule that chooses itself."""

    @property
    def reflect(self) -> bool:
        """Whether windows see the clip's reflection beyond its ends (else zeros)."""

    def start(self, k: int) -> int:
        """First sample of window ``k``."""

    def count(self, n_samples: int, duration: Fraction) -> int:
        """Number of windows of a clip of ``n_samples`` at the net's rate that lasts ``duration`` seconds."""

    def last_weight(self, n_samples: int) -> float:
        """How much the last window counts in a mean over all windows, of which the others count 1.

        Args:
            n_samples: How many samples at the net's rate the clip has.
        """


class _Decided:
    """A framing's part of being a rule, and windows that all count alike."""

    def decide(self, n_samples: int, ended: bool) -> Self:
        """Itself, whatever the clip."""
        return self

    def last_weight(self, n_samples: int) -> float:
        """As much as the others."""
        return 1.0


@dataclass(frozen=True)
class CentredFraming(_Decided):
    """Windows centred at ``k * hop_ms`` for every ``k`` with ``k * hop_ms <= duration`` (HEAR's rule).

    Window ``k`` starts at ``round(k * hop)`` minus half a window, as hear-baseline's ``frame_audio`` does, so a hop
    that is no whole number of samples never drifts.

    Attributes:
        window: How many samples a window has.
        sample_rate: The net's rate in Hz.
        hop_ms: The distance between timestamps in milliseconds.
        reflect: Whether windows see the clip's reflection beyond its ends (else zeros).
    """

    window: int
    sample_rate: int
    hop_ms: float
    reflect: bool = False
    center: ClassVar[bool] = True
    _hop: tuple[int, int] = field(init=False, repr=False, compare=False)  # samples between windows, as a fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "hop_ms", check_hop_ms(self.hop_ms, self.sample_rate))
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
        import numpy as np

        seconds: np.ndarray = np.arange(count) * self.hop_ms / 1000
        return seconds

    def timestamps_ms(self, count: int, duration: Fraction) -> torch.Tensor:
        """(count,) float32 milliseconds, computed in float64; none lies beyond the duration, even by rounding."""
        import numpy as np
        import torch

        exact = np.arange(count, dtype=np.float64) * self.hop_ms
        rounded = exact.astype(np.float32)
        beyond = rounded.astype(np.float64) > float(duration * 1000)
        rounded[beyond] = np.nextafter(rounded[beyond], np.float32(0))
        return torch.from_numpy(rounded)


@dataclass(frozen=True)
class CoveringFraming(_Decided):
    """Windows at whole samples, the last of which is the first that reaches the end of the clip.

    These are the windows of edgel3 0.2.1 (``core.py``: ``_center_audio``, ``_pad_audio``, ``get_embedding``): half a
    window of zeros goes in front if ``center``, and windows are ``int(hop_size * sample_rate)`` apart.

    Attributes:
        window: How many samples a window has.
        sample_rate: The net's rate in Hz.
        hop_size: The distance between windows in seconds.
        center: Whether a timestamp is the middle of its window (else its start).
        within: Whether a last window that starts where the clip has ended already is left out; there is one where
            windows lie further apart than they are long. The edgel3 library has it.
    """

    window: int
    sample_rate: int
    hop_size: float
    center: bool
    within: bool = False
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
        covering = 1 if behind < 0 else 1 - (-behind // self.hop)
        if not self.within:
            return covering
        starting = math.ceil((duration * self.sample_rate + self._pad) / self.hop)
        return min(covering, max(1, starting))

    def timestamps_s(self, count: int) -> np.ndarray:
        """(count,) float64 seconds: ``k * hop_size``, as upstream multiplies it."""
        import numpy as np

        seconds: np.ndarray = np.arange(count) * self.hop_size
        return seconds


@dataclass(frozen=True)
class SegmentFraming(_Decided):
    """Windows one behind the other, from the clip's first sample to the first window that reaches its end.

    In a mean over them each second of the clip counts alike: a last window that the clip fills to a tenth counts for a
    tenth, whatever its zeros give.

    Attributes:
        window: How many samples a window has.
    """

    window: int
    reflect: ClassVar[bool] = False

    def start(self, k: int) -> int:
        """First sample of window ``k``."""
        return k * self.window

    def count(self, n_samples: int, duration: Fraction) -> int:
        """Number of windows."""
        return max(1, -(-n_samples // self.window))

    def last_weight(self, n_samples: int) -> float:
        """The share of the last window that the clip fills; 1 where it is the only one."""
        behind = n_samples % self.window
        return behind / self.window if behind and n_samples > self.window else 1.0


EdgeL3Framing = CoveringFraming
"""The former name of :class:`CoveringFraming`."""


@dataclass(frozen=True)
class WholeClip(_Decided):
    """One window, the clip itself.

    Attributes:
        window: How many samples the clip has.
    """

    window: int
    reflect: ClassVar[bool] = False

    def start(self, k: int) -> int:
        """First sample of the window; there is no second one within the clip."""
        return k * max(1, self.window)

    def count(self, n_samples: int, duration: Fraction) -> int:
        """One window."""
        return 1


@dataclass(frozen=True)
class SceneFraming:
    """The windows whose mean is the embedding of a scene: the whole clip if it is short, else those of a framing.

    Attributes:
        windows: The framing of longer clips.
        whole_up_to: How many samples at the net's rate a clip that is one window may have; 0 if there are no such.
    """

    windows: CentredFraming | SegmentFraming
    whole_up_to: int = 0

    @property
    def window(self) -> int:
        """Samples per window of longer clips."""
        return self.windows.window

    def decide(self, n_samples: int, ended: bool) -> Framing | None:
        """The framing of longer clips as soon as the clip is one of them; the clip as a whole if it ends before."""
        if n_samples > self.whole_up_to:
            return self.windows
        return WholeClip(n_samples) if ended else None


def shortest(framing: Framing) -> int:
    """Samples a clip must have for its reflection to fill the windows; shorter ones are followed by zeros first."""
    return framing.window // 2 + 1 if framing.reflect else 0


def samples_needed(framing: Framing, k: int) -> int:
    """Samples of a clip that must be there before window ``k`` can be cut, unless the clip has ended."""
    start = framing.start(k)
    return max(start + framing.window, 1 - start if framing.reflect else 0)


def check_hop_ms(hop_ms: object, sample_rate: int) -> float:
    """Checks a distance between timestamps.

    Args:
        hop_ms: The distance in milliseconds.
        sample_rate: The net's rate in Hz.

    Returns:
        The distance as a float.

    Raises:
        InvalidOption: It is not a positive number, or less than one sample.
    """
    hop = check_positive(hop_ms, "hop_ms", "milliseconds")
    if Fraction(hop) * sample_rate < 1000:
        raise InvalidOption(
            f"hop_ms={hop!r} is less than one sample at {sample_rate} Hz; use at least {1000 / sample_rate:g}"
        )
    return hop


def milliseconds(seconds: float) -> float:
    """Seconds in milliseconds, by way of the shortest decimal: 0.07 s are 70 ms and not a rounding error more."""
    return float(Fraction(repr(float(seconds))) * 1000)
