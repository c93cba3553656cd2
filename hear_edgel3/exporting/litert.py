"""LiteRT files (.tflite), for phones and small boards; LiteRT is what was TensorFlow Lite.

The card is a buffer of the file, named by the entry ``hear_edgel3`` of the model's metadata, as JSON. A file takes one
window of one length at a time, and computes in float32: LiteRT has no float64.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ConfigurationError, MissingExtra
from hear_edgel3.exporting.checked import parsed_card

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hear_edgel3.exporting.program import Program

EXTRA, SUFFIX, ENGINE, FLOAT64 = "litert", ".tflite", "litert", False
FOLDER, INT8, PARTS = False, True, ("whole", "net", "frontend")
FIXED_S = 1.0
# As of OpenVINO: a DFT in float32 drowns what leaks out of pure tones.
TOLERANCES = {"tone": 1e-4, "": 1e-5}
_KEY = "hear_edgel3"


def check_installed() -> None:
    """Raises MissingExtra if a package that it needs is not installed."""
    for module, package in (("litert_torch", "litert-torch"), ("ai_edge_litert", "ai-edge-litert")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("exporting to LiteRT", package, EXTRA)


def engine_version() -> str:
    """The version of LiteRT."""
    version: str = require("ai_edge_litert", "running a LiteRT file", EXTRA, "ai-edge-litert").__version__
    return version


def size_of(path: Path) -> int:
    """The bytes of a file."""
    return path.stat().st_size


def write(program: Program, path: Path) -> None:
    """Writes a program."""
    from hear_edgel3.exporting.converting import convert

    convert(program, "litert", path, program.card)
    _put_card(path, program.card, program.source, program.outputs)


def quantize(program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Writes a file whose weights are in eight bits, made of one in float; it computes in float."""
    from hear_edgel3.exporting.int8 import choose
    from hear_edgel3.exporting.litert_int8 import narrow_weights

    schema = require("ai_edge_litert.schema_py_generated", "exporting to LiteRT", EXTRA, "ai-edge-litert")
    chosen = choose(program, inputs)
    how = {"method": "weights", "in_float": list(chosen.in_float), "blocks": chosen.blocks}
    card = {**program.card, "quantization": how}
    model = _load(source)
    narrow_weights(model, schema, dict(program.module.named_parameters()), chosen.narrowed)
    _save(model, card, path)
    return card


def _put_card(path: Path, card: Mapping[str, Any], source: str, outputs: tuple[str, ...]) -> None:
    """Puts the card into a file that was converted, and the names of its input and outputs, which the tools choose."""
    schema = require("ai_edge_litert.schema_py_generated", "exporting to LiteRT", EXTRA, "ai-edge-litert")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.description = f"{card['name']} ({card['licence']})"
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    signature.inputs[0].name = graph.tensors[graph.inputs[0]].name = source
    # Those of a signature stand in any order; the tools name them after their place among the module's.
    by_place = sorted(signature.outputs, key=lambda one: int(one.name.decode().rpartition("_")[2]))
    for one, name in zip(by_place, outputs, strict=True):
        one.name = name
    for number, tensor in enumerate(graph.tensors):
        if number != graph.inputs[0]:
            tensor.name = f"t{number}"  # of the tools' names, which say where in torch's graph it stands, half is paths
    entry = schema.MetadataT()
    entry.name, entry.buffer = _KEY, len(model.buffers)
    model.buffers.append(schema.BufferT())
    model.metadata = [*(model.metadata or []), entry]
    _save(model, card, path)


