"""A net of inverted residuals that sees pictures, as arrays, for compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from hear_edgel3.families.image.graph import Node
from hear_edgel3.families.image.kernel_plan import Block, Layer, Plan
from hear_edgel3.families.image.running import folded
from hear_edgel3.families.kernel_residuals import (
    MEAN,
    RELU6,
    Depthwise,
    InvertedResidual,
    Linear,
    Pooled,
    ResidualNet,
)


def make(plan: Plan, nodes: Sequence[Node], layers: nn.ModuleDict, outputs: Sequence[str]) -> ResidualNet:
    """What :meth:`hear_edgel3.families.image.net.SpectrogramImageNet.kernel_residuals` returns.

    Args:
        plan: of :func:`hear_edgel3.families.image.kernel_plan.plan`.
        nodes: the layers that run, in order.
        layers: the modules of those that have parameters.
        outputs: the layers whose means are put out.
    """
    _, modules, _ = folded(nodes, layers, outputs)
    weights, bias = _arrays(plan.first, modules)
    return ResidualNet(
        weights,
        bias,
        tuple(_block(block, modules) for block in plan.blocks),
        None if plan.last is None else _linear(plan.last, modules),
        tuple(Pooled(number, MEAN) for number in plan.maps),
        RELU6,
        plan.first.before,
    )


def _block(block: Block, modules: nn.ModuleDict) -> InvertedResidual:
    weights, bias = _arrays(block.depthwise, modules)
    return InvertedResidual(
        None if block.expand is None else _linear(block.expand, modules),
        Depthwise(weights[:, 0], bias, block.depthwise.conv.options["stride"], 1, block.depthwise.before),
        None,
        None,
        _linear(block.project, modules),
        RELU6,
        block.residual,
    )


def _linear(layer: Layer, modules: nn.ModuleDict) -> Linear:
    weights, bias = _arrays(layer, modules)
    return Linear(weights[:, :, 0, 0], bias)


def _arrays(layer: Layer, modules: nn.ModuleDict) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias, which share no memory with the layer's."""
    conv = modules[layer.conv.name]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.weight.detach().numpy().copy(order="C"), conv.bias.detach().numpy().copy()
