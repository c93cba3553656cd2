"""How loud samples are, as far as it shows that they are not what they are taken for."""

from __future__ import annotations

import sys
import warnings

import torch

from hear_edgel3.errors import AudioWarning

# Floats may go beyond 1: recorders of 32-bit floats and lossy decoders do, by some decibels. 18 dB are no accident.
_LOUDEST = 8.0
# The mean of unrelated channels has the power of one of them, divided by their number. A mean that is 12 dB below that
# is one of channels that are each other's opposite.
_CANCELLED = 10**-1.2
_SILENT = 1e-10
_ENOUGH = 4000


class Levels:
    """Collects peaks and powers of a clip, block by block."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._channels = 1
        self._n = 0
        self._power = 0.0
        self._mixed = 0.0

    def add_peak(self, peak: float) -> None:
        """Takes the largest absolute value of a block."""
        self._peak = max(self._peak, peak)

    def add_mix(self, samples: torch.Tensor, mix: torch.Tensor) -> None:
        """Takes a block that was mixed down.

        Args:
            samples: (n, channels), or with its axes in the other order.
            mix: (n,), their mean.
        """
        flat = samples.reshape(-1) if samples.is_contiguous() else samples.T.reshape(-1)
        self._n += len(mix)
        self._channels = flat.numel() // max(1, len(mix))
        self._power += float(torch.dot(flat, flat))
        self._mixed += float(torch.dot(mix, mix))

    def notes(self) -> list[str]:
        """What a user should know, each a clause without the clip's name."""
        notes = []
        if self._peak > _LOUDEST:
            notes.append(
                f"its peak is {self._peak:g}, but floats are expected from -1 to 1: if these were integers, divide "
                f"them by their full scale (32768 for 16 bits)"
            )
        if self._n >= _ENOUGH and self._power > _SILENT * self._n * self._channels:
            share = self._mixed * self._channels**2 / self._power
            if share < _CANCELLED:
                notes.append(
                    f"its {self._channels} channels cancel each other when they are mixed: their mean is "
                    f"{_decibels(self._mixed / (self._power / self._channels))} below them; choose one by its channel "
                    f"(channel=0, --channel 0)"
                )
        return notes


def _decibels(ratio: float) -> str:
    return "more than 100 dB" if ratio < 1e-10 else f"{-10 * torch.log10(torch.tensor(ratio)).item():.0f} dB"


def peak_of(samples: torch.Tensor) -> float:
    """The largest absolute value; NaN if there is one among them."""
    if samples.numel() == 0:
        return 0.0
    lowest, highest = (float(value) for value in torch.aminmax(samples.detach()))
    return max(-lowest, highest) if lowest == lowest else lowest  # noqa: PLR0124


def warn_of(notes: list[str], name: str) -> None:
    """Warns of each note, where the caller of this package can see it.

    Args:
        notes: clauses that begin with "its" or "it".
        name: what the clip is called.
    """
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "hear_edgel3":
        level, frame = level + 1, frame.f_back
    for note in notes:
        warnings.warn(f"{name}: {note}", AudioWarning, stacklevel=level)
