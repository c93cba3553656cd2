"""A DyMN as arrays, for compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.blocks import DynamicBlock, DynamicConvolution, PlainBlock, StaticConvolution
from hear_edgel3.families.kernel_residuals import (
    HARDSWISH,
    RELU,
    Context,
    Depthwise,
    InvertedResidual,
    Linear,
    Lines,
    ResidualNet,
)
from hear_edgel3.families.mobilenetv3.kernel_form import array, linear, outputs_of


def make(net: Any) -> ResidualNet:
    """What :meth:`hear_edgel3.families.dymn.net.DyMN.kernel_residuals` returns.

    Args:
        net: of :meth:`hear_edgel3.families.dymn.net.DyMN.exportable`.
    """
    needed = layouts.last_block_needed(net.outputs)
    blocks = tuple(
        _dynamic(block) if isinstance(block, DynamicBlock) else _plain(block)
        for block in net.layers[: min(max(needed, 0), layouts.N_BLOCKS)]
    )
    first = net.in_c[0] if needed >= 0 else None
    return ResidualNet(
        None if first is None else array(first.weight),
        np.zeros(0, np.float32) if first is None else array(first.bias),
        blocks,
        linear(net.out_c[0]) if needed > layouts.N_BLOCKS else None,
        outputs_of(net, "ctx", 1),
    )


def _plain(module: PlainBlock) -> InvertedResidual:
    layers: list[Any] = list(module.block)
    convolutions = [layer[0] for layer in layers]
    depthwise = convolutions[-2]
    return InvertedResidual(
        linear(convolutions[0]) if len(convolutions) > 2 else None,
        Depthwise(array(depthwise.weight)[:, 0], array(depthwise.bias), depthwise.stride[0], depthwise.dilation[0]),
        None,
        None,
        linear(convolutions[-1]),
        HARDSWISH if isinstance(layers[-2][-1], torch.nn.Hardswish) else RELU,
        module.residual,
    )


def _dynamic(module: DynamicBlock) -> InvertedResidual:
    shape = module.shape
    weights, bias = _convolution(module.depth_conv)
    return InvertedResidual(
        Linear(*_convolution(module.exp_conv, pointwise=True)) if shape.expands else None,
        Depthwise(weights, bias, shape.step, shape.dilation),
        None,
        None,
        Linear(*_convolution(module.proj_conv, pointwise=True)),
        HARDSWISH if shape.hardswish else RELU,
        shape.residual,
        _context(module),
    )


def _convolution(module: DynamicConvolution | StaticConvolution, pointwise: bool = False) -> tuple[Any, np.ndarray]:
    """Weights, over kernels first if there are any, and the bias."""
    if isinstance(module, DynamicConvolution):
        assert module.shift is not None
        outputs, inputs, size, _ = module.kernel_shape
        weights, bias = module.weight.view(-1, outputs, inputs, size, size), module.shift
    else:
        assert module.module.bias is not None
        weights, bias = module.module.weight, module.module.bias
    return array(weights[..., 0, 0] if pointwise else weights[..., 0, :, :]), array(bias)


def _context(module: DynamicBlock) -> Context:
    generator = module.context_gen
    named = ("exp_conv", "depth_conv", "proj_conv")
    convolutions = [getattr(module, name) for name in named if hasattr(module, name)]
    dynamic = [c for c in convolutions if isinstance(c, DynamicConvolution)]
    attention, kernels = None, 0
    if dynamic:
        kernels = dynamic[0].weight.shape[2]
        # Each has a temperature, which somebody may have set for itself.
        layers: list[tuple[Any, float]] = [(convolution.residuals[0], convolution.tau) for convolution in dynamic]
        attention = Linear(
            np.concatenate([array(layer.weight.double() / tau) for layer, tau in layers]),
            np.concatenate([array(layer.bias.double() / tau) for layer, tau in layers]),
        )
    lines = None
    if module.depth_act is not None:
        act = module.depth_act
        layer: Any = act.coef_net[0]
        # From a channel's coefficients behind the other's to one coefficient of all channels behind the other.
        weights = layer.weight.view(act.channels, 2 * act.lines, -1).transpose(0, 1).flatten(0, 1)
        bias = layer.bias.view(act.channels, 2 * act.lines).t().flatten()
        lines = Lines(act.lines, Linear(array(weights), array(bias)), array(act.lambdas), array(act.init_v))
    gates = (linear(generator.conv_f), linear(generator.conv_t)) if module.attends else None
    return Context(linear(generator.joint_conv), kernels, attention, lines, gates)
