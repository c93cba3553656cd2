"""Vectors for numba: the few primitives that the kernels are written with.

A :class:`Vector` of float32 or float64 is one register (or as many as the machine needs for its lanes); a
:class:`Tile` is a fixed number of vectors that stay in registers over a loop. Both exist only inside compiled
functions. ``+``, ``-`` and ``*`` work on vectors. Addresses are plain integers, of memory that is aligned to a vector.

The lanes and counts that the primitives take must be known when a kernel is compiled: literals or closure variables.
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
    """Type of float32 lanes, or of float64 ones.

    The lanes of one image are its strips; those of several images lie one behind the other.
    """

    def __init__(self, lanes: int, strips: int, double: bool = False) -> None:
        self.lanes, self.strips, self.double = lanes, strips, double
        super().__init__(name=f"{'Doubles' if double else 'Vector'}({lanes}, {strips})")

    @property
    def code(self) -> ir.VectorType:
        """What LLVM calls it."""
        return ir.VectorType(_DOUBLE if self.double else _FLOAT, self.lanes)


class Tile(types.Type):  # type: ignore[misc]
    """Type of some rows and columns of vectors."""

    def __init__(self, rows: int, columns: int, lanes: int, strips: int) -> None:
        self.rows, self.columns, self.lanes, self.strips = rows, columns, lanes, strips
        super().__init__(name=f"Tile({rows}, {columns}, {lanes}, {strips})")

    @property
    def count(self) -> int:
        """How many vectors."""
        return self.rows * self.columns


def _vector(lanes: int) -> ir.VectorType:
    return ir.VectorType(_FLOAT, lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, fe_type.code)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Tile) -> None:
        super().__init__(dmm, fe_type, ir.ArrayType(_vector(fe_type.lanes), fe_type.count))


def _at(b: Any, address: Any, offset: int = 0) -> Any:
    return b.add(address, ir.Constant(_INT64, offset)) if offset else address


def _size(vector: ir.VectorType) -> int:
    """Bytes of a vector."""
    return int(vector.count) * _BYTES * (2 if vector.element == _DOUBLE else 1)


def _load_as(b: Any, address: Any, vector: ir.VectorType) -> Any:
    return b.load(b.inttoptr(address, vector.as_pointer()), align=_size(vector))


def _load(b: Any, address: Any, lanes: int) -> Any:
    return _load_as(b, address, _vector(lanes))


def _store(b: Any, value: Any, address: Any) -> None:
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=_size(value.type))


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
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def _parts(b: Any, tile: Any) -> list[Any]:
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def _joined(b: Any, vectors: Sequence[Any]) -> Any:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def _primitive(function: Callable[..., tuple[Any, Callable[..., Any]]]) -> Any:
    """An intrinsic whose integer literals arrive as ints; `function` returns its result's type and its code."""

    def typing(_context: Any, *types_of: Any) -> Any:
        values = [t.literal_value if isinstance(t, types.IntegerLiteral) else t for t in types_of]
        try:
            result, code = function(*values)
        except (TypeError, AttributeError):  # a count that is not known, or no vector: numba says what it was given
            return None
        # An address that happens to be a literal is an integer like others.
        kinds = [t if isinstance(t, (Vector, Tile)) else types.unliteral(t) for t in types_of]
        kinds = [t if isinstance(t, types.IntegerLiteral) else k for t, k in zip(types_of, kinds, strict=True)]

        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            made = code(builder, *arguments)
            return context.get_dummy_value() if result == types.void else made

        return result(*kinds), generate

    # numba reads the arguments' names from the signature, which has the context in front.
    parameters = inspect.signature(function).parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typing.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    typing.__name__, typing.__qualname__, typing.__doc__ = function.__name__, function.__qualname__, function.__doc__
    return intrinsic(prefer_literal=True)(typing)


@_primitive
def load(like: Any, address: Any) -> Any:
    """The vector at an address, of another one's kind."""
    return like, lambda b, _, a: _load_as(b, a, like.code)


@_primitive
def store(vector: Any, address: Any) -> Any:
    """Writes a vector."""
    return types.void, lambda b, v, a: _store(b, v, a)


