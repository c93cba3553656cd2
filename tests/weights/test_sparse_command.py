"""Pruned nets without their zeros: who writes them, who reads them, and that they are the same nets."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode, encode_quantized, encode_sparse, read_weights
from hear_edgel3.weights.locate import locate
from support import signals, synthetic
from support.folders import make_folder
from support.l3_files import SPARSE, assert_is_seeded
from support.loopback import REVISION, FakeHub, FileServer, from_upstream, on_hub, put_in_table
from support.types import Captured
from weights_convert.__main__ import main as convert_main


def run(words: str) -> int:
    return main(["weights", *words.split()])


@pytest.fixture
def files(here: Path, l3_downloads: Path) -> Path:
    """An empty folder with sparse_95 as its authors' file, small.safetensors, dense.safetensors."""
    (here / "authors.h5.gz").write_bytes((l3_downloads / SPARSE.upstream.filename).read_bytes())
    assert run("convert sparse_95 --source authors.h5.gz --output small.safetensors") == 0
    assert convert_main("sparse_95 --source authors.h5.gz --output dense.safetensors --dense".split()) == 0
    return here


def test_convert(files: Path, capsys: Captured) -> None:
    converted = convert(SPARSE, files / "authors.h5.gz")
    # What was written before this format was there, whose checksum may be in datasets and on the Hub.
    assert (files / "dense.safetensors").read_bytes() == encode(converted.state, converted.provenance)
    assert (files / "small.safetensors").read_bytes() == converted.to_bytes()
    assert (files / "small.safetensors").stat().st_size < 1.2e6
    small, dense = (read_weights(files / f"{name}.safetensors") for name in ("small", "dense"))
    assert_is_seeded(small.tensors, "sparse_95")
    assert_is_seeded(dense.tensors, "sparse_95")
    assert small.quantization is not None
    assert small.quantization.source_sha256 == dense.sha256

    capsys.readouterr()
    assert run("convert sparse_95 --source dense.safetensors --output again.safetensors") == 0
    assert capsys.readouterr().out == f"again.safetensors  sha256={small.sha256}\n"
    assert run("convert sparse_95 --source small.safetensors --output back.safetensors --dense") == 0
    assert capsys.readouterr().out == f"back.safetensors  sha256={dense.sha256}\n"
    # Into what it was made from, too: nothing is written before all is read.
    assert run("convert sparse_95 --source back.safetensors --output back.safetensors") == 0
    assert sha256_of(files / "back.safetensors") == small.sha256

    for words, message in (
        ("sparse_95 --source small.safetensors --output x", "is a converted file already, of sparse_95"),
        ("sparse_95 --source dense.safetensors --output x --dense", "is a converted file already, of sparse_95"),
        ("sparse_81 --source small.safetensors --output x --dense", "holds the weights of sparse_95, not of sparse_81"),
    ):
        assert run(f"convert {words}") == 1
        assert message in capsys.readouterr().err
    assert not Path("x").exists()


