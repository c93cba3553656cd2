"""What one core can multiply and add at most: the loop of a matrix product, out of its registers."""

from __future__ import annotations

import time

import numpy as np

from hear_edgel3.compiled.jit import kernel, many_registers, native_lanes
from hear_edgel3.compiled.simd import add_outer, store_tile, tile_of, zeros

_ROUNDS = 2_000_000


def macs_per_second(repeats: int = 5) -> float:
    """Multiply-accumulates per second of one core, the best of some measurements."""
    lanes = native_lanes()
    height, width = (8, 3) if many_registers() else (4, 3)
    size = 4 * lanes

    @kernel
    def run(scalars: int, vectors: int, out: int, rounds: int) -> None:
        tile = tile_of(height, width, zeros(lanes, lanes))
        for _ in range(rounds):
            tile = add_outer(tile, scalars, vectors)
        store_tile(tile, out, width * size)

    memory = np.zeros(64 * lanes + 1024, np.float32)
    start = memory.ctypes.data + -memory.ctypes.data % 64
    addresses = (start, start + 16 * size, start + 24 * size)
    run(*addresses, 1)
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        run(*addresses, _ROUNDS)
        best = min(best, time.process_time() - begun)
    return _ROUNDS * height * width * lanes / best
