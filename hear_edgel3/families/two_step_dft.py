"""Power spectrograms, summed up to mel bands, of small matrix products and shifts alone: what every engine can run.

A DFT of ``n`` points is done in the two steps of Cooley and Tukey, "An Algorithm for the Machine Calculation of Complex
Fourier Series", 1965, with ``n = n1 n2``: transforms of ``n1`` points, factors ("twiddles"), and transforms of ``n2``
points. So its constants are a thirtieth of the whole matrix of the DFT. Samples are real: what the first step puts out
for ``n1 - k`` is the conjugate of what it does for ``k``, and only one of them is computed. Each of the two holds its
share of the bins, some by way of the bin that mirrors them.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hear_edgel3.families.banded_mel import BandedMel, order_of


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
        n1 = _cheapest(n_fft)
        n2, half = n_fft // n1, n1 // 2 + 1
        first, twiddle, second = (
            2 * math.pi * (torch.arange(a, dtype=torch.float64)[:, None] * torch.arange(b, dtype=torch.float64) % n) / n
            for a, b, n in ((half, n1, n1), (half, n2, n_fft), (n2, n2, n2))
        )
        # Place (k1, k2) holds bin k1 + n1 k2, or the one that mirrors it.
        held = torch.arange(n2)[:, None] * n1 + torch.arange(half)
        held = torch.minimum(held, n_fft - held)
        order = order_of(held)
        real, imag = second.cos()[:, order], -second.sin()[:, order]
        self.n1, self.n2, self.rows = n1, n2, half
        self._keep("window", window.double(), dtype)
        self._keep(
            "first", torch.cat([first.cos(), -first.sin()]), dtype
        )  # (2 half, n1): the real rows, and the others
        self._keep("turn_real", twiddle.cos(), dtype)
        self._keep("turn_imag", -twiddle.sin(), dtype)
        # (n2, 2 n2): what real parts add to real and imaginary ones beside each other, and what imaginary parts do.
        self._keep("second_of_real", torch.cat([real, imag], 1), dtype)
        self._keep("second_of_imag", torch.cat([-imag, real], 1), dtype)
        self.mel = BandedMel(bank, held[order], axis=3)

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
        if self.n_fft > self.win_length:
            frames = nn.functional.pad(frames, (0, self.n_fft - self.win_length))
        both = buffers["first"] @ frames.reshape(*frames.shape[:2], self.n1, self.n2)  # (n, t, 2 half, n2)
        real, imag = both[:, :, : self.rows], both[:, :, self.rows :]
        turned_real = real * buffers["turn_real"] - imag * buffers["turn_imag"]
        turned_imag = real * buffers["turn_imag"] + imag * buffers["turn_real"]
        found = turned_real @ buffers["second_of_real"] + turned_imag @ buffers["second_of_imag"]
        squares = found * found
        power = (squares[..., : self.n2] + squares[..., self.n2 :]).to(torch.float32)  # (n, t, half, n2)
        mel: torch.Tensor = self.mel(power)
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
        beside = [blocks[:, i : i + n_frames] for i in range(side_by_side)]
        beside[-1] = beside[-1][:, :, : self.win_length - (side_by_side - 1) * hop]
        return torch.cat(beside, dim=2)


def _cheapest(n: int) -> int:
    """The points of the first step, a divisor of ``n``, with which both steps take the fewest multiplications."""
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    return min(divisors, key=lambda d: (d // 2 + 1) * (2 * n + 4 * (n // d) ** 2))
