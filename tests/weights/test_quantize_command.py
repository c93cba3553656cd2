"""``--quantize int8`` of both commands, and what they say of files that have int8 weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.registry.labels import Label
from hear_edgel3.weights.file import encode, encode_quantized, read_weights
from hear_edgel3.weights.quantized import dequantize_state, quantize_state
from support import signals, synthetic
from support.folders import make_folder
from support.mobilenetv3_files import pt
from support.mobilenetv3_files import state as mobilenetv3_state
from support.types import Captured
from weights_convert.__main__ import main as convert_main
from weights_convert.verify import made_up_windows


@pytest.fixture
def files(here: Path, sea_file: Path) -> Path:
    """An empty folder with sea_64 as its authors' file, float.safetensors and int8.safetensors."""
    (here / "authors.h5.gz").write_bytes(sea_file.read_bytes())
    assert convert_main(["sea_64", "--source", "authors.h5.gz", "--output", "float.safetensors"]) == 0
    words = ["sea_64", "--source", "float.safetensors", "--output", "int8.safetensors", "--quantize", "int8"]
    assert main(["weights", "convert", *words]) == 0
    return here


def run(program: str, words: str) -> int:
    return main(["weights", "convert", *words.split()]) if program == "weights convert" else convert_main(words.split())


@pytest.mark.parametrize("program", ["weights convert", "weights_convert"])
@pytest.mark.parametrize("source", ["authors.h5.gz", "float.safetensors"])
def test_the_same_from_the_authors_file_and_from_a_converted_one(
    program: str, source: str, files: Path, capsys: Captured
) -> None:
    capsys.readouterr()
    assert run(program, f"sea_64 --source {source} --output again.safetensors --quantize int8") == 0
    out, err = capsys.readouterr()
    assert out == f"again.safetensors  sha256={sha256_of(files / 'again.safetensors')}\n"
    assert "sea_64: int8 weights, " in err
    assert re.search(r"sea_64: int8 against float, made-up sounds: 16 windows, largest difference .* cosine 0\.99", err)
    assert (files / "again.safetensors").read_bytes() == (files / "int8.safetensors").read_bytes()
    made, before = read_weights(files / "again.safetensors"), read_weights(files / "float.safetensors")
    assert made.quantization is not None
    assert made.quantization.source_sha256 == before.sha256
    origin = made.provenance | {"quantization": None, "tensors_sha256": None}
    assert origin == before.provenance | {"quantization": None, "tensors_sha256": None}
    assert made.provenance["source_sha256"] == sha256_of(files / "authors.h5.gz")
    assert all(
        torch.equal(made.tensors[name], value)
        for name, value in dequantize_state(quantize_state(before.tensors)).items()
    )


@pytest.mark.parametrize("program", ["weights convert", "weights_convert"])
def test_what_is_refused(program: str, files: Path, capsys: Captured) -> None:
    def refused(words: str, code: int, message: str) -> None:
        capsys.readouterr()
        before = sorted(files.rglob("*"))
        assert run(program, words) == code
        assert message in capsys.readouterr().err
        assert sorted(files.rglob("*")) == before

    refused("sea_64 --quantize int8", 2, "quantised weights need an --output: in the cache they would stand for")
    refused("sea_64 --quantize int8 --source int8.safetensors --output x", 1, "has int8 weights already; give the file")
    refused("sea_64 --source int8.safetensors --output x", 1, "int8.safetensors is a converted file already, of sea_64")
    again = "sea_64 --quantize int8 --source float.safetensors --output float.safetensors"
    refused(again, 1, "float.safetensors is the source; give another --output")
    refused("sea_128 --quantize int8 --source float.safetensors --output x", 1, "holds the weights of sea_64, not of")
    refused("tiny --quantize int8", 2, "into a new folder: give --output")
    refused("tiny --quantize int8 --output x --source float.safetensors", 2, "give --output and leave out --source")
    like_a_file = "--output x.safetensors is named like a file, but tiny is quantised into a new folder"
    refused("tiny --quantize int8 --output x.safetensors", 2, like_a_file)
    refused("tiny sea_64 --quantize int8 --output x", 2, "tiny lives in a folder of its own: quantise it by itself")
    refused("tiny --output x", 2, "tiny is part of this package")
    refused("./nowhere --quantize int8 --output x", 2, "there is no such folder")


