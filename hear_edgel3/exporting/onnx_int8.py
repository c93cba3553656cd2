"""ONNX files in eight bits, made of files in float.

A net whose activations are ReLUs alone gets activations and weights in eight bits, by ONNX Runtime's own tools: that is
more than twice as fast as float. Others, with HardSwish and squeeze-and-excitation, lose too much by it and are slower
than float in every engine that was tried on x86; of these the weights alone are put into eight bits, and widened to
float32 when the file is opened (a ``Cast`` and a ``Mul`` of constants, which engines compute once): smaller, and as
fast as before. ``DequantizeLinear`` instead would be computed anew for every window.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3._extras import require

if TYPE_CHECKING:
    from hear_edgel3.exporting.int8 import Narrowed

_SMOOTH = frozenset({"HardSwish", "HardSigmoid", "Sigmoid"})
# ReLUs too: only so are they computed with the convolution before them.
_LAYERS = frozenset({"Conv", "MaxPool", "Relu"})


def all_activations_are_relus(model: Any) -> bool:
    """Whether the layers between the first and the last convolution have no other activations."""
    kinds = [node.op_type for node in model.graph.node]
    convolutions = [i for i, kind in enumerate(kinds) if kind == "Conv"]
    return bool(convolutions) and _SMOOTH.isdisjoint(kinds[convolutions[0] : convolutions[-1]])


def narrow_weights(model: Any, narrowed: Mapping[str, Narrowed]) -> None:
    """Stores weights of a model in eight bits. Everything is computed in float32 as before.

    Args:
        model: It is changed.
        narrowed: By the names of the initializers.
    """
    onnx = require("onnx", "exporting to ONNX", "onnx")
    graph = model.graph
    kept = [value for value in graph.initializer if value.name not in narrowed]
    nodes = []
    for name, weight in narrowed.items():
        stored, scale, widened = f"{name}.int8", f"{name}.scale", f"{name}.float"
        kept.append(onnx.numpy_helper.from_array(np.ascontiguousarray(weight.values), stored))
        kept.append(onnx.numpy_helper.from_array(np.ascontiguousarray(weight.scale), scale))
        nodes.append(onnx.helper.make_node("Cast", [stored], [widened], widened, to=onnx.TensorProto.FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [widened, scale], [name], name))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


class _Reader:
    """Hands out one window after the other, as ONNX Runtime's calibration asks for them."""

    def __init__(self, source: str, inputs: Sequence[np.ndarray]) -> None:
        self._source, self._inputs = source, iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next window, or None behind the last."""
        x = next(self._inputs, None)
        return None if x is None else {self._source: x}

    def __len__(self) -> int:
        return 0  # asked for by some versions, and of no meaning without strides


def narrow_everything(model: Any, inputs: Sequence[np.ndarray]) -> Any:
    """A model with the convolutions' weights and activations in eight bits.

    Args:
        model: In float; it is of no more use.
        inputs: What it is given to see how large activations are, each (1, ...).
    """
    onnx = require("onnx", "exporting to ONNX", "onnx")
    tools = require("onnxruntime.quantization", "exporting in eight bits", "onnx")
    weights = {value.name: tuple(value.dims) for value in model.graph.initializer}
    in_float = _of_one_channel(model, weights)
    layers = [
        node.name
        for node in model.graph.node
        if node.op_type in _LAYERS
        and (len(node.input) < 2 or node.input[1] in weights)
        and in_float.isdisjoint(node.output if node.op_type == "Conv" else node.input)
    ]
    with tempfile.TemporaryDirectory(prefix="hear_edgel3_export_") as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        tools.quantize_static(
            model,
            str(path),
            _Reader(model.graph.input[0].name, inputs),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=sorted(_LAYERS),
            nodes_to_quantize=layers,
            per_channel=True,
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
            # Of weights seven bits: processors without VNNI add two products up in sixteen bits, which overflow with
            # eight. A file whose cosine is .995 where it was made was then .81 elsewhere.
            reduce_range=True,
        )
        made = onnx.load_from_string(path.read_bytes())
    _pool_whole_numbers(made)
    return made


def _of_one_channel(model: Any, weights: Mapping[str, tuple[int, ...]]) -> set[str]:
    """What convolutions of an image of one channel put out, which stay in float with their ReLU.

    In eight bits ONNX Runtime takes many times as long for them, and what they lose is lost to all that comes behind.
    """
    return {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Conv"
        and weights.get(node.input[1], ())[1:2] == (1,)
        and all(one.name != "group" or one.i == 1 for one in node.attribute)
    }


def _pool_whole_numbers(model: Any) -> None:
    """Gives what goes into max pools the scale of what comes out, whose range is the same.

    Only where the two are equal does ONNX Runtime pool whole numbers; else it does so in float. Not the other way
    round, because the biases of the next convolution are in units of the scale of what comes out.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    rounding = {node.input[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for node in model.graph.node:
        if node.op_type != "MaxPool" or node.output[0] not in rounding:
            continue
        widened = makers[node.input[0]]
        if widened.op_type == "DequantizeLinear":
            for one in (widened, makers[widened.input[0]]):
                one.input[1:] = rounding[node.output[0]].input[1:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to run another tool first, which the root logger is given."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
