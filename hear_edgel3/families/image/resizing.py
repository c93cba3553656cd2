"""Making images larger or smaller as ``tf.image.resize`` does it (half-pixel centres), as products with two matrices.

Each value of the result is a weighted mean of values around its place. The weights are those of TensorFlow's
``ScaleAndTranslate`` (``kernel((j + 0.5 - (i + 0.5) s) / w) / sum``, with the scale s from result to image, and the
width w = max(s, 1) with anti-aliasing, else 1), and for "area" the shares of the values under each value of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from hear_edgel3.families.image.kept import kept


def resize(
    images: torch.Tensor, height: int, width: int, method: str, anti_alias: bool, upwards: bool = False
) -> torch.Tensor:
    """Images of another size, differentiable.

    Args:
        images: (..., rows, columns) floating point.
        height: Rows of the result.
        width: Columns of the result.
        method: One of :data:`hear_edgel3.families.image.options.RESIZE_METHODS`.
        anti_alias: As of ``tf.image.resize``: no matter for nearest and area, or where the result is larger.
        upwards: Whether the result is turned upside down, which costs nothing here.

    Returns:
        (..., height, width).
    """
    if torch._C._get_tracing_state() is not None:  # whose sizes must stay open
        rows, columns = (torch._shape_as_tensor(images)[i] for i in (-2, -1))
        if method == "nearest":
            down, across = _nearest(rows, height), _nearest(columns, width)
            return images.index_select(-2, down.flip(0) if upwards else down).index_select(-1, across)
        down, across = (
            _weights(n, size, method, anti_alias, torch.float32) for n, size in ((rows, height), (columns, width))
        )
    else:
        n_rows, n_columns = images.shape[-2:]
        if method == "nearest":
            taken = (_kept_nearest(n, size) for n, size in ((n_rows, height), (n_columns, width)))
            down, across = (places.to(images.device) for places in taken)
            return images.index_select(-2, down.flip(0) if upwards else down).index_select(-1, across)
        down, across = (
            _kept_weights(n, size, method, anti_alias).to(images.device, images.dtype)
            for n, size in ((n_rows, height), (n_columns, width))
        )
    return (down.flip(0) if upwards else down) @ images @ across.T


@kept
def _kept_nearest(n: int, size: int) -> torch.Tensor:
    return _nearest(torch.tensor(n), size)


@kept
def _kept_weights(n: int, size: int, method: str, anti_alias: bool) -> torch.Tensor:
    return _weights(torch.tensor(n), size, method, anti_alias, torch.float64).float()


def _nearest(n: torch.Tensor, size: int) -> torch.Tensor:
    """(size,) which of n values is nearest to each of the result's."""
    scale = n.to(torch.float32) / size
    places = ((torch.arange(size, dtype=torch.float32) + 0.5) * scale).floor().long()
    return torch.minimum(places, n - 1)


def _weights(n: torch.Tensor, size: int, method: str, anti_alias: bool, dtype: torch.dtype) -> torch.Tensor:
    """(size, n) the weights of n values in each of the result's."""
    scale = n.to(dtype) / size
    count: Any = n  # a tensor while torch traces
    values = torch.arange(count, dtype=dtype)[None]
    if method == "area":
        begins = torch.arange(size, dtype=dtype)[:, None] * scale
        return (torch.minimum(begins + scale, values + 1.0) - torch.maximum(begins, values)).clamp_min(0.0) / scale
    # In float32 as there, because a value may lie just on the edge of a kernel.
    inverse = 1.0 / torch.div(torch.tensor(size, dtype=torch.float32), n.to(torch.float32))
    middles = ((torch.arange(size, dtype=torch.float32)[:, None] + 0.5) * inverse).to(dtype)
    if method == "bicubic" and not anti_alias:  # there by a table of 1024 places between two values
        first = (middles - 0.5).floor()
        middles = first + 0.5 + ((middles - 0.5 - first) * 1024.0).round() / 1024.0
    distance = values + 0.5 - middles
    if anti_alias:
        distance = distance / scale.clamp_min(1.0)
    radius, kernel = _KERNELS[method]
    weights = torch.where(distance.abs() <= radius, kernel(distance.abs()), 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1.0 - x).clamp_min(0.0)


def _keys(x: torch.Tensor) -> torch.Tensor:
    """Keys's cubic with a = -0.5."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))


def _mitchell(x: torch.Tensor) -> torch.Tensor:
    """Mitchell and Netravali's cubic with B = C = 1/3."""
    near = (7.0 * x - 12.0) * x * x / 6.0 + 16.0 / 18.0
    far = ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))


def _sinc(x: torch.Tensor) -> torch.Tensor:
    """As ``torch.sinc``, which cannot be exported."""
    angle = math.pi * torch.where(x == 0, 1.0, x)
    return torch.where(x == 0, 1.0, torch.sin(angle) / angle)


def _lanczos(radius: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def kernel(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x < radius, _sinc(x) * _sinc(x / radius), 0.0)

    return kernel


def _gaussian(x: torch.Tensor) -> torch.Tensor:
    """Of a deviation of 0.5, as far as 1.5."""
    return torch.where(x < 1.5, torch.exp(-2.0 * x * x), 0.0)


_KERNELS: dict[str, tuple[float, Callable[[torch.Tensor], torch.Tensor]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _keys),
    "mitchellcubic": (2.0, _mitchell),
    "lanczos3": (3.0, _lanczos(3.0)),
    "lanczos5": (5.0, _lanczos(5.0)),
    "gaussian": (1.5, _gaussian),
}
