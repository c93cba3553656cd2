"""The primitives of inverted residuals: pointwise and depthwise convolution of tiles, and their activations.

None of them hides a value that is not finite: a net that overflows gives NaN, as it does in torch.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from hear_edgel3.compiled.primitive import (
    BYTES,
    FLOAT,
    INT32,
    INT64,
    Tile,
    Vector,
    at,
    joined,
    larger_of,
    load_at,
    multiply_add,
    parts_of,
    primitive,
    splat_to,
    store_at,
)


def _constant(x: Any, value: float) -> Any:
    return ir.Constant(x.type, [value] * x.type.count)


def _number(b: Any, address: Any) -> Any:
    return b.load(b.inttoptr(address, FLOAT.as_pointer()))


def _between(b: Any, x: Any, low: float, high: float) -> Any:
    """Limits a vector to a range; NaN stays NaN."""
    x = larger_of(b, _constant(x, low), x)
    return b.select(b.fcmp_ordered("<", _constant(x, high), x), _constant(x, high), x)


@primitive
def zero_of(tile: Tile) -> Any:
    """A vector of zeros, of a tile's kind."""
    vector = tile.vector
    return vector, lambda b, _: ir.Constant(vector.code, [0.0] * vector.lanes)


@primitive
def biases(like: Tile, address: Any) -> Any:
    """A tile of another one's shape, each of whose rows is filled with one float32 of those at an address."""

    def code(b: Any, _: Any, a: Any) -> Any:
        rows = [splat_to(b, _number(b, at(b, a, BYTES * i)), like.vector.lanes) for i in range(like.rows)]
        return joined(b, [row for row in rows for _ in range(like.columns)])

    return like, code


@primitive
def depthwise(tile: Tile, k: int, s: int, d: int, trim: int, by_lane: int, weights: Any, x: Any, pitch: Any) -> Any:
    """Adds to a tile a convolution of one channel.

    Args:
        tile: sums of neighbouring outputs.
        k: taps in either direction.
        s: stride.
        d: dilation.
        trim: 0 where what lies beyond a row's ends is in memory; else the vectors of a row, all of whose outputs the
            tile holds: taps beyond its ends are left out.
        by_lane: 1 if there is a vector for each weight, 0 if it is the same in all lanes.
        weights: address of k by k float32, or vectors.
        x: address of the first vector of the first row that is needed; of the row, where it is trimmed.
        pitch: bytes from a row to the next.
    """
    vector, reach = tile.vector, k // 2 * d

    def weight(b: Any, w: Any, number: int) -> Any:
        if by_lane:
            return load_at(b, at(b, w, vector.size * number), vector)
        return splat_to(b, _number(b, at(b, w, BYTES * number)), vector.lanes)

    def code(b: Any, t: Any, _k: Any, _s: Any, _d: Any, _trim: Any, _by_lane: Any, w: Any, a: Any, p: Any) -> Any:
        sums = parts_of(b, t)
        for line in range((tile.rows - 1) * s + (k - 1) * d + 1):
            row = b.add(a, b.mul(p, ir.Constant(INT64, line)))
            seen: dict[int, Any] = {}
            for r in range(tile.rows):
                dy, between = divmod(line - r * s, d)
                if between or not 0 <= dy < k:
                    continue
                for dx in range(k):
                    columns = {c: c * s + dx * d - (reach if trim else 0) for c in range(tile.columns)}
                    columns = {c: place for c, place in columns.items() if not trim or 0 <= place < trim}
                    if not columns:
                        continue
                    factor = weight(b, w, dy * k + dx)
                    for c, place in columns.items():
                        if place not in seen:
                            seen[place] = load_at(b, at(b, row, place * vector.size), vector)
                        i = r * tile.columns + c
                        sums[i] = multiply_add(b, factor, seen[place], sums[i])
        return joined(b, sums)

    return tile, code


