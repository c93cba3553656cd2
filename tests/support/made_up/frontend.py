"""The made-up family's front end: logarithms of the power in bands of equal width."""

from __future__ import annotations

import torch
from torch import nn


class Bands(nn.Module):
    def __init__(self, n_fft: int, hop_length: int, n_mels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels

    def n_frames(self, n_samples: int) -> int:
        return -(-n_samples // self.hop_length)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        missing = (self.n_frames(windows.shape[1]) - 1) * self.hop_length + self.n_fft - windows.shape[1]
        frames = nn.functional.pad(windows.float(), (0, max(missing, 0))).unfold(1, self.n_fft, self.hop_length)
        frames = frames * torch.hann_window(self.n_fft, device=windows.device)
        power = torch.fft.rfft(frames).abs().square()[..., 1:]  # (n, n_frames, n_fft / 2)
        return torch.log(power.unflatten(2, (self.n_mels, -1)).mean(dim=3) + 1e-6).transpose(1, 2)