@_primitive
def expect_store(like: Any, address: Any) -> Any:
    """Has the memory of a vector fetched, to write one there of another one's kind soon; it need not exist."""

    def code(b: Any, _: Any, a: Any) -> None:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
        prefetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0i8")
        for_writing, nearest, data = (ir.Constant(_INT32, n) for n in (1, 3, 1))
        b.call(prefetch, [b.inttoptr(a, pointer), for_writing, nearest, data])

    return types.void, code


@_primitive
def lanes_of(vector: Any) -> Any:
    """How many lanes a vector has."""
    return types.int64, lambda b, _: ir.Constant(_INT64, vector.lanes)


@_primitive
def zeros(lanes: Any, strips: Any) -> Any:
    """A vector of zeros, for images of so many strips each."""
    return Vector(lanes, strips), lambda b, _l, _s: ir.Constant(_vector(lanes), [0.0] * lanes)


@_primitive
def double_zeros(lanes: Any) -> Any:
    """A vector of float64 zeros."""
    kind = Vector(lanes, lanes, double=True)
    return kind, lambda b, _: ir.Constant(kind.code, [0.0] * lanes)


@_primitive
def splat(like: Any, scalar: Any) -> Any:
    """A number of a vector's kind in all lanes, as many as the vector has."""
    return like, lambda b, _, x: _splat(b, x, like.lanes)


@_primitive
def larger(x: Any, y: Any) -> Any:
    """The larger of two vectors, lane by lane."""
    return x, lambda b, v, w: _larger(b, v, w)


@_primitive
def plus_times(z: Any, x: Any, number: Any) -> Any:
    """Adds x times a number of their kind to z, rounded once where the machine can."""
    return z, lambda b, v, w, n: _multiply_add(b, w, _splat(b, n, z.lanes), v)


@_primitive
def from_lane_before(vector: Any) -> Any:
    """Each lane gets what the lane before it had; the first one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(_INT32, lanes), [i - 1 if i % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@_primitive
def from_lane_behind(vector: Any) -> Any:
    """Each lane gets what the lane behind it had; the last one of each image gets 0."""
    lanes, strips = vector.lanes, vector.strips
    order = ir.Constant(ir.VectorType(_INT32, lanes), [i + 1 if (i + 1) % strips else lanes for i in range(lanes)])
    return vector, lambda b, v: b.shuffle_vector(v, ir.Constant(v.type, [0.0] * lanes), order)


@_primitive
def tile_of(rows: Any, columns: Any, vector: Any) -> Any:
    """A tile with the same vector everywhere."""
    return Tile(rows, columns, vector.lanes, vector.strips), lambda b, _r, _c, v: _joined(b, [v] * (rows * columns))


@_primitive
def filled(like: Any, vector: Any) -> Any:
    """A tile of another one's shape, with the same vector everywhere."""
    return like, lambda b, _, v: _joined(b, [v] * like.count)


@_primitive
def load_tile(like: Any, address: Any) -> Any:
    """A tile of another one's shape, whose vectors lie one behind the other."""
    size = like.lanes * _BYTES
    return like, lambda b, _, a: _joined(b, [_load(b, _at(b, a, i * size), like.lanes) for i in range(like.count)])


@_primitive
def store_tile(tile: Any, address: Any, stride: Any) -> Any:
    """Writes a tile; its rows begin `stride` bytes apart, a row's vectors lie one behind the other."""
    size = tile.lanes * _BYTES

    def code(b: Any, t: Any, a: Any, s: Any) -> None:
        vectors = _parts(b, t)
        for r in range(tile.rows):
            row = b.add(a, b.mul(s, ir.Constant(_INT64, r)))
            for c in range(tile.columns):
                _store(b, vectors[r * tile.columns + c], _at(b, row, c * size))

    return types.void, code


@_primitive
def rows_of(tile: Any) -> Any:
    """A tile's rows."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.rows)


@_primitive
def columns_of(tile: Any) -> Any:
    """A tile's columns."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.columns)


