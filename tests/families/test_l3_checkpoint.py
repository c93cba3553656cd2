"""Keras checkpoints of the L3 family: every layout the authors' files have, and everything that is not one of them."""

from __future__ import annotations

import gzip
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from fuzz.kept import Kept

from hear_edgel3.errors import MissingExtra, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats.keras import read_layers
from hear_edgel3.weights.convert import convert
from support import synthetic
from support.conversion import assert_refused, read
from support.damage import SOMETHING_ELSE, assert_damage_is_said, random_bytes, scrambled, truncated
from support.l3_files import SEA, SPARSE, assert_is_seeded
from weights_convert.__main__ import main


def edited(data: bytes, edit: Callable[[h5py.Group], None]) -> bytes:
    """An unpacked full-model file with a change; `edit` gets the group of its layers."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        edit(file["model_weights"])
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def kept_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """The process apart that reads HDF5 goes on from file to file: to start one takes longer than a test."""
    kept = Kept()
    monkeypatch.setattr("hear_edgel3.families.formats.keras.Apart", kept)
    yield kept
    kept.end()


# --- layouts ---


LAYOUTS = list(itertools.product((True, False), (0, 1, 8), (True, False), (True, False)))


@pytest.mark.parametrize(("full", "first", "pooled", "as_bytes"), LAYOUTS)
def test_every_layout_of_a_sea_net(full: bool, first: int, pooled: bool, as_bytes: bool, tmp_path: Path) -> None:
    # every value of the other four meets a gzipped file and an unpacked one
    gzipped = (full + (first > 0) + pooled + as_bytes) % 2 == 0
    source = tmp_path / ("x.h5.gz" if gzipped else "x.h5")
    source.write_bytes(
        synthetic.h5_bytes("sea_64", full=full, first=first, pooled=pooled, as_bytes=as_bytes, packed=gzipped)
    )
    converted = convert(SEA, source)
    assert_is_seeded(converted.state, "sea_64")
    converted.write(tmp_path / "out.safetensors")
    assert_is_seeded(read(tmp_path / "out.safetensors")[0], "sea_64")


@pytest.mark.parametrize(
    ("full", "first", "pooled", "as_bytes", "gzipped"),
    [(True, 8, False, True, True), (False, 0, True, False, False), (False, 1, False, True, False)],
)
def test_layouts_of_a_sparse_net(
    full: bool, first: int, pooled: bool, as_bytes: bool, gzipped: bool, tmp_path: Path
) -> None:
    source = tmp_path / "x"  # what it is follows from its bytes, not from its name
    source.write_bytes(
        synthetic.h5_bytes("sparse_95", full=full, first=first, pooled=pooled, as_bytes=as_bytes, packed=gzipped)
    )
    assert_is_seeded(convert(SPARSE, source).state, "sparse_95")


@pytest.mark.parametrize("name", ["sea_128", "sea_256", "sea_512"])
def test_the_other_sizes(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(synthetic.h5_bytes(name, packed=False))
    assert_is_seeded(convert(synthetic.row(name), tmp_path / "x.h5").state, name)


@pytest.mark.parametrize("kind", ["S", h5py.string_dtype("ascii"), h5py.string_dtype("utf-8")])
@pytest.mark.parametrize("name", ["sea_64", "sparse_95"])
def test_every_way_to_store_the_names(name: str, kind: object, tmp_path: Path) -> None:
    """The authors' files have bytes of fixed length ("S"); newer programs write texts of any length."""

    def store(attributes: h5py.AttributeManager, key: str) -> None:
        attributes[key] = np.array([str(text).encode() for text in attributes[key]], dtype=kind)

    def edit(group: h5py.Group) -> None:
        for layer in group.values():
            store(layer.attrs, "weight_names")
        store(group.attrs, "layer_names")
        is_bytes = isinstance(group.attrs["layer_names"][0], bytes)
        assert is_bytes == (kind == "S")

    (tmp_path / "x.h5").write_bytes(edited(synthetic.h5_bytes(name, packed=False), edit))
    assert_is_seeded(convert(synthetic.row(name), tmp_path / "x.h5").state, name)


