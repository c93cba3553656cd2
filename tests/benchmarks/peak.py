"""What one core can multiply and add at most: many sums that do not wait for each other, all in registers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import kernel, many_registers, native_lanes
from hear_edgel3.compiled.primitive import Tile, Vector, joined, multiply_add, parts_of, primitive
from hear_edgel3.compiled.simd import load, load_tile, store_tile, tile_of, zeros

_ROUNDS = 2_000_000


@primitive
def _add_product(tile: Tile, x: Vector, y: Vector) -> Any:
    """Adds the product of two vectors to each of a tile."""
    return tile, lambda b, t, v, w: joined(b, [multiply_add(b, v, w, old) for old in parts_of(b, t)])


def macs_per_second(repeats: int = 5) -> float:
    """Multiply-accumulates per second of one core, the best of some measurements."""
    lanes = native_lanes()
    # A tile of different vectors: of equal ones one sum would do for all.
    count = 24 if many_registers() else 12
    size = 4 * lanes

    @kernel
    def run(vectors: int, rounds: int) -> None:
        zero = zeros(lanes, lanes)
        tile = load_tile(tile_of(count, 1, zero), vectors)
        x, y = load(zero, vectors), load(zero, vectors + size)
        for _ in range(rounds):
            tile = _add_product(tile, x, y)
        store_tile(tile, vectors, size)

    # What was never written is one page of zeros, which cores read slowly under several addresses.
    memory = np.full(64 * lanes + 16, 1e-3, np.float32)
    start = memory.ctypes.data + -memory.ctypes.data % 64
    run(start, 1)
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        run(start, _ROUNDS)
        best = min(best, time.process_time() - begun)
    return _ROUNDS * count * lanes / best
