"""The port one would write first: layer after layer as Keras has them, the DFT as a convolution. The baseline."""

from __future__ import annotations

import torch
from torch import nn

from support import synthetic


class StraightforwardL3(nn.Module):
    """Windows to embeddings, eager, NCHW, unfused.

    Args:
        name: checkpoint whose seeded weights and front end it takes.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        row = synthetic.row(name)
        real, imaginary, bank = (torch.from_numpy(w.copy()) for w in synthetic.mel_weights(name))
        self.hop_length = row.frontend.arguments["hop_length"]
        self.n_fft = row.frontend.arguments["n_fft"]
        self.register_buffer("real", real[:, 0, 0].T[:, None].contiguous())
        self.register_buffer("imaginary", imaginary[:, 0, 0].T[:, None].contiguous())
        self.register_buffer("bank", bank)
        self.net = row.net.build()
        self.net.load_state_dict(synthetic.state(name), strict=False)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, samples) to (n, embedding size)."""
        frames = -(-windows.shape[1] // self.hop_length)
        missing = (frames - 1) * self.hop_length + self.n_fft - windows.shape[1]
        x = nn.functional.pad(windows, (missing // 2, missing - missing // 2))[:, None]
        real = nn.functional.conv1d(x, self.real, stride=self.hop_length)
        imaginary = nn.functional.conv1d(x, self.imaginary, stride=self.hop_length)
        mel = torch.sqrt((real**2 + imaginary**2).transpose(1, 2) @ self.bank)
        decibels = 10 * torch.log10(mel.clamp_min(1e-10))
        decibels = decibels - decibels.amax((1, 2), keepdim=True)
        return self.net(decibels.clamp_min(-80).transpose(1, 2))
