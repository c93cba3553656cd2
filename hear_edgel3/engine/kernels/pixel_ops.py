"""The primitives of images alone, whose lanes are channels (:mod:`hear_edgel3.engine.kernels.one_image`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from hear_edgel3.compiled.primitive import (
    BYTES,
    FLOAT,
    INT64,
    Tile,
    at,
    joined,
    load_at,
    multiply_add,
    parts_of,
    primitive,
    splat_to,
)


@primitive
def column_biases(like: Tile, address: Any) -> Any:
    """A tile of another one's shape, whose rows are all the vectors that lie one behind the other at an address."""
    vector = like.vector

    def code(b: Any, _: Any, a: Any) -> Any:
        row = [load_at(b, at(b, a, j * vector.size), vector) for j in range(like.columns)]
        return joined(b, row * like.rows)

    return like, code


@primitive
def add_pixels(tile: Tile, numbers: Any, pitch: Any, vectors: Any, block: Any) -> Any:
    """Adds to tile[i, j] the float32 at one address + i * pitch times the vector at another + j * block."""
    vector = tile.vector

    def code(b: Any, t: Any, n: Any, p: Any, a: Any, s: Any) -> Any:
        old, new = parts_of(b, t), []
        right = [load_at(b, b.add(a, b.mul(s, ir.Constant(INT64, j))), vector) for j in range(tile.columns)]
        for i in range(tile.rows):
            place = b.add(n, b.mul(p, ir.Constant(INT64, i)))
            factor = splat_to(b, b.load(b.inttoptr(place, FLOAT.as_pointer())), vector.lanes)
            new += [multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return joined(b, new)

    return tile, code


@primitive
def add_products(tile: Tile, x: Any, y: Any) -> Any:
    """Adds to each vector of a tile the product of those that belong to it, one behind the other at two addresses."""
    vector = tile.vector

    def code(b: Any, t: Any, u: Any, v: Any) -> Any:
        new = []
        for i, old in enumerate(parts_of(b, t)):
            left, right = (load_at(b, at(b, a, i * vector.size), vector) for a in (u, v))
            new.append(multiply_add(b, right, left, old))
        return joined(b, new)

    return tile, code


@primitive
def store_number(number: Any, address: Any) -> Any:
    """Writes a float32."""
    return types.void, lambda b, n, a: b.store(n, b.inttoptr(a, FLOAT.as_pointer()), align=BYTES)
