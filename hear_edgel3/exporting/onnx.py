"""ONNX files, for ONNX Runtime and whatever else reads them.

The card is the entry ``hear_edgel3`` of the file's metadata, as JSON.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ConfigurationError, MissingExtra
from hear_edgel3.exporting.checked import parsed_card
from hear_edgel3.exporting.onnx_tidy import tidy

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hear_edgel3.exporting.program import Program

EXTRA, SUFFIX, ENGINE, FLOAT64 = "onnx", ".onnx", "onnxruntime", True
FOLDER, INT8, PARTS = False, True, ("whole", "net", "frontend")
# The DFT is computed in float64, the rest in float32. Observed on all kinds of sounds: 3e-6 of the largest value, of
# probabilities 4e-6.
TOLERANCES = {"": 1e-5}
_KEY = "hear_edgel3"
_PRODUCTS = ("Conv", "MatMul", "Gemm")


def check_installed() -> None:
    """Raises MissingExtra if a package that it needs is not installed."""
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("exporting to ONNX", package, EXTRA)


def engine_version() -> str:
    """The version of ONNX Runtime."""
    version: str = require("onnxruntime", "running an ONNX file", EXTRA).__version__
    return version


def size_of(path: Path) -> int:
    """The bytes of a file."""
    return path.stat().st_size


def write(program: Program, path: Path) -> None:
    """Writes a program."""
    from hear_edgel3.engine.exported import traced

    onnx = require("onnx", "exporting to ONNX", EXTRA)
    axes = {0: "n"}
    if program.length_axis is not None:
        axes[program.length_axis] = "n_frames" if program.length_axis == 2 else "n_samples"
    shapes = program.card["outputs"]
    outputs = {
        name: {0: "n", **{axis: "n_frames" for axis, size in enumerate(shapes[name], 1) if size is None}}
        for name in program.outputs
    }
    model = onnx.load_from_string(traced(program.module, program.example, program.source, axes, outputs))
    model.producer_name, model.producer_version = "hear_edgel3", program.card["version"]
    model.doc_string = f"{program.card['name']} ({program.card['licence']})"
    _save(model, program.card, path)


def quantize(program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Writes a file in eight bits, made of one in float."""
    from hear_edgel3.exporting import onnx_int8

    model = _load(source)
    how: dict[str, Any] = {"method": "static"}
    if onnx_int8.all_activations_are_relus(model):
        model = onnx_int8.narrow_everything(model, [x[i : i + 1].numpy() for x in inputs for i in range(len(x))])
    else:
        from hear_edgel3.exporting.int8 import choose

        chosen = choose(program, inputs)
        onnx_int8.narrow_weights(model, chosen.narrowed)
        how = {"method": "weights", "in_float": list(chosen.in_float), "blocks": chosen.blocks}
    card = {**program.card, "quantization": how}
    _save(model, card, path)
    return card


def _save(model: Any, card: Mapping[str, Any], path: Path) -> None:
    onnx = require("onnx", "exporting to ONNX", EXTRA)
    tidy(model)
    onnx.helper.set_model_props(model, {_KEY: json_text(card)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


class _Session:
    def __init__(self, path: Path, threads: int | None) -> None:
        onnxruntime = require("onnxruntime", "running an ONNX file", EXTRA)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._source = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(None, {self._source: x}), strict=True))


def open_file(path: Path, threads: int | None = 1) -> _Session:
    """Opens a file in ONNX Runtime on the CPU."""
    return _Session(path, threads)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file.

    Raises:
        ConfigurationError: It is not a file that was exported here, or damaged.
    """
    return _card_in(_load(path), path)


def _card_in(model: Any, path: Path) -> dict[str, Any]:
    text = {entry.key: entry.value for entry in model.metadata_props}.get(_KEY)
    if text is None:
        raise ConfigurationError(f"{path} was not exported by hear_edgel3: it says nothing of what it is")
    return parsed_card(text, str(path))


def _load(path: Path) -> Any:
    onnx = require("onnx", "reading an ONNX file", EXTRA)
    try:
        return onnx.load_from_string(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's, which is not its own package's in all versions
        raise ConfigurationError(f"{path} is damaged, or no ONNX file: {error}") from error


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """The operators by their number, the parameters of the net, and the MACs of one window.

    The MACs are those of convolutions and matrix products, of the front end's too, whose sizes are seen by running the
    file once.
    """
    onnxruntime = require("onnxruntime", "running an ONNX file", EXTRA)
    model = _load(path)
    try:
        return _described(model, card, onnxruntime)
    except Exception as error:  # ONNX Runtime's have no common base of their own
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigurationError(f"{path} is damaged: ONNX Runtime cannot run what is in it ({said})") from error


def _described(model: Any, card: Mapping[str, Any], onnxruntime: Any) -> dict[str, Any]:
    import numpy as np
    import onnx

    graph = model.graph
    sizes = {value.name: [*value.dims] for value in graph.initializer}
    products = [node for node in graph.node if node.op_type in _PRODUCTS]
    wanted = {name for node in products for name in (*node.input[:2], node.output[0]) if name not in sizes}
    known = {value.name for value in (*graph.input, *graph.output)}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - known))
    source = graph.input[0]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is in the exception
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.zeros(_input_shape(source, card), np.float32)
    names = [output.name for output in session.get_outputs()]
    shapes = {
        **sizes,
        source.name: [*x.shape],
        **{name: [*y.shape] for name, y in zip(names, session.run(None, {source.name: x}), strict=True)},
    }
    return {
        "operators": dict(sorted(Counter(node.op_type for node in graph.node).items())),
        "parameters": sum(int(np.prod(dims)) for dims in sizes.values()),
        "macs_window": sum(_macs(node, shapes) for node in products),
        "window_samples": card["window"] if card["length"] is None else card["length"],
    }


def _input_shape(source: Any, card: Mapping[str, Any]) -> list[int]:
    """One window: of the file's length, or of what a timestamp's embedding sees."""
    dims = source.type.tensor_type.shape.dim
    shape = [dim.dim_value for dim in dims]
    if len(shape) == 2:
        return [1, shape[1] or max(card["window"], card["minimum_samples"])]
    return [1, shape[1], shape[2] or card["frames"]]


def _macs(node: Any, shapes: Mapping[str, list[int]]) -> int:
    import math

    output = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return output * math.prod(shapes[node.input[1]][1:])
    first = shapes[node.input[0]]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return output * first[0 if transposed else -1]
