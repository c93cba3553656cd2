"""The front end of the MobileNetV3 family in operations that engines outside of torch have."""

from __future__ import annotations

import torch
from torch import nn

from hear_edgel3.families.paired_dft import SAMPLE_PLACES, PairedMelPower, split
from hear_edgel3.families.two_step_dft import MelPower

# The bits behind the point of the part of the preemphasis that a sample's first part is multiplied by exactly.
_FACTOR_PLACES = 8


class PortableMobileNetV3(nn.Module):
    """The same function as a front end's in eval mode, of at least ``minimum_samples``.

    Args:
        window: (win_length,) The window of its DFT.
        bank: (n_mels, bins) Its mel bank; bins that no band has a weight of may be left out at the end.
        n_fft: The points of its DFT.
        hop_length: The samples between frames.
        dtype: What the DFT is computed in. In float32 what leaks out of a loud pure tone drowns in rounding, and where
            it is near to the floor, logarithms are off by 1e-3.
        preemphasis: The factor of the sample before.
        floor: What is added to powers.
    """

    def __init__(
        self,
        window: torch.Tensor,
        bank: torch.Tensor,
        n_fft: int,
        hop_length: int,
        dtype: torch.dtype,
        preemphasis: float,
        floor: float,
    ) -> None:
        super().__init__()
        self.power = MelPower(window, bank, n_fft, hop_length, dtype)
        self.dtype = dtype
        self.padding, self.preemphasis, self.added = len(window) // 2, preemphasis, floor

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_samples) float32 to (n, n_mels, n_frames) float32."""
        x = samples.to(self.dtype)
        x = x[:, 1:] - self.preemphasis * x[:, :-1]
        x = _reflected(x, self.padding)
        logarithms = (self.power(x) + self.added).log()
        result: torch.Tensor = (logarithms + 4.5) / 5.0
        return result.transpose(1, 2)


class PairedMobileNetV3(nn.Module):
    """The same function in float32, but with the DFT in pairs of them: for loud pure tones, too.

    Args:
        window: (win_length,) The window of its DFT.
        bank: (n_mels, bins) Its mel bank, as for :class:`PortableMobileNetV3`.
        n_fft: The points of its DFT.
        hop_length: The samples between frames.
        preemphasis: The factor of the sample before.
        floor: What is added to powers.
    """

    def __init__(
        self, window: torch.Tensor, bank: torch.Tensor, n_fft: int, hop_length: int, preemphasis: float, floor: float
    ) -> None:
        super().__init__()
        self.power = PairedMelPower(window, bank, n_fft, hop_length)
        self.padding, self.preemphasis, self.added = len(window) // 2, preemphasis, floor
        self.high_factor = round(preemphasis * 2**_FACTOR_PLACES) / 2**_FACTOR_PLACES

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_samples) float32 to (n, n_mels, n_frames) float32."""
        high, low = split(samples, SAMPLE_PLACES)
        exact = high[:, 1:] - self.high_factor * high[:, :-1]
        rest = low[:, 1:] - self.preemphasis * low[:, :-1] - (self.preemphasis - self.high_factor) * high[:, :-1]
        high, between = split(exact, SAMPLE_PLACES)
        padded = (_reflected(x, self.padding) for x in (high, between + rest))
        logarithms = (self.power(*padded) + self.added).log()
        result: torch.Tensor = (logarithms + 4.5) / 5.0
        return result.transpose(1, 2)


def _reflected(x: torch.Tensor, size: int) -> torch.Tensor:
    """Samples with ``size`` of them reflected at both ends.

    Of parts that are turned round: what LiteRT's tools make of a reflecting ``pad`` is a table with a place for each
    sample.
    """
    return torch.cat([x[:, 1 : size + 1].flip(1), x, x[:, -size - 1 : -1].flip(1)], dim=1)
