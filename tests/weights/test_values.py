"""Values that weights cannot have are refused as they would be in the net, wherever they come from."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hear_edgel3
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats import keras
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.header import provenance
from support import synthetic
from support.mobilenetv3_files import pt
from support.mobilenetv3_files import state as mobilenetv3_state

WEIGHT, MEAN, VARIANCE = "convs.2.weight", "norms.1.running_mean", "norms.1.running_var"
COUNTER = "norms.1.num_batches_tracked"
State = dict[str, torch.Tensor]


def poked(value: torch.Tensor, to: float) -> torch.Tensor:
    value = value.clone()
    value.view(-1)[3] = to
    return value


NOT_FINITE = "has values that are not finite"
CANNOT_BE: dict[str, tuple[Callable[[State], State], str]] = {
    "beyond float32": (
        lambda s: {WEIGHT: poked(s[WEIGHT].double(), 1e300)},
        f"{WEIGHT} {NOT_FINITE}",
    ),
    "nan": (lambda s: {WEIGHT: poked(s[WEIGHT], np.nan)}, f"{WEIGHT} {NOT_FINITE}"),
    "nan statistics": (lambda s: {MEAN: poked(s[MEAN], np.nan)}, f"{MEAN} {NOT_FINITE}"),
    "negative variance": (lambda s: {VARIANCE: poked(s[VARIANCE], -1e-3)}, rf"{VARIANCE} has negative values"),
    **{
        str(dtype): (lambda s, dtype=dtype: {WEIGHT: s[WEIGHT].to(dtype)}, rf"{WEIGHT} is of type {dtype}; weights are")
        for dtype in (torch.bool, torch.int8, torch.int64, torch.uint16, torch.complex64, torch.float8_e4m3fn)
    },
    "counter of a fraction": (lambda s: {COUNTER: torch.tensor(0.5)}, rf"{COUNTER} should be a whole number"),
}


@pytest.mark.parametrize("name", CANNOT_BE)
def test_values_that_cannot_be(name: str, tmp_path: Path) -> None:
    change, words = CANNOT_BE[name]
    state = synthetic.state("sea_64")
    save_file(state | change(state), tmp_path / "w.safetensors")
    with pytest.raises(WeightsCorrupt, match=words):
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")


def test_a_counter_of_another_shape(tmp_path: Path) -> None:
    state = synthetic.state("sea_64") | {COUNTER: torch.zeros(3, dtype=torch.int64)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsMismatch, match=rf"{COUNTER} should have shape \(\) but has \(3,\)"):
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_taken(dtype: torch.dtype, tmp_path: Path) -> None:
    state = synthetic.state("sea_64")
    save_file({key: value.to(dtype) for key, value in state.items()}, tmp_path / "w.safetensors")
    model = hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    assert model.net.convs[2].weight.dtype == torch.float32
    assert torch.equal(model.net.convs[2].weight, state[WEIGHT].to(dtype).float())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: poked(v.double(), 1e300), "not finite"),
        (lambda v: poked(v, np.nan), "not finite"),
        (lambda v: poked(v, -1.0), "has negative values"),
        (lambda v: v.to(torch.float8_e5m2), "should be floating-point numbers, but is torch.float8_e5m2"),
        (lambda v: v.to(torch.int8), "should be floating-point numbers, but is torch.int8"),
    ],
)
def test_the_converter_refuses_them_too(change, words: str, tmp_path: Path) -> None:
    state = mobilenetv3_state("mn01_as")
    path = tmp_path / "x.pt"
    path.write_bytes(pt(state | {"features.0.1.running_var": change(state["features.0.1.running_var"])}))
    with pytest.raises(WeightsCorrupt, match=words):
        convert(synthetic.row("mn01_as"), path)


def test_keras_variances(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "x.h5"
    path.write_bytes(synthetic.h5_bytes("sea_64", packed=False))
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(lambda name: names.append(name) if "moving_variance" in name else None)
        file[names[1]][0] = -1.0
    with pytest.raises(WeightsCorrupt, match="running_var has negative values"):
        convert(synthetic.row("sea_64"), path)


# --- files that are small and would fill the memory ---


def h5_of(fill: Callable[[object], list[str]]) -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        layer = file.create_group("a")
        file.attrs["layer_names"] = [b"a"]
        layer.attrs["weight_names"] = [name.encode() for name in fill(layer)]
    return buffer.getvalue()


def test_arrays_that_are_too_large_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them would pass; none is read."""
    monkeypatch.setattr(keras, "_MAX_ELEMENTS", 1000)

    def fill(layer) -> list[str]:
        for i in range(3):
            layer.create_dataset(f"w{i}", (400,), "f4", chunks=(100,), compression="gzip")
        return ["w0", "w1", "w2"]

    with pytest.raises(WeightsCorrupt, match="x has arrays of more than 1000 values, more than any checkpoint"):
        keras.read_layers(h5_of(fill), "x")


