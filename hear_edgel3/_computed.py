"""Parameters that are computed from others, as PyTorch's tools for pruning and reparametrization have it."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# Hooks that compute a parameter before a module runs, and nothing else.
COMPUTING = (prune.BasePruningMethod, WeightNorm, SpectralNorm)


def computes_parameters(module: nn.Module) -> bool:
    """Whether a module computes a parameter from others, anew whenever it is asked for it or runs."""
    hooks = module._forward_pre_hooks.values()
    return any(isinstance(hook, COMPUTING) for hook in hooks) or is_parametrized(module)


def is_parametrized(module: nn.Module) -> bool:
    """Whether it has parameters that :mod:`torch.nn.utils.parametrize` computes."""
    # Asked first what takes no time, as torch's own function does for all that are not.
    return "parametrizations" in module._modules and parametrize.is_parametrized(module)
