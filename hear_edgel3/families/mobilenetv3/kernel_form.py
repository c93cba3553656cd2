"""A MobileNetV3 as arrays, for compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from hear_edgel3.families.kernel_residuals import (
    HARDSWISH,
    IMAGE,
    MAXIMUM,
    MEAN,
    MEAN_TIME,
    RELU,
    SUM,
    SUM_TIME,
    Bottleneck,
    Depthwise,
    InvertedResidual,
    Layer,
    Linear,
    Pooled,
    ResidualNet,
    Values,
)
from hear_edgel3.families.mobilenetv3 import layout as layouts

_POOLINGS: dict[str, tuple[str, ...]] = {
    "avg_ch": (MEAN,),
    "max_ch": (MAXIMUM,),
    "add_avg_max_ch": (SUM,),
    "cat_avg_max_ch": (MEAN, MAXIMUM),
    "avg_time": (MEAN_TIME,),
    "avg_max_time": (SUM_TIME,),
}


def obstacle(net: Any) -> str | None:
    """Why there is no such form of a net, or None; found out without making it."""
    needed = layouts.last_block_needed(net.outputs)
    if net.se_dims not in ("", "c") and any(block.has_se for block in net.layout.blocks[:needed]):
        return f"its squeeze-and-excitation works over {net.se_dims!r}, and the kernels' over 'c' alone"
    if "logits" in net.outputs and net.head == "multihead_attention_pooling":
        return "its logits come from attention pooling, for which there are no kernels"
    return None


def make(net: Any) -> ResidualNet:
    """What :meth:`hear_edgel3.families.mobilenetv3.net.MobileNetV3.kernel_residuals` returns where it has a form."""
    needed = layouts.last_block_needed(net.outputs)
    folded = net.folded()
    blocks = tuple(_block(folded.features[i], net.layout.blocks[i - 1]) for i in range(1, min(needed, 15) + 1))
    first = folded.features[0][0] if needed >= 0 else None
    return ResidualNet(
        None if first is None else array(first.weight),
        np.zeros(0, np.float32) if first is None else array(first.bias),
        blocks,
        linear(folded.features[16][0]) if needed == 16 else None,
        outputs_of(folded, "se", 0),
    )


def array(tensor: Any) -> np.ndarray:
    """A tensor's values, which it does not share."""
    return np.array(tensor.detach().numpy(), np.float32, order="C")


def linear(layer: Any) -> Linear:
    """Of a linear layer or a pointwise convolution."""
    weights = array(layer.weight)
    return Linear(weights.reshape(len(weights), -1), array(layer.bias))


def _block(module: Any, block: layouts.Block) -> InvertedResidual:
    layers = list(module.block)
    convolutions = [layer[0] for layer in layers if isinstance(layer, nn.Sequential)]
    squeeze = excite = None
    for layer in layers:
        if not isinstance(layer, nn.Sequential):
            (over_channels,) = layer.conc_se_layers
            squeeze, excite = linear(over_channels.fc1), linear(over_channels.fc2)
    depthwise = Depthwise(
        array(convolutions[-2].weight)[:, 0], array(convolutions[-2].bias), block.step, block.dilation
    )
    return InvertedResidual(
        linear(convolutions[0]) if block.expands else None,
        depthwise,
        squeeze,
        excite,
        linear(convolutions[-1]),
        HARDSWISH if block.hardswish else RELU,
        block.residual,
    )


def outputs_of(folded: Any, inside: str, before: int) -> tuple[Values, ...]:
    """What a net puts out.

    Args:
        folded: the net, or one with the same words and the same head.
        inside: how the words for what comes about inside of blocks begin.
        before: the number of the block that such a word with 0 would be of.
    """
    clf1 = Pooled(16, MEAN)
    clf2: Layer | None = None
    if folded.head == "mlp" and set(folded.outputs) & {"clf2", "logits"}:
        clf2 = Layer((clf1,), linear(folded.classifier[2]), hardswish=True)
    found: list[Values] = []
    for name in folded.outputs:
        if name == "mel_avgs":
            found.append(Pooled(IMAGE, MEAN_TIME))
        elif name == "clf1":
            found.append(clf1)
        elif name == "clf2":
            assert clf2 is not None
            found.append(clf2)
        elif name == "logits":
            found.append(_logits(folded, clf1, clf2))
        elif name == "teacher":
            found.append(Layer(tuple(map(_approximated, layouts.APPROXIMATION_INPUTS)), linear(folded.approximation)))
        elif name.startswith(inside):
            found.append(Bottleneck(int(name[len(inside) :]) + before))
        else:
            found += [Pooled(int(name[1:]), how) for how in _POOLINGS[folded.pooling]]
    return tuple(found)


def _logits(folded: Any, clf1: Values, clf2: Values | None) -> Layer:
    if clf2 is not None:
        return Layer((clf2,), linear(folded.classifier[4:][-1]))
    # Means and a linear layer may come in either order. The batch norm is folded into the convolution.
    return Layer((clf1,), linear(folded.classifier[0]))


def _approximated(name: str) -> Pooled:
    if name == "mel_avgs":
        return Pooled(IMAGE, MEAN_TIME)
    return Pooled(16 if name == "clf1" else int(name[1:]), MEAN)
