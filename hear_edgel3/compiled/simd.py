"""Vectors for numba: the few primitives that the kernels are written with.

A :class:`Vector` of float32 or float64 is one register (or as many as the machine needs for its lanes); a
:class:`Tile` is a fixed number of vectors that stay in registers over a loop. Both exist only inside compiled
functions. ``+``, ``-``, ``*`` and ``/`` work on vectors. Addresses are plain integers, of memory that is aligned to a
vector.

Numbers of lanes, rows and columns that the primitives take must be known when a kernel is compiled: literals or closure
variables. :func:`hear_edgel3.compiled.primitive.primitive` explains how.
LLVM turns all of this into AVX-512, AVX2, SSE or NEON code, whatever the machine has.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from hear_edgel3.compiled.primitive import (
    BYTES,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    Tile,
    Vector,
    at,
    joined,
    larger_of,
    larger_or_nan,
    load_at,
    multiply_add,
    parts_of,
    primitive,
    splat_to,
    store_at,
)


@primitive
def load(like: Vector, address: Any) -> Any:
    """The vector at an address, of another one's kind."""
    return like, lambda b, _, a: load_at(b, a, like)


@primitive
def store(vector: Vector, address: Any) -> Any:
    """Writes a vector."""
    return types.void, lambda b, v, a: store_at(b, v, a, vector)


@primitive
def expect_store(like: Vector, address: Any) -> Any:
    """Has the memory of a vector fetched, to write one there of another one's kind soon; it need not exist."""
    return types.void, lambda b, _, a: _fetch_at(b, a, 1)


@primitive
def expect_load(address: Any) -> Any:
    """Has the memory at an address fetched, to read it soon; it need not exist."""
    return types.void, lambda b, a: _fetch_at(b, a, 0)


def _fetch_at(b: Any, address: Any, for_writing: int) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, INT32, INT32, INT32])
    prefetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0i8")
    nearest, data = 3, 1
    b.call(prefetch, [b.inttoptr(address, pointer), *(ir.Constant(INT32, n) for n in (for_writing, nearest, data))])


@primitive
def lanes_of(vector: Vector) -> Any:
    """How many lanes a vector has."""
    return types.int64, lambda b, _: ir.Constant(INT64, vector.lanes)


@primitive
def bytes_of(vector: Vector) -> Any:
    """How many bytes a vector has."""
    return types.int64, lambda b, _: ir.Constant(INT64, vector.size)


@primitive
def zeros(lanes: int, strips: int) -> Any:
    """A vector of zeros, for images of so many strips each."""
    kind = Vector(lanes, strips)
    return kind, lambda b, _l, _s: ir.Constant(kind.code, [0.0] * lanes)


@primitive
def double_zeros(lanes: int) -> Any:
    """A vector of float64 zeros."""
    kind = Vector(lanes, lanes, double=True)
    return kind, lambda b, _: ir.Constant(kind.code, [0.0] * lanes)


@primitive
def splat(like: Vector, scalar: Any) -> Any:
    """A number of a vector's kind in all lanes, as many as the vector has."""
    return like, lambda b, _, x: splat_to(b, x, like.lanes)


@primitive
def larger(x: Vector, y: Vector) -> Any:
    """The larger of two vectors, lane by lane; NaN where either is."""
    return x, lambda b, v, w: larger_or_nan(b, v, w)


@primitive
def plus_times(z: Vector, x: Vector, number: Any) -> Any:
    """Adds x times a number of their kind to z, rounded once where the machine can."""
    return z, lambda b, v, w, n: multiply_add(b, w, splat_to(b, n, z.lanes), v)


@primitive
def plus_product(z: Vector, x: Vector, y: Vector) -> Any:
    """Adds x times y to z, lane by lane, rounded once where the machine can."""
    return z, lambda b, v, w, u: multiply_add(b, w, u, v)


