"""What the primitives of :mod:`hear_edgel3.compiled.simd` are made with: types, and writing LLVM code.

Numbers of lanes, rows and columns that the primitives take must be known when a kernel is compiled: literals or closure
variables. :func:`primitive` explains how.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

FLOAT, DOUBLE, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
BYTES = 4


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
        return ir.VectorType(DOUBLE if self.double else FLOAT, self.lanes)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.lanes * BYTES * (2 if self.double else 1)


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


def at(b: Any, address: Any, offset: int = 0) -> Any:
    """An address and some bytes more."""
    return b.add(address, ir.Constant(INT64, offset)) if offset else address


def load_at(b: Any, address: Any, vector: Vector) -> Any:
    """The vector at an address."""
    return b.load(b.inttoptr(address, vector.code.as_pointer()), align=vector.size)


def store_at(b: Any, value: Any, address: Any, vector: Vector) -> None:
    """Writes a vector to an address."""
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=vector.size)


def splat_to(b: Any, scalar: Any, lanes: int) -> Any:
    """A number in so many lanes."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(INT32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    """The product of x and y, plus z."""
    # fmuladd, not fma: where there is no such instruction it is a product and a sum, and not a call of the C library.
    function = cgutils.get_or_insert_function(
        b.module,
        ir.FunctionType(x.type, [x.type] * 3),
        f"llvm.fmuladd.v{x.type.count}f{64 if x.type.element == DOUBLE else 32}",
    )
    return b.call(function, [x, y, z])


def larger_of(b: Any, x: Any, y: Any) -> Any:
    """The larger of two vectors, lane by lane."""
    # One instruction. Where one of them is NaN, or both are equal, it gives y.
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def larger_or_nan(b: Any, x: Any, y: Any) -> Any:
    """The larger of two vectors, lane by lane, or NaN."""
    # As larger_of, but NaN wherever either is.
    return b.select(b.fcmp_unordered("uno", x, x), x, larger_of(b, x, y))


def parts_of(b: Any, tile: Any) -> list[Any]:
    """The vectors of a tile."""
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def joined(b: Any, vectors: Sequence[Any]) -> Any:
    """The tile of vectors."""
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def _suits(kind: Any, annotation: Any) -> bool:
    """Whether what numba knows of an argument suits a primitive's parameter."""
    if annotation is int:
        return isinstance(kind, types.IntegerLiteral)
    return annotation is Any or isinstance(kind, annotation)


def primitive(function: Callable[..., tuple[Any, Callable[..., Any]]]) -> Any:
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

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            made = code(builder, *arguments)
            return context.get_dummy_value() if result == types.void else made

        return result(*kinds), generate

    # numba reads the arguments' names from the signature, which has the context in front.
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typing.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    typing.__name__, typing.__qualname__, typing.__doc__ = function.__name__, function.__qualname__, function.__doc__
    return intrinsic(prefer_literal=True)(typing)
