"""Tensors that follow from a few numbers, made once."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

_MOST = 64


def kept(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same function, which makes a tensor on the CPU, remembering what it has made.

    Unlike ``functools.lru_cache`` it does not remember what is no plain tensor: where ``torch.export`` or another mode
    of torch stands in for tensors, these are good for nothing afterwards.
    """
    made: dict[tuple[object, ...], torch.Tensor] = {}

    @functools.wraps(make)
    def remembering(*arguments: object) -> torch.Tensor:
        found = made.get(arguments)
        if found is None:
            # For later calls, which may want gradients: never as tensors of inference mode.
            with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
                found = make(*arguments)
            if type(found) is torch.Tensor:
                if len(made) >= _MOST:
                    made.clear()
                made[arguments] = found
        return found

    return remembering
