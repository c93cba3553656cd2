"""Mel spectrograms in decibels, one window at a time, in one thread.

The same numbers as the front end in torch gives, in float64 throughout: only the order of sums and the last bits of the
logarithm differ. Torch would run several threads of its own within a window; where they have to share a core with other
programs they wait for each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.compiled.jit import kernel, native_lanes, part
from hear_edgel3.compiled.simd import double_zeros, load, plus_times, store
from hear_edgel3.engine.kernels.fft import powers, roots, transform
from hear_edgel3.families.kernel_description import HasKernelSpectrogram

_MANTISSA, _HALF, _EXPONENT_OF_HALF = (1 << 52) - 1, 1022 << 52, 1022
_LN2, _ROOT_HALF = math.log(2), math.sqrt(0.5)
_DB_PER_NEPER = 5 / math.log(10)


class Spectrogram:
    """A front end, compiled.

    Args:
        frontend: which one; its ``n_fft`` is a power of 2, of at least 4.

    Raises:
        ValueError: the front end computes something else.
    """

    def __init__(self, frontend: HasKernelSpectrogram) -> None:
        computes = frontend.kernel_spectrogram()
        if computes is None:
            raise ValueError(f"{type(frontend).__name__} does not compute mel decibels as the kernels do")
        hann, bank = frontend.constants()
        self._computes = computes
        self._lanes = native_lanes() // 2
        self._kernel = make_kernel(self._lanes)
        self._room = 2 * (2 * computes.n_fft + 1) * self._lanes
        weights = bank.numpy()
        begin = np.argmax(weights != 0, axis=1)
        behind = np.where(weights.any(axis=1), weights.shape[1] - np.argmax(weights[:, ::-1] != 0, axis=1), begin)
        ranges = (begin.astype(np.int64), behind.astype(np.int64))  # where a band's weights are not zero
        # Powers come times 4.
        self._constants = (hann.numpy(), roots(computes.n_fft), *ranges, np.ascontiguousarray(0.25 * weights))

    def size(self, n_samples: int) -> tuple[int, int]:
        """Bands and frames of the image of a window."""
        return self._computes.n_mels, self._computes.n_frames(n_samples)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The image of a window.

        Args:
            samples: (n,) float32 or float64.

        Returns:
            (n_mels, n_frames) float32.
        """
        n_mels, n_frames = self.size(len(samples))
        mel = np.empty((n_mels, n_frames))
        room = aligned(self._room).view(np.float64).reshape(-1, self._lanes)
        self._kernel(samples, self._computes.hop_length, *self._constants, mel, room)
        image = np.empty((n_mels, n_frames), np.float32)
        _relative(mel, image, self._computes.amin**2, self._computes.dynamic_range_db)
        return image


@cache
def make_kernel(lanes: int) -> Callable[..., None]:
    """The kernel for the bands' powers, of `lanes` frames at once."""
    size = 8 * lanes

    @kernel
    def powers_of_bands(
        samples: Any, hop: int, hann: Any, w: Any, begins: Any, ends: Any, weights: Any, mel: Any, room: Any
    ) -> None:
        n_mels, n_frames = mel.shape
        n_fft = len(hann)
        zero = double_zeros(lanes)
        before = max((n_frames - 1) * hop + n_fft - len(samples), 0) // 2
        # A lane is a frame; two values of it, one behind the other, are the parts of a complex one.
        frames, sums = room[:n_fft], room[2 * n_fft]
        x: Any = np.int64(room.ctypes.data)
        y, sum_at = x + n_fft * size, x + 2 * n_fft * size
        for begin in range(0, n_frames, lanes):
            for f in range(lanes):
                start = (begin + f) * hop - before
                here = min(max(0, -start), n_fft)
                there = max(here, min(n_fft, len(samples) - start)) if begin + f < n_frames else here
                frames[:here, f] = 0.0
                frames[there:, f] = 0.0
                # Slices: whether an index is negative need not be asked for.
                target, source, factor = frames[here:there, f], samples[start + here : start + there], hann[here:there]
                for i in range(there - here):
                    target[i] = source[i] * factor[i]
            z = transform(zero, n_fft // 2, w, x, y)
            power = y if z == x else x
            powers(zero, n_fft // 2, w, z, power, 0)
            n = min(lanes, n_frames - begin)
            for b in range(n_mels):
                total = zero
                for k in range(begins[b], ends[b]):
                    total = plus_times(total, load(zero, power + k * size), weights[b, k])
                store(total, sum_at)
                for f in range(n):
                    mel[b, begin + f] = sums[f]

    return powers_of_bands


@part
def _logarithm(x: float) -> float:
    """The natural logarithm of a normal positive number, to 1e-13.

    By m in [sqrt(1/2), sqrt(2)) and ln m = 2 artanh((m - 1) / (m + 1)).
    """
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> 52) - _EXPONENT_OF_HALF
    m = np.int64((bits & _MANTISSA) | _HALF).view(np.float64)
    small = m < _ROOT_HALF
    m = m * 2.0 if small else m
    exponent = exponent - 1 if small else exponent
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = 1.0 / 17.0
    for k in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = series * q + 1.0 / k
    return exponent * _LN2 + 2.0 * s * series


@kernel
def _relative(mel: Any, image: Any, silence: float, dynamic_range: float) -> None:
    """Decibels of the bands' powers, relative to the loudest one."""
    n_mels, n_frames = mel.shape
    loudest = -np.inf
    for b in range(n_mels):
        line = mel[b]
        for f in range(n_frames):
            line[f] = _DB_PER_NEPER * _logarithm(max(line[f], silence))
        for f in range(n_frames):
            loudest = max(loudest, line[f])
    for b in range(n_mels):
        for f in range(n_frames):
            image[b, f] = max(mel[b, f] - loudest, -dynamic_range)
