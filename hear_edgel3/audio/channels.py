"""From channels to the one signal that is embedded: their mean, or one of them; and what looks wrong on the way."""

from __future__ import annotations

import math
import sys
import warnings
from numbers import Integral
from typing import TYPE_CHECKING

from hear_edgel3.errors import AudioWarning, InvalidOption

if TYPE_CHECKING:
    import torch

_PACKAGE = __name__.partition(".")[0]
MEAN = "mean"
EACH = "each"
TABLE = "table"

# Nothing meant for [-1, 1] is 24 dB above it, and 16-bit numbers that were not divided are mostly far beyond.
_LARGEST_PEAK = 16.0
# The mean of channels that have nothing to do with each other has the power of one of them over their number. A mean
# that is 10 dB below even that has lost what they have in common; of two equally loud ones r < -0.9.
_CANCELLED = 0.1
_AUDIBLE = 1e-10  # mean square, -100 dB
_TELLING = 1000  # so few samples may be opposite by chance


def check_channel(channel: object, each: bool = False, table: bool = False) -> int | str:
    """Checks what was asked for as channel.

    Args:
        channel: "mean", or a number from 0 (also as text).
        each: whether it may also be "each".
        table: whether it may also be "table", for what a table says of each sound.

    Raises:
        InvalidOption: it is neither.
    """
    allowed = (MEAN, *((EACH,) if each else ()), *((TABLE,) if table else ()))
    if isinstance(channel, str) and channel in allowed:
        return channel
    if isinstance(channel, str) and channel.isascii() and channel.isdecimal() and len(channel) < 10:
        return int(channel)
    if isinstance(channel, Integral) and not isinstance(channel, bool) and int(channel) >= 0:
        return int(channel)
    words = ", ".join(map(repr, allowed))
    raise InvalidOption(f"channel must be {words} or the number of a channel, counted from 0; got {channel!r}")


class Mixer:
    """Makes one signal of channels, block by block, and warns once if that signal can hardly be what was meant.

    Args:
        name: how to call the audio in warnings and errors.
        channel: "mean", or the number of a channel from 0.
    """

    def __init__(self, name: str, channel: int | str = MEAN) -> None:
        self._name = name
        self._channel = check_channel(channel)
        self._peak = 0.0
        self._told = False  # that the peak is too large
        self._n = 0
        self._sums: torch.Tensor | None = None  # of each channel
        self._squares = self._mean_squares = 0.0  # sums of all channels' squares, and of those of their mean

    def mix(self, samples: torch.Tensor, peak: float) -> torch.Tensor:
        """Mixes the next block.

        Args:
            samples: (channels, n), finite.
            peak: their largest absolute value.

        Returns:
            (n,) of the same type.

        Raises:
            InvalidOption: there is no such channel.
        """
        if self._channel != MEAN:
            assert isinstance(self._channel, int)
            if self._channel >= len(samples):
                has = (
                    "1 channel, number 0" if len(samples) == 1 else f"{len(samples)} channels, 0 to {len(samples) - 1}"
                )
                raise InvalidOption(f"{self._name} has {has}; there is no channel {self._channel}")
            mixed = samples[self._channel]
        else:
            mixed = _mean(samples)
        self._peak = max(self._peak, peak)
        if samples.numel() and self._channel == MEAN and len(samples) > 1:
            self._add(samples.detach(), mixed.detach())
        return mixed

    def finish(self) -> None:
        """Warns, after the last block, of what is wrong with the whole."""
        self.warn_of_scale()
        if self._sums is None or self._n < _TELLING:
            return
        means, channels = self._sums / self._n, len(self._sums)
        # Mean squares without a constant offset.
        of_channels = self._squares / (self._n * channels) - float(means.square().mean())
        of_mean = self._mean_squares / self._n - float(means.mean()) ** 2
        if of_channels > _AUDIBLE and of_mean < _CANCELLED * of_channels / channels:
            below = f"{10 * math.log10(of_channels / of_mean):.0f} dB below them" if of_mean > 0 else "silence"
            warn(
                f"{self._name}: its {channels} channels cancel each other: their mean, which is used, is {below}; "
                f"take one of them: --channel 0, in Python channel=0"
            )

    def warn_of_scale(self) -> None:
        """Warns if samples so far are far beyond full scale; once."""
        if not self._told:
            warn_of_scale(self._peak, self._name)
            self._told = self._peak > _LARGEST_PEAK

    def _add(self, samples: torch.Tensor, mixed: torch.Tensor) -> None:
        import torch

        # A stream may change its channels; what was before says nothing then.
        if self._sums is None or len(self._sums) != len(samples):
            self._sums, self._n = torch.zeros(len(samples), dtype=torch.float64), 0
            self._squares = self._mean_squares = 0.0
        flat = (samples.mT if samples.mT.is_contiguous() else samples).reshape(-1)
        self._n += samples.shape[1]
        self._sums += samples.sum(dim=1).cpu()
        self._squares += float(torch.dot(flat, flat))
        self._mean_squares += float(torch.dot(mixed, mixed))


def _mean(samples: torch.Tensor) -> torch.Tensor:
    """(n,), the mean of (channels, n). Of two it has the bits of torch.mean, in a tenth of the time."""
    if len(samples) == 1:
        return samples[0]
    return (samples[0] + samples[1]) / 2 if len(samples) == 2 else samples.mean(dim=0)


def warn_of_scale(peak: float, name: str) -> None:
    """Warns if audio goes far beyond the range of floating-point samples.

    Args:
        peak: its largest absolute value.
        name: how to call it.
    """
    if peak > _LARGEST_PEAK:
        warn(
            f"{name} has a peak of {peak:.6g}, but full scale of floating-point samples is 1; 16-bit numbers must be "
            f"divided by 32768 first, or given as integers"
        )


def warn(text: str) -> None:
    """Warns of audio that is hardly what was meant, at the line of the caller of this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, AudioWarning, stacklevel=level)