def test_int8(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """From the authors' file and from both others; zeros stay zero."""
    assert run("convert sparse_95 --source authors.h5.gz --quantize int8 --output a.safetensors") == 0
    assert "int8 against float, made-up sounds: 16 windows" in capsys.readouterr().err
    # The others have the same weights, which is looked at here, and their embeddings take long.
    monkeypatch.setattr("weights_convert.commands.compare_states", lambda *given: [])
    for name, source in (("b", "small.safetensors"), ("c", "dense.safetensors")):
        assert run(f"convert sparse_95 --source {source} --quantize int8 --output {name}.safetensors") == 0
    assert run("convert sparse_95 --source small.safetensors --quantize int8 --dense --output d.safetensors") == 0
    assert "sparse_95: sparse int8 weights, 45" in (err := capsys.readouterr().err)
    assert "sparse_95: int8 weights, 47" in err
    assert sha256_of(files / "a.safetensors") == sha256_of(files / "b.safetensors")
    assert (files / "a.safetensors").stat().st_size < 0.5e6
    tensors = {name: read_weights(files / f"{name}.safetensors").tensors for name in "acd"}
    for name, value in synthetic.state("sparse_95").items():
        assert ((value == 0) <= (tensors["a"][name] == 0)).all()
        assert torch.equal(tensors["a"][name], tensors["c"][name])
        assert torch.equal(tensors["a"][name], tensors["d"][name])
    assert run("convert sparse_95 --source a.safetensors --quantize int8 --output x") == 1
    assert "a.safetensors has sparse int8 weights already; give the file of the float ones" in capsys.readouterr().err


def test_what_is_said_of_them(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    (files / "there").mkdir()
    (files / "small.safetensors").rename(files / "there" / "sparse_95.safetensors")
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(files / "there"))
    capsys.readouterr()
    assert run("verify sparse_95") == 0
    out, err = capsys.readouterr()
    assert out == f"{files}/there/sparse_95.safetensors  sha256={sha256_of(files / 'there/sparse_95.safetensors')}\n"
    assert err.startswith("sparse_95: sound sparse weights, from another file than the published one")
    assert len(err.splitlines()) == 1
    assert run("verify sparse_95 --against dense.safetensors") == 0
    assert "made-up sounds: 16 windows, largest difference 0 (of" in capsys.readouterr().err
    assert run("list") == 0
    assert "sparse_95.safetensors  (sound, sparse weights)" in capsys.readouterr().out
    assert main(["info", "sparse_95"]) == 0
    assert re.search("stored as +sparse, the same values without their zeros", capsys.readouterr().out)


def test_publish(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    put_in_table(monkeypatch, from_upstream(SPARSE, (files / "authors.h5.gz").read_bytes()))
    for name in ("small", "dense"):
        path = files / f"{name}.safetensors"
        capsys.readouterr()
        assert run(f"publish sparse_95 --weights {path}") == 0
        assert capsys.readouterr().out == f'"sparse_95": ("REVISION", "{sha256_of(path)}", {path.stat().st_size}),\n'
    monkeypatch.setattr("weights_convert.commands.compare_states", lambda *given: [])  # it takes long
    assert run("convert sparse_95 --source small.safetensors --quantize int8 --output int8.safetensors") == 0
    assert run("publish sparse_95 --weights int8.safetensors") == 1
    assert "has sparse int8 weights; under the name of sparse_95 only float ones" in capsys.readouterr().err


def test_the_cache(upstream: FileServer, monkeypatch: pytest.MonkeyPatch, l3_downloads: Path) -> None:
    """What is there stays; what is fetched has no zeros."""
    packed = (l3_downloads / SPARSE.upstream.filename).read_bytes()
    upstream.files[SPARSE.upstream.filename] = packed
    row = put_in_table(monkeypatch, from_upstream(SPARSE, packed))
    path = locate(row)
    assert path == cache_folder() / "sparse_95.safetensors"
    assert path.stat().st_size < 1.2e6
    found = hear_edgel3.load("sparse_95").net.state_dict()
    assert_is_seeded({name: value for name, value in found.items() if "batches" not in name}, "sparse_95")
    dense = encode(synthetic.state("sparse_95"), {"configuration": "sparse_95"})
    path.write_bytes(dense)
    model = hear_edgel3.load("sparse_95")
    assert model.weights is not None
    assert model.weights.sha256 == hashlib.sha256(dense).hexdigest()


@pytest.mark.parametrize("dense", [False, True])
def test_the_hub(dense: bool, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row may have either kind of file, and its checksum holds."""
    data = (encode if dense else encode_sparse)(synthetic.state("sparse_95"), {"configuration": "sparse_95"})
    hub.put(SPARSE.hub.repo_id, REVISION, SPARSE.hub.filename, data)
    put_in_table(monkeypatch, on_hub(SPARSE, data))
    found = hear_edgel3.load("sparse_95")
    assert found.weights is not None
    assert found.weights.sha256 == hashlib.sha256(data).hexdigest()


def test_embeddings_are_the_same(here: Path) -> None:
    """Of the function, of HEAR modules, with either engine."""
    state, origin = synthetic.state("sparse_95"), {"configuration": "sparse_95"}
    for name, data in (("small", encode_sparse(state, origin)), ("dense", encode(state, origin))):
        Path(f"{name}.safetensors").write_bytes(data)
    audio = torch.from_numpy(signals.clip(0.5, 48000))[None]
    module = hear_edgel3.sparse_95
    small, dense = (
        module.get_scene_embeddings(audio, module.load_model(f"{name}.safetensors")) for name in ("small", "dense")
    )
    assert torch.equal(small, dense)
    small, dense = (
        hear_edgel3.load("sparse_95", f"{name}.safetensors", engine="torch").scene_embeddings(audio)
        for name in ("small", "dense")
    )
    assert torch.equal(small, dense)


def test_folders(here: Path, capsys: Captured) -> None:
    """Nets made here whose weights are stored so; also with int8 weights, made from them."""
    made = make_folder(here / "net", "mobilenetv3")
    state = read_weights(made / "net.safetensors").tensors
    pruned = {
        name: torch.where(torch.rand(value.shape, generator=torch.Generator().manual_seed(0)) < 0.1, value, 0)
        if value.ndim >= 2 and value.numel() >= 2048
        else value
        for name, value in state.items()
    }
    data = encode_sparse(pruned, {"configuration": "small"})
    assert len(data) < (made / "net.safetensors").stat().st_size
    (made / "net.safetensors").write_bytes(data)
    values = json.loads((made / "configuration.json").read_text())
    values["weights_sha256"] = hashlib.sha256(data).hexdigest()
    (made / "configuration.json").write_text(json.dumps(values))
    found = hear_edgel3.load("./net").net.state_dict()
    assert all(torch.equal(found[name], value) for name, value in pruned.items())
    assert main(["info", "./net", "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)["weights"]["stored_as"]
    assert stored == "sparse, the same values without their zeros"
    assert run("verify ./net") == 0
    for words, size in (("--output small", len(encode_quantized(pruned, {}))), ("--output large --dense", 0)):
        assert run(f"convert ./net --quantize int8 {words}") == 0
        folder = words.split()[1]
        assert abs((here / folder / "net.safetensors").stat().st_size - size) < 300 or size == 0
        assert hear_edgel3.load(f"./{folder}").weights is not None
    assert (here / "small" / "net.safetensors").stat().st_size < (here / "large" / "net.safetensors").stat().st_size
    (made / "net.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsCorrupt, match="wrong checksum"):
        hear_edgel3.load("./net")