def test_double_precision_and_byte_order_do_not_matter(plain: bytes, tmp_path: Path) -> None:
    def edit(group: h5py.Group) -> None:
        for path, kind in (("conv2d_3/conv2d_3/kernel:0", ">f4"), ("conv2d_4/conv2d_4/kernel:0", "<f8")):
            values = group[path][()]
            del group[path]
            group[path] = values.astype(kind)

    (tmp_path / "x.h5").write_bytes(edited(plain, edit))
    assert_is_seeded(convert(SEA, tmp_path / "x.h5").state, "sea_64")


# --- what is refused ---


def other_layers(group: h5py.Group, change: Callable[[list[str]], list[str]]) -> None:
    group.attrs["layer_names"] = change([str(name) for name in group.attrs["layer_names"]])


def without(*names: str) -> Callable[[h5py.Group], None]:
    return lambda group: other_layers(group, lambda layers: [layer for layer in layers if layer not in names])


def with_dense(group: h5py.Group) -> None:
    layer = group.create_group("dense_1")
    layer.attrs["weight_names"] = ["dense_1/kernel:0", "dense_1/bias:0"]
    layer["dense_1/kernel:0"] = np.zeros((64, 31), np.float32)
    layer["dense_1/bias:0"] = np.zeros(31, np.float32)
    other_layers(group, lambda layers: [*layers, "dense_1"])


def swapped(group: h5py.Group) -> None:
    def swap(layers: list[str]) -> list[str]:
        i, j = layers.index("conv2d_2"), layers.index("batch_normalization_3")
        layers[i], layers[j] = layers[j], layers[i]
        return layers

    other_layers(group, swap)


def replaced(path: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.Group], None]:
    def edit(group: h5py.Group) -> None:
        values = change(group[path][()])
        del group[path]
        group[path] = values

    return edit


def with_value(path: str, value: float) -> Callable[[h5py.Group], None]:
    def edit(group: h5py.Group) -> None:
        group[path][(-1,) * group[path].ndim] = value

    return edit


MEL = "melspectrogram_1/melspectrogram_1"
CONV = "conv2d_3/conv2d_3/kernel:0"


def as_group(group: h5py.Group) -> None:
    del group[CONV]
    group.create_group(CONV)


