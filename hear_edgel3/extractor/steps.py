"""Optimizers that write to parameters behind autograd's back, and extractors that are told of it.

A net that has changed is known by PyTorch's count of how often each of its tensors was written. PyTorch's fused
optimizers (``fused=True``) do not count, and those of other packages, or of one's own, need not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Protocol
from weakref import WeakSet

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook


class Forgets(Protocol):
    """What has made something of parameters that others may have."""

    @property
    def kept(self) -> object | None:
        """None if somebody else may have them."""

    def parameters(self) -> Iterable[torch.Tensor]:
        """The parameters."""

    def forget_compiled(self) -> None:
        """Has it made anew when it is needed next."""


_watching: WeakSet[Forgets] = WeakSet()


def watch_steps(extractor: Forgets) -> None:
    """Has an extractor forget what it made of its net whenever an optimizer has changed the net and may not say so.

    Args:
        extractor: It is not kept alive.
    """
    _watching.add(extractor)
    _begin()


@cache
def _begin() -> None:
    # Not when this is imported, which should change nothing in PyTorch.
    register_optimizer_step_post_hook(_after_step)


def _after_step(optimizer: Optimizer, args: object, kwargs: object) -> None:  # noqa: ARG001
    if _counts(optimizer):
        return
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for extractor in list(_watching):
        # Of others nobody has a parameter.
        if extractor.kept is None and any(id(parameter) in stepped for parameter in extractor.parameters()):
            extractor.forget_compiled()


def _counts(optimizer: Optimizer) -> bool:
    """Whether it is known that PyTorch counts what it writes."""
    torchs_own = type(optimizer).__module__.partition(".")[0] == "torch"
    return torchs_own and not any(group.get("fused") for group in optimizer.param_groups)
