"""The Hann window and the Fourier transform in float32 as TensorFlow computes them, to the last bit.

A spectrogram's quietest bands are made of what was rounded, so that they only come out if the same is rounded in the
same order. The transform has the operations of FFTPACK and its successors (pocketfft: M. Reinecke, after P. N.
Swarztrauber), as in SciPy too; libraries that torch uses round elsewhere. The window's cosine is a polynomial, as in
Eigen.
"""

from __future__ import annotations

import math

import torch

from hear_edgel3.families.image.kept import kept

# The greatest parts of pi / 2, for angles that lose no bits (Cody and Waite; in S. Moshier's Cephes), and what the
# cosine and the sine are made of near 0, the highest powers first.
_HALF_PI = (1.5703125, 4.837512969970703125e-4, 7.549789948768648e-8)
_COSINE = (2.4372266125283204e-5, -1.388652017340064e-3, 0.04166661947965622, -0.5, 1.0)
_SINE = (-1.959234114083703e-4, 8.332687365561685e-3, -0.16666662039822983)
_HALF_ROOT = 0.707106781186547524400844362104849


def hann_window(n: int) -> torch.Tensor:
    """(n,) the periodic Hann window, each step of it in float32."""
    return 0.5 - 0.5 * _cosine(torch.arange(n, dtype=torch.float32) * (2.0 * math.pi) / n)


def _cosine(angles: torch.Tensor) -> torch.Tensor:
    """Of angles that are not negative."""
    quarters = (angles * (2.0 / math.pi)).round()
    rest = angles
    for part in _HALF_PI:
        rest = rest - quarters * part
    square = rest * rest
    cosine, sine = torch.full_like(rest, _COSINE[0]), torch.full_like(rest, _SINE[0])
    for factor in _COSINE[1:]:
        cosine = cosine * square + factor
    for factor in _SINE[1:]:
        sine = sine * square + factor
    sine = sine * square * rest + rest
    return torch.stack([cosine, -sine, -cosine, sine]).gather(0, (quarters.long() % 4)[None])[0]


def is_power_of_two(n: int) -> bool:
    """Whether :func:`power_spectrum` takes frames of n samples."""
    return n > 1 and n & (n - 1) == 0


def power_spectrum(frames: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Squared magnitudes, differentiable.

    Args:
        frames: (..., n) float32; n is a power of two.
        dtype: Of the squares, which overflow in float32 long before what they are of does.

    Returns:
        (..., n // 2 + 1) of ``dtype``.
    """
    n, rows = frames.shape[-1], frames.reshape(-1, frames.shape[-1])
    squares = _transformed(rows.T.contiguous()).to(dtype).square()
    between = squares[1:-1].reshape(n // 2 - 1, 2, len(rows))
    power = torch.cat([squares[:1], between[:, 0] + between[:, 1], squares[-1:]])
    return power.T.reshape(*frames.shape[:-1], n // 2 + 1)


def _transformed(x: torch.Tensor) -> torch.Tensor:
    """Of each column: the first real part, real and imaginary parts in turn, and the last real part.

    Args:
        x: (n, columns), so that whatever is done is done to many numbers that stand beside each other.
    """
    n, columns = x.shape
    groups = n
    for radix in _radices(n):
        inside, groups = n // groups, groups // radix
        parts = list(x.reshape(radix, groups, inside, columns))
        twiddles = _twiddles(n, radix, groups, inside).to(x.device)
        # Each (groups, inside, columns); the results of a group stand behind each other.
        made = _two(parts, twiddles) if radix == 2 else _four(parts, twiddles)
        x = torch.stack(made, dim=1).reshape(n, columns)
    return x


def _radices(n: int) -> list[int]:
    """Fours, and at last a two if there is one."""
    twos = n.bit_length() - 1
    return [4] * (twos // 2) + [2] * (twos % 2)


@kept
def _twiddles(n: int, radix: int, groups: int, inside: int) -> torch.Tensor:
    """(radix - 1, 2, (inside - 1) // 2, 1) cosines and sines."""
    turns = torch.arange(1, radix, dtype=torch.float64)[:, None] * torch.arange(1, (inside - 1) // 2 + 1)
    angles = 2.0 * math.pi * groups * turns / n
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()[..., None]


def _turned(x: torch.Tensor, twiddle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The real and imaginary parts between the first and the last value, turned."""
    real, imaginary = _pairs(x)
    cosine, sine = twiddle
    return cosine * real + sine * imaginary, cosine * imaginary - sine * real


def _pairs(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands between the first and the last value: real parts, and imaginary ones."""
    return x[:, 1:-1:2], x[:, 2:-1:2]


def _joined(
    first: torch.Tensor, real: torch.Tensor, imaginary: torch.Tensor, last: torch.Tensor, backwards: bool = False
) -> torch.Tensor:
    pairs = torch.stack([real, imaginary], dim=2)
    pairs = pairs.flip(1) if backwards else pairs
    groups, n, _, columns = pairs.shape
    return torch.cat([first[:, None], pairs.reshape(groups, 2 * n, columns), last[:, None]], dim=1)


def _two(parts: list[torch.Tensor], twiddles: torch.Tensor) -> list[torch.Tensor]:
    a, b = parts
    if a.shape[1] == 1:
        return [a + b, a - b]
    first, last = [p[:, 0] for p in parts], [p[:, -1] for p in parts]
    ar, ai = _pairs(a)
    br, bi = _turned(b, twiddles[0])
    return [
        _joined(first[0] + first[1], ar + br, bi + ai, last[0]),
        _joined(-last[1], ar - br, bi - ai, first[0] - first[1], backwards=True),
    ]


def _four(parts: list[torch.Tensor], twiddles: torch.Tensor) -> list[torch.Tensor]:
    a, b, c, d = (p[:, 0] for p in parts)
    odd, even = d + b, a + c
    starts, ends = [even + odd, d - b], [a - c, even - odd]
    if parts[0].shape[1] == 1:
        return [x[:, None] for x in (starts[0], ends[0], starts[1], ends[1])]
    a, b, c, d = (p[:, -1] for p in parts)
    imaginary, real = -_HALF_ROOT * (b + d), _HALF_ROOT * (b - d)
    middle = [a + real, a - real, imaginary - c, imaginary + c]
    ar, ai = _pairs(parts[0])
    (br, bi), (cr, ci), (dr, di) = (_turned(p, t) for p, t in zip(parts[1:], twiddles, strict=True))
    real_1, real_4, imaginary_1, imaginary_4 = dr + br, dr - br, bi + di, bi - di
    real_2, real_3, imaginary_2, imaginary_3 = ar + cr, ar - cr, ai + ci, ai - ci
    return [
        _joined(starts[0], real_2 + real_1, imaginary_1 + imaginary_2, middle[0]),
        _joined(middle[2], real_3 - imaginary_4, real_4 - imaginary_3, ends[0], backwards=True),
        _joined(starts[1], real_3 + imaginary_4, real_4 + imaginary_3, middle[1]),
        _joined(middle[3], real_2 - real_1, imaginary_1 - imaginary_2, ends[1], backwards=True),
    ]
