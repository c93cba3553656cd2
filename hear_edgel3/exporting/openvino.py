"""OpenVINO files: a graph (.xml) and its weights (.bin), of one name beside each other.

The card is the entry ``hear_edgel3`` of the file's runtime information, as JSON. OpenVINO computes in float32, also
where a graph says float64, and on processors that have bfloat16 in that unless it is told otherwise: whoever runs a
file must ask for ``INFERENCE_PRECISION_HINT`` f32, or its front end is off by hundredths.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ConfigurationError, MissingExtra
from hear_edgel3.exporting import onnx
from hear_edgel3.exporting.checked import parsed_card

if TYPE_CHECKING:
    import numpy as np

    from hear_edgel3.exporting.program import Program

EXTRA, SUFFIX, ENGINE, FLOAT64 = "openvino", ".xml", "openvino", False
FOLDER, INT8, PARTS = False, False, onnx.PARTS
BESIDE = (".bin",)
# All is computed in float32. What leaks out of pure tones drowns in a DFT of that type, as in PyTorch's own, which is
# as far off there. Observed: 1.5e-5 of the largest value on tones, 1e-6 on all other sounds.
TOLERANCES = {"tone": 1e-4, "": 1e-5}
HINT = "when you run it, set INFERENCE_PRECISION_HINT to f32: OpenVINO's own choice can be bfloat16"
_KEY = ["hear_edgel3"]
_SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}


def check_installed() -> None:
    """Raises MissingExtra if a package that it needs is not installed."""
    for package in ("openvino", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("exporting to OpenVINO", package, EXTRA)


def engine_version() -> str:
    """The version of OpenVINO."""
    version: str = require("openvino", "running an OpenVINO file", EXTRA).__version__
    return version.split("-", maxsplit=1)[0]


def size_of(path: Path) -> int:
    """The bytes of both files."""
    return path.stat().st_size + path.with_suffix(*BESIDE).stat().st_size


def write(program: Program, path: Path) -> None:
    """Writes a program."""
    openvino = require("openvino", "exporting to OpenVINO", EXTRA)
    with tempfile.TemporaryDirectory(prefix="hear_edgel3_export_") as folder:
        source = Path(folder) / "source.onnx"
        onnx.write(program, source)
        model = openvino.Core().read_model(source.read_bytes())
    model.set_rt_info(json_text(program.card), _KEY)
    # In float16 weights would be half as large, and embeddings a thousandth off.
    openvino.save_model(model, path, compress_to_fp16=False)


class _Session:
    def __init__(self, path: Path, threads: int | None) -> None:
        openvino = require("openvino", "running an OpenVINO file", EXTRA)
        settings = _SETTINGS if threads is None else {**_SETTINGS, "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(_load(path), "CPU", settings)
        self._names = [output.get_any_name() for output in compiled.outputs]
        self._request = compiled.create_infer_request()

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        found = self._request.infer({0: x})
        # Copies: the next call overwrites what the request holds.
        return {name: found[i].copy() for i, name in enumerate(self._names)}


def open_file(path: Path, threads: int | None = 1) -> _Session:
    """Opens a file in OpenVINO on the CPU, in float32."""
    return _Session(path, threads)


def _load(path: Path) -> Any:
    openvino = require("openvino", "reading an OpenVINO file", EXTRA)
    weights = path.with_suffix(*BESIDE)
    for file in (path, weights):
        if not file.is_file():
            raise ConfigurationError(f"{file} is not there: an OpenVINO file is {path.name} and {weights.name}")
    try:
        return openvino.Core().read_model(path, weights)
    except RuntimeError as error:
        raise ConfigurationError(f"{path} is damaged, or no OpenVINO file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines()[::-1] if line.strip()), type(error).__name__)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file.

    Raises:
        ConfigurationError: It is not a file that was exported here, or damaged.
    """
    model = _load(path)
    if not model.has_rt_info(_KEY):
        raise ConfigurationError(f"{path} was not exported by hear_edgel3: it says nothing of what it is")
    try:
        text = model.get_rt_info(_KEY).astype(str)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigurationError(f"{path} is damaged: what it says of itself is no text ({error})") from error
    return parsed_card(text, str(path))


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """The operators by their number, the parameters of the net, and the MACs of one window.

    The MACs are those of convolutions and matrix products, of the front end's too.
    """
    model = _load(path)
    length = card["window"] if card["length"] is None else card["length"]
    samples = max(length, card["minimum_samples"])
    source = model.inputs[0].get_partial_shape()
    shape = [1, samples] if len(source) == 2 else [1, source[1].get_length(), card["frames"]]
    model.reshape(shape)
    ops = model.get_ops()
    constants = [op for op in ops if op.get_type_name() == "Constant"]
    real = [op for op in constants if op.get_output_element_type(0).is_real()]
    kinds = Counter(op.get_type_name() for op in ops if op.get_type_name() not in ("Constant", "Parameter", "Result"))
    return {
        "operators": dict(sorted(kinds.items())),
        "parameters": sum(math.prod(op.get_output_shape(0)) for op in real),
        "macs_window": sum(_macs(op) for op in ops),
        "window_samples": length,
    }


def _macs(op: Any) -> int:
    kind = op.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    output = math.prod(op.get_output_shape(0))
    if kind == "MatMul":
        shape = op.get_input_shape(0)
        return int(output * shape[-2 if op.get_attributes()["transpose_a"] else -1])
    # (out, in, ...), or (groups, out, in, ...)
    return int(output * math.prod(op.get_input_shape(1)[1 if kind == "Convolution" else 2 :]))
