"""Which examples an epoch consists of, and in which order: the same for the same seed and epoch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from hear_edgel3._checks import check_between, check_whole, check_word, is_whole, shown
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws

_MOST_CATEGORIES = 1 << 24  # of torch.multinomial


class Epochs(Protocol):
    """The examples of each epoch."""

    def __len__(self) -> int:
        """The examples of one epoch."""

    def order(self, epoch: int) -> torch.Tensor:
        """(n,) int64 numbers of the examples of an epoch, which count from 0, in order."""


class ShuffledEpochs:
    """Every example once per epoch, in a new order each time.

    Args:
        n_examples: How many there are.
        seed: Of the training.

    Raises:
        InvalidOption: There are none.
    """

    def __init__(self, n_examples: int, seed: int) -> None:
        if not is_whole(n_examples, 1):
            raise InvalidOption(f"n_examples must be a whole number from 1, got {shown(n_examples)}: train with some")
        self._n, self._seed = n_examples, seed

    def __len__(self) -> int:
        return self._n

    def order(self, epoch: int) -> torch.Tensor:
        """As in :class:`Epochs`."""
        return torch.randperm(self._n, generator=Draws.at(self._seed, epoch).torch)


class WeightedEpochs:
    """Examples drawn without replacement, the heavier the sooner, anew each epoch.

    Args:
        weights: (n_examples,) not negative; an example of weight 0 is never drawn.
        n_draws: The most examples of an epoch. Where fewer have a weight, each epoch has all of those, and ``len``
            says how many.
        seed: Of the training.

    Raises:
        InvalidOption: The weights cannot be used.
    """

    def __init__(self, weights: np.ndarray | torch.Tensor, n_draws: int, seed: int) -> None:
        self._weights = torch.as_tensor(weights).to(torch.float64)
        if not bool(torch.isfinite(self._weights).all()) or bool((self._weights < 0).any()):
            raise InvalidOption("weights of examples must be finite, and not negative")
        if len(self._weights) > _MOST_CATEGORIES:
            raise InvalidOption(f"at most {_MOST_CATEGORIES} examples can be weighted, got {len(self._weights)}")
        check_whole(n_draws, "n_draws", 1)
        self._n = min(n_draws, int((self._weights > 0).sum()))
        if not self._n:
            raise InvalidOption("no example has a weight: does any have a label?")
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def order(self, epoch: int) -> torch.Tensor:
        """As in :class:`Epochs`."""
        return draw_weighted(self._weights, self._n, Draws.at(self._seed, epoch))


def draw_weighted(weights: torch.Tensor, n: int, draws: Draws) -> torch.Tensor:
    """(n,) int64 numbers of examples by their weights (n_examples,) float64, without replacement."""
    return torch.multinomial(weights, n, replacement=False, generator=draws.torch)


def audioset_weights(targets: np.ndarray, offset: float = 100.0, combine: str = "sum") -> np.ndarray:
    """The weights of examples by how rare their classes are: ``1000 / (offset + n)`` of a class with n examples.

    As EfficientAT draws AudioSet (after Kong et al. 2020). A class without any example has no effect. (In
    EfficientAT's function it makes every weight NaN where the offset is 0.)

    Args:
        targets: (n_examples, n_classes) of 0 and 1.
        offset: Not negative: the larger, the more even the weights.
        combine: "sum" over the example's classes, or "max" for its rarest one.

    Returns:
        (n_examples,) float64; 0 for an example without a class.

    Raises:
        InvalidOption: An option has no such value.
    """
    check_word(combine, "combine", ("sum", "max"))
    check_between(offset, "offset", 0)
    targets = np.asarray(targets)
    counts = targets.sum(axis=0, dtype=np.float64)
    per_class = np.where(counts > 0, 1000.0 / np.maximum(offset + counts, 1e-300), 0.0)
    if combine == "sum":
        return np.asarray(targets @ per_class, dtype=np.float64)
    return np.asarray((targets * per_class).max(axis=1), dtype=np.float64)


def share_of(order: torch.Tensor, process: int, n_processes: int) -> torch.Tensor:
    """The part of an epoch's order (n,) that one of some processes takes: all get as many; what remains is left out."""
    count = len(order) // n_processes
    return order[: count * n_processes][process::n_processes]
