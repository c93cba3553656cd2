"""Nets run on torch's meta device, which has shapes but no data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch


@contextmanager
def quickly(device: torch.device) -> Iterator[None]:
    """Within it, activations and norms take no time if a net is on the meta device; on others nothing is changed.

    torch puts them together in Python there, for a hundredth of a second each time: most of what a net takes. What
    stands for them makes the same storages, or none if it works in place, and no multiply-accumulates, as there.
    """

    def like(x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        assert x.device.type == "meta"
        return x if inplace else torch.empty_like(x)

    def norm(x: torch.Tensor, mean: Any, variance: Any, weight: Any, bias: Any, training: bool, *_: float) -> Any:
        assert not training
        return like(x)

    if device.type != "meta":
        yield
        return
    functional = torch.nn.functional
    with mock.patch.object(functional, "hardswish", like), mock.patch.object(functional, "batch_norm", norm):
        yield
