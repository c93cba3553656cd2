"""Vectors for numba: the few primitives that the kernels are written with.

A :class:`Vector` of float32 or float64 is one register (or as many as the machine needs for its lanes); a
:class:`Tile` is a fixed number of vectors that stay in registers over a loop. Both exist only inside compiled
functions. ``+``, ``-`` and ``*`` work on vectors. Addresses are plain integers, of memory that is aligned to a vector.

Numbers of lanes, rows and columns that the primitives take must be known when a kernel is compiled: literals or closure
variables. :func:`_primitive` explains how.
LLVM turns all of this into AVX-512, AVX2, SSE or NEON code, whatever the machine has.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_FLOAT, _DOUBLE, _INT32, _INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_BYTES = 4


class Vector(types.Type):  # type: ignore[misc]
    """Type of a vector of float32 lanes, or of float64 ones.

    Each image has as many lanes as it has strips; the lanes of several images lie one behind the other.
    """

    def __init__(self, lanes: int, strips: int, double: bool = False) -> None:
        self.lanes, self.strips, self.double = lanes, strips, double
        super().__init__(name=f"{'Doubles' if double else 'Vector'}({lanes}, {strips})")

    @property
    def code(self) -> ir.VectorType:
        """What LLVM calls it."""
        return ir.VectorType(_DOUBLE if self.double else _FLOAT, self.lanes)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.lanes * _BYTES * (2 if self.double else 1)


class Tile(types.Type):  # type: ignore[misc]
    """Type of some rows and columns of vectors of one type."""

    def __init__(self, rows: int, columns: int, vector: Vector) -> None:
        self.rows, self.columns, self.vector = rows, columns, vector
        super().__init__(name=f"Tile({rows}, {columns}, {vector.name})")

    @property
    def count(self) -> int:
        """How many vectors."""
        return self.rows * self.columns


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, fe_type.code)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Tile) -> None:
        super().__init__(dmm, fe_type, ir.ArrayType(fe_type.vector.code, fe_type.count))


def _at(b: Any, address: Any, offset: int = 0) -> Any:
    return b.add(address, ir.Constant(_INT64, offset)) if offset else address


def _load(b: Any, address: Any, vector: Vector) -> Any:
    return b.load(b.inttoptr(address, vector.code.as_pointer()), align=vector.size)


def _store(b: Any, value: Any, address: Any, vector: Vector) -> None:
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=vector.size)


def _splat(b: Any, scalar: Any, lanes: int) -> Any:
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes))


def _multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    # fmuladd, not fma: where there is no such instruction it is a product and a sum, and not a call of the C library.
    function = cgutils.get_or_insert_function(
        b.module,
        ir.FunctionType(x.type, [x.type] * 3),
        f"llvm.fmuladd.v{x.type.count}f{64 if x.type.element == _DOUBLE else 32}",
    )
    return b.call(function, [x, y, z])


def _larger(b: Any, x: Any, y: Any) -> Any:
    # One instruction. Where one of them is NaN, or both are equal, it gives y.
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def _larger_or_nan(b: Any, x: Any, y: Any) -> Any:
    # As _larger, but NaN wherever either is.
    return b.select(b.fcmp_unordered("uno", x, x), x, _larger(b, x, y))


def _parts(b: Any, tile: Any) -> list[Any]:
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def _joined(b: Any, vectors: Sequence[Any]) -> Any:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def _suits(kind: Any, annotation: Any) -> bool:
    """Whether what numba knows of an argument suits a primitive's parameter."""
    if annotation is int:
        return isinstance(kind, types.IntegerLiteral)
    return annotation is Any or isinstance(kind, annotation)


def _primitive(function: Callable[..., tuple[Any, Callable[..., Any]]]) -> Any:
    """An intrinsic: a function that kernels call, and that writes LLVM code where it is called.

    The trick is that counts are a part of types. A tile of 4 by 6 vectors is another type than one of 2 by 6, and which
    one comes out of ``tile_of(rows, columns, vector)`` must be known when the call is typed, before there are values.
    numba can give an integer a type of its own, ``Literal[int](4)``, if it is written out or comes from a closure; with
    ``prefer_literal`` it tries these types first. So parameters say what they are by their annotations:

    - ``int``: an integer that is known; `function` is given the integer itself.
    - ``Vector``, ``Tile``: one of those; `function` is given its type, which knows lanes, rows and columns.
    - ``Any``: an address or a number, known or not; `function` has no use for what it is given.

    `function` runs while numba types a call, and returns the type of the result and what writes its code: called with
    LLVM's builder and a value for each argument. Where an argument does not suit, the call has no type, and numba's
    error says what was given; whatever `function` itself raises is a bug in it, and is not caught.
    """
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())

    def typing(_context: Any, *kinds: Any) -> Any:
        if not all(_suits(kind, p.annotation) for kind, p in zip(kinds, parameters, strict=True)):
            return None
        known = [kind.literal_value if isinstance(kind, types.IntegerLiteral) else kind for kind in kinds]
        result, code = function(*known)

        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            made = code(builder, *arguments)
            return context.get_dummy_value() if result == types.void else made

        return result(*kinds), generate

    # numba reads the arguments' names from the signature, which has the context in front.
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typing.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    typing.__name__, typing.__qualname__, typing.__doc__ = function.__name__, function.__qualname__, function.__doc__
    return intrinsic(prefer_literal=True)(typing)