EDITS = [
    ("a missing convolution", without("conv2d_4"), WeightsMismatch, r"expected layer 9 to be a convolution .*, found"),
    ("a missing last batch norm", without("batch_normalization_9"), WeightsMismatch, "expected 18 layers .*, found 17"),
    ("a missing front end", without("melspectrogram_1"), WeightsMismatch, "expected layer 1 to be a mel front end"),
    ("no layers", lambda g: other_layers(g, lambda _: ["input_1"]), WeightsMismatch, "expected 18 layers .*, found 0"),
    ("an extra layer", with_dense, WeightsMismatch, "expected 18 layers with weights, found 19"),
    ("another order", swapped, WeightsMismatch, "expected layer 5 to be a convolution .*, found 'batch_norm"),
    (
        "a layer that is listed but not there",
        lambda g: g.__delitem__("conv2d_3"),
        WeightsCorrupt,
        "damaged or truncated HDF5",
    ),
    ("an array that is listed but not there", lambda g: g.__delitem__(CONV), WeightsCorrupt, "damaged or truncated"),
    ("a NaN in a kernel", with_value(CONV, np.nan), WeightsCorrupt, r"convs\.2\.weight has values that are not fin"),
    (
        "an infinite variance",
        with_value("batch_normalization_2/batch_normalization_2/moving_variance:0", np.inf),
        WeightsCorrupt,
        r"norms\.0\.running_var has values that are not finite",
    ),
    (
        "another mel bank",
        replaced(f"{MEL}/Variable:0", lambda bank: np.roll(bank, 1, axis=0)),
        WeightsMismatch,
        "the mel filter bank in the file differ",
    ),
    ("a slightly other mel bank", with_value(f"{MEL}/Variable:0", 1e-4), WeightsMismatch, "the mel filter bank"),
    ("a NaN in the mel bank", with_value(f"{MEL}/Variable:0", np.nan), WeightsMismatch, "the mel filter bank"),
    ("other real kernels", replaced(f"{MEL}/real_kernels:0", np.negative), WeightsMismatch, "the real DFT kernels"),
    ("other imaginary kernels", replaced(f"{MEL}/imag_kernels:0", np.negative), WeightsMismatch, "the imaginary DFT"),
    (
        "another hop in the shapes",
        replaced(f"{MEL}/Variable:0", lambda bank: bank[:, :40]),
        WeightsMismatch,
        r"shapes \(1024, 1, 1, 513\), \(1024, 1, 1, 513\), \(513, 40\)",
    ),
    ("integers", replaced(CONV, lambda k: k.astype(np.int32)), WeightsCorrupt, "not a plain array of numbers"),
    ("complex numbers", replaced(CONV, lambda k: k.astype(np.complex64)), WeightsCorrupt, "not a plain array"),
    ("a group for an array", as_group, WeightsCorrupt, "damaged or truncated HDF5"),
    ("no value in an array", replaced(CONV, lambda k: h5py.Empty("f4")), WeightsCorrupt, "damaged or truncated"),
    ("a number for the layers", lambda g: g.attrs.__setitem__("layer_names", 3), WeightsCorrupt, "damaged or trunc"),
    ("one text for the layers", lambda g: g.attrs.__setitem__("layer_names", "a"), WeightsCorrupt, "damaged or trunc"),
    (
        "a number for the weights",
        lambda g: g["conv2d_3"].attrs.__setitem__("weight_names", 3),
        WeightsCorrupt,
        "damaged or trunc",
    ),
    ("no list of layers", lambda g: g.attrs.__delitem__("layer_names"), WeightsCorrupt, "HDF5 but not a Keras model"),
]


@pytest.mark.parametrize(("edit", "error", "words"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS])
def test_a_file_that_was_changed(edit, error, words: str, plain: bytes, tmp_path: Path, capsys) -> None:
    (tmp_path / "x.h5").write_bytes(edited(plain, edit))
    assert_refused("sea_64", tmp_path / "x.h5", error, words, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("asked", "filename", "expected", "found", "likely"),
    [
        ("sea_128", SEA.upstream.filename, r"\(3, 3, 128, 128\), \(128,\)", r"\(3, 3, 128, 64\), \(64,\)", "sea_64"),
        ("sea_64", SPARSE.upstream.filename, r"\(1024, 1, 1, 513\)", r"\(2048, 1, 1, 1025\)", "sparse_53 .*same shape"),
        ("sparse_95", SEA.upstream.filename, r"\(2048, 1, 1, 1025\)", r"\(1024, 1, 1, 513\)", "sea_64"),
    ],
)
def test_the_wrong_net_is_named(
    asked: str, filename: str, expected: str, found: str, likely: str, l3_downloads: Path, tmp_path: Path, capsys
) -> None:
    words = f"is not a checkpoint of {asked}: expected layer .*{expected}.*, found .*{found}"
    words += f".*; its layers are those of {likely}"
    assert_refused(asked, l3_downloads / filename, WeightsMismatch, words, tmp_path / "out", capsys)


@pytest.mark.parametrize("where", [2, 9, 30, 0.1, 0.5, 0.99, -9, -5, -1])
def test_a_truncated_gzip_file(where: float, packed: bytes, tmp_path: Path, capsys) -> None:
    (tmp_path / "x.h5.gz").write_bytes(truncated(where, packed))
    words = "damaged or truncated gzip file"
    assert_refused("sea_64", tmp_path / "x.h5.gz", WeightsCorrupt, words, tmp_path / "out", capsys)


