"""Modules in eval mode, whatever mode they were left in, without touching them: other threads may be using them."""

from __future__ import annotations

import copy

from torch import nn


def modules_of(net: nn.Module) -> list[nn.Module]:
    """A net and all modules in it; a module that is registered in two places comes twice.

    ``net.modules()`` looks for such repeats, which takes far longer.
    """
    found = [net]
    for module in found:  # which grows
        if module._modules:
            found.extend([inner for inner in module._modules.values() if inner is not None])
    return found


def in_eval_mode(net: nn.Module) -> nn.Module:
    """A module that computes as `net` does after ``net.eval()``, with the same parameters, buffers and hooks.

    Args:
        net: Is not changed.

    Returns:
        `net` itself, if all of it is in eval mode; else a copy that shares all of its tensors.
    """
    if not any(module.training for module in modules_of(net)):
        return net
    return _twin(net, {})


def _twin(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    twin = made.get(id(module))
    if twin is None:
        twin = made[id(module)] = copy.copy(module)  # shallow: the same tensors in the same tables
        inner = {name: None if child is None else _twin(child, made) for name, child in module._modules.items()}
        twin.__dict__.update(_modules=inner, training=False)
    return twin
