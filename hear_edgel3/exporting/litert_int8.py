"""LiteRT files with weights in eight bits, made of files in float.

A weight is stored as whole numbers with a scale for each output, and widened by a ``DEQUANTIZE`` of a constant, which
LiteRT computes once, when the file is opened. The values are those of the other targets' files in eight bits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3.errors import ComputationError

if TYPE_CHECKING:
    import torch

    from hear_edgel3.exporting.int8 import Narrowed

# The first version of the operation that takes a scale for each channel.
_PER_CHANNEL = 5


def narrow_weights(
    model: Any, schema: Any, parameters: Mapping[str, torch.Tensor], narrowed: Mapping[str, Narrowed]
) -> None:
    """Stores weights of a model in eight bits. Everything is computed in float32 as before.

    Args:
        model: ``ModelT`` of a file in float; it is changed.
        schema: The module of the format's classes.
        parameters: Of the module that the file was made of, by name.
        narrowed: Weights, by the names of their parameters.

    Raises:
        ComputationError: The file has other weights than the module.
    """
    (graph,) = model.subgraphs
    # The tools name constants as they like, and turn their axes: they are known by their values.
    known = {}
    for name, weight in narrowed.items():
        for values, whole in zip(_turned(parameters[name].detach().numpy()), _turned(weight.values), strict=True):
            known[values.tobytes()] = (name, whole, weight.scale.ravel())
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = _PER_CHANNEL
    found, widened = set(), []
    for place, tensor in enumerate(list(graph.tensors)):
        data = model.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.FLOAT32 or data is None:
            continue
        match = known.get(np.asarray(data, np.uint8).tobytes())
        if match is None:
            continue
        name, whole, scale = match
        found.add(name)
        stored, buffer, node = copy.copy(tensor), schema.BufferT(), schema.OperatorT()
        shape = tuple(map(int, tensor.shape))
        buffer.data = np.frombuffer(np.ascontiguousarray(whole).tobytes(), np.uint8)
        stored.name, stored.type = f"{_text(tensor.name)}.int8", schema.TensorType.INT8
        stored.buffer = len(model.buffers)
        stored.quantization = schema.QuantizationParametersT()
        stored.quantization.scale = scale.astype(np.float32)
        stored.quantization.zeroPoint = np.zeros(len(scale), np.int64)
        stored.quantization.quantizedDimension = 0 if shape[0] == len(scale) else len(shape) - 1
        node.opcodeIndex = len(model.operatorCodes)
        node.inputs, node.outputs = np.array([len(graph.tensors)], np.int32), np.array([place], np.int32)
        tensor.buffer = 0  # the empty one
        model.buffers.append(buffer)
        graph.tensors.append(stored)
        widened.append(node)
    if missing := sorted(set(narrowed) - found):
        raise ComputationError(
            f"{missing[0]} and {len(missing) - 1} more weights of the net are not in what litert's tools wrote, so "
            "that they cannot be put into eight bits; leave quantize (--quantize) out"
        )
    model.operatorCodes.append(code)
    graph.operators = [*widened, *graph.operators]
    used = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata or ()}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None


def _turned(weight: np.ndarray) -> Iterator[np.ndarray]:
    """A weight as the format may have it: (out, in), (out, h, w, in) or (1, h, w, out)."""
    if weight.ndim != 4:
        yield np.ascontiguousarray(weight)
        return
    yield np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
    if weight.shape[1] == 1:
        yield np.ascontiguousarray(weight.transpose(1, 2, 3, 0))


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()
