"""The resampler's filters as a compiled kernel: on a CPU, where numba is installed.

A ratio P / M has filters that repeat after P outputs and M inputs. The input is taken apart into M rows, of every M-th
sample each, in float64. Then the lanes of vectors are outputs that are P apart, which have the same filter: all that a
tap of it is multiplied with lies side by side in one row. Neighbouring filters share what they read::

    rows       x[m], x[m + M], x[m + 2 M], ...          for m in 0 .. M - 1
    output     y[q P + p] = sum over k of filter[p][k] * rows[(first + k) % M][q + (first + k) // M]

Each output is summed in the order of its taps wherever it stands, so that a stream, a stretch and the whole have the
same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.compiled.jit import kernel, native_lanes
from hear_edgel3.compiled.simd import add_outer_of_doubles, double_zeros, filled, store_tile, tile_of

# Bytes of rows that are worked on at once: they stay in the nearer caches.
_AT_ONCE = 1 << 17


class Polyphase:
    """The kernel with the filters of one pair of rates.

    Args:
        period: P.
        units: M.
        filters: of each phase, where it begins, in samples of the input from the period's first one on, and (n,) taps;
            after those of all phases, where upstream reads phase 0 late, the one that it then takes.
    """

    def __init__(self, period: int, units: int, filters: list[tuple[int, np.ndarray]]) -> None:
        self._period, self._units = period, units
        self._late = len(filters) > self._period
        # A tile has the outputs of some phases and periods: as many as its sums need registers.
        self._rows = 1 if len(filters) == 1 else 2
        self._columns = 8 // self._rows
        self._first = min(first for first, _ in filters)
        groups: list[tuple[int, int, int, int]] = []
        taps: list[np.ndarray] = []
        for number in range(0, len(filters), self._rows):
            group = filters[number : number + self._rows]
            first = min(at for at, _ in group)
            shared = np.zeros((max(at + len(values) for at, values in group) - first, self._rows))
            for column, (at, values) in enumerate(group):
                shared[at - first : at - first + len(values), column] = values
            groups.append((first - self._first, len(shared), len(group), sum(t.size for t in taps)))
            taps.append(shared)
        self._taps = np.concatenate([t.ravel() for t in taps])
        self._table = np.array(groups, np.int64)
        self._kinds = len(filters)
        width = self._width = self._columns * max(1, native_lanes() // 2)
        beyond = max(offset + length - 1 for offset, length, _, _ in groups) // self._units + 1
        self._periods = max(1, _AT_ONCE // (8 * self._units) // width) * width
        self._pitch = self._periods + beyond

    def __call__(self, x: np.ndarray, x_start: int, t0: int, t1: int, late: np.ndarray | None) -> np.ndarray:
        """Output samples ``t0..t1-1`` of each clip.

        Args:
            x: (batch, n) float32 or float64; sample ``x_start`` of the clips, and what follows.
            x_start: see there.
            t0: first output wanted.
            t1: one past the last output wanted.
            late: as for :meth:`hear_edgel3.audio.filter_bank.FilterBank.apply`.

        Returns:
            (batch, t1 - t0), of the type of `x`; the sums are float64.
        """
        first, last = t0 // self._period, -(-t1 // self._period)
        rows, room = aligned(2 * self._units * self._pitch), aligned(2 * self._rows * self._width)
        found = np.empty((len(x), last - first, self._kinds), x.dtype)
        convert = make_convert(self._rows, self._columns)
        for clip, y in zip(np.ascontiguousarray(x), found, strict=True):
            convert(
                clip, first * self._units + self._first - x_start, y, rows.view(np.float64), rows.ctypes.data,
                self._units, self._pitch, self._periods, self._table, self._taps.ctypes.data, room.view(np.float64),
                room.ctypes.data,
            )  # fmt: skip
        outputs = found[..., : self._period]
        if self._late and late is not None and late.any():
            begin = -(-t0 // self._period) - first
            there = slice(begin, begin + len(late))
            outputs[:, there, 0] = np.where(late, found[:, there, self._period], outputs[:, there, 0])
        result: np.ndarray = outputs.reshape(len(x), -1)[:, t0 - first * self._period : t1 - first * self._period]
        return result


@cache
def make_convert(n_rows: int, n_columns: int) -> Callable[..., None]:
    """The kernel, with tiles of so many phases and vectors of periods."""
    lanes = max(1, native_lanes() // 2)
    width = lanes * n_columns

    @kernel
    def convert(
        x: Any,
        start: int,
        y: Any,
        rows: Any,
        rows_at: int,
        units: int,
        pitch: int,
        at_once: int,
        table: Any,
        taps: int,
        room: Any,
        room_at: int,
    ) -> None:
        """Converts a clip.

        Args:
            x: (n,) float32 or float64.
            start: which sample of it is the first that the first period reads; may be negative.
            y: (periods, filters), of the same type.
            rows: room of (units * pitch,) float64.
            rows_at: its address.
            units: rows.
            pitch: samples of a row.
            at_once: periods that are worked on at once, a multiple of a tile's.
            table: (groups, 4): where its first tap is, how many it has, how many filters, where its taps are.
            taps: address of (n, n_rows) float64 for each group.
            room: of n_rows * width float64.
            room_at: its address.
        """
        zero = tile_of(n_rows, n_columns, double_zeros(lanes))
        n, periods = len(x), len(y)
        for q0 in range(0, periods, at_once):
            needed = min(at_once, (periods - q0 + width - 1) // width * width) + pitch - at_once
            for j in range(needed):
                base = start + (q0 + j) * units
                if base >= 0 and base + units <= n:
                    for m in range(units):
                        rows[m * pitch + j] = x[base + m]
                else:
                    for m in range(units):
                        rows[m * pitch + j] = x[base + m] if 0 <= base + m < n else 0.0
            for tile in range(0, min(at_once, periods - q0), width):
                count = min(width, periods - q0 - tile)
                for g in range(len(table)):
                    first, length, filters, offset = table[g, 0], table[g, 1], table[g, 2], taps + 8 * table[g, 3]
                    m, j = first % units, first // units
                    place = rows_at + 8 * (m * pitch + j + tile)
                    total = filled(zero, double_zeros(lanes))
                    for _ in range(length):
                        total = add_outer_of_doubles(total, offset, place)
                        offset += 8 * n_rows
                        m += 1
                        place += 8 * pitch
                        if m == units:
                            m = 0
                            place += 8 - 8 * units * pitch
                    store_tile(total, room_at, 8 * width)
                    for r in range(filters):
                        for i in range(count):
                            y[q0 + tile + i, g * n_rows + r] = room[r * width + i]

    return convert
