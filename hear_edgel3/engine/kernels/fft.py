"""The Fourier transform of real frames, several frames at once: each lane of a vector is a frame.

Stockham's algorithm with radix 4 (Van Loan, "Computational Frameworks for the Fast Fourier Transform", SIAM 1992,
section 1.7): it needs no reordering, and with frames in the lanes every step is a whole vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import part
from hear_edgel3.compiled.simd import bytes_of, load, plus_times, splat, store
from hear_edgel3.engine.kernels.tile_ops import eight_point


def roots(n: int) -> np.ndarray:
    """(n, 2) float64, real and imaginary parts of exp(-2 pi i k / n)."""
    z = np.exp(-2j * np.pi * np.arange(n) / n)
    return np.stack([z.real, z.imag], axis=1)


@part
def _times(re: Any, im: Any, w: Any, k: int, target: int) -> None:
    """Writes a complex vector times root number k."""
    size = bytes_of(re)
    wr, wi = w[k, 0], w[k, 1]
    store(plus_times(re * splat(re, wr), im, -wi), target)
    store(plus_times(im * splat(re, wr), re, wi), target + size)


@part
def transform(zero: Any, n: int, w: Any, x: int, y: int) -> int:
    """The complex Fourier transform of n values, a power of 2.

    Args:
        zero: a vector of zeros.
        n: how many values.
        w: (2 * n, 2) roots of unity, of the vectors' kind, by :func:`roots`.
        x: address of (n, 2) vectors, real and imaginary parts; it is overwritten.
        y: address of memory for as many.

    Returns:
        The address of the result: x or y.
    """
    return _by_fours(zero, n, n, 1, w, x, y)


@part
def _by_fours(zero: Any, total: int, n: int, stride: int, w: Any, x: int, y: int) -> int:
    """The passes of a transform of `total` values that are left when it has come down to `stride` of n each."""
    size = bytes_of(zero)
    pair = 2 * size
    while n > 2:
        quarter = n // 4
        step = 2 * total // n
        for p in range(quarter):
            for q in range(stride):
                a = x + (q + stride * p) * pair
                b, c, d = a + stride * quarter * pair, a + stride * 2 * quarter * pair, a + stride * 3 * quarter * pair
                ar, ai, br, bi = load(zero, a), load(zero, a + size), load(zero, b), load(zero, b + size)
                cr, ci, dr, di = load(zero, c), load(zero, c + size), load(zero, d), load(zero, d + size)
                sum_r, sum_i, less_r, less_i = ar + cr, ai + ci, ar - cr, ai - ci
                # The others' difference comes times i.
                more_r, more_i, turned_r, turned_i = br + dr, bi + di, di - bi, br - dr
                target = y + (q + stride * 4 * p) * pair
                store(sum_r + more_r, target)
                store(sum_i + more_i, target + size)
                _times(less_r - turned_r, less_i - turned_i, w, step * p, target + stride * pair)
                _times(sum_r - more_r, sum_i - more_i, w, 2 * step * p, target + 2 * stride * pair)
                _times(less_r + turned_r, less_i + turned_i, w, 3 * step * p, target + 3 * stride * pair)
        n, stride = quarter, 4 * stride
        x, y = y, x
    if n == 2:
        for q in range(stride):
            for i in range(2):
                a = x + q * pair + i * size
                b = a + stride * pair
                first, second = load(zero, a), load(zero, b)
                store(first + second, y + q * pair + i * size)
                store(first - second, y + (q + stride) * pair + i * size)
        x, y = y, x
    return x


@part
def first_by_eights(zero: Any, n: int, w: Any, some: int, first: int, many: int, y: int) -> None:
    """The first pass of a transform with radix 8, for some of the values; it leaves eight shorter transforms.

    Args:
        zero: a vector of zeros.
        n: how many values the transform has, a power of 2 of at least 64.
        w: (2 * n, 2) float32 roots of unity.
        some: address of the values (8, many, 2): those from `first` on of each eighth.
        first: see there.
        many: see there.
        y: address for (8, n / 8 + 1, 2) vectors, the values of the shorter transforms; the last ones are not used, as
            values that are whole pages apart would fall into the same sets of a cache.
    """
    pair, roots_at = 2 * bytes_of(zero), w.ctypes.data
    apart = (n // 8 + 1) * pair
    for i in range(many):
        source, target = some + i * pair, y + (first + i) * pair
        if first + i == 0:
            eight_point(zero, source, many * pair, roots_at, 0, target, apart, 0)
        else:
            eight_point(zero, source, many * pair, roots_at, 2 * (first + i), target, apart, 1)


@part
def others_by_eights(zero: Any, n: int, w: Any, y: int, x: int) -> int:
    """The passes of a transform after the first one: each shorter transform to its end, while a fast cache holds it.

    Args:
        zero: a vector of zeros.
        n: how many values the whole transform has.
        w: its roots of unity.
        y: address of the shorter transforms' values, by :func:`first_by_eights`; they are overwritten.
        x: address of memory for as many.

    Returns:
        The address of the result, x or y: value k lies at place ``k % 8 * (n / 8 + 1) + k / 8``.
    """
    pair, shorter, roots_at = 2 * bytes_of(zero), n // 8, w.ctypes.data
    found = y
    for i in range(8):
        offset = i * (shorter + 1) * pair
        here, there = y + offset, x + offset
        left, stride = shorter, 1
        while left >= 8:
            eighth = left // 8
            step = 2 * n // left
            for p in range(eighth):
                for q in range(stride):
                    source, target = here + (q + stride * p) * pair, there + (q + stride * 8 * p) * pair
                    if p == 0:
                        eight_point(zero, source, stride * eighth * pair, roots_at, 0, target, stride * pair, 0)
                    else:
                        eight_point(zero, source, stride * eighth * pair, roots_at, step * p, target, stride * pair, 1)
            left, stride = eighth, 8 * stride
            here, there = there, here
        found = _by_fours(zero, n, left, stride, w, here, there) - offset
    return found


@part
def powers(zero: Any, n: int, w: Any, z: int, target: int, by: int) -> None:
    """Squared magnitudes, times 4, of the transform of 2 * n real values, from that of n complex pairs of them.

    Args:
        zero: a vector of zeros.
        n: how many complex values.
        w: (2 * n, 2) roots of unity.
        z: address of their transform.
        target: address for n + 1 vectors.
        by: the transform's value k lies at place ``k % 2 ** by * (n / 2 ** by + 1) + k / 2 ** by``.
    """
    size = bytes_of(zero)
    part = (n >> by) + 1
    for k in range(n // 2 + 1):
        mirrored = (n - k) & (n - 1)
        here = z + 2 * ((k - (k >> by << by)) * part + (k >> by)) * size
        there = z + 2 * ((mirrored - (mirrored >> by << by)) * part + (mirrored >> by)) * size
        hr, hi, tr, ti = load(zero, here), load(zero, here + size), load(zero, there), load(zero, there + size)
        # Twice the transforms of the even and of the odd values; the latter turned by root k.
        even_r, even_i, odd_r, odd_i = hr + tr, hi - ti, hi + ti, tr - hr
        wr, wi = w[k, 0], w[k, 1]
        turned_r = plus_times(odd_r * splat(zero, wr), odd_i, -wi)
        turned_i = plus_times(odd_i * splat(zero, wr), odd_r, wi)
        one_r, one_i, other_r, other_i = even_r + turned_r, even_i + turned_i, even_r - turned_r, even_i - turned_i
        store(one_r * one_r + one_i * one_i, target + k * size)
        store(other_r * other_r + other_i * other_i, target + (n - k) * size)
