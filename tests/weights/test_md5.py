"""Files of which only an md5 is known, as of those that ``keras.applications`` downloads."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.image.nets.table import graph_of
from hear_edgel3.families.schema import Published
from hear_edgel3.registry.names import checkpoints, published
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import read_tensors
from support.loopback import FileServer, put_in_table
from support.types import Captured
from weights_convert.publish import publish

NAME = "image_squeezenet_v1"


def h5(path: Path, seed: int) -> bytes:
    """A file as Keras writes it, with random weights."""
    random = np.random.RandomState(seed)
    with h5py.File(path, "w") as file:
        convs = [node for node in graph_of("squeezenet_v1", 224, 224).nodes.values() if node.kind == "conv"]
        file.attrs["layer_names"] = [node.options["layer"].encode() for node in convs]
        for node in convs:
            group = file.create_group(node.options["layer"])
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            shape = (*node.options["kernel"], node.options["reads"], node.shape[0])
            group["kernel:0"] = (random.randn(*shape) * np.sqrt(2 / np.prod(shape[:3]))).astype(np.float32)
            group["bias:0"] = random.randn(node.shape[0]).astype(np.float32)
    return path.read_bytes()


@pytest.fixture
def theirs(tmp_path: Path) -> bytes:
    return h5(tmp_path / "theirs.h5", 1)


@pytest.fixture
def known(theirs: bytes, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The row as if ``theirs`` were what its authors published, and its md5 all that they told."""
    row = published(NAME)
    md5 = hashlib.md5(theirs, usedforsecurity=False).hexdigest()
    changed = dataclasses.replace(row, upstream=dataclasses.replace(row.upstream, md5=md5))
    put_in_table(monkeypatch, changed)
    return changed


def test_what_keras_tells() -> None:
    of_keras = [row for row in checkpoints() if "keras-applications" in row.upstream.url]
    without = {row.name for row in of_keras if row.upstream.md5 is None}
    assert without == {"image_mobilenet", "image_mobilenet_v2"}
    md5s = [row.upstream.md5 for row in of_keras if row.upstream.md5 is not None]
    assert len(set(md5s)) == 11
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in md5s)


def test_a_download_must_have_it(
    known: Published, theirs: bytes, upstream: FileServer, tmp_path: Path, capsys: Captured
) -> None:
    filename = known.upstream.filename
    upstream.files[filename] = other = h5(tmp_path / "other.h5", 2)
    assert main(["weights", "fetch", NAME]) == 1
    found = hashlib.md5(other, usedforsecurity=False).hexdigest()
    message = rf"is not the published file of {NAME}: expected md5 {known.upstream.md5}, found .*, md5 {found} .*bytes"
    assert re.search(message, capsys.readouterr().err)
    with pytest.raises(WeightsCorrupt, match=message):
        hear_edgel3.load(NAME)
    assert not list(cache_folder().glob("*.safetensors"))
    upstream.files[filename] = theirs
    assert main(["weights", "fetch", NAME]) == 0
    assert "no checksum" not in capsys.readouterr().err
    assert read_tensors(cache_folder() / f"{NAME}.safetensors")[1]["source_md5"] == known.upstream.md5
    assert main(["weights", "verify", NAME]) == 0
    assert "from the published file" in capsys.readouterr().err


def test_a_file_of_ones_own(known: Published, theirs: bytes, tmp_path: Path, capsys: Captured) -> None:
    other, target = tmp_path / "mine.h5", tmp_path / "x.safetensors"
    h5(other, 2)
    assert main(["weights", "convert", NAME, "--source", str(other), "--output", str(target)]) == 0
    note = capsys.readouterr().err
    assert f"mine.h5 is not, byte for byte, the file published as {NAME} (md5 {known.upstream.md5})" in note
    assert convert(known, tmp_path / "theirs.h5").published
    with pytest.raises(WeightsMismatch, match="was not converted from the published file"):
        publish(known, target, None, upload=False)
    convert(known, tmp_path / "theirs.h5").write(target)
    assert publish(known, target, None, upload=False).revision is None


def test_a_file_converted_before_the_md5_was_known(known: Published, theirs: bytes, tmp_path: Path) -> None:
    """It does not say its own, and so nothing is said of it."""
    from weights_convert.commands import _where_from

    said = dict(convert(known, tmp_path / "theirs.h5").provenance)
    assert _where_from(known, said) == "from the published file"
    assert _where_from(known, {**said, "source_md5": "0" * 32}).startswith("from another file than the published one")
    del said["source_md5"]
    assert _where_from(known, said).endswith("of which no checksum is known")