@primitive
def from_lane_before(vector: Vector) -> Any:
    """Each lane gets what the lane before it had; the first one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(INT32, lanes), [i - 1 if i % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@primitive
def from_lane_behind(vector: Vector) -> Any:
    """Each lane gets what the lane behind it had; the last one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(INT32, lanes), [i + 1 if (i + 1) % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@primitive
def tile_of(rows: int, columns: int, vector: Vector) -> Any:
    """A tile with the same vector everywhere."""
    return Tile(rows, columns, vector), lambda b, _r, _c, v: joined(b, [v] * (rows * columns))


@primitive
def filled(like: Tile, vector: Vector) -> Any:
    """A tile of another one's shape, with the same vector everywhere."""
    return like, lambda b, _, v: joined(b, [v] * like.count)


@primitive
def load_tile(like: Tile, address: Any) -> Any:
    """A tile of another one's shape, whose vectors lie one behind the other."""
    vector = like.vector
    return like, lambda b, _, a: joined(b, [load_at(b, at(b, a, i * vector.size), vector) for i in range(like.count)])


@primitive
def store_tile(tile: Tile, address: Any, stride: Any) -> Any:
    """Writes a tile; its rows begin `stride` bytes apart, a row's vectors lie one behind the other."""

    def code(b: Any, t: Any, a: Any, s: Any) -> None:
        vectors = parts_of(b, t)
        for r in range(tile.rows):
            row = b.add(a, b.mul(s, ir.Constant(INT64, r)))
            for c in range(tile.columns):
                store_at(b, vectors[r * tile.columns + c], at(b, row, c * tile.vector.size), tile.vector)

    return types.void, code


@primitive
def rows_of(tile: Tile) -> Any:
    """A tile's rows."""
    return types.int64, lambda b, _: ir.Constant(INT64, tile.rows)


@primitive
def columns_of(tile: Tile) -> Any:
    """A tile's columns."""
    return types.int64, lambda b, _: ir.Constant(INT64, tile.columns)


@primitive
def lanes_of_tile(tile: Tile) -> Any:
    """How many lanes a tile's vectors have."""
    return types.int64, lambda b, _: ir.Constant(INT64, tile.vector.lanes)


@primitive
def add_scaled(tile: Tile, scalar: Any, address: Any, pitch: Any) -> Any:
    """Adds to each vector of a tile a float32 times the vector that belongs to it in memory.

    That memory is a patch, of which the address is the first vector to take; its rows begin `pitch` bytes apart.
    """

    def code(b: Any, t: Any, x: Any, a: Any, p: Any) -> Any:
        factor, old, new = splat_to(b, x, tile.vector.lanes), parts_of(b, t), []
        for r in range(tile.rows):
            row = b.add(a, b.mul(p, ir.Constant(INT64, r)))
            for c in range(tile.columns):
                there = load_at(b, at(b, row, c * tile.vector.size), tile.vector)
                new.append(multiply_add(b, factor, there, old[r * tile.columns + c]))
        return joined(b, new)

    return tile, code


@primitive
def add_outer(tile: Tile, scalars: Any, vectors: Any) -> Any:
    """Adds to tile[i, j] the i-th float32 at one address times the j-th vector at another."""
    vector = tile.vector

    def code(b: Any, t: Any, s: Any, a: Any) -> Any:
        old = parts_of(b, t)
        right = [load_at(b, at(b, a, j * vector.size), vector) for j in range(tile.columns)]
        new = []
        for i in range(tile.rows):
            scalar = b.load(b.inttoptr(at(b, s, i * BYTES), FLOAT.as_pointer()))
            factor = splat_to(b, scalar, vector.lanes)
            new += [multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return joined(b, new)

    return tile, code


@primitive
def add_outer_of_doubles(tile: Tile, scalars: Any, vectors: Any) -> Any:
    """Adds to tile[i, j] the i-th float64 at one address times the j-th vector at another, a multiple of 8."""
    vector = tile.vector

    def code(b: Any, t: Any, s: Any, a: Any) -> Any:
        old, new = parts_of(b, t), []
        places = [b.inttoptr(at(b, a, j * vector.size), vector.code.as_pointer()) for j in range(tile.columns)]
        right = [b.load(place, align=8) for place in places]
        for i in range(tile.rows):
            factor = splat_to(b, b.load(b.inttoptr(at(b, s, 8 * i), DOUBLE.as_pointer())), vector.lanes)
            new += [multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return joined(b, new)

    return tile, code


@primitive
def tile_larger(tile: Tile, vector: Vector) -> Any:
    """The larger of each vector of a tile and one vector, lane by lane; where the tile is NaN, NaN."""
    return tile, lambda b, t, v: joined(b, [larger_of(b, v, x) for x in parts_of(b, t)])


@primitive
def tile_plus(tile: Tile, vector: Vector) -> Any:
    """A tile with a vector added to each of its own."""
    return tile, lambda b, t, v: joined(b, [b.fadd(x, v) for x in parts_of(b, t)])


@primitive
def tile_plus_tile(tile: Tile, other: Tile) -> Any:
    """The sum of two tiles of a shape."""
    return tile, lambda b, t, o: joined(b, [b.fadd(x, y) for x, y in zip(parts_of(b, t), parts_of(b, o), strict=True)])


@primitive
def pooled(tile: Tile) -> Any:
    """The largest of each 2 by 2 vectors of a tile, lane by lane, or NaN; an odd last column is left out."""
    columns = tile.columns // 2

    def code(b: Any, t: Any) -> Any:
        v = parts_of(b, t)
        new = []
        for r in range(0, tile.rows, 2):
            for c in range(columns):
                i = r * tile.columns + 2 * c
                j = i + tile.columns
                above, below = larger_or_nan(b, v[i], v[i + 1]), larger_or_nan(b, v[j], v[j + 1])
                new.append(larger_or_nan(b, above, below))
        return joined(b, new)

    return Tile(tile.rows // 2, columns, tile.vector), code


@primitive
def largest(tile: Tile) -> Any:
    """The largest of a tile's vectors, lane by lane; NaN where one of them is."""

    def code(b: Any, t: Any) -> Any:
        vectors = parts_of(b, t)
        while len(vectors) > 1:
            odd = vectors[len(vectors) // 2 * 2 :]
            vectors = [larger_or_nan(b, vectors[i], vectors[i + 1]) for i in range(0, len(vectors) - 1, 2)] + odd
        return vectors[0]

    return tile.vector, code


@primitive
def number_at(address: Any) -> Any:
    """The float32 at an address."""
    return types.float32, lambda b, a: b.load(b.inttoptr(a, FLOAT.as_pointer()))


@primitive
def integer_at(address: Any) -> Any:
    """The int32 at an address, as an int64."""
    return types.int64, lambda b, a: b.sext(b.load(b.inttoptr(a, INT32.as_pointer())), INT64)


def _binary(function: Any, code: Callable[[Any, Any, Any], Any]) -> None:
    """Teaches numba an operator on two vectors of one type; a number must be made a vector by :func:`splat` first."""

    @infer_global(function)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, keywords: Any) -> Any:
            left, right = arguments
            if isinstance(left, Vector) and left == right:
                return signature(left, left, right)
            return None

    @lower_builtin(function, Vector, Vector)  # type: ignore[untyped-decorator]
    def _lower(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return code(builder, *arguments)


_binary(operator.add, lambda b, x, y: b.fadd(x, y))
_binary(operator.sub, lambda b, x, y: b.fsub(x, y))
_binary(operator.mul, lambda b, x, y: b.fmul(x, y))
_binary(operator.truediv, lambda b, x, y: b.fdiv(x, y))
