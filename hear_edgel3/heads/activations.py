"""Activations by the names that Keras and this package's nets have for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.errors import InvalidOption
from hear_edgel3.heads.names import ACTIVATIONS

_ARELU_POSITIVE = 1.0 + 1.0 / (1.0 + math.exp(-2.0))  # 1.880797
_ARELU_NEGATIVE = 0.9


def arelu(x: torch.Tensor) -> torch.Tensor:
    """AReLU (Chen et al. 2020) with its starting values, at which DeepSpectrumLite leaves it.

    ``(1 + sigmoid(2)) x`` from 0 on, that is 1.880797 x; ``0.9 x`` below.
    """
    return torch.where(x >= 0, _ARELU_POSITIVE * x, _ARELU_NEGATIVE * x)


def hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Keras 2's: ``0.2 x + 0.5``, cut off at 0 and 1; torch's has a sixth in place of a fifth."""
    return (0.2 * x + 0.5).clamp(0.0, 1.0)


_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "arelu": arelu,
    "elu": functional.elu,
    "selu": torch.selu,
    "gelu": functional.gelu,
    "swish": functional.silu,
    "hardswish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "exponential": torch.exp,
}

assert tuple(_FUNCTIONS) == ACTIVATIONS


class Activation(nn.Module):
    """An activation, element by element.

    Args:
        name: One of ``ACTIVATIONS``.

    Raises:
        InvalidOption: There is no such one.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in _FUNCTIONS:
            raise InvalidOption(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return _FUNCTIONS[self.name](x)

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return self.name