def test_layers_that_are_too_large_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same array in each of them, which a file needs but once."""
    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr(keras, "_MAX_ELEMENTS", 1000)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("a")["w"] = np.zeros(400, "f4")
        file["a"].attrs["weight_names"] = [b"w"]
        for name in "bc":
            file[name] = file["a"]
        file.attrs["layer_names"] = [b"a", b"b"]
        assert file["c"] == file["a"]
    assert len(keras.read_layers(buffer.getvalue(), "x")) == 2
    with h5py.File(buffer, "r+") as file:
        file.attrs["layer_names"] = [b"a", b"b", b"c"]
    with pytest.raises(WeightsCorrupt, match="x has arrays of more than 1000 values, more than any checkpoint"):
        keras.read_layers(buffer.getvalue(), "x")


def test_data_of_other_files_is_not_read(tmp_path: Path) -> None:
    """HDF5 can point to any file of the machine."""
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(np.arange(8, dtype="f4").tobytes())

    def external(layer) -> list[str]:
        layer.create_dataset("w", (8,), "f4", external=[(str(tmp_path / "secret"), 0, 32)])
        return ["w"]

    def virtual(layer) -> list[str]:
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["w"] = np.arange(8, dtype="f4")
        layout = h5py.VirtualLayout((8,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "w", (8,))
        layer.create_virtual_dataset("w", layout)
        return ["w"]

    for fill in (external, virtual):
        with pytest.raises(WeightsCorrupt, match="a/w is not a plain array of numbers"):
            keras.read_layers(h5_of(fill), "x")


def repacked(data: bytes, compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return buffer.getvalue()


def test_packed_archives_are_refused() -> None:
    data = pt({"a": torch.zeros(100_000)})
    assert read_state_dict(repacked(data, zipfile.ZIP_STORED), "x")["a"].shape == (100_000,)
    packed = repacked(data, zipfile.ZIP_DEFLATED)
    assert len(packed) < 5000
    with pytest.raises(WeightsCorrupt, match=r"x was packed by another program than torch\.save"):
        read_state_dict(packed, "x")


def test_methods_that_a_file_hides() -> None:
    from collections import OrderedDict

    saved = OrderedDict(a=torch.zeros(2))
    saved.get = 1  # type: ignore[assignment,method-assign]
    assert list(read_state_dict(pt(saved), "x")) == ["a"]


# --- what files say of themselves ---


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 400 + "1" + "}" * 400, '{"labels":' + "[" * 90 + "]" * 90 + "}"]
)
def test_provenance_of_any_depth(text: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(synthetic.state("sea_64"), path, metadata={"hear_edgel3": text})
    with path.open("rb") as file:
        assert provenance(file) == {}
    assert hear_edgel3.load("sea_64", path).weights is not None


def test_a_header_of_any_depth(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"hear_edgel3": "{}"}}).encode()[:-1] + b',"x":' + b"[" * 100_000
    data = len(header).to_bytes(8, "little") + header
    assert provenance(io.BytesIO(data)) == {}
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(WeightsCorrupt, match="is not a sound safetensors file"):
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")


def test_the_recorded_checksum_is_of_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the file is replaced as soon as it has been."""
    import hashlib

    path = tmp_path / "w.safetensors"
    save_file(synthetic.state("sea_64"), path)
    read = path.read_bytes()
    plain = Path.read_bytes

    def replaced(self: Path) -> bytes:
        data = plain(self)
        if self == path:
            path.write_bytes(b"another")
        return data

    monkeypatch.setattr(Path, "read_bytes", replaced)
    model = hear_edgel3.load("sea_64", path)
    assert model.weights is not None
    assert model.weights.sha256 == hashlib.sha256(read).hexdigest()


@pytest.mark.parametrize("path", ["x" * 300, "y/" * 3000, "a\0b"], ids=["long name", "long path", "NUL"])
def test_paths_that_no_file_can_have(path: str) -> None:
    with pytest.raises(WeightsNotFound):
        hear_edgel3.load("sea_64", path)


def test_folders_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", "x" * 300)
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", "x" * 300)
    with pytest.raises(WeightsNotFound, match="ways to get its weights"):
        hear_edgel3.load("sea_64")
