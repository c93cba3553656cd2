"""Published weights of nets for photographs, to the tensors of this family's net."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.families.formats.keras import Layer, read_layers
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.families.image.graph import Graph
from hear_edgel3.families.image.keras_order import keras_order, layer_of
from hear_edgel3.families.image.nets.table import graph_of
from hear_edgel3.families.schema import Published

_LITE = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "head_conv",
    "_bn1": "head_bn",
    **{f"_blocks.{i}._expand_conv": f"block{i}_expand_conv" for i in range(16)},
    **{f"_blocks.{i}._bn0": f"block{i}_expand_bn" for i in range(16)},
    **{f"_blocks.{i}._depthwise_conv": f"block{i}_depthwise_conv" for i in range(16)},
    **{f"_blocks.{i}._bn1": f"block{i}_depthwise_bn" for i in range(16)},
    **{f"_blocks.{i}._project_conv": f"block{i}_project_conv" for i in range(16)},
    **{f"_blocks.{i}._bn2": f"block{i}_project_bn" for i in range(16)},
}
_GZIP, _HDF5 = b"\x1f\x8b", b"\x89HDF"
# What versions of Keras call layers without names.
_NUMBERED = tuple(
    re.compile(rf"({names})(_[0-9]+)?") for names in ("conv2d|convolution2d", "batch_normalization|batchnormalization")
)
_CLASSIFIER = re.compile(r"_fc\.(weight|bias)")


def read_checkpoint(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """Reads an upstream file and checks it against the row it is said to be; its classifier is left out.

    Args:
        data: Bytes of the file.
        source: How to call it in errors.
        row: The checkpoint to convert to.

    Returns:
        State dict of the net: float32, and int64 counters.

    Raises:
        WeightsCorrupt: The file is not a sound one.
        WeightsMismatch: Its names or shapes are not those of ``row``.
    """
    if data.startswith((_GZIP, _HDF5)):
        return _checked(_keras(data, source, row), source, row)
    return _checked(_lite(read_state_dict(data, source)), source, row)


def _keras(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """What a file of Keras has of a row's net; what it has besides, as a classifier, is left out."""
    arguments = row.net.arguments
    return keras_state(
        graph_of(arguments["net"], arguments["image_height"], arguments["image_width"]), read_layers(data, source)
    )


def keras_state(graph: Graph, layers: Sequence[Layer]) -> dict[str, torch.Tensor]:
    """The tensors of a net that layers of Keras have; those that they do not have are left out.

    Layers are found by their names. Those that got only a number, because the net gives them no names, may have any
    number, and as Keras finds them they are found by their order.

    Args:
        graph: The net.
        layers: Of a file, in its order.
    """
    by_name = {layer.name: layer.arrays for layer in layers}
    arrays = _by_order(graph, layers)
    state: dict[str, torch.Tensor] = {}
    for node in graph.nodes.values():
        layer = layer_of(node)
        place = f"layers.{node.name}"
        found = [torch.from_numpy(array) for array in arrays.get(layer, by_name.get(layer, ()))]
        if node.kind == "conv" and found:
            kernel = found[1] if node.options["weight"] == "pointwise_kernel" and len(found) > 1 else found[0]
            if kernel.ndim == 4:  # height, width, and then inputs and outputs, or channels and 1
                state[f"{place}.weight"] = (
                    kernel.permute(2, 3, 0, 1) if node.options["groups"] > 1 else kernel.permute(3, 2, 0, 1)
                )
            if node.options["bias"] and len(found) > 1:
                state[f"{place}.bias"] = found[-1]
        elif node.kind == "norm" and len(found) == (4 if node.options["scale"] else 3):
            scale = found[0] if node.options["scale"] else torch.ones_like(found[0])
            names = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{place}.{name}": value for name, value in zip(names, (scale, *found[-3:]), strict=True)}
            state[f"{place}.num_batches_tracked"] = torch.tensor(0)
    return state


def _by_order(graph: Graph, layers: Sequence[Layer]) -> dict[str, list[np.ndarray]]:
    """What layers without names of their own have, by the names that they have in the graph."""
    found: dict[str, list[np.ndarray]] = {}
    ordered = keras_order(graph)
    for kind in _NUMBERED:
        mine = [name for name in ordered if kind.fullmatch(name) and name in graph.nodes]
        theirs = [layer for layer in layers if kind.fullmatch(layer.name)]
        if len(mine) == len(theirs):
            found |= {name: layer.arrays for name, layer in zip(mine, theirs, strict=True)}
        else:  # another net: what its numbers say is nothing
            found |= {name: [] for name in mine}
    return found


def _lite(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as this net has them; those that it does not know stay as they are."""
    renamed = {}
    for name, value in state.items():
        if _CLASSIFIER.fullmatch(name):
            continue
        layer, _, parameter = name.rpartition(".")
        renamed[f"layers.{_LITE[layer]}.{parameter}" if layer in _LITE else name] = value
    return renamed


def _checked(state: Mapping[str, torch.Tensor], source: str, row: Published) -> dict[str, torch.Tensor]:
    """The tensors, if they are those of a row's net."""
    with torch.device("meta"):
        net: Any = row.net.build()
    expected: dict[str, torch.Tensor] = net.state_dict()
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    if missing or unknown or wrong:
        parts = []
        if missing:
            parts.append(f"{len(missing)} tensors are missing, such as {missing[0]}")
        if unknown:
            parts.append(f"{len(unknown)} are not known, such as {unknown[0]}")
        if wrong:
            name = wrong[0]
            parts.append(f"{name} has the shape {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}")
        raise WeightsMismatch(f"{source} is not a checkpoint of {row.name}: {'; '.join(parts)}")
    return {
        # Cloned, because tensors in the file may share their memory.
        name: state[name].to(like.dtype if name.endswith("num_batches_tracked") else torch.float32).clone().contiguous()
        for name, like in expected.items()
    }
