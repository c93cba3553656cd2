"""Power spectrograms for engines that compute in float32 alone, as exact as if the DFT were computed in more.

A DFT in float32 is off by what its sums are rounded by, some 1e-7 of the loudest bin: what leaks out of a pure tone, or
of a sweep, drowns in that, and its logarithm with it. Here samples and constants are sums of two numbers each, of which
the first has so few bits that all products and sums of first numbers are exact in float32, in whatever order an engine
adds them up; the rest is small, and so are its roundings. That is the scheme of Ozaki, Ogita, Oishi and Rump,
"Error-free transformations of matrix multiplication by using fast routines of matrix multiplication", 2012, for two
numbers.

The two steps are those of :mod:`hear_edgel3.families.two_step_dft`, but window and "twiddles" are in the first step's
constants, of which there is a matrix for each place in the second step: so nothing is multiplied but by matrices.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hear_edgel3.families.banded_mel import BandedMel, order_of

# What float32 adds up exactly: a product's bits, and those by which a sum is larger than its largest term.
_EXACT_BITS = 24
_HIGH_BITS = 11
# Samples up to 2 (of preemphasis) have the first of these bits before the point.
SAMPLE_PLACES = 10


def split(x: torch.Tensor, places: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A tensor as a sum of two: a multiple of ``2 ** -places``, and the rest, which is smaller than that."""
    high = torch.floor(x * 2.0**places) * 2.0**-places
    return high, x - high


class PairedMelPower(nn.Module):
    """Frames of samples, each a sum of two numbers, to the power in mel bands.

    Its number of examples and of samples may be anything when it is traced, and others later. Samples beyond 2 are no
    mistake, but their sums are rounded as in any float32.

    Args:
        window: (win_length,) What frames are multiplied by, of at most ``n_fft`` values, at most 1.
        bank: (n_mels, bins) The weights of the first bins in each band.
        n_fft: The points of the DFT; frames are followed by zeros up to it.
        hop_length: The samples between frames.
    """

    def __init__(self, window: torch.Tensor, bank: torch.Tensor, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.win_length, self.hop_length = len(window), hop_length
        n1 = _cheapest(n_fft, self.win_length)
        n2, half = n_fft // n1, n1 // 2 + 1
        rows = -(-self.win_length // n2)
        self.n2, self.n_held, self.rows = n2, half, rows
        # Of sample j1 n2 + j2: what it adds to bins k1 + n1 k2, but for what depends on k2, left to the second step.
        weight = nn.functional.pad(window.double(), (0, rows * n2 - self.win_length))[:, None]
        angle = 2 * math.pi * (torch.arange(rows * n2)[:, None] * torch.arange(half) % n_fft).double() / n_fft
        first = torch.cat([weight * angle.cos(), -weight * angle.sin()], 1)
        largest = self._keep("first", first.reshape(rows, n2, 2 * half).transpose(0, 1), axis=1)
        self.places = _HIGH_BITS - math.ceil(math.log2(2 * largest))
        held = torch.arange(n2)[:, None] * n1 + torch.arange(half)
        held = torch.minimum(held, n_fft - held)
        order = order_of(held)
        angle = 2 * math.pi * (order[:, None] * torch.arange(n2) % n2).double() / n2
        cos, sin = angle.cos(), -angle.sin()
        # (2 n2, 2 n2): real and imaginary parts, of real ones and imaginary ones
        self._keep("second", torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)]), axis=1)
        # Place (k2, k1) holds bin k1 + n1 k2, or the one that mirrors it.
        self.mel = BandedMel(bank, held[order], axis=2)

    def _keep(self, name: str, values: torch.Tensor, axis: int) -> float:
        """Keeps values as two float32; returns the largest sum along ``axis``, without signs."""
        largest = float(values.abs().sum(axis).max())
        unit = 2.0 ** (_EXACT_BITS - _HIGH_BITS - math.ceil(math.log2(largest)))
        high = ((values * unit).round() / unit).float().contiguous()
        self.register_buffer(f"{name}_high", high, persistent=False)
        self.register_buffer(f"{name}_low", (values - high).float().contiguous(), persistent=False)
        return largest

    def forward(self, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """The power of every frame that fits.

        Args:
            high: (n, n_samples) At least ``win_length`` multiples of ``2 ** -SAMPLE_PLACES``.
            low: (n, n_samples) What is added to them, up to as much.

        Returns:
            (n, n_frames, n_mels) float32.
        """
        buffers = dict(self.named_buffers())
        high, low = self._frames(high), self._frames(low)  # (n, n2, t, rows)
        exact = high @ buffers["first_high"]
        rest = (high + low) @ buffers["first_low"] + low @ buffers["first_high"]
        high, between = split(exact, self.places)
        high, low = self._parts(high), self._parts(between + rest)  # (n, 2 n2, t half)
        found = buffers["second_high"] @ high
        found = found + (buffers["second_low"] @ (high + low) + buffers["second_high"] @ low)
        squares = found * found
        power = squares[:, : self.n2] + squares[:, self.n2 :]
        power = power.reshape(power.shape[0], self.n2, -1, self.n_held).transpose(1, 2)
        mel: torch.Tensor = self.mel(power)
        return mel

    def _parts(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n2, t, 2 half) to real parts, and imaginary ones behind them: (n, 2 n2, t half)."""
        return torch.cat([x[..., : self.n_held], x[..., self.n_held :]], dim=1).flatten(2)

    def _frames(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n2, n_frames, rows) overlapping frames, each n2th sample of them apart."""
        hop, n2 = self.hop_length, self.n2
        n_frames = (samples.shape[1] - self.win_length) // hop + 1
        side_by_side = -(-self.win_length // hop)
        n_blocks = n_frames + side_by_side - 1
        # The zeros stand under no frame: the last block is filled up with them.
        filled = nn.functional.pad(samples, (0, side_by_side * hop))[:, : n_blocks * hop]
        last = self.win_length - (side_by_side - 1) * hop
        if hop % n2 or last % n2:
            blocks = filled.reshape(filled.shape[0], -1, hop)
            beside = [blocks[:, i : i + n_frames] for i in range(side_by_side)]
            beside[-1] = beside[-1][:, :, :last]
            frames = nn.functional.pad(torch.cat(beside, dim=2), (0, self.rows * n2 - self.win_length))
            return frames.reshape(frames.shape[0], -1, self.rows, n2).permute(0, 3, 1, 2)
        # Where blocks are whole rows, samples are turned round before frames overlap.
        turned = filled.reshape(filled.shape[0], -1, n2).transpose(1, 2)
        blocks = turned.reshape(turned.shape[0], n2, -1, hop // n2)
        beside = [blocks[:, :, i : i + n_frames] for i in range(side_by_side)]
        beside[-1] = beside[-1][..., : last // n2]
        return torch.cat(beside, dim=3)


def _cheapest(n: int, win_length: int) -> int:
    """The points of the first step, a divisor of ``n``, for the fewest multiplications and constants."""

    def cost(n1: int) -> int:
        n2, half = n // n1, n1 // 2 + 1
        first, second = 2 * n2 * half * -(-win_length // n2), (2 * n2) ** 2
        return 3 * (first + half * second) + 2 * (first + second)

    return min((d for d in range(1, n + 1) if n % d == 0), key=cost)