@primitive
def three_by_three(tile: Tile, weights: Any, apart: Any, x: Any, pitch: Any) -> Any:
    """Adds to a tile a convolution of one plane with 3 by 3 taps and stride 2; its rows are outputs.

    Args:
        tile: sums of neighbouring columns.
        weights: address of 3 by 3 float32 for the first output.
        apart: bytes from there to those for the next one.
        x: address of the first vector of the first row that is needed.
        pitch: bytes from a row to the next.
    """
    vector = tile.vector

    def code(b: Any, t: Any, w: Any, between: Any, a: Any, p: Any) -> Any:
        sums = parts_of(b, t)
        outputs = [b.add(w, b.mul(between, ir.Constant(INT64, r))) for r in range(tile.rows)]
        for dy in range(3):
            row = b.add(a, b.mul(p, ir.Constant(INT64, dy)))
            seen = [load_at(b, at(b, row, i * vector.size), vector) for i in range(2 * tile.columns + 1)]
            for dx in range(3):
                for r, output in enumerate(outputs):
                    factor = splat_to(b, _number(b, at(b, output, BYTES * (3 * dy + dx))), vector.lanes)
                    for c in range(tile.columns):
                        i = r * tile.columns + c
                        sums[i] = multiply_add(b, factor, seen[2 * c + dx], sums[i])
        return joined(b, sums)

    return tile, code


