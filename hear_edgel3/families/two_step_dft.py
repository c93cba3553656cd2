"""Power spectrograms, summed up to mel bands, of small matrix products and shifts alone: what every engine can run.

A DFT of ``n`` points is done in the two steps of Cooley and Tukey, "An Algorithm for the Machine Calculation of Complex
Fourier Series", 1965, with ``n = n1 n2``: transforms of ``n1`` points, factors ("twiddles"), and transforms of ``n2``
points. So its constants are a thirtieth of the whole matrix of the DFT.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class MelPower(nn.Module):
    """Frames of samples to the power in mel bands, without any operation on complex numbers.

    Its number of examples and of samples may be anything when it is traced, and others later.

    Args:
        window: (win_length,) What frames are multiplied by, of at most ``n_fft`` values.
        bank: (n_mels, bins) The weights of the first bins in each band.
        n_fft: The points of the DFT; frames are followed by zeros up to it.
        hop_length: The samples between frames.
        dtype: What the DFT is computed in. Powers, which are not negative and lose nothing when they are added, are
            float32.
    """

    def __init__(
        self, window: torch.Tensor, bank: torch.Tensor, n_fft: int, hop_length: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.win_length, self.n_fft, self.hop_length = len(window), n_fft, hop_length
        n1 = _near_the_root(n_fft)
        n2 = n_fft // n1
        kept = min(n2, (bank.shape[1] - 1) // n1 + 1)  # of the second step's outputs: bin k1 + n1 k2 for k2 < kept
        first, twiddle, second = (
            2 * math.pi * (torch.arange(a, dtype=torch.float64)[:, None] * torch.arange(b, dtype=torch.float64) % n) / n
            for a, b, n in ((n1, n1, n1), (n1, n2, n_fft), (n2, kept, n2))
        )
        bins = torch.arange(bank.shape[1])
        placed = torch.zeros(len(bank), n1 * kept, dtype=torch.float64)
        placed[:, bins % n1 * kept + bins // n1] = bank.double()
        self.n1, self.n2 = n1, n2
        self._keep("window", window.double(), dtype)
        self._keep("first", torch.cat([first.cos(), -first.sin()]), dtype)  # (2 n1, n1): the real rows, and the others
        self._keep("turn_real", twiddle.cos(), dtype)
        self._keep("turn_imag", -twiddle.sin(), dtype)
        self._keep("second_real", second.cos(), dtype)
        self._keep("second_imag", -second.sin(), dtype)
        self._keep("bank", placed.T, torch.float32)

    def _keep(self, name: str, value: torch.Tensor, dtype: torch.dtype) -> None:
        self.register_buffer(name, value.to(dtype).contiguous(), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """The power of every frame that fits.

        Args:
            samples: (n, n_samples) At least ``win_length`` of them, in the type that it computes in.

        Returns:
            (n, n_frames, n_mels) float32.
        """
        buffers = dict(self.named_buffers())
        frames = self._frames(samples) * buffers["window"]
        frames = nn.functional.pad(frames, (0, self.n_fft - self.win_length))
        both = buffers["first"] @ frames.reshape(*frames.shape[:2], self.n1, self.n2)  # (n, t, 2 n1, n2)
        real, imag = both[:, :, : self.n1], both[:, :, self.n1 :]
        turned_real = real * buffers["turn_real"] - imag * buffers["turn_imag"]
        turned_imag = real * buffers["turn_imag"] + imag * buffers["turn_real"]
        real = turned_real @ buffers["second_real"] - turned_imag @ buffers["second_imag"]
        imag = turned_real @ buffers["second_imag"] + turned_imag @ buffers["second_real"]
        power = (real * real + imag * imag).to(torch.float32)  # (n, t, n1, kept)
        mel: torch.Tensor = power.flatten(2) @ buffers["bank"]
        return mel

    def _frames(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_frames, win_length) overlapping frames, of blocks of a hop each that are laid side by side."""
        hop = self.hop_length
        n_frames = (samples.shape[1] - self.win_length) // hop + 1
        side_by_side = -(-self.win_length // hop)
        n_blocks = n_frames + side_by_side - 1
        # The zeros stand under no frame: the last block is filled up with them.
        filled = nn.functional.pad(samples, (0, side_by_side * hop))[:, : n_blocks * hop]
        blocks = filled.reshape(filled.shape[0], -1, hop)
        beside = torch.cat([blocks[:, i : i + n_frames] for i in range(side_by_side)], dim=2)
        return beside[:, :, : self.win_length]


def _near_the_root(n: int) -> int:
    """The divisor of ``n`` next to its square root, from below."""
    return next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)
