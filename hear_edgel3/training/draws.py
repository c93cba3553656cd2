"""Random numbers of training: streams of their own, which follow from a seed and a place, and touch no global state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hear_edgel3._checks import check_whole, is_whole, shown
from hear_edgel3.errors import InvalidOption


@dataclass(frozen=True)
class Draws:
    """Two streams that go together, because EfficientAT draws from torch and from NumPy's first generator.

    ``Draws.seeded(7)`` gives, number by number, what EfficientAT gives after ``torch.manual_seed(7)`` and
    ``numpy.random.seed(7)``. Everything is drawn on the CPU, so that every device gets the same numbers.

    Attributes:
        torch: The stream of permutations, masks, crops and gains.
        numpy: The stream of rolls and of how much is mixed. NumPy promises that this kind never changes.
    """

    torch: torch.Generator
    numpy: np.random.RandomState

    @classmethod
    def seeded(cls, seed: int) -> Draws:
        """Both streams from one number.

        Args:
            seed: From 0 to 2^32 - 1.

        Raises:
            InvalidOption: It is none.
        """
        if not is_whole(seed, 0) or seed >= 1 << 32:
            raise InvalidOption(f"seed must be a whole number from 0 to {(1 << 32) - 1}, got {shown(seed)}")
        return cls(torch.Generator().manual_seed(seed), np.random.RandomState(seed))

    @classmethod
    def at(cls, seed: int, *place: int) -> Draws:
        """The streams of a place in a training, like an epoch and a batch: the same whatever was drawn elsewhere.

        So a training that goes on after an interruption, or that several processes share, draws what it would have
        drawn anyway, and no state has to be kept. Orders of examples have the place (epoch,); take (epoch, batch) for
        batches, and (epoch, batch, item) for items.

        Args:
            seed: Of the training, not negative.
            place: Whole numbers that are not negative.

        Raises:
            InvalidOption: One of them is something else.
        """
        check_whole(seed, "seed", 0)
        for number in place:
            check_whole(number, "place", 0)
        # The length is a part of it: NumPy takes zeros at the end for nothing.
        for_torch, for_numpy = np.random.SeedSequence([len(place), seed, *place]).generate_state(2)
        return cls(
            torch.Generator().manual_seed(int(for_torch)),
            np.random.RandomState(int(for_numpy)),
        )
