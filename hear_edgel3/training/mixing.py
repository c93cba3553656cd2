"""Which examples of a batch are mixed with which, and how much of each (mixup, Zhang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hear_edgel3.training.draws import Draws


@dataclass(frozen=True)
class Mix:
    """How the examples of a batch are mixed with one another.

    Attributes:
        partner: (n,) int64 numbers of the examples that are mixed in; an example may be its own partner.
        share: (n,) float32: how much stays of the example itself; its partner gets the rest.
    """

    partner: torch.Tensor
    share: torch.Tensor

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """The mixed examples, ``share x + (1 - share) x[partner]``.

        Args:
            x: (n, ...) floating point: images, samples, or targets.

        Returns:
            As ``x``.
        """
        share = self.shares(x)
        return share * x + (1.0 - share) * x[self.partner.to(x.device)]

    def shares(self, x: torch.Tensor) -> torch.Tensor:
        """The shares as (n, 1, ...), of the type and on the device of ``x``, which is (n, ...)."""
        return self.share.to(x.device, x.dtype).view(-1, *[1] * (x.ndim - 1))


def draw_mix(n: int, alpha: float, draws: Draws) -> Mix:
    """Mixup of a batch as EfficientAT draws it: a permutation, and shares of at least a half.

    Args:
        n: The examples of the batch.
        alpha: Shares come from the distribution Beta(alpha, alpha); the larger of one and its rest is used.
        draws: Where from.
    """
    partner = torch.randperm(n, generator=draws.torch)
    share = draws.numpy.beta(alpha, alpha, n).astype(np.float32)
    return Mix(partner, torch.from_numpy(np.maximum(share, 1 - share)))
