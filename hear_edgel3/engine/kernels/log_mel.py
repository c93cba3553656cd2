"""Logarithmic mel spectrograms with as many frames at once as a vector has lanes, written as nets take them.

Which frames share a vector is the net's choice: frame j of each strip of an image, or of each of several images
(:mod:`hear_edgel3.engine.kernels.strips_of_time`). So nothing is ever transposed but the samples themselves, a vector
of a frame at a time.

Windows that overlap by whole hops have most frames in common, but for those that touch a window's ends, where each sees
its own reflection. A lane is a window, so what one has in common with the one before is a column moved by a lane::

    16 frames of windows that are 5 hops apart       * computed for all windows     1 for the first window alone
    frame   0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
            *  *  1  1  1  1  1  1  1  1  *  *  *  *  *  *      frame 2 of window i is frame 7 of window i - 1

Strips are whole numbers of hops apart, and often of pages as well, all of which fall into the same sets of a cache. So
the samples of strips are prepared in lines of their own, a few columns at a time, which are a little longer than pages.

In float32 like the front end in torch: only the order of sums and the last bits of the logarithm
differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.compiled.jit import kernel, part
from hear_edgel3.compiled.simd import from_lane_before, lanes_of, load, plus_times, splat, store, zeros
from hear_edgel3.engine.kernels.fft import first_by_eights, others_by_eights, powers, roots
from hear_edgel3.engine.kernels.masked_rows import clear
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime
from hear_edgel3.engine.kernels.tile_ops import logarithm, transpose_to
from hear_edgel3.families.kernel_residuals import HasKernelLogMel

# Numbers in a page of memory.
_PAGE = 1024
# Columns of strips whose samples are prepared at once, and still in a fast cache when they are transformed.
_COLUMNS = 8


class _Numbers(NamedTuple):
    """What the kernel is told of the front end, besides arrays."""

    emphasis: np.float32
    floor: np.float32
    shift: np.float32
    factor: np.float32
    hop: int


class LogMel:
    """A front end, compiled. It can be called by several threads at once.

    Args:
        frontend: which one.
        lanes: of a vector.
    """

    def __init__(self, frontend: HasKernelLogMel, lanes: int) -> None:
        computes = frontend.kernel_log_mel()
        if computes is None:
            raise ValueError(f"{type(frontend).__name__} does not compute log-mels as the kernels do")
        self.computes = computes
        self._lanes = lanes
        self._half = computes.win_length // 2 if computes.centred else 0  # of a frame, beyond both ends
        hann, bank = (array.numpy() for array in frontend.kernel_constants())
        self._hann = aligned(-(-len(hann) // lanes) * lanes)
        self._hann[: len(hann)] = hann
        self._hann[len(hann) :] = 0
        used = bank != 0
        begin = np.argmax(used, axis=1)
        end = np.where(used.any(axis=1), bank.shape[1] - np.argmax(used[:, ::-1], axis=1), begin)
        ranges = (begin.astype(np.int64), end.astype(np.int64))  # where a band's weights are not zero
        # Only these weights, one behind the other: the whole bank would fill caches with zeros. Powers come times 4.
        packed = np.concatenate([row[b:e] for row, b, e in zip(bank, *ranges, strict=True)]) * np.float32(0.25)
        self._constants = (roots(computes.n_fft).astype(np.float32), *ranges, packed)
        self._numbers = _Numbers(
            np.float32(computes.emphasis),
            np.float32(computes.floor),
            np.float32(computes.shift),
            np.float32(computes.factor),
            computes.hop_length,
        )
        self._idle: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, samples: np.ndarray, sharing: StripsOfTime, target: np.ndarray, per_frame: int = 0) -> None:
        """Writes the images of (n, n_samples) float32 windows, as many as share the vectors or fewer.

        Args:
            samples: no window is shorter than the front end's least. Rows that overlap in memory by whole hops share
                the frames that they have in common; not a bit is different for it.
            sharing: how images share vectors.
            target: (n_mels * width * lanes,) float32, aligned to a vector. What lies behind an image's end, and the
                lanes of images that there are not, may become anything.
            per_frame: of an image alone whose frames are to lie one behind the other, not its bands: how many values
                from a frame to the next.
        """
        try:
            room, of_lanes = self._idle.pop()
        except IndexError:
            room = aligned((2 * (self.computes.n_fft + 16) + 1 + 8 * self._lanes) * self._lanes)
            # Arrays made inside a kernel would cost each process a quarter of a second: numba imports what makes them.
            of_lanes = np.empty((3, self._lanes), np.int64)
        half, strips = self._half, sharing.strips
        hops, first, n_shared = (0, 0, 0) if per_frame else self._shared(samples, sharing)
        samples = np.ascontiguousarray(samples)
        # Where there are few images for the lanes, their frames are computed densely, and then put where they belong.
        dense = -(-len(samples) * sharing.frames // self._lanes)
        if not per_frame and (n_shared or 2 * dense >= sharing.width):
            dense = 0
        prepared = samples
        if strips > 1 and not dense:
            length = (_COLUMNS - 1) * self.computes.hop_length + len(self._hann)
            length += (_PAGE // self._lanes - length) % _PAGE
            prepared = np.empty((len(samples) * strips, length), np.float32)
        elif half:
            prepared = np.empty((len(samples), samples.shape[1] - 1 + 2 * half + self._lanes), np.float32)
        kernel_ = make_log_mel(self._lanes)
        kernel_(
            samples, self._numbers, self._hann, *self._constants, prepared, half,
            strips, sharing.width, sharing.frames, room, of_lanes, target, per_frame, dense,
            hops, first, n_shared,
        )  # fmt: skip
        self._idle.append((room, of_lanes))

    def _shared(self, samples: np.ndarray, sharing: StripsOfTime) -> tuple[int, int, int]:
        """What each window has in common with the one before, if the samples overlap in memory and if it pays.

        Returns:
            How many hops they are apart, the first of a window's frames that the one before it has, too, and how many
            of these there are; or zeros.
        """
        half, hop = self._half, self.computes.hop_length
        (n, length), apart = samples.shape, samples.strides[0] // samples.itemsize
        side_by_side = samples.strides[1] == samples.itemsize
        if n < 2 or sharing.strips > 1 or not side_by_side or not 0 < apart < length or apart % hop:
            return 0, 0, 0
        first = -(-half // hop)
        behind = 1 + half if half else self.computes.win_length  # samples from the last whole frame's place on
        n_shared = max((length - behind) // hop - apart // hop - first + 1, 0)
        columns = sharing.width - n_shared + -(-n_shared // self._lanes)
        if not n_shared or columns >= -(-n * sharing.frames // self._lanes):
            return 0, 0, 0
        return apart // hop, first, n_shared


@part
def _prepare(source: Any, emphasis: Any, half: int, begin: int, line: Any) -> None:
    """Fills a line with a window's samples from one on: emphasised and reflected at both ends, if that is to be.

    Args:
        source: the window.
        emphasis: see :class:`hear_edgel3.families.kernel_residuals.LogMelSpectrogram`.
        half: samples that are reflected; 0 if they stay as they are.
        begin: the number of the first one; those that are reflected are counted, too.
        line: what is filled; with zeros behind the window's end.
    """
    n = len(line)
    if half == 0:
        there = max(0, min(n, len(source) - begin))
        for p in range(there):  # one array copied to another would have numba import what makes them
            line[p] = source[begin + p]
        line[there:] = np.float32(0.0)
        return
    m = len(source) - 1
    before = max(0, min(n, half - begin))
    whole = max(before, min(n, half + m - begin))
    behind = max(whole, min(n, 2 * half + m - begin))
    for p in range(before):
        t = half - begin - p
        line[p] = source[t + 1] - emphasis * source[t]
    first = begin + before - half
    middle, seen = line[before:whole], source[first : first + whole - before + 1]
    for t in range(whole - before):
        middle[t] = seen[t + 1] - emphasis * seen[t]
    for p in range(whole, behind):
        t = 2 * m - 2 - (begin + p - half)
        line[p] = source[t + 1] - emphasis * source[t]
    line[behind:] = np.float32(0.0)


@part
def _prepare_all(samples: Any, emphasis: Any, half: int, strips: int, step: int, begin: int, lines: Any) -> None:
    """The same of all windows, from so many samples on in each of their strips, which begin `step` samples apart."""
    for i in range(len(samples)):
        for strip in range(strips):
            _prepare(samples[i], emphasis, half, strip * step + begin, lines[i * strips + strip])


@part
def _take_shared(zero: Any, target: Any, lanes: int, n_mels: int, width: int, hops: int, first: int, last: int) -> None:
    """Fills columns with those of a window before, some hops behind; the first window has its own already."""
    out: Any = np.int64(target.ctypes.data)
    for column in range(last, first - 1, -1):  # backwards, as one may be made of another one of them
        for band in range(n_mels):
            place = (band * width + column) * lanes
            own = target[place]
            store(from_lane_before(load(zero, out + 4 * (place + hops * lanes))), out + 4 * place)
            target[place] = own


@part
def _transformed(zero: Any, sources: Any, hann: Any, w: Any, some: int, x: int, y: int) -> int:
    """The transform of a vector's frames, which begin at some addresses; the address of the result is x or y."""
    lanes, eighth = lanes_of(zero), len(w) // 8
    for i in range(0, eighth, lanes):
        for j in range(8):
            at, place = j * eighth + i, some + 4 * j * lanes * lanes
            if at < len(hann):
                transpose_to(zero, sources.ctypes.data, 4 * at, hann.ctypes.data + 4 * at, place)
            elif i == 0 or at - lanes < len(hann):  # else there are zeros already
                clear(zero, place, lanes)
        first_by_eights(zero, len(w) // 2, w, some, i // 2, lanes // 2, y)
    return others_by_eights(zero, len(w) // 2, w, y, x)


@cache
def make_log_mel(lanes: int) -> Callable[..., None]:
    """The kernel."""
    size, at_once = 4 * lanes, _COLUMNS

    @kernel
    def log_mel(
        samples: Any,
        numbers: Any,
        hann: Any,
        w: Any,
        begins: Any,
        ends: Any,
        weights: Any,
        y: Any,
        half: int,
        strips: int,
        width: int,
        frames: int,
        memory: Any,
        of_lanes: Any,
        target: Any,
        per_frame: int,
        dense: int,
        hops: int,
        first: int,
        n_shared: int,
    ) -> None:
        room: Any = np.int64(memory.ctypes.data)
        spare = memory[2 * (len(w) + 16) * lanes :]
        zero = zeros(lanes, lanes)
        n_fft, n_mels, n_frames = len(w), len(begins), len(samples) * frames
        by_strips = strips > 1 and dense == 0
        if half != 0 and not by_strips:
            _prepare_all(samples, numbers.emphasis, half, 1, 0, 0, y)
        sources, places, starts = of_lanes[0], of_lanes[1], of_lanes[2]
        for lane in range(lanes):
            starts[lane] = y.ctypes.data + 4 * y.shape[1] * (lane if lane < len(y) else lane % strips)
        floor, shift, factor = splat(zero, numbers.floor), splat(zero, numbers.shift), splat(zero, numbers.factor)
        x, other, found = room, room + (n_fft + 16) * size, room + 2 * (n_fft + 16) * size
        some = found + size
        values = spare[:lanes]
        out: Any = np.int64(target.ctypes.data)
        per_band, per_column = (1, per_frame) if per_frame != 0 else (width * lanes, lanes)
        # What the first window alone has to itself of the shared columns is computed last.
        for column in range(dense if dense != 0 else width + (n_shared + lanes - 1) // lanes):
            if first <= column < first + n_shared:
                continue
            if by_strips and column % at_once == 0:
                apart, begin = width * numbers.hop, column * numbers.hop
                _prepare_all(samples, numbers.emphasis, half, strips, apart, begin, y)
            beyond = column >= width and dense == 0
            for lane in range(lanes):
                if beyond:
                    image, frame = 0, min(first + (column - width) * lanes + lane, first + n_shared - 1)
                    places[lane] = frame * lanes
                elif dense != 0:
                    image, frame = divmod(min(column * lanes + lane, n_frames - 1), frames)
                    places[lane] = frame % width * per_column + image * strips + frame // width
                else:
                    image, frame = 0, column % at_once if by_strips else column
                start = y.ctypes.data + 4 * y.shape[1] * image if beyond or dense != 0 else starts[lane]
                sources[lane] = start + 4 * frame * numbers.hop
            z = _transformed(zero, sources, hann, w, some, x, other)
            power = other if z == x else x
            powers(zero, n_fft // 2, w, z, power, 3)
            weight = 0
            for band in range(n_mels):
                total = zero
                for k in range(begins[band], ends[band]):
                    total = plus_times(total, load(zero, power + k * size), weights[weight])
                    weight += 1
                total = (logarithm(total + floor) + shift) * factor
                if dense != 0 or beyond:
                    store(total, found)
                    left = n_shared - (column - width) * lanes if beyond else n_frames - column * lanes
                    for lane in range(min(lanes, left)):
                        target[band * per_band + places[lane]] = values[lane]
                else:
                    store(total, out + (band * width + column) * size)
        _take_shared(zero, target, lanes, n_mels, width, hops, first, first + n_shared - 1)

    return log_mel
