"""The converter: every layout the authors' files have, everything that is not one of their files, and the command."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

import hear_edgel3
from hear_edgel3._version import __version__
from hear_edgel3.errors import (
    DownloadError,
    HearEdgeL3Error,
    MissingExtra,
    OutputError,
    WeightsCorrupt,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.families.formats.keras import read_layers
from hear_edgel3.registry.names import checkpoints
from hear_edgel3.weights.cache import cache_folder
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import git_blob_id
from support import signals, synthetic
from support.loopback import FileServer, from_upstream, put_in_table
from weights_convert.__main__ import main

SEA, SPARSE = synthetic.row("sea_64"), synthetic.row("sparse_95")


@pytest.fixture(scope="module")
def plain() -> bytes:
    """sea_64 as .h5."""
    return synthetic.h5_bytes("sea_64", packed=False)


@pytest.fixture(scope="module")
def packed() -> bytes:
    """sea_64 as .h5.gz."""
    return synthetic.h5_bytes("sea_64")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, packed: bytes) -> Path:
    """A folder of downloads: sea_64 and sparse_95 gzipped, sea_128 unpacked, under the authors' names."""
    folder = tmp_path_factory.mktemp("downloads")
    (folder / SEA.upstream.filename).write_bytes(packed)
    (folder / SPARSE.upstream.filename).write_bytes(synthetic.h5_bytes("sparse_95"))
    unpacked = synthetic.row("sea_128").upstream.filename.removesuffix(".gz")
    (folder / unpacked).write_bytes(synthetic.h5_bytes("sea_128", packed=False))
    return folder


