"""What a net and a front end say of themselves, as arrays and numbers, so that compiled kernels can run them.

A net that such kernels can run has a method ``kernel_layers() -> FoldedNet``; a front end that they can compute has
``kernel_spectrogram() -> MelDecibels | None`` and ``constants()``. The kernels know these descriptions, and no family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

# Weights of which less than this part is not zero are described by what is left. Kernels may still want them dense.
SPARSE_BELOW = 0.3


@dataclass(frozen=True)
class SparseWeights:
    """Weights of which few are not zero.

    Attributes:
        shape: of all, (n_out, n_in, 3, 3).
        places: (n,) int32, where the others are in row-major order, ascending.
        values: (n,) float32, what they are.
    """

    shape: tuple[int, ...]
    places: np.ndarray
    values: np.ndarray

    @property
    def size(self) -> int:
        """How many weights there are, with the zeros."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, weights: np.ndarray) -> SparseWeights:
        """Those of an array that are not zero."""
        flat = np.ascontiguousarray(weights, np.float32).reshape(-1)
        places = np.flatnonzero(flat).astype(np.int32)
        return cls(weights.shape, places, flat[places])

    def dense(self) -> np.ndarray:
        """All of them, as a new array."""
        weights = np.zeros(self.size, np.float32)
        weights[self.places] = self.values
        return weights.reshape(self.shape)


Weights = np.ndarray | SparseWeights


def dense(weights: Weights) -> np.ndarray:
    """Weights with their zeros."""
    return weights.dense() if isinstance(weights, SparseWeights) else weights


def density(weights: Weights) -> float:
    """The part of weights that is not zero."""
    left = len(weights.places) if isinstance(weights, SparseWeights) else int(np.count_nonzero(weights))
    return left / weights.size


@dataclass(frozen=True)
class FoldedNet:
    """A net of 3 by 3 convolutions as arrays, batch norm folded into them.

    The input is scaled and offset; each convolution is padded with zeros to the size of its input. The embedding is the
    maximum of everything that the last convolution puts out, per channel.

    Attributes:
        scale: factor of the input.
        offset: what is added to the scaled input.
        weights: (n_out, n_in, 3, 3) float32 of each convolution, C-contiguous, or what is left of them where there are
            many zeros; the first one has one input channel.
        biases: (n_out,) float32 of each convolution.
        pooled: for each convolution whether a 2 by 2 maximum with stride 2 follows.
        relus: for each convolution whether ReLU follows.
    """

    scale: float
    offset: float
    weights: Sequence[Weights]
    biases: Sequence[np.ndarray]
    pooled: Sequence[bool]
    relus: Sequence[bool]


@dataclass(frozen=True)
class MelDecibels:
    """A mel spectrogram in decibels relative to the loudest value of a window.

    A window is padded with zeros, as many before as behind it (one more behind it if they are odd), to a frame for each
    started hop. The squared magnitudes of a frame's Fourier transform are summed up to bands by the mel bank; a band of
    power p has ``5 log10(max(p, amin ** 2))`` decibels, of which the loudest of the window is subtracted; what is below
    ``-dynamic_range_db`` then becomes that.

    Attributes:
        sample_rate: of the windows in Hz.
        n_fft: samples per frame.
        hop_length: samples from a frame to the next.
        n_mels: bands.
        amin: the smallest root of a power that is told from silence.
        dynamic_range_db: decibels below the loudest value that are kept.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    amin: float
    dynamic_range_db: float

    def n_frames(self, n_samples: int) -> int:
        """Frames in a window of ``n_samples``: one per started hop."""
        return -(-n_samples // self.hop_length)


@runtime_checkable
class HasKernelLayers(Protocol):
    """A net that compiled kernels can run."""

    def kernel_layers(self) -> FoldedNet:
        """The net in eval mode as arrays, which share no memory with it."""


@runtime_checkable
class HasKernelSpectrogram(Protocol):
    """A front end that compiled kernels can compute."""

    def kernel_spectrogram(self) -> MelDecibels | None:
        """What it computes, or None if that is something else, as in a subclass of somebody's own."""

    def constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The Fourier transform's window (n_fft,) and the mel bank (n_mels, n_fft // 2 + 1), float64 on the CPU."""
