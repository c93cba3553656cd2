"""Files that hold weights, and folders that hold configurations."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from support.folders import make_folder

from .kept import Kept
from .kind import Attempt, Kind, Sound

_FAMILIES = ("mobilenetv3", "l3")


def _state(place: Path, family: str) -> dict[str, torch.Tensor]:
    return load_file(make_folder(place / f"state_{family}", family) / "net.safetensors")


def _weights(place: Path) -> list[Sound]:
    from hear_edgel3.weights.file import encode, encode_quantized, encode_sparse
    from hear_edgel3.weights.header import (
        INT8,
        INT8_VERSION,
        QUANTIZATION_KEY,
        SPARSE,
        SPARSE_INT8,
        SPARSE_VERSION,
        Quantization,
    )
    from hear_edgel3.weights.quantized import quantize_state
    from hear_edgel3.weights.sparse import compress_state

    int8 = {QUANTIZATION_KEY: Quantization(INT8, INT8_VERSION, None).to_dict()}
    sounds = []
    for family in _FAMILIES:
        state, provenance = _state(place, family), {"configuration": "small", "source": [1]}
        sounds.append(Sound(f"{family}.safetensors", encode(state, provenance)))
        # Of another program: without the digest that gives changed values away.
        sounds.append(Sound(f"{family}.safetensors", save(state, {"hear_edgel3": json.dumps(provenance)})))
        sounds.append(Sound(f"{family}.safetensors", encode_quantized(state, provenance)))
        small = save(quantize_state(state, fewest=1), {"hear_edgel3": json.dumps(provenance | int8)})
        sounds.append(Sound(f"{family}.safetensors", small))
        pruned = {name: _pruned(value) for name, value in state.items()}
        sounds.append(Sound(f"{family}.safetensors", encode_sparse(pruned, provenance)))
        for scheme, whole in ((SPARSE, pruned), (SPARSE_INT8, quantize_state(pruned, fewest=1))):
            how = {QUANTIZATION_KEY: Quantization(scheme, SPARSE_VERSION, None).to_dict()}
            some = save(compress_state(whole, fewest=1), {"hear_edgel3": json.dumps(provenance | how)})
            sounds.append(Sound(f"{family}.safetensors", some))
    values = torch.linspace(-1, 1, 12).reshape(3, 4)
    few = {f"layer.{i}.weight": values.to((torch.float32, torch.float16)[i % 2]) for i in range(5)}
    for zipped in (True, False):
        for value in (few, {"state_dict": few, "epoch": 3}):
            buffer = io.BytesIO()
            torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
            sounds.append(Sound("few.pt", buffer.getvalue()))
    sounds.append(Sound("few.h5", _keras()))
    return sounds


def _pruned(value: torch.Tensor) -> torch.Tensor:
    """A weight with few values left, and zeros of both signs."""
    if value.ndim < 2:
        return value
    left = torch.rand(value.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    return value * left


def _keras() -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["conv2d_1", "batch_normalization_1"]
        for layer in group.attrs["layer_names"]:
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [f"{layer}/kernel:0", f"{layer}/bias:0"]
            inner.create_dataset(f"{layer}/kernel:0", data=np.ones((3, 3, 1, 8), np.float32))
            inner.create_dataset(f"{layer}/bias:0", data=np.ones(8, np.float32))
    return buffer.getvalue()


def _prepare_weights(place: Path) -> Attempt:
    import hear_edgel3
    from hear_edgel3.families.formats import keras
    from hear_edgel3.families.formats.pytorch import read_state_dict

    keras.Apart = Kept()  # type: ignore[assignment, misc]
    keras._PATIENCE_S = 10  # of what the HDF5 library hangs on
    for family in _FAMILIES:
        make_folder(place / family, family)
    descriptions = {family: json.loads((place / family / "configuration.json").read_text()) for family in _FAMILIES}
    clip = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1

    def attempt(name: str, data: bytes) -> None:
        if name.endswith(".pt"):
            read_state_dict(data, name)
        elif name.endswith(".h5"):
            keras.read_layers(data, name)
        else:
            family = name.split(".", maxsplit=1)[0]
            folder = place / family
            (folder / "net.safetensors").write_bytes(data)
            values = {**descriptions[family], "weights_sha256": hashlib.sha256(data).hexdigest()}
            (folder / "configuration.json").write_text(json.dumps(values))
            model = hear_edgel3.load(folder, engine="torch", sample_rate=None)
            assert bool(torch.isfinite(model.scene_embeddings(clip[:, : model.sample_rate // 2])).all())

    return attempt


def _folders(place: Path) -> list[Sound]:
    sounds = []
    for family in _FAMILIES:
        made = make_folder(place / f"made_{family}", family) / "configuration.json"
        made.write_text(json.dumps(json.loads(made.read_text()), indent=1))  # lines are changed too
        sounds.append(Sound(family, made.read_bytes()))
    return sounds


def _prepare_folders(place: Path) -> Attempt:
    import contextlib

    import hear_edgel3
    from hear_edgel3.cli import main

    for family in _FAMILIES:
        shutil.copytree(place / f"made_{family}", place / family)
    tried = 0

    def attempt(name: str, data: bytes) -> None:
        nonlocal tried
        tried += 1
        (place / name / "configuration.json").write_bytes(data)
        if tried % 4 == 0:
            with contextlib.redirect_stdout(io.StringIO()):
                assert main(["info", str(place / name)]) in (0, 1, 2)
        hear_edgel3.load(place / name, engine="torch")

    return attempt


KINDS = (Kind("weights", _weights, _prepare_weights), Kind("folders", _folders, _prepare_folders, text=True))
