"""The front end of the L3 family in operations that engines outside of torch have."""

from __future__ import annotations

import math

import torch
from torch import nn

from hear_edgel3.families.two_step_dft import MelPower


class PortableL3(nn.Module):
    """The same function as a front end's on windows of samples.

    Args:
        window: (n_fft,) The window of its DFT.
        bank: (n_mels, n_fft // 2 + 1) Its mel bank.
        hop_length: The samples between frames.
        dtype: What the DFT is computed in. In float32 the floor of 80 dB drowns in rounding: embeddings of pure tones
            are then another's.
        amin: The smallest root of a power that is told from silence.
        dynamic_range_db: The decibels below the loudest value that are kept.
    """

    def __init__(
        self,
        window: torch.Tensor,
        bank: torch.Tensor,
        hop_length: int,
        dtype: torch.dtype,
        amin: float,
        dynamic_range_db: float,
    ) -> None:
        super().__init__()
        self.power = MelPower(window, bank, len(window), hop_length, dtype)
        self.dtype, self.least, self.range_db = dtype, amin**2, dynamic_range_db

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, samples) float32 to (n, n_mels, n_frames) float32 decibels."""
        hop, n_fft, n_samples = self.power.hop_length, self.power.n_fft, windows.shape[1]
        # For a frame for each started hop.
        missing = (n_samples + hop - 1) // hop * hop - hop + n_fft - n_samples
        mel: torch.Tensor = self.power(
            nn.functional.pad(windows.to(self.dtype), (missing // 2, missing - missing // 2))
        )
        decibels = (5.0 / math.log(10.0)) * mel.clamp_min(self.least).log()
        decibels = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        result: torch.Tensor = decibels.clamp_min(-self.range_db).transpose(1, 2)
        return result