@pytest.mark.parametrize("where", [8, 60, 2000, 0.1, 0.5, 0.99, -1])
def test_a_truncated_hdf5_file(where: float, plain: bytes, tmp_path: Path, capsys) -> None:
    (tmp_path / "x.h5").write_bytes(truncated(where, plain))
    words = "damaged or truncated HDF5 file"
    assert_refused("sea_64", tmp_path / "x.h5", WeightsCorrupt, words, tmp_path / "out", capsys)


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"conv.weight": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def not_keras() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["measurements/temperature"] = np.arange(5.0)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SOMETHING_ELSE["empty"], "is not a Keras checkpoint: .*found 0 bytes"),
        (lambda: SOMETHING_ELSE["random"], "is not a Keras checkpoint"),
        (lambda: gzip.compress(random_bytes(5000)), "is not a Keras checkpoint"),
        (lambda: b"\x1f\x8b" + random_bytes(5000), "damaged or truncated gzip file"),
        (lambda: gzip.compress(b"")[:10] + b"\xff" * 50, "damaged or truncated gzip file"),
        (lambda: b"\x89HDF\r\n\x1a\n" + random_bytes(5000), "damaged or truncated HDF5 file"),
        (lambda: SOMETHING_ELSE["html"], "is not a Keras checkpoint: .*<!DOCTYP"),
        (pickled, r"is not a Keras checkpoint: .*PK"),
        (not_keras, r"x\.h5\.gz is HDF5 but not a Keras model: .*layer_names; found measurements"),
        (lambda: gzip.compress(not_keras()), "is HDF5 but not a Keras model"),
    ],
    ids="empty random random_in_gzip random_after_gzip no_deflate random_after_hdf5 html pt hdf5 hdf5_in_gzip".split(),
)
def test_a_file_that_is_something_else(make: Callable[[], bytes], words: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "x.h5.gz").write_bytes(make())
    assert_refused("sea_64", tmp_path / "x.h5.gz", WeightsCorrupt, words, tmp_path / "out", capsys)


def test_a_damaged_byte_in_gzip_is_noticed_wherever_it_is(packed: bytes, tmp_path: Path) -> None:
    source = tmp_path / "x.h5.gz"
    for position in (len(packed) // 7, len(packed) // 2, len(packed) - 6):
        damaged = bytearray(packed)
        damaged[position] ^= 0x10
        source.write_bytes(damaged)
        with pytest.raises(WeightsCorrupt, match="damaged or truncated gzip file"):
            convert(SEA, source)


def test_damage_in_the_hdf5_structure_never_escapes_as_another_error(plain: bytes) -> None:
    """Bytes of the structure (which stands around the arrays) changed at random: read, or WeightsCorrupt."""
    damaged = scrambled(plain, 6000, 20_000, times=150)
    refused = assert_damage_is_said(lambda data: read_layers(data, "x.h5"), damaged)
    assert 30 < refused < 150


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_edgel3.families.formats.keras._MAX_BYTES", 1 << 20)
    (tmp_path / "x.h5.gz").write_bytes(gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(1 << 20)))
    with pytest.raises(WeightsCorrupt, match="unpacks to more than 1 MB"):
        convert(SEA, tmp_path / "x.h5.gz")


def test_nothing_in_a_file_is_executed_or_read_from_elsewhere(plain: bytes, tmp_path: Path) -> None:
    """Links to other files are the one thing in HDF5 that reaches out."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kernel"] = np.zeros((3, 3, 32, 64), np.float32)

    def edit(group: h5py.Group) -> None:
        del group[CONV]
        group[CONV] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/kernel")

    (tmp_path / "x.h5").write_bytes(edited(plain, edit))
    with pytest.raises(WeightsCorrupt, match="damaged or truncated HDF5 file"):
        convert(SEA, tmp_path / "x.h5")


def test_a_source_that_is_not_there(tmp_path: Path, capsys) -> None:
    assert_refused(
        "sea_64", tmp_path / "nowhere.h5", WeightsNotFound, r"nowhere\.h5 does not exist", tmp_path / "out", capsys
    )
    assert main(["sea_64", "--source", str(tmp_path)]) == 1  # a folder that does not have it
    assert f"{tmp_path / SEA.upstream.filename} does not exist" in capsys.readouterr().err


def test_without_h5py_it_says_how_to_install_it(sea_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r'pip install "\.\[convert\]"'):
        convert(SEA, sea_file)
