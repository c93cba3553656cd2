"""Optimisers as plain values, and what torch makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hear_edgel3._checks import check_between, check_positive, check_word, is_pair, number_of, shown
from hear_edgel3.errors import InvalidOption


@dataclass(frozen=True)
class Optimizer:
    """An optimiser.

    Attributes:
        name: "adam" (weight decay is added to the gradient, as a penalty), "adamw" (it is not: Loshchilov and Hutter
            2019), or one of Keras's others: "adadelta", "adagrad", "nadam", "rmsprop", "sgd".
        learning_rate: The highest.
        weight_decay: Its strength.
        betas: Of Adam's kind.
        eps: Of all but "sgd".
    """

    name: str
    learning_rate: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        check_word(self.name, "the optimizer's name", OPTIMIZERS)
        check_positive(self.learning_rate, "learning_rate")
        for name in ("weight_decay", "eps"):
            check_between(getattr(self, name), name, 0)
        if not is_pair(self.betas) or not all(0 <= number_of(beta) < 1 for beta in self.betas):
            raise InvalidOption(f"betas must be two numbers from 0 to below 1, got {shown(self.betas)}")

    def make(self, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimiser of some parameters, or of some groups of them."""
        return OPTIMIZERS[self.name](self, parameters)


def keras_optimizer(name: str, learning_rate: float) -> Optimizer:
    """An optimiser with the defaults that Keras gives it: its eps is 1e-7.

    Keras adds Adam's eps before it corrects the bias, torch after it, so that the first steps of tiny gradients differ.

    Args:
        name: As in :class:`Optimizer`.
        learning_rate: The highest.

    Raises:
        InvalidOption: There is no such one here; "ftrl" is not, which torch does not have.
    """
    if name == "ftrl":
        raise InvalidOption(
            "the optimizer ftrl is not supported: torch has none, and it forgets the weights that a net starts with; "
            "use adagrad, which it is a variant of"
        )
    return Optimizer(name, learning_rate, eps=1e-7)


def _adagrad(settings: Optimizer, parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(
        parameters,
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        initial_accumulator_value=0.1,  # Keras's
        eps=settings.eps,
    )


OPTIMIZERS: dict[str, Callable[[Optimizer, Any], torch.optim.Optimizer]] = {
    "adam": lambda o, p: torch.optim.Adam(p, o.learning_rate, o.betas, o.eps, o.weight_decay),
    "adamw": lambda o, p: torch.optim.AdamW(p, o.learning_rate, o.betas, o.eps, o.weight_decay),
    "adadelta": lambda o, p: torch.optim.Adadelta(p, o.learning_rate, 0.95, o.eps, o.weight_decay),
    "adagrad": _adagrad,
    "nadam": lambda o, p: torch.optim.NAdam(p, o.learning_rate, o.betas, o.eps, o.weight_decay),
    "rmsprop": lambda o, p: torch.optim.RMSprop(p, o.learning_rate, 0.9, o.eps, o.weight_decay),
    "sgd": lambda o, p: torch.optim.SGD(p, o.learning_rate, weight_decay=o.weight_decay),
}