@_primitive
def load(like: Vector, address: Any) -> Any:
    """The vector at an address, of another one's kind."""
    return like, lambda b, _, a: _load(b, a, like)


@_primitive
def store(vector: Vector, address: Any) -> Any:
    """Writes a vector."""
    return types.void, lambda b, v, a: _store(b, v, a, vector)


@_primitive
def expect_store(like: Vector, address: Any) -> Any:
    """Has the memory of a vector fetched, to write one there of another one's kind soon; it need not exist."""

    def code(b: Any, _: Any, a: Any) -> None:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
        prefetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0i8")
        for_writing, nearest, data = (ir.Constant(_INT32, n) for n in (1, 3, 1))
        b.call(prefetch, [b.inttoptr(a, pointer), for_writing, nearest, data])

    return types.void, code


@_primitive
def lanes_of(vector: Vector) -> Any:
    """How many lanes a vector has."""
    return types.int64, lambda b, _: ir.Constant(_INT64, vector.lanes)


@_primitive
def zeros(lanes: int, strips: int) -> Any:
    """A vector of zeros, for images of so many strips each."""
    kind = Vector(lanes, strips)
    return kind, lambda b, _l, _s: ir.Constant(kind.code, [0.0] * lanes)


@_primitive
def double_zeros(lanes: int) -> Any:
    """A vector of float64 zeros."""
    kind = Vector(lanes, lanes, double=True)
    return kind, lambda b, _: ir.Constant(kind.code, [0.0] * lanes)


@_primitive
def splat(like: Vector, scalar: Any) -> Any:
    """A number of a vector's kind in all lanes, as many as the vector has."""
    return like, lambda b, _, x: _splat(b, x, like.lanes)


@_primitive
def larger(x: Vector, y: Vector) -> Any:
    """The larger of two vectors, lane by lane; NaN where either is."""
    return x, lambda b, v, w: _larger_or_nan(b, v, w)


@_primitive
def plus_times(z: Vector, x: Vector, number: Any) -> Any:
    """Adds x times a number of their kind to z, rounded once where the machine can."""
    return z, lambda b, v, w, n: _multiply_add(b, w, _splat(b, n, z.lanes), v)