@pytest.fixture(scope="module")
def sea_file(sources: Path) -> Path:
    return sources / SEA.upstream.filename


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def assert_is_seeded(found: dict[str, torch.Tensor], name: str) -> None:
    """Bit for bit the tensors that went into the file."""
    expected = synthetic.state(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == torch.float32, key
        assert found[key].shape == value.shape, key
        assert found[key].numpy().tobytes() == value.numpy().tobytes(), key


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def edited(data: bytes, edit: Callable[[h5py.Group], None]) -> bytes:
    """An unpacked full-model file with a change; `edit` gets the group of its layers."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        edit(file["model_weights"])
    return buffer.getvalue()


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


# --- what is written ---


def test_the_same_source_gives_the_same_bytes_in_every_process(sea_file: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for path in paths[:2]:
        convert(SEA, sea_file).write(path)
    for seed, path in enumerate(paths[2:]):
        done = subprocess.run(
            [sys.executable, "-m", "weights_convert", "sea_64", "--source", str(sea_file), "--output", str(path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{path}  sha256={hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        assert "is not, byte for byte, the file published as sea_64" in done.stderr
    assert len({path.read_bytes() for path in paths}) == 1
    assert len(files_under(tmp_path)) == 4


def test_the_file_says_where_it_came_from(sea_file: Path, tmp_path: Path) -> None:
    sha256 = convert(SEA, sea_file).write(tmp_path / "x.safetensors")
    data = sea_file.read_bytes()
    assert sha256 == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    metadata = read(tmp_path / "x.safetensors")[1]
    assert list(metadata) == ["hear_edgel3"]  # several keys would come in any order
    provenance = json.loads(metadata["hear_edgel3"])
    assert len(provenance.pop("tensors_sha256")) == 64
    assert provenance == {
        "format": 1,
        "configuration": "sea_64",
        "source_file": "edgel3_sea_ust_audio_emb_64.h5.gz",
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "source_git_blob": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "upstream_url": SEA.upstream.url,
        "licence": "MIT",
        "copyright": "(c) 2019 Sangeeta Kumari",
        "citation": SEA.citation,
        "converter": f"hear_edgel3 {__version__}",
    }
    assert str(tmp_path) not in metadata["hear_edgel3"]
    assert sorted(json.loads(metadata["hear_edgel3"])) == list(json.loads(metadata["hear_edgel3"]))


def test_the_git_blob_id_is_gits() -> None:
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_published_tells_the_authors_file_from_others(sea_file: Path) -> None:
    assert not convert(SEA, sea_file).published
    assert convert(from_upstream(SEA, sea_file.read_bytes()), sea_file).published


def test_the_published_sea_64(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared / "checkpoints" / SEA.upstream.filename
    assert main(["sea_64", "--source", str(source.parent), "--output", str(tmp_path / "x.safetensors")]) == 0
    assert capsys.readouterr().err == ""  # byte for byte the published file: no note
    provenance = json.loads(read(tmp_path / "x.safetensors")[1]["hear_edgel3"])
    assert provenance["source_git_blob"] == SEA.upstream.git_blob == "f3535405c91fe8da71f6456adb8a061213324239"
    renamed = tmp_path / "mine.h5.gz"
    renamed.write_bytes(source.read_bytes())
    with pytest.raises(WeightsMismatch, match="is the published file of sea_64, not of sea_128"):
        convert(synthetic.row("sea_128"), renamed)


def test_a_file_with_the_name_of_another_checkpoint_is_refused(sources: Path) -> None:
    with pytest.raises(WeightsMismatch, match=r"is the name of the published file of sparse_95, not of sparse_53_kd"):
        convert(synthetic.row("sparse_53_kd"), sources / SPARSE.upstream.filename)


def test_a_file_of_the_same_shape_is_converted_with_a_note(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mine.h5.gz"
    source.write_bytes((sources / SPARSE.upstream.filename).read_bytes())
    assert main(["sparse_53_kd", "--source", str(source), "--output", str(tmp_path / "x.safetensors")]) == 0
    captured = capsys.readouterr()
    row = synthetic.row("sparse_53_kd")
    assert f"note: {source.name} is not, byte for byte, the file published as sparse_53_kd" in captured.err
    assert row.upstream.git_blob in captured.err


def test_a_file_that_is_published_as_another_checkpoint_is_refused(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources / SPARSE.upstream.filename
    put_in_table(monkeypatch, from_upstream(SPARSE, source.read_bytes()))
    renamed = tmp_path / "mine.h5.gz"
    renamed.write_bytes(source.read_bytes())
    target = tmp_path / "x.safetensors"
    with pytest.raises(WeightsMismatch, match=r"mine\.h5\.gz is the published file of sparse_95, not of sparse_53_kd"):
        convert(synthetic.row("sparse_53_kd"), renamed)
    assert main(["sparse_53_kd", "--source", str(renamed), "--output", str(target)]) == 1
    assert not target.exists()
    assert convert(synthetic.row("sparse_95"), renamed).published


def test_no_two_rows_claim_the_same_file() -> None:
    assert len({row.upstream.url for row in checkpoints()}) == len(checkpoints()) == 55
    known = [row.upstream.git_blob for row in checkpoints() if row.upstream.git_blob is not None]
    assert len(set(known)) == len(known) == 24


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


def assert_refused(
    name: str, source: Path, error: type[HearEdgeL3Error], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the function with this error, by the command with exit code 1 and the same text; and nothing is written."""
    with pytest.raises(error, match=words) as caught:
        convert(synthetic.row(name), source)
    assert type(caught.value) is error
    assert source.name in str(caught.value)
    folder.mkdir()
    assert main([name, "--source", str(source), "--output", str(folder / "x.safetensors")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {name}: ")
    assert re.search(words, captured.err)
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert main([name, "--source", str(source)]) == 1
    assert files_under(folder) == files_under(cache_folder()) == []


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
    asked: str, filename: str, expected: str, found: str, likely: str, sources: Path, tmp_path: Path, capsys
) -> None:
    words = f"is not a checkpoint of {asked}: expected layer .*{expected}.*, found .*{found}"
    words += f".*; its layers are those of {likely}"
    assert_refused(asked, sources / filename, WeightsMismatch, words, tmp_path / "out", capsys)


def truncated(where: float | int, data: bytes) -> bytes:
    return data[: int(len(data) * where)] if isinstance(where, float) else data[:where]


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
        (lambda: b"", "is not a Keras checkpoint: .*found 0 bytes"),
        (lambda: random.Random(0).randbytes(5000), "is not a Keras checkpoint"),
        (lambda: gzip.compress(random.Random(0).randbytes(5000)), "is not a Keras checkpoint"),
        (lambda: b"\x1f\x8b" + random.Random(0).randbytes(5000), "damaged or truncated gzip file"),
        (lambda: gzip.compress(b"")[:10] + b"\xff" * 50, "damaged or truncated gzip file"),
        (lambda: b"\x89HDF\r\n\x1a\n" + random.Random(0).randbytes(5000), "damaged or truncated HDF5 file"),
        (lambda: b"<!DOCTYPE html><html>rate limit</html>", "is not a Keras checkpoint: .*<!DOCTYP"),
        (pickled, r"is not a Keras checkpoint: .*PK"),
        (not_keras, "is HDF5 but not a Keras model: .*layer_names; found measurements"),
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
    places = [*range(6000), *range(len(plain) - 20000, len(plain))]
    source = random.Random(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(plain)
        for place in source.sample(places, 3):
            damaged[place] = source.randrange(256)
        try:
            read_layers(bytes(damaged), "x.h5")
        except WeightsCorrupt:
            refused += 1
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
    with pytest.raises(MissingExtra, match=r"pip install 'hear-edgel3\[convert\]'"):
        convert(SEA, sea_file)


# --- the command ---


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["sea_64", "--all"], ["sea_64", "--no-such-option"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "give the names of checkpoints, or --all" in capsys.readouterr().err


def test_an_unknown_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sea_65", "--output", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no configuration 'sea_65'; did you mean ")
    assert "sea_64" in error
    assert files_under(tmp_path) == []


def test_without_an_output_load_finds_the_result(sea_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sea_64", "--source", str(sea_file)]) == 0
    target = cache_folder() / "sea_64.safetensors"
    sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
    assert capsys.readouterr().out == f"{target}  sha256={sha256}\n"
    extractor = hear_edgel3.load("sea_64")
    assert (extractor.weights.path, extractor.weights.sha256) == (str(target), sha256)
    assert_is_seeded({k: v for k, v in extractor.net.state_dict().items() if "batches" not in k}, "sea_64")


def test_all_converts_what_is_there(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--all", "--source", str(sources), "--output", str(tmp_path / "new" / "folder")]) == 0
    out = tmp_path / "new" / "folder"
    assert files_under(out) == ["sea_128.safetensors", "sea_64.safetensors", "sparse_95.safetensors"]
    for name in ("sea_64", "sea_128", "sparse_95"):
        assert_is_seeded(read(out / f"{name}.safetensors")[0], name)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  sha256=")[0] for line in lines] == [
        str(out / f"{name}.safetensors") for name in ("sparse_95", "sea_64", "sea_128")
    ]
    (tmp_path / "empty").mkdir()
    assert main(["--all", "--source", str(tmp_path / "empty")]) == 2
    assert "has none of the published files" in capsys.readouterr().err


def test_one_that_fails_does_not_stop_the_others(sources: Path, tmp_path: Path, capsys, packed: bytes) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / SEA.upstream.filename).write_bytes(packed[:-20])
    unpacked = synthetic.row("sea_128").upstream.filename.removesuffix(".gz")
    (folder / unpacked).write_bytes((sources / unpacked).read_bytes())
    assert main(["sea_64", "sea_128", "--source", str(folder), "--output", str(out)]) == 1
    assert files_under(out) == ["sea_128.safetensors"]
    error = capsys.readouterr().err
    assert "error: sea_64: " in error
    assert "1 of 2 checkpoints were not converted" in error


def test_a_download_is_verified_and_converted(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = FileServer()
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", server.url)
    server.files[SEA.upstream.filename] = packed
    assert main(["sea_64", "--output", str(tmp_path / "x.safetensors")]) == 1  # not the file of the table
    assert f"expected git blob {SEA.upstream.git_blob}" in capsys.readouterr().err
    assert files_under(tmp_path) == []
    row = put_in_table(monkeypatch, from_upstream(SEA, packed))
    assert main(["sea_64", "--output", str(tmp_path)]) == 0  # a folder: the file gets the name that load() looks for
    assert_is_seeded(read(tmp_path / "sea_64.safetensors")[0], "sea_64")
    assert "note:" not in capsys.readouterr().err
    server.close()
    with pytest.raises(DownloadError, match="could not be fetched"):
        convert(row)
    assert server.requests == [("GET", f"/{SEA.upstream.filename}")] * 2


def test_outputs_that_cannot_be_written(sea_file: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "file").write_text("mine")
    for target, words in (
        (tmp_path / "no" / "folder" / "x.safetensors", "does not exist"),
        (tmp_path / "file" / "x.safetensors", "cannot write"),
    ):
        assert main(["sea_64", "--source", str(sea_file), "--output", str(target)]) == 1
        assert words in capsys.readouterr().err
        with pytest.raises(OutputError, match=words):
            convert(SEA, sea_file).write(target)
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["sea_64", "--source", str(sea_file)]) == 1
    assert "cannot make the folder" in capsys.readouterr().err

    opened = Path.open

    def refused(self: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if "x" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr("pathlib.Path.open", refused)
    assert main(["sea_64", "--source", str(sea_file), "--output", str(tmp_path / "x.safetensors")]) == 1
    assert "Permission denied" in capsys.readouterr().err
    assert files_under(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_file_and_no_other(sea_file: Path, tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        convert(SEA, sea_file).write(target)
    assert target.read_bytes() == b"old"
    assert files_under(tmp_path) == ["x.safetensors"]


# --- --verify ---


@pytest.fixture(scope="module")
def references() -> dict[str, np.ndarray]:
    """What the float64 oracle computes for two of the nets, as 16-bit windows and as float ones."""
    windows = signals.windows(8000)
    with np.load(synthetic.DATA / "golden.npz") as golden:
        embeddings = golden["emb__sea_64"]
    return {
        "pcm__integers": np.round(windows * 32768).astype(np.int16),
        "emb__integers": embeddings,
        "pcm__floats": windows[:2],
        "emb__floats": embeddings[:2].astype(np.float64),
        "unrelated": np.zeros(3),
    }


def test_verify_passes_on_the_oracles_embeddings(references, sea_file: Path, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **references)
    arguments = ["sea_64", "--source", str(sea_file), "--output", str(tmp_path / "x.safetensors")]
    assert main([*arguments, "--verify", str(tmp_path / "r.npz"), "--tolerance", "4e-5"]) == 0
    error = capsys.readouterr().err
    assert "verified sea_64 on integers: 6 windows, largest error " in error
    assert "verified sea_64 on floats: 2 windows" in error
    assert (tmp_path / "x.safetensors").is_file()


def test_verify_passes_on_a_sparse_net(sources: Path, tmp_path: Path) -> None:
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.savez(tmp_path / "r.npz", pcm__a=signals.windows(48000)[:2], emb__a=golden["emb__sparse_95"][:2])
    arguments = ["sparse_95", "--source", str(sources), "--output", str(tmp_path / "x.safetensors")]
    assert main([*arguments, "--verify", str(tmp_path / "r.npz")]) == 0


def changed(references: dict[str, np.ndarray], key: str, change: Callable[[np.ndarray], np.ndarray]) -> dict:
    return references | {key: change(references[key].copy())}


def one_nan(values: np.ndarray) -> np.ndarray:
    values[0, 3] = np.nan
    return values


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: changed(r, "emb__integers", lambda e: e + 1e-3), "integers by 0.001.*allowed 0.0005"),
        (lambda r: changed(r, "emb__integers", lambda e: e * 1.01), "integers by 0.*smallest cosine (1.0|0.9999999)"),
        (lambda r: changed(r, "emb__floats", lambda e: e[::-1]), "floats by "),
        (lambda r: changed(r, "emb__floats", one_nan), "floats by nan"),
        (lambda r: changed(r, "pcm__floats", np.zeros_like), "floats by "),
        (lambda r: changed(r, "emb__floats", lambda e: e[:1]), "pcm__floats has shape"),
        (lambda r: changed(r, "pcm__floats", lambda w: w[:, :-1]), "pcm__floats has shape"),
        (lambda r: changed(r, "emb__floats", lambda e: e[:, :-1]), "pcm__floats has shape"),
        (lambda r: {"pcm__a": np.zeros((0, 8000)), "emb__a": np.zeros((0, 64))}, "pcm__a has shape"),
        (lambda r: {"pcm__a": np.zeros(8000), "emb__a": np.float64(1)}, "pcm__a has shape"),
        (lambda r: {"pcm__a": r["pcm__floats"], "emb__b": r["emb__floats"]}, "has no pairs .*emb__b, pcm__a"),
        (lambda r: changed(r, "pcm__floats", lambda w: w * np.inf), "pcm__floats"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # 0 * inf above
def test_verify_fails_and_nothing_is_written(change, words: str, references, sea_file: Path, tmp_path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **change(references))
    arguments = ["sea_64", "--source", str(sea_file), "--verify", str(tmp_path / "r.npz")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: sea_64: ")
    assert re.search(words, error), error
    assert files_under(cache_folder()) == []


def test_verify_takes_the_tolerance_it_is_given(references, sea_file: Path, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **references)
    arguments = ["sea_64", "--source", str(sea_file), "--verify", str(tmp_path / "r.npz")]
    assert main([*arguments, "--tolerance", "0"]) == 1
    assert main([*arguments, "--tolerance", "nan"]) == 1
    np.savez(tmp_path / "r.npz", **changed(references, "emb__integers", lambda e: np.roll(e, 1, axis=1)))
    assert main([*arguments, "--tolerance", "1000"]) == 1  # the direction counts all the same
    assert files_under(cache_folder()) == []


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "npy", "text", "pickles"])
def test_a_reference_that_cannot_be_read(kind: str, references, sea_file: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "r.npz"
    if kind in ("empty", "text"):
        path.write_bytes(b"" if kind == "empty" else b"some text, long enough")
    elif kind == "npy":
        np.save(tmp_path / "r.npy", np.zeros(3))
        path = tmp_path / "r.npy"
    elif kind == "pickles":
        np.savez(path, pcm__a=np.array([{}], dtype=object))
    elif kind == "truncated":
        np.savez(path, **references)
        path.write_bytes(path.read_bytes()[:3000])
    assert main(["sea_64", "--source", str(sea_file), "--verify", str(path)]) == 1
    assert f"error: sea_64: the reference {path} cannot be read" in capsys.readouterr().err
    assert files_under(cache_folder()) == []
