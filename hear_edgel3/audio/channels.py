"""From channels to the one signal that is embedded: their mean, or one of them; and what looks wrong on the way."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from hear_edgel3.errors import AudioWarning, InvalidOption

if TYPE_CHECKING:
    import torch

MEAN = "mean"

# Nothing meant for [-1, 1] is 24 dB above it, and 16-bit numbers that were not divided are mostly far beyond.
_LARGEST_PEAK = 16.0
# The mean of channels that have nothing to do with each other has the power of one of them over their number. A mean
# that is 10 dB below even that has lost what they have in common; of two equally loud ones r < -0.9.
_CANCELLED = 0.1
_AUDIBLE = 1e-10  # mean square, -100 dB


def check_channel(channel: object) -> int | str:
    """Checks what was asked for as channel.

    Args:
        channel: "mean", or a number from 0 (also as text).

    Raises:
        InvalidOption: it is neither.
    """
    if channel == MEAN:
        return MEAN
    if isinstance(channel, str) and channel.isascii() and channel.isdecimal() and len(channel) < 10:
        return int(channel)
    if isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0:
        return channel
    raise InvalidOption(f"channel must be 'mean' or the number of a channel, counted from 0; got {channel!r}")


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
        self._told = False
        self._n = 0
        self._sums: torch.Tensor | None = None  # of each channel and of the mean, and of their squares

    def mix(self, samples: torch.Tensor) -> torch.Tensor:
        """Mixes the next block.

        Args:
            samples: (channels, n), finite.

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
            mixed = samples.mean(dim=0) if len(samples) > 1 else samples[0]
        if samples.numel():
            import torch

            low, high = torch.aminmax(samples)
            self._peak = max(self._peak, -float(low), float(high))
            if self._channel == MEAN and len(samples) > 1:
                self._add(samples, mixed)
        return mixed

    def finish(self) -> None:
        """Warns, after the last block, of what is wrong with the whole."""
        self.warn_of_scale()
        if self._sums is None:
            return
        means, squares = (self._sums / self._n).unbind()
        power = squares - means**2  # without a constant offset
        channels = len(power) - 1
        of_channels, of_mean = float(power[:-1].mean()), float(power[-1])
        if of_channels > _AUDIBLE and of_mean < _CANCELLED * of_channels / channels:
            below = f"{10 * math.log10(of_channels / of_mean):.0f} dB below them" if of_mean > 0 else "silence"
            warnings.warn(
                f"{self._name}: its {channels} channels cancel each other: their mean, which is used, is {below}; "
                f"take one of them: --channel 0, in Python channel=0",
                AudioWarning,
                stacklevel=3,
            )

    def warn_of_scale(self) -> None:
        """Warns if samples so far are far beyond full scale; once."""
        if not self._told:
            warn_of_scale(self._peak, self._name, stacklevel=4)
            self._told = self._peak > _LARGEST_PEAK

    def _add(self, samples: torch.Tensor, mixed: torch.Tensor) -> None:
        import torch

        every = torch.cat([samples.detach(), mixed.detach()[None]]).to("cpu", torch.float64)
        sums = torch.stack([every.sum(dim=1), every.square().sum(dim=1)])
        # A stream may change its channels; what was before says nothing then.
        fits = self._sums is not None and self._sums.shape == sums.shape
        self._sums = self._sums + sums if self._sums is not None and fits else sums
        self._n = self._n + every.shape[1] if fits else every.shape[1]


def warn_of_scale(peak: float, name: str, stacklevel: int = 3) -> None:
    """Warns if audio goes far beyond the range of floating-point samples.

    Args:
        peak: its largest absolute value.
        name: how to call it.
        stacklevel: as for :func:`warnings.warn`.
    """
    if peak > _LARGEST_PEAK:
        warnings.warn(
            f"{name} has a peak of {peak:.6g}, but full scale of floating-point samples is 1; 16-bit numbers must be "
            f"divided by 32768 first, or given as integers",
            AudioWarning,
            stacklevel=stacklevel,
        )