@_primitive
def from_lane_before(vector: Vector) -> Any:
    """Each lane gets what the lane before it had; the first one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(_INT32, lanes), [i - 1 if i % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@_primitive
def from_lane_behind(vector: Vector) -> Any:
    """Each lane gets what the lane behind it had; the last one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(_INT32, lanes), [i + 1 if (i + 1) % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@_primitive
def tile_of(rows: int, columns: int, vector: Vector) -> Any:
    """A tile with the same vector everywhere."""
    return Tile(rows, columns, vector), lambda b, _r, _c, v: _joined(b, [v] * (rows * columns))


@_primitive
def filled(like: Tile, vector: Vector) -> Any:
    """A tile of another one's shape, with the same vector everywhere."""
    return like, lambda b, _, v: _joined(b, [v] * like.count)


@_primitive
def load_tile(like: Tile, address: Any) -> Any:
    """A tile of another one's shape, whose vectors lie one behind the other."""
    vector = like.vector
    return like, lambda b, _, a: _joined(b, [_load(b, _at(b, a, i * vector.size), vector) for i in range(like.count)])


@_primitive
def store_tile(tile: Tile, address: Any, stride: Any) -> Any:
    """Writes a tile; its rows begin `stride` bytes apart, a row's vectors lie one behind the other."""

    def code(b: Any, t: Any, a: Any, s: Any) -> None:
        vectors = _parts(b, t)
        for r in range(tile.rows):
            row = b.add(a, b.mul(s, ir.Constant(_INT64, r)))
            for c in range(tile.columns):
                _store(b, vectors[r * tile.columns + c], _at(b, row, c * tile.vector.size), tile.vector)

    return types.void, code


@_primitive
def rows_of(tile: Tile) -> Any:
    """A tile's rows."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.rows)


@_primitive
def columns_of(tile: Tile) -> Any:
    """A tile's columns."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.columns)


@_primitive
def lanes_of_tile(tile: Tile) -> Any:
    """How many lanes a tile's vectors have."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.vector.lanes)


@_primitive
def add_scaled(tile: Tile, scalar: Any, address: Any, pitch: Any) -> Any:
    """Adds to each vector of a tile a float32 times the vector that belongs to it in memory.

    That memory is a patch, of which the address is the first vector to take; its rows begin `pitch` bytes apart.
    """

    def code(b: Any, t: Any, x: Any, a: Any, p: Any) -> Any:
        factor, old, new = _splat(b, x, tile.vector.lanes), _parts(b, t), []
        for r in range(tile.rows):
            row = b.add(a, b.mul(p, ir.Constant(_INT64, r)))
            for c in range(tile.columns):
                there = _load(b, _at(b, row, c * tile.vector.size), tile.vector)
                new.append(_multiply_add(b, factor, there, old[r * tile.columns + c]))
        return _joined(b, new)

    return tile, code


@_primitive
def add_outer(tile: Tile, scalars: Any, vectors: Any) -> Any:
    """Adds to tile[i, j] the i-th float32 at one address times the j-th vector at another."""
    vector = tile.vector

    def code(b: Any, t: Any, s: Any, a: Any) -> Any:
        old = _parts(b, t)
        right = [_load(b, _at(b, a, j * vector.size), vector) for j in range(tile.columns)]
        new = []
        for i in range(tile.rows):
            scalar = b.load(b.inttoptr(_at(b, s, i * _BYTES), _FLOAT.as_pointer()))
            factor = _splat(b, scalar, vector.lanes)
            new += [_multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return _joined(b, new)

    return tile, code


@_primitive
def tile_larger(tile: Tile, vector: Vector) -> Any:
    """The larger of each vector of a tile and one vector, lane by lane; where the tile is NaN, NaN."""
    return tile, lambda b, t, v: _joined(b, [_larger(b, v, x) for x in _parts(b, t)])


@_primitive
def tile_plus(tile: Tile, vector: Vector) -> Any:
    """A tile with a vector added to each of its own."""
    return tile, lambda b, t, v: _joined(b, [b.fadd(x, v) for x in _parts(b, t)])


@_primitive
def tile_plus_tile(tile: Tile, other: Tile) -> Any:
    """The sum of two tiles of a shape."""
    return tile, lambda b, t, o: _joined(b, [b.fadd(x, y) for x, y in zip(_parts(b, t), _parts(b, o), strict=True)])


@_primitive
def pooled(tile: Tile) -> Any:
    """The largest of each 2 by 2 vectors of a tile, lane by lane, or NaN; an odd last column is left out."""
    columns = tile.columns // 2

    def code(b: Any, t: Any) -> Any:
        v = _parts(b, t)
        new = []
        for r in range(0, tile.rows, 2):
            for c in range(columns):
                i = r * tile.columns + 2 * c
                j = i + tile.columns
                above, below = _larger_or_nan(b, v[i], v[i + 1]), _larger_or_nan(b, v[j], v[j + 1])
                new.append(_larger_or_nan(b, above, below))
        return _joined(b, new)

    return Tile(tile.rows // 2, columns, tile.vector), code


@_primitive
def largest(tile: Tile) -> Any:
    """The largest of a tile's vectors, lane by lane; NaN where one of them is."""

    def code(b: Any, t: Any) -> Any:
        vectors = _parts(b, t)
        while len(vectors) > 1:
            odd = vectors[len(vectors) // 2 * 2 :]
            vectors = [_larger_or_nan(b, vectors[i], vectors[i + 1]) for i in range(0, len(vectors) - 1, 2)] + odd
        return vectors[0]

    return tile.vector, code


@_primitive
def number_at(address: Any) -> Any:
    """The float32 at an address."""
    return types.float32, lambda b, a: b.load(b.inttoptr(a, _FLOAT.as_pointer()))


@_primitive
def integer_at(address: Any) -> Any:
    """The int32 at an address, as an int64."""
    return types.int64, lambda b, a: b.sext(b.load(b.inttoptr(a, _INT32.as_pointer())), _INT64)


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