def test_a_net_with_classes_of_its_own(here: Path, capsys: Captured) -> None:
    names = ["Turdus merula", "Parus major", "Strix aluco"]
    Path("birds.txt").write_text("\n".join(names))
    Path("own.pt").write_bytes(pt(mobilenetv3_state("mn01_as", n_classes=3)))
    convert = "mn01_as --source own.pt --labels birds.txt --output"
    assert convert_main(f"{convert} float.safetensors".split()) == 0
    assert convert_main(f"{convert} int8.safetensors --quantize int8".split()) == 0
    again = "mn01_as --source float.safetensors --output again.safetensors --quantize int8"
    assert convert_main(again.split()) == 0
    assert Path("again.safetensors").read_bytes() == Path("int8.safetensors").read_bytes()
    model = hear_edgel3.load("mn01_as", "int8.safetensors", features=["logits"])
    assert model.labels == tuple(Label(name, "") for name in names)
    assert convert_main(f"{again} --labels birds.txt".split()) == 1
    assert (
        "is a converted file already, with its classes and settings; leave out --labels and --setting"
        in capsys.readouterr().err
    )
    assert (
        main(["weights", "verify", "mn01_as", "--weights", "int8.safetensors", "--against", "float.safetensors"]) == 0
    )


@pytest.mark.parametrize("family", ["mobilenetv3", "l3"])
def test_folders(family: str, here: Path, capsys: Captured) -> None:
    made = make_folder(here / "net", family)
    (made / "README.md").write_text("# small\n")
    (made / "metrics.csv").write_text("epoch\n")
    assert main(["weights", "convert", "./net", "--quantize", "int8", "--output", "small"]) == 0
    assert capsys.readouterr().out == f"small/net.safetensors  sha256={sha256_of(here / 'small/net.safetensors')}\n"
    small, plain = hear_edgel3.load("./small"), hear_edgel3.load("./net")
    inside = small.net.state_dict()
    expected = dequantize_state(quantize_state(plain.net.state_dict()))
    assert all(torch.equal(inside[key], value) for key, value in expected.items())
    values, before = (json.loads((here / name / "configuration.json").read_text()) for name in ("small", "net"))
    sha256 = before["weights_sha256"]
    assert values["made"] == {"quantized": "int8", "quantized_from_sha256": sha256}
    assert values | {"made": 0, "weights_sha256": 0} == before | {"made": 0, "weights_sha256": 0}
    assert (here / "small" / "metrics.csv").read_text() == "epoch\n"
    card = (here / "small" / "README.md").read_text()
    assert card.startswith("# small\n")
    assert sha256 in card

    assert main(["info", "./small", "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert weights["stored_as"] == "int8, and computed with as float32"
    assert weights["stored_mb"] == round((here / "small/net.safetensors").stat().st_size / 1e6, 2)
    assert main(["info", "./net", "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert "stored_as" not in weights
    assert weights["stored_mb"] == round((here / "net/net.safetensors").stat().st_size / 1e6, 2)
    assert main(["weights", "verify", "./small", "--against", "net"]) == 0
    assert "small: sound int8 weights, " in (err := capsys.readouterr().err)
    assert "small against net/net.safetensors, made-up sounds: 16 windows, largest difference" in err

    for words, message in (
        ("./net --quantize int8 --output small", "small is there already; give a new folder"),
        ("./small --quantize int8 --output other", "has int8 weights already"),
    ):
        assert main(["weights", "convert", *words.split()]) in (1, 2)
        assert message in capsys.readouterr().err
    (made / "net.safetensors").write_bytes(b"other")
    assert main(["weights", "convert", "./net", "--quantize", "int8", "--output", "other"]) == 1
    assert "has the wrong checksum" in capsys.readouterr().err
    assert not (here / "other").exists()


def test_verify(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    capsys.readouterr()
    verify = ["weights", "verify", "sea_64", "--weights", "int8.safetensors"]
    sha256, before = sha256_of(files / "int8.safetensors"), sha256_of(files / "float.safetensors")
    assert main(verify) == 0
    out, err = capsys.readouterr()
    assert out == f"int8.safetensors  sha256={sha256}\n"
    assert err.startswith("sea_64: sound int8 weights, from another file than the published one")
    assert f"not compared with the float weights, which are not on this machine (sha256 {before})" in err

    assert main([*verify, "--against", "float.safetensors"]) == 0
    against = capsys.readouterr().err.splitlines()[1]
    assert against.startswith("sea_64 against float.safetensors, made-up sounds: 16 windows, largest difference ")
    (files / "there").mkdir()
    (files / "float.safetensors").rename(files / "there" / "sea_64.safetensors")
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(files / "there"))
    assert main(verify) == 0
    assert capsys.readouterr().err.splitlines()[1] == against.replace("float", f"{files}/there/sea_64")

    other = {name: value * 1.01 for name, value in synthetic.state("sea_64").items()}
    Path("other.safetensors").write_bytes(encode(other, {"configuration": "sea_64"}))
    assert main([*verify, "--against", "other.safetensors"]) == 0
    assert "other.safetensors is not the file that the int8 weights were made from" in capsys.readouterr().err


def test_verify_with_a_reference(files: Path, capsys: Captured) -> None:
    windows = signals.windows(8000)
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.savez("r.npz", pcm__a=windows, emb__a=golden["emb__sea_64"])
    # Float weights must meet it before they are quantised.
    convert = "sea_64 --source authors.h5.gz --output x.safetensors --quantize int8 --verify r.npz"
    assert convert_main([*convert.split(), "--tolerance", "4e-5"]) == 0
    assert "int8 against float, a: 6 windows, largest difference" in capsys.readouterr().err
    assert convert_main([*convert.replace("x.", "y.").split(), "--tolerance", "1e-9"]) == 1
    assert not Path("y.safetensors").exists()
    # Quantised ones are held to what is asked for only.
    verify = "weights verify sea_64 --weights x.safetensors --reference r.npz --against float.safetensors".split()
    assert main(verify) == 0
    err = capsys.readouterr().err
    assert "verified sea_64 on a: 6 windows, largest error 0." in err
    assert "sea_64 against float.safetensors, a: 6 windows" in err
    assert main([*verify, "--tolerance", "1e-3"]) == 1
    assert main([*verify, "--tolerance", "10"]) == 0


def test_places(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Where weights are found, they may be int8; they are not published under the name of the float ones."""
    there = files / "there"
    there.mkdir()
    (there / "sea_64.safetensors").write_bytes((files / "int8.safetensors").read_bytes())
    strange = encode(synthetic.state("sea_128"), {"configuration": "sea_128", "quantization": {"scheme": "int3"}})
    (there / "sea_128.safetensors").write_bytes(strange)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(there))
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert "sea_64.safetensors  (sound, int8 weights)" in out
    assert "sea_128.safetensors  (stored in a way that this version does not read)" in out
    model = hear_edgel3.load("sea_64")
    assert model.weights is not None
    assert model.weights.sha256 == sha256_of(there / "sea_64.safetensors")
    assert main(["info", "sea_64"]) == 0
    assert re.search("stored as +int8, and computed with as float32", capsys.readouterr().out)
    assert main(["info", "sea_128"]) == 0
    assert re.search("stored as +cannot be read: ", capsys.readouterr().out)
    assert main(["weights", "publish", "sea_64"]) == 1
    assert "under the name of sea_64 only float ones are published" in capsys.readouterr().err


def test_hear_modules_read_them(here: Path) -> None:
    state = synthetic.state("sea_64")
    Path("w.safetensors").write_bytes(encode_quantized(state, {"configuration": "sea_64"}))
    model = hear_edgel3.sea_64.load_model("w.safetensors")
    audio = torch.from_numpy(signals.clip(0.5, 16000))[None]
    expected = hear_edgel3.load("sea_64", "w.safetensors").scene_embeddings(audio)
    assert torch.equal(hear_edgel3.sea_64.get_scene_embeddings(audio, model), expected)


@pytest.mark.parametrize(("window", "rate"), [(8000, 8000), (48000, 48000), (5120, 32000), (1600, 8000)])
def test_made_up_windows(window: int, rate: int) -> None:
    found = made_up_windows(window, rate)
    assert found.shape == (16, window)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert found.abs().amax(1).max() <= 1
    assert found.abs().amax(1).min() > 0.005
    assert torch.equal(found, made_up_windows(window, rate))