@_primitive
def lanes_of_tile(tile: Any) -> Any:
    """How many lanes a tile's vectors have."""
    return types.int64, lambda b, _: ir.Constant(_INT64, tile.lanes)


@_primitive
def add_scaled(tile: Any, scalar: Any, address: Any) -> Any:
    """Adds to each vector of a tile a float32 times the vector at its place in memory.

    That is a patch of two more columns than the tile, of which the address is the first vector to take.
    """
    size, pitch = tile.lanes * _BYTES, tile.columns + 2

    def code(b: Any, t: Any, x: Any, a: Any) -> Any:
        factor = _splat(b, x, tile.lanes)
        places = [(r * pitch + c) * size for r in range(tile.rows) for c in range(tile.columns)]
        return _joined(
            b,
            [
                _multiply_add(b, factor, _load(b, _at(b, a, p), tile.lanes), o)
                for p, o in zip(places, _parts(b, t), strict=True)
            ],
        )

    return tile, code


@_primitive
def add_outer(tile: Any, scalars: Any, vectors: Any) -> Any:
    """Adds to tile[i, j] the i-th float32 at one address times the j-th vector at another."""
    size = tile.lanes * _BYTES

    def code(b: Any, t: Any, s: Any, a: Any) -> Any:
        old = _parts(b, t)
        right = [_load(b, _at(b, a, j * size), tile.lanes) for j in range(tile.columns)]
        new = []
        for i in range(tile.rows):
            scalar = b.load(b.inttoptr(_at(b, s, i * _BYTES), _FLOAT.as_pointer()))
            factor = _splat(b, scalar, tile.lanes)
            new += [_multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return _joined(b, new)

    return tile, code


@_primitive
def tile_larger(tile: Any, vector: Any) -> Any:
    """The larger of each vector of a tile and one vector."""
    return tile, lambda b, t, v: _joined(b, [_larger(b, x, v) for x in _parts(b, t)])


@_primitive
def tile_plus(tile: Any, vector: Any) -> Any:
    """A tile with a vector added to each of its own."""
    return tile, lambda b, t, v: _joined(b, [b.fadd(x, v) for x in _parts(b, t)])


@_primitive
def tile_plus_tile(tile: Any, other: Any) -> Any:
    """The sum of two tiles of a shape."""
    return tile, lambda b, t, o: _joined(b, [b.fadd(x, y) for x, y in zip(_parts(b, t), _parts(b, o), strict=True)])


@_primitive
def pooled(tile: Any) -> Any:
    """The largest of each 2 by 2 vectors of a tile; an odd last column is left out."""
    columns = tile.columns // 2

    def code(b: Any, t: Any) -> Any:
        v = _parts(b, t)
        new = []
        for r in range(0, tile.rows, 2):
            for c in range(columns):
                i = r * tile.columns + 2 * c
                j = i + tile.columns
                new.append(_larger(b, _larger(b, v[i], v[i + 1]), _larger(b, v[j], v[j + 1])))
        return _joined(b, new)

    return Tile(tile.rows // 2, columns, tile.lanes, tile.strips), code


@_primitive
def largest(tile: Any) -> Any:
    """The largest of a tile's vectors, lane by lane."""

    def code(b: Any, t: Any) -> Any:
        vectors = _parts(b, t)
        while len(vectors) > 1:
            odd = vectors[len(vectors) // 2 * 2 :]
            vectors = [_larger(b, vectors[i], vectors[i + 1]) for i in range(0, len(vectors) - 1, 2)] + odd
        return vectors[0]

    return Vector(tile.lanes, tile.strips), code


@_primitive
def number_at(address: Any) -> Any:
    """The float32 at an address."""
    return types.float32, lambda b, a: b.load(b.inttoptr(a, _FLOAT.as_pointer()))


@_primitive
def integer_at(address: Any) -> Any:
    """The int32 at an address, as an int64."""
    return types.int64, lambda b, a: b.sext(b.load(b.inttoptr(a, _INT32.as_pointer())), _INT64)


def _binary(function: Any, code: Callable[[Any, Any, Any], Any]) -> None:
    """Teaches numba an operator on vectors."""

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
