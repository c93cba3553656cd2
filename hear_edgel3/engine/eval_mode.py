"""Modules in eval mode, whatever mode they were left in, without touching them: other threads may be using them.

PyTorch's tools for pruning and reparametrization (:mod:`torch.nn.utils`) leave a module that computes a parameter from
others, anew whenever it is asked for it or runs. Such modules can be neither copied nor folded; here they become
modules that hold what they would compute.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import cast

import torch
from torch import nn
from torch.nn.utils import prune

from hear_edgel3._computed import COMPUTING, computes_parameters, is_parametrized

# What a module holds in the stead of a parameter that a hook computes.
_PARTS = ("orig", "mask", "g", "v", "u")


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


def plain(net: nn.Module) -> nn.Module:
    """A module that holds all of its parameters, and computes as `net` does after ``net.eval()``.

    Args:
        net: Is not changed. Some of its parameters may be computed from others, as ``torch.nn.utils.parametrize``,
            ``prune``, ``weight_norm`` and ``spectral_norm`` have it.

    Returns:
        `net` itself, if it holds all of them; else a copy in eval mode that shares all other tensors.
    """
    return _twin(net, {}) if any(map(computes_parameters, modules_of(net))) else net


def _twin(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    twin = made.get(id(module))
    if twin is None:
        parametrized = is_parametrized(module)
        if parametrized:  # PyTorch has made it a class of its own, which refuses to be copied
            twin = made[id(module)] = cast(nn.Module, object.__new__(type(module).__bases__[0]))
            twin.__dict__.update(module.__dict__)
        else:
            twin = made[id(module)] = copy.copy(module)  # shallow: the same tensors in the same tables
        inner = {name: None if child is None else _twin(child, made) for name, child in module._modules.items()}
        twin.__dict__.update(_modules=inner, training=False)
        if parametrized:
            for name, compute in cast(nn.ModuleDict, inner.pop("parametrizations")).items():
                _hold(twin, name, compute())
        hooks = twin._forward_pre_hooks
        others = OrderedDict((key, hook) for key, hook in hooks.items() if not isinstance(hook, COMPUTING))
        if len(others) < len(hooks):
            twin.__dict__["_forward_pre_hooks"] = others
            for hook in hooks.values():
                if isinstance(hook, COMPUTING):
                    hook(twin, ())
                    name = hook._tensor_name if isinstance(hook, prune.BasePruningMethod) else hook.name
                    _hold(twin, name, twin.__dict__.pop(name))
    return twin


def _hold(twin: nn.Module, name: str, value: torch.Tensor) -> None:
    """Has a copy of a module hold a parameter that was computed for it."""
    parts = {f"{name}_{part}" for part in _PARTS}
    for table in ("_parameters", "_buffers"):
        twin.__dict__[table] = {key: held for key, held in vars(twin)[table].items() if key not in parts}
    twin._parameters[name] = nn.Parameter(value.detach(), requires_grad=False)
