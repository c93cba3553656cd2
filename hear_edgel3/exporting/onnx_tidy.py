"""Makes ONNX files smaller without changing what they compute.

A front end's constants are a large part of a small file: its mel bank is zero but for a value in a hundred, and torch
writes a constant anew wherever it is used, and long names for everything between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3._extras import require

# Constants with fewer values are left as they are.
_LARGE = 2048
_MOST_NONZERO = 0.1


def tidy(model: Any) -> None:
    """Leaves out of a model what is there twice, what is zero, and what nobody reads.

    Args:
        model: It is changed. Inputs, outputs and initializers keep their names.
    """
    _leave_out_unused(model)
    _merge_constants(model)
    _leave_out_zeros(model)
    _shorten_names(model)
    del model.graph.value_info[:]


def _constant(node: Any) -> Any:
    """The tensor of a node that is a constant; None for others."""
    if node.op_type != "Constant" or len(node.attribute) != 1 or node.attribute[0].name != "value":
        return None
    return node.attribute[0].t


def _leave_out_unused(model: Any) -> None:
    graph = model.graph
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for value in [value for value in graph.initializer if value.name not in used]:
        graph.initializer.remove(value)


def _merge_constants(model: Any) -> None:
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        tensor = _constant(node)
        if tensor is not None:
            key = tensor.SerializeToString()
            if key in first:
                instead[node.output[0]] = first[key]
                continue
            first[key] = node.output[0]
        for i, name in enumerate(node.input):
            node.input[i] = instead.get(name, name)
        kept.append(node)
    _set_nodes(model, kept)


def _leave_out_zeros(model: Any) -> None:
    onnx = require("onnx", "exporting to ONNX", "onnx")
    make = onnx.helper.make_node
    kept = []
    for node in model.graph.node:
        tensor = _constant(node)
        values = None if tensor is None or np.prod(tensor.dims) < _LARGE else onnx.numpy_helper.to_array(tensor)
        if values is None or values.dtype != np.float32 or (values != 0).mean() > _MOST_NONZERO:
            kept.append(node)
            continue
        # All of it is constant, and so it is computed once, when the file is opened.
        flat, name = values.ravel(), node.output[0]
        places = np.flatnonzero(flat).astype(np.int32)
        parts = {
            "size": np.array([flat.size]),
            "places": places,
            "values": flat[places],
            "shape": np.array(values.shape),
        }
        for part, value in parts.items():
            tensor = onnx.numpy_helper.from_array(value, f"{name}.{part}")
            kept.append(make("Constant", [], [tensor.name], tensor.name, value=tensor))
        kept.append(make("ConstantOfShape", [f"{name}.size"], [f"{name}.zeros"], f"{name}.zeros"))
        sources = [f"{name}.zeros", f"{name}.places", f"{name}.values"]
        kept.append(make("ScatterElements", sources, [f"{name}.flat"], f"{name}.flat", axis=0))
        kept.append(make("Reshape", [f"{name}.flat", f"{name}.shape"], [name], f"{name}.whole"))
    _set_nodes(model, kept)


def _shorten_names(model: Any) -> None:
    graph = model.graph
    taken = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    short: dict[str, str] = {}
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        for i, name in enumerate(node.input):
            node.input[i] = short.get(name, name)
        for i, name in enumerate(node.output):
            if name and name not in taken:
                short[name] = f"v{number}" if i == 0 else f"v{number}.{i}"
                node.output[i] = short[name]
        node.doc_string = ""


def _set_nodes(model: Any, nodes: list[Any]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