@primitive
def add_outer_scaled(tile: Tile, scalars: Any, vectors: Any, scale: Vector) -> Any:
    """Adds to tile[i, j] the i-th float32 at one address times the j-th vector at another, which is scaled before.

    The scaled vectors take the place of those in memory.
    """
    vector = tile.vector

    def code(b: Any, t: Any, s: Any, a: Any, f: Any) -> Any:
        old = parts_of(b, t)
        right = [b.fmul(load_at(b, at(b, a, j * vector.size), vector), f) for j in range(tile.columns)]
        for j in range(tile.columns):
            store_at(b, right[j], at(b, a, j * vector.size), vector)
        new = []
        for i in range(tile.rows):
            factor = splat_to(b, _number(b, at(b, s, i * BYTES)), vector.lanes)
            new += [multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return joined(b, new)

    return tile, code


@primitive
def add_outer_by_lane(tile: Tile, weights: Any, vectors: Any) -> Any:
    """Adds to tile[i, j] the i-th vector at one address times the j-th vector at another."""
    vector = tile.vector

    def code(b: Any, t: Any, w: Any, a: Any) -> Any:
        old, new = parts_of(b, t), []
        right = [load_at(b, at(b, a, j * vector.size), vector) for j in range(tile.columns)]
        for i in range(tile.rows):
            factor = load_at(b, at(b, w, i * vector.size), vector)
            new += [multiply_add(b, factor, right[j], old[i * tile.columns + j]) for j in range(tile.columns)]
        return joined(b, new)

    return tile, code


@primitive
def add_tile_at(tile: Tile, address: Any, stride: Any) -> Any:
    """A tile plus the one in memory, whose rows begin `stride` bytes apart."""
    vector = tile.vector

    def code(b: Any, t: Any, a: Any, s: Any) -> Any:
        old, new = parts_of(b, t), []
        for r in range(tile.rows):
            row = b.add(a, b.mul(s, ir.Constant(INT64, r)))
            for c in range(tile.columns):
                there = load_at(b, at(b, row, c * vector.size), vector)
                new.append(b.fadd(old[r * tile.columns + c], there))
        return joined(b, new)

    return tile, code


@primitive
def up_to_six(tile: Tile) -> Any:
    """Each value of a tile, limited to 0 ... 6: ReLU6."""
    return tile, lambda b, t: joined(b, [_between(b, x, 0.0, 6.0) for x in parts_of(b, t)])


@primitive
def hard_swish(tile: Tile) -> Any:
    """Each value of a tile times clip(x + 3, 0, 6) / 6."""

    def code(b: Any, t: Any) -> Any:
        new = []
        for x in parts_of(b, t):
            y = multiply_add(b, x, _constant(x, 1 / 6), _constant(x, 0.5))
            new.append(b.fmul(x, _between(b, y, 0.0, 1.0)))
        return joined(b, new)

    return tile, code


def _power_of_two(b: Any, y: Any) -> tuple[Any, Any]:
    """2 ** y as two factors, of which the first is at least 2 ** -0.5, and the other one a power of two.

    2 ** y is 2 ** rint(y), by the bits of a float32, times a polynomial of the rest (Cephes ``exp2f``). Y is limited to
    what has normal powers.
    """
    lanes = y.type.count
    ints = ir.VectorType(INT32, lanes)
    y = _between(b, y, -126.0, 126.0)
    rint = cgutils.get_or_insert_function(b.module, ir.FunctionType(y.type, [y.type]), f"llvm.rint.v{lanes}f32")
    whole = b.call(rint, [y])
    rest = b.fsub(y, whole)
    p = _constant(y, 1.5353362e-4)
    for c in (1.3398874e-3, 9.6184373e-3, 5.5503324e-2, 2.4022648e-1, 6.9314718e-1, 1.0):
        p = multiply_add(b, p, rest, _constant(y, c))
    exponent = b.add(b.fptosi(whole, ints), ir.Constant(ints, [127] * lanes))
    return p, b.bitcast(b.shl(exponent, ir.Constant(ints, [23] * lanes)), y.type)


@primitive
def sigmoid(vector: Vector) -> Any:
    """1 / (1 + exp(-x)), to 2 units in the last place."""

    def code(b: Any, x: Any) -> Any:
        p, power = _power_of_two(b, b.fmul(x, _constant(x, -1.4426950408889634)))
        return b.fdiv(_constant(x, 1.0), multiply_add(b, p, power, _constant(x, 1.0)))

    return vector, code


@primitive
def tanh_of_half(vector: Vector) -> Any:
    """tanh(x / 2), which is 2 * sigmoid(x) - 1, to 4 units in the last place: of small x it is not a small difference.

    By its Taylor series for |x| < 0.6.
    """

    def code(b: Any, x: Any) -> Any:
        one = _constant(x, 1.0)
        p, power = _power_of_two(b, b.fmul(x, _constant(x, -1.4426950408889634)))
        large = b.fsub(b.fdiv(_constant(x, 2.0), multiply_add(b, p, power, one)), one)
        t = b.fmul(x, _constant(x, 0.5))
        q = b.fmul(t, t)
        series = _constant(x, -1382 / 155925)
        for c in (62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1.0):
            series = multiply_add(b, series, q, _constant(x, c))
        return b.select(b.fcmp_ordered("<", q, _constant(x, 0.09)), b.fmul(t, series), large)

    return vector, code


@primitive
def exponential(vector: Vector) -> Any:
    """exp(x) of x no larger than 80, to 2 units in the last place and |x| more; of x below -87 it is 1e-38."""

    def code(b: Any, x: Any) -> Any:
        p, power = _power_of_two(b, b.fmul(x, _constant(x, 1.4426950408889634)))
        return b.fmul(p, power)

    return vector, code


@primitive
def swapped(vector: Vector, step: int) -> Any:
    """A vector whose lanes have changed places with those `step` lanes on or back; unchanged, if it has no more."""
    change = step if step < vector.lanes else 0
    order = ir.Constant(ir.VectorType(INT32, vector.lanes), [i ^ change for i in range(vector.lanes)])
    return vector, lambda b, x, _: b.shuffle_vector(x, x, order)


@primitive
def where(vector: Vector, mask: Vector) -> Any:
    """A vector where a mask is not zero, and zero elsewhere, whatever the vector is there."""

    def code(b: Any, x: Any, m: Any) -> Any:
        return b.select(b.fcmp_unordered("!=", m, _constant(m, 0.0)), x, _constant(x, 0.0))

    return vector, code


@primitive
def masked(tile: Tile, mask: Any) -> Any:
    """A tile where a mask of its columns is not zero, and zero elsewhere, whatever it is there."""
    vector = tile.vector

    def code(b: Any, t: Any, a: Any) -> Any:
        within = [load_at(b, at(b, a, c * vector.size), vector) for c in range(tile.columns)]
        within = [b.fcmp_unordered("!=", m, _constant(m, 0.0)) for m in within]
        vectors = parts_of(b, t)
        return joined(b, [b.select(within[i % tile.columns], x, _constant(x, 0.0)) for i, x in enumerate(vectors)])

    return tile, code


@primitive
def store_moved(tile: Tile, column: int, lanes: int, mask: Vector, address: Any, stride: Any) -> Any:
    """Writes a column of a tile, each lane that of the lane so many behind it; zero where a mask is zero.

    Args:
        tile: whose column it is; if it has no such column, nothing is written.
        column: its number.
        lanes: how many; less than zero for lanes before it.
        mask: zero in all lanes that no other one's value comes to.
        address: of the first row's vector.
        stride: bytes from a row's vector to the next one's.
    """
    vector = tile.vector
    order = ir.Constant(ir.VectorType(INT32, vector.lanes), [(i + lanes) % vector.lanes for i in range(vector.lanes)])

    def code(b: Any, t: Any, _c: Any, _l: Any, m: Any, a: Any, s: Any) -> None:
        within = b.fcmp_unordered("!=", m, _constant(m, 0.0))
        for r, x in enumerate(parts_of(b, t)[column :: tile.columns]):
            moved = b.select(within, b.shuffle_vector(x, x, order), _constant(x, 0.0))
            store_at(b, moved, b.add(a, b.mul(s, ir.Constant(INT64, r))), vector)

    return types.void, code if column < tile.columns else lambda *_: None


@primitive
def logarithm(vector: Vector) -> Any:
    """The natural logarithm of normal positive numbers, to 2 units in the last place.

    By m in [sqrt(1/2), sqrt(2)) and ln m = 2 artanh((m - 1) / (m + 1)). What is not finite stays so.
    """
    ints = ir.VectorType(INT32, vector.lanes)

    def code(b: Any, x: Any) -> Any:
        def number(value: int) -> Any:
            return ir.Constant(ints, [value] * vector.lanes)

        root_half = number(0x3F3504F3)  # the bits of sqrt(1/2)
        bits = b.sub(b.bitcast(x, ints), root_half)
        exponent = b.sitofp(b.ashr(bits, number(23)), x.type)
        m = b.bitcast(b.add(b.and_(bits, number(0x7FFFFF)), root_half), x.type)
        s = b.fdiv(b.fsub(m, _constant(x, 1.0)), b.fadd(m, _constant(x, 1.0)))
        q = b.fmul(s, s)
        p = _constant(x, 2 / 11)
        for c in (2 / 9, 2 / 7, 2 / 5, 2 / 3):
            p = multiply_add(b, p, q, _constant(x, c))
        # ln 2 in two parts, so that the product of the larger one and the exponent is exact.
        small = multiply_add(b, exponent, _constant(x, -2.12194440e-4), b.fmul(b.fmul(s, q), p))
        small = multiply_add(b, s, _constant(x, 2.0), small)
        found = multiply_add(b, exponent, _constant(x, 0.693359375), small)
        return b.select(b.fcmp_ordered("<", x, _constant(x, float("inf"))), found, x)

    return vector, code


@primitive
def transpose_to(like: Vector, sources: Any, offset: Any, factors: Any, target: Any) -> Any:
    """Floats from as many addresses as there are lanes, as many as that, as vectors whose lanes are the sources.

    Args:
        like: a vector, for its lanes.
        sources: address of the addresses, which need not be aligned.
        offset: bytes that are added to each of them.
        factors: address of a float32 for each of the vectors, which it is multiplied with.
        target: address of the vectors.
    """
    n = like.lanes

    def code(b: Any, _: Any, s: Any, o: Any, f: Any, t: Any) -> None:
        rows = []
        for i in range(n):
            source = b.load(b.inttoptr(at(b, s, 8 * i), INT64.as_pointer()))
            rows.append(b.load(b.inttoptr(b.add(source, o), like.code.as_pointer()), align=BYTES))
        step = n // 2
        while step:
            low = [i if not i & step else n + i - step for i in range(n)]
            high = [i + step if not i & step else n + i for i in range(n)]
            for i in range(n):
                if not i & step:
                    x, y = rows[i], rows[i + step]
                    for place, order in ((i, low), (i + step, high)):
                        rows[place] = b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, n), order))
            step //= 2
        for i in range(n):
            factor = splat_to(b, _number(b, at(b, f, BYTES * i)), n)
            store_at(b, b.fmul(rows[i], factor), at(b, t, like.size * i), like)

    return types.void, code


