"""Runs the layers of a graph in torch, and folds batch norm into convolutions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hear_edgel3.families.image.graph import INPUT, Node, Pair


def module_of(node: Node) -> nn.Module | None:
    """A new module with the parameters of a layer; None if it has none."""
    options = node.options
    if node.kind == "norm":
        return nn.BatchNorm2d(node.shape[0], eps=options["eps"], momentum=0.01)
    if node.kind != "conv":
        return None
    return nn.Conv2d(
        options["reads"],
        node.shape[0],
        options["kernel"],
        options["stride"],
        _even(options["padding"]) or 0,
        groups=options["groups"],
        bias=options["bias"],
    )


def _even(padding: tuple[Pair, Pair]) -> Pair | None:
    """Rows and columns of zeros, if there are as many on one side as on the other."""
    rows, columns = padding
    return (rows[0], columns[0]) if rows[0] == rows[1] and columns[0] == columns[1] else None


def _sides(padding: tuple[Pair, Pair], sign: int = 1) -> list[int]:
    """As torch's ``pad`` wants them: left, right, top, bottom."""
    return [sign * n for pair in reversed(padding) for n in pair]


def run(
    nodes: Sequence[Node], layers: Mapping[str, nn.Module] | nn.ModuleDict, images: torch.Tensor, wanted: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Runs layers, and keeps nothing longer than it is needed.

    Args:
        nodes: The layers in order.
        layers: The modules of those that have parameters.
        images: (n, 3, height, width).
        wanted: Of which layers means are asked for.

    Returns:
        (n, channels) means over height and width, by the layer's name.
    """
    last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    held, found = {INPUT: images}, {}
    for i, node in enumerate(nodes):
        inputs = [held[name] for name in node.inputs]
        for name in set(node.inputs):
            if last_use[name] == i:
                del held[name]
        made = apply(node, layers[node.name] if node.kind in ("conv", "norm") else None, inputs)
        del inputs
        if node.name in wanted:
            found[node.name] = made.mean(dim=(2, 3))
        if node.name in last_use:
            held[node.name] = made
    return found


def apply(node: Node, layer: nn.Module | None, inputs: list[torch.Tensor]) -> torch.Tensor:
    """What one layer makes of its inputs."""
    x, options = inputs[0], node.options
    if layer is not None:
        if node.kind == "conv" and _even(options["padding"]) is None:
            x = nn.functional.pad(x, _sides(options["padding"]))
        result: torch.Tensor = layer(x)
        return result
    if node.kind in ("relu", "relu6"):
        return nn.functional.hardtanh(x, 0.0, 6.0 if node.kind == "relu6" else float("inf"), options.get("over", False))
    if node.kind == "add":
        return x + options["factor"] * inputs[1] if "factor" in options else sum(inputs[1:], x)
    if node.kind == "concat":
        return torch.cat(inputs, dim=1)
    if node.kind in ("pad", "crop"):
        return nn.functional.pad(x, _sides(options["padding"], 1 if node.kind == "pad" else -1))
    kernel, stride, sides = options["kernel"], options["stride"], _sides(options["padding"])
    if node.kind == "max_pool":
        padded = nn.functional.pad(x, sides, value=float("-inf")) if any(sides) else x
        return nn.functional.max_pool2d(padded, kernel, stride)
    assert node.kind == "average_pool"
    means = nn.functional.avg_pool2d(nn.functional.pad(x, sides), kernel, stride)
    if not any(sides):
        return means
    area = nn.functional.pad(torch.ones_like(x[:1, :1]), sides)
    return means / nn.functional.avg_pool2d(area, kernel, stride)


def folded(
    nodes: Sequence[Node], layers: Mapping[str, nn.Module] | nn.ModuleDict, wanted: Sequence[str]
) -> tuple[list[Node], nn.ModuleDict, list[str]]:
    """The same layers in eval mode with each batch norm that follows a convolution folded into it.

    Args:
        nodes: As for :func:`run`.
        layers: As for :func:`run`; the result shares no tensor with them.
        wanted: As for :func:`run`.

    Returns:
        Nodes, modules, and what takes the place of ``wanted``.
    """
    n_readers: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            n_readers[name] = n_readers.get(name, 0) + 1
    alone = {name for name, n in n_readers.items() if n == 1 and name not in wanted}
    kept: dict[str, Node] = {}
    modules: dict[str, nn.Module] = {}
    instead: dict[str, str] = {}
    for original in nodes:
        node = replace(original, inputs=tuple(instead.get(name, name) for name in original.inputs))
        before = node.inputs[0]
        if node.kind == "norm" and original.inputs[0] in alone and isinstance(modules.get(before), nn.Conv2d):
            conv, norm = modules[before], copy.deepcopy(layers[node.name]).eval()
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            dtype = conv.weight.dtype
            modules[before] = fuse_conv_bn_eval(conv.double(), norm.double()).to(dtype)  # so that each is rounded once
            instead[node.name] = before
            continue
        if node.kind in ("relu", "relu6") and original.inputs[0] in alone:
            node = replace(node, options={**node.options, "over": kept[before].kind in ("conv", "norm")})
        if node.kind in ("conv", "norm"):
            modules[node.name] = copy.deepcopy(layers[node.name]).eval()
        kept[node.name] = node
    result = nn.ModuleDict(modules).eval().requires_grad_(False)
    for parameter in result.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return list(kept.values()), result, [instead.get(name, name) for name in wanted]