def _save(model: Any, card: Mapping[str, Any], path: Path) -> None:
    """Writes a model, in whose place for it the card is put."""
    import numpy as np

    flatbuffers = require("flatbuffers", "exporting to LiteRT", EXTRA)
    entry = next(one for one in model.metadata if one.name in (_KEY, _KEY.encode()))
    model.buffers[entry.buffer].data = np.frombuffer(json_text(card).encode(), np.uint8)

    class Aligned(flatbuffers.Builder):  # type: ignore[misc, name-defined]
        """With constants at multiples of 16 bytes, as the format wants; neither the tools nor the schema's code do."""

        def StartVector(self, size: int, number: int, alignment: int) -> Any:  # noqa: N802
            return super().StartVector(size, number, 16 if size == 1 else alignment)

    builder = Aligned(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


class _Session:
    def __init__(self, path: Path, threads: int | None) -> None:
        engine = require("ai_edge_litert.interpreter", "running a LiteRT file", EXTRA, "ai-edge-litert")
        interpreter = engine.Interpreter(model_content=path.read_bytes(), num_threads=threads)
        self._run = interpreter.get_signature_runner()
        (self._source,) = self._run.get_input_details()
        self._interpreter = interpreter  # the runner does not keep it

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        found = [self._run(**{self._source: np.ascontiguousarray(x[i : i + 1])}) for i in range(len(x))]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def open_file(path: Path, threads: int | None = 1) -> _Session:
    """Opens a file in LiteRT on the CPU, with XNNPACK, as it does by itself. Windows are given to it one by one."""
    return _Session(path, threads)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file.

    Raises:
        ConfigurationError: It is not a file that was exported here, or damaged.
    """
    model = _load(path)
    entry = next((one for one in model.metadata or () if one.name == _KEY.encode()), None)
    if entry is None:
        raise ConfigurationError(f"{path} was not exported by hear_edgel3: it says nothing of what it is")
    try:
        text = bytes(model.buffers[entry.buffer].data).decode()
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is damaged: what it says of itself is no text ({error})") from error
    return parsed_card(text, str(path))


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    if data[4:8] != b"TFL3":
        raise ConfigurationError(f"{path} is no LiteRT file: it does not begin like one")
    schema = require("ai_edge_litert.schema_py_generated", "reading a LiteRT file", EXTRA, "ai-edge-litert")
    try:
        return schema.ModelT.InitFromPackedBuf(data, 0)
    except Exception as error:  # whatever an offset that leads nowhere makes of the schema's code
        raise ConfigurationError(f"{path} is damaged: its parts are not where it says ({error})") from error


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """The operators by their number, the parameters of the net, and the MACs of its window.

    The MACs are those of convolutions and matrix products, of the front end's too.
    """
    schema = require("ai_edge_litert.schema_py_generated", "reading a LiteRT file", EXTRA, "ai-edge-litert")
    model = _load(path)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    try:
        kinds = [names[code.builtinCode] for code in model.operatorCodes]
        (graph,) = model.subgraphs
        operators = [(kinds[one.opcodeIndex], [*one.inputs], [*one.outputs]) for one in graph.operators]
        shapes = [tuple(map(int, () if one.shape is None else one.shape)) for one in graph.tensors]
        real = {
            tensor.buffer: math.prod(shape)
            for tensor, shape in zip(graph.tensors, shapes, strict=True)
            if tensor.type in (schema.TensorType.FLOAT32, schema.TensorType.INT8)
            and model.buffers[tensor.buffer].data is not None
        }
        return {
            "operators": dict(sorted(Counter(kind for kind, _, _ in operators).items())),
            "parameters": sum(real.values()),
            "macs_window": sum(
                _macs(kind, [shapes[i] for i in inputs[:2]], shapes[outputs[0]]) for kind, inputs, outputs in operators
            ),
            "window_samples": card["length"],
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is damaged: its operators are not what they must be ({error!r})") from error


def _macs(kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    if kind == "CONV_2D":
        return math.prod(output) * math.prod(inputs[1][1:])
    if kind == "DEPTHWISE_CONV_2D":
        return math.prod(output) * math.prod(inputs[1][1:3])
    if kind in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        return math.prod(output) * inputs[0][-1]
    return 0
