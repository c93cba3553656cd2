"""The front end of the S-SONDO family in operations that engines outside of torch have."""

from __future__ import annotations

import torch
from torch import nn

from hear_edgel3.families.paired_dft import SAMPLE_PLACES, PairedMelPower, split
from hear_edgel3.families.two_step_dft import MelPower


class PortableSsondo(nn.Module):
    """The same function as a front end's, of at least a frame.

    Args:
        window: (n_fft,) The window of its DFT.
        bank: (n_mels, bins) Its mel bank; bins that no band has a weight of may be left out at the end.
        hop_length: The samples between frames.
        dtype: What the DFT is computed in.
        floor: What is added to powers.
    """

    def __init__(
        self, window: torch.Tensor, bank: torch.Tensor, hop_length: int, dtype: torch.dtype, floor: float
    ) -> None:
        super().__init__()
        self.power = MelPower(window, bank, len(window), hop_length, dtype)
        self.dtype, self.added = dtype, floor

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_samples) float32 to (n, n_mels, n_frames) float32."""
        logarithms: torch.Tensor = (self.power(samples.to(self.dtype)) + self.added).log()
        return logarithms.transpose(1, 2)


class PairedSsondo(nn.Module):
    """The same function in float32, but with the DFT in pairs of them: for loud pure tones, too.

    Args:
        window: (n_fft,) The window of its DFT.
        bank: (n_mels, bins) Its mel bank, as for :class:`PortableSsondo`.
        hop_length: The samples between frames.
        floor: What is added to powers.
    """

    def __init__(self, window: torch.Tensor, bank: torch.Tensor, hop_length: int, floor: float) -> None:
        super().__init__()
        self.power = PairedMelPower(window, bank, len(window), hop_length)
        self.added = floor

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_samples) float32 to (n, n_mels, n_frames) float32."""
        logarithms: torch.Tensor = (self.power(*split(samples, SAMPLE_PLACES)) + self.added).log()
        return logarithms.transpose(1, 2)
