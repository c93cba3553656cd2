"""Reads the weight arrays of a Keras HDF5 file, layer by layer. Nothing in the file is executed or evaluated."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3._extras import require
from hear_edgel3.disk.apart import Answer, Apart, Ended, Failed, Refused
from hear_edgel3.errors import WeightsCorrupt

if TYPE_CHECKING:
    import h5py

_GZIP, _HDF5 = b"\x1f\x8b", b"\x89HDF\r\n\x1a\n"
# The largest file of the systems we convert is VGG19's with its classifier: 143,667,240 values, 575 MB. A gzip bomb
# must not fill the memory.
_MAX_BYTES = 1 << 30
_PATIENCE_S = 120  # the largest takes seconds
_MAX_ELEMENTS = 1 << 28  # of all arrays together


@dataclass(frozen=True)
class Layer:
    """A layer that has weights.

    Attributes:
        name: as Keras numbered it.
        arrays: its weights, in the order Keras lists them.
    """

    name: str
    arrays: list[np.ndarray]


def require_h5py() -> Any:
    """The h5py module.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("h5py", "converting Keras checkpoints (.h5)", "convert")


def read_layers(data: bytes, source: str) -> list[Layer]:
    """The layers with weights, in the model's order.

    Takes a whole model (``model.save``: groups under /model_weights) or weights only (``save_weights``: groups at the
    root), gzipped or not. Layer names and numbers do not matter.

    Args:
        data: bytes of a .h5 or .h5.gz file.
        source: how to call it in errors.

    Raises:
        WeightsCorrupt: not HDF5, truncated, or without Keras' lists of layers and weights.
        MissingExtra: h5py is not installed.
    """
    require_h5py()
    unpacked = _unpack(data, source)
    with closing(Apart("hear_edgel3.families.formats.keras:answer", "HDF5", _PATIENCE_S)) as reader:
        try:
            head, body = reader.ask({"source": source, "most": _MAX_ELEMENTS}, unpacked)
        except Refused as error:
            raise WeightsCorrupt(str(error)) from error
        except (Failed, Ended) as error:
            raise WeightsCorrupt(f"{source} is a damaged or truncated HDF5 file: {error}") from error
    layers, values, start = [], np.frombuffer(body, np.float32), 0
    for name, shapes in head["layers"]:
        arrays = []
        for shape in shapes:
            size = math.prod(shape)
            arrays.append(values[start : start + size].reshape(shape))
            start += size
        layers.append(Layer(name, arrays))
    return layers


def answer(question: dict[str, Any], data: bytes) -> Answer:
    """The layers in the bytes of a file: for the process apart that reads it."""
    import h5py

    source = question["source"]
    with h5py.File(io.BytesIO(data), "r") as file:
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs:
            found = ", ".join(sorted(file.keys())[:5]) or "nothing"
            raise Refused(
                f"{source} is HDF5 but not a Keras model: expected layer groups under /model_weights or at the "
                f"root, with the attribute layer_names; found {found}"
            )
        layers, most = [], int(question["most"])
        room = most
        for name in group.attrs["layer_names"]:
            layers.append(_layer(group, _text(name), source, room, most))
            room -= sum(array.size for array in layers[-1].arrays)
    layers = [layer for layer in layers if layer.arrays]
    shapes = [(layer.name, [array.shape for array in layer.arrays]) for layer in layers]
    return {"layers": shapes}, (np.ascontiguousarray(array).data for layer in layers for array in layer.arrays)


def _unpack(data: bytes, source: str) -> bytes:
    if data.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(_MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise WeightsCorrupt(f"{source} is a damaged or truncated gzip file: {error}") from error
        if len(data) > _MAX_BYTES:
            raise WeightsCorrupt(f"{source} unpacks to more than {_MAX_BYTES >> 20} MB, more than any checkpoint")
    if not data.startswith(_HDF5):
        raise WeightsCorrupt(
            f"{source} is not a Keras checkpoint: expected an HDF5 file (.h5) or a gzipped one (.h5.gz), found "
            f"{len(data)} bytes that start with {data[:8]!r}"
        )
    return data


def _layer(group: h5py.Group, name: str, source: str, room: int, most: int) -> Layer:
    """A layer, of which all arrays together have at most ``room`` values, of ``most`` in the file."""
    layer = group[name]
    arrays = []
    for weight in layer.attrs.get("weight_names", ()):
        dataset = layer[_text(weight)]
        room -= dataset.size
        if room < 0:
            raise Refused(f"{source} has arrays of more than {most} values, more than any checkpoint")
        if dataset.dtype.kind != "f" or dataset.is_virtual or dataset.external:
            raise Refused(
                f"{source}: {name}/{_text(weight)} is not a plain array of numbers ({dataset.dtype}, {dataset.shape})"
            )
        arrays.append(np.asarray(dataset, dtype=np.float32))
    return Layer(name, arrays)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