@primitive
def eight_point(like: Vector, x: Any, apart: Any, roots: Any, step: Any, y: Any, stride: Any, turned: int) -> Any:
    """The Fourier transform of 8 complex vectors: one step of Stockham's algorithm with radix 8.

    Args:
        like: a vector, for its lanes.
        x: address of the first one; real and imaginary part lie one behind the other.
        apart: bytes from one to the next.
        roots: address of roots of unity, pairs of float32.
        step: the number of the root that result 1 is multiplied with; result k is with root k * step.
        y: address of the first result.
        stride: bytes from one to the next.
        turned: 1 if results are multiplied, 0 if not.
    """
    size = like.size

    def four(b: Any, v: list[Any]) -> list[Any]:
        """The transform of 4 values, pairs of a real and an imaginary part."""
        (ar, ai), (br, bi), (cr, ci), (dr, di) = v
        pr, pi, mr, mi = b.fadd(ar, cr), b.fadd(ai, ci), b.fsub(ar, cr), b.fsub(ai, ci)
        qr, qi, nr, ni = b.fadd(br, dr), b.fadd(bi, di), b.fsub(br, dr), b.fsub(bi, di)
        return [
            (b.fadd(pr, qr), b.fadd(pi, qi)),
            (b.fadd(mr, ni), b.fsub(mi, nr)),
            (b.fsub(pr, qr), b.fsub(pi, qi)),
            (b.fsub(mr, ni), b.fadd(mi, nr)),
        ]

    def code(b: Any, _like: Any, a: Any, d: Any, w: Any, k: Any, out: Any, s: Any, _turned: Any) -> None:
        def value(i: int) -> tuple[Any, Any]:
            place = b.add(a, b.mul(d, ir.Constant(INT64, i)))
            return load_at(b, place, like), load_at(b, at(b, place, size), like)

        even, odd = four(b, [value(i) for i in (0, 2, 4, 6)]), four(b, [value(i) for i in (1, 3, 5, 7)])
        (r0, i0), (r1, i1), (r2, i2), (r3, i3) = odd
        (er0, ei0), (er1, ei1), (er2, ei2), (er3, ei3) = even
        root, minus = _constant(r1, 0.5**0.5), _constant(r1, -(0.5**0.5))
        # Odd ones are turned by eighths of a circle: where that is a product, it is one with the sum that follows.
        sum1, less1, sum3, less3 = b.fadd(r1, i1), b.fsub(i1, r1), b.fadd(r3, i3), b.fsub(i3, r3)
        results = [
            (b.fadd(er0, r0), b.fadd(ei0, i0)),
            (multiply_add(b, sum1, root, er1), multiply_add(b, less1, root, ei1)),
            (b.fadd(er2, i2), b.fsub(ei2, r2)),
            (multiply_add(b, less3, root, er3), multiply_add(b, sum3, minus, ei3)),
            (b.fsub(er0, r0), b.fsub(ei0, i0)),
            (multiply_add(b, sum1, minus, er1), multiply_add(b, less1, minus, ei1)),
            (b.fsub(er2, i2), b.fadd(ei2, r2)),
            (multiply_add(b, less3, minus, er3), multiply_add(b, sum3, root, ei3)),
        ]
        for i, (re, im) in enumerate(results):
            if turned and i:
                place = b.add(w, b.mul(k, ir.Constant(INT64, 2 * BYTES * i)))
                wr = splat_to(b, _number(b, place), like.lanes)
                wi = splat_to(b, _number(b, at(b, place, BYTES)), like.lanes)
                re, im = (  # noqa: PLW2901
                    multiply_add(b, b.fneg(im), wi, b.fmul(re, wr)),
                    multiply_add(b, re, wi, b.fmul(im, wr)),
                )
            place = b.add(out, b.mul(s, ir.Constant(INT64, i)))
            store_at(b, re, place, like)
            store_at(b, im, at(b, place, size), like)

    return types.void, code
