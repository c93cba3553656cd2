"""Batch norm that keeps its statistics, folded into the convolution before it while a net is trained.

With statistics that stay, it is a scale and an offset for each channel. There are far fewer weights to scale than there
are outputs, so steps are faster; the gradients of all parameters are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn


@contextmanager
def norm_folded(net: nn.Module) -> Iterator[int]:
    """Folds each batch norm that directly follows a convolution, and gives their number; afterwards all is as it was.

    Only for as long as no batch norm of the net takes the statistics of its batches.

    Args:
        net: What is trained; its modules and parameters stay the same ones.
    """
    pairs = list(_pairs(net))
    for convolution, norm in pairs:
        convolution.forward = partial(_folded, convolution, norm)  # type: ignore[method-assign]
        norm.forward = _same  # type: ignore[method-assign,assignment]
    try:
        yield len(pairs)
    finally:
        for pair in pairs:
            for module in pair:
                del module.forward


def _pairs(net: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    users: dict[nn.Module, int] = {}
    for module in net.modules():
        for child in module.children():
            users[child] = users.get(child, 0) + 1
    for module in net.modules():
        # Of other modules it is not known in what order their parts are called.
        if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
            continue
        for first, second in zip([*module], [*module][1:], strict=False):
            if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d and first.padding_mode == "zeros":
                known = second.running_mean is not None and second.affine
                alone = users[first] == users[second] == 1
                if known and alone and not (_hooks(first) or _hooks(second)):
                    yield first, second


def _hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: torch.Tensor) -> torch.Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    before = norm.running_mean if convolution.bias is None else norm.running_mean - convolution.bias
    weight = convolution.weight * scale[:, None, None, None]
    found: torch.Tensor = convolution._conv_forward(images, weight, norm.bias - before * scale)
    return found


def _same(images: torch.Tensor) -> torch.Tensor:
    return images
