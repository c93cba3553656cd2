"""MobileNetV3 checkpoints: PyTorch files of every kind, what is refused, downloads, and what may be published."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

import hear_edgel3
from hear_edgel3._version import __version__
from hear_edgel3.errors import (
    DownloadError,
    HearEdgeL3Error,
    WeightsCorrupt,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.cache import cache_folder
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import checksums, download, expected_checksum, is_published
from support import signals
from support.loopback import FakeHub, FileServer, from_upstream, put_in_table, use_hub
from weights_convert.__main__ import main
from weights_convert.publish import publish

State = dict[str, torch.Tensor]
Captured = pytest.CaptureFixture[str]

LAST = ("classifier.5.weight", "classifier.5.bias")


def row(name: str) -> Checkpoint:
    return resolve(name).checkpoint


def seeded(net: torch.nn.Module) -> State:
    """Values for the parameters of a net that keep its activations finite."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for i, (key, value) in enumerate(net.state_dict().items()):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(1000 + i)
        elif value.ndim == 1:
            state[key] = torch.rand(value.shape, generator=generator) * 0.5 + 0.5
        else:
            state[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
    return state


def variant(**arguments: Any) -> State:
    """A state dict of a net with other arguments than any row has."""
    with torch.device("meta"):
        net = MobileNetV3(**arguments)
    return seeded(net)


@functools.cache
def _state(name: str, n_classes: int) -> State:
    arguments = row(name).net.arguments
    return variant(width_mult=arguments["width_mult"], head=arguments["head"], n_classes=n_classes)


def state(name: str, n_classes: int | None = 527) -> State:
    """The state dict in the authors' file of a checkpoint; without a last layer if `n_classes` is None."""
    found = dict(_state(name, n_classes or 527))
    return found if n_classes is not None else {k: v for k, v in found.items() if k not in LAST}


def pt(value: object, zipped: bool = True) -> bytes:
    """What torch.save writes, now or (not zipped) before PyTorch 1.6."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def read(path: Path) -> tuple[State, dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["hear_edgel3"])


def assert_same(found: State, expected: State) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == (torch.int64 if key.endswith("num_batches_tracked") else torch.float32), key
        assert found[key].shape == value.shape, key
        assert found[key].detach().numpy().tobytes() == value.numpy().tobytes(), key


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def with_upstream(name: str, **values: str | None) -> Checkpoint:
    found = row(name)
    return dataclasses.replace(found, upstream=dataclasses.replace(found.upstream, **values))


@pytest.fixture(autouse=True)
def _without_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """These rows are tested as rows without a known checksum, even once theirs are known."""
    for name in ("mn01_as", "mn01_im", "mn04_im", "mn10_as_fc", "mn10_as_mels_40"):
        put_in_table(monkeypatch, with_upstream(name, git_blob=None, sha256=None))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded files under the authors' names."""
    folder = tmp_path_factory.mktemp("downloads")
    for name in ("mn01_as", "mn04_as", "mn10_as", "mn10_as_fc"):
        (folder / row(name).upstream.filename).write_bytes(pt(state(name)))
    os.link(folder / row("mn10_as").upstream.filename, folder / row("mn10_as_mels_40").upstream.filename)
    return folder


@pytest.fixture(scope="module")
def smallest() -> bytes:
    """mn01_as as .pt."""
    return pt(state("mn01_as"))


@pytest.fixture
def source(smallest: bytes, tmp_path: Path) -> Path:
    """mn01_as under the authors' name."""
    path = tmp_path / "in" / "mn01_as_mAP_298.pt"
    path.parent.mkdir()
    path.write_bytes(smallest)
    return path


# --- what is converted ---


@pytest.mark.parametrize(
    ("name", "layout"),
    [("mn01_as", "mn01_mlp"), ("mn04_as", "mn04_mlp"), ("mn10_as", "mn10_mlp"), ("mn10_as_fc", "mn10_fc")],
)
def test_the_seeded_files_have_the_layout_of_the_authors(name: str, layout: str, shared: Path) -> None:
    expected = json.loads((shared / "reference" / "mobilenetv3" / f"f_keys_{layout}.json").read_text())
    assert [[key, list(value.shape), str(value.dtype)] for key, value in state(name).items()] == expected


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("mn01_as", "no checksum of the file published as mn01_as is known; mn01_as_mAP_298.pt fits by names and shap"),
        ("mn04_as", r"mn04_as_mAP_432\.pt is not, byte for byte, the file published as mn04_as \(git blob 1c675af80a4"),
        ("mn10_as_fc", "no checksum of the file published as mn10_as_fc is known"),
        ("mn10_as_mels_40", "no checksum of the file published as mn10_as_mels_40 is known"),
    ],
)
def test_a_file_of_the_authors(name: str, note: str, sources: Path, capsys: Captured) -> None:
    assert main([name, "--source", str(sources / row(name).upstream.filename)]) == 0
    captured = capsys.readouterr()
    target = cache_folder() / f"{name}.safetensors"
    sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
    assert captured.out == f"{target}  sha256={sha256}\n"
    assert len(captured.err.splitlines()) == 1
    assert re.match(f"note: {note}", captured.err)
    assert_same(read(target)[0], state(name))
    extractor = hear_edgel3.load(name)
    assert (extractor.weights.path, extractor.weights.sha256) == (str(target), sha256)
    assert_same(extractor.net.state_dict(), state(name))
    audio = torch.from_numpy(signals.clip(0.2, 48000))[None]
    scene = extractor.scene_embeddings(audio)
    assert scene.shape == (1, resolve(name).embedding_size)
    assert bool(torch.isfinite(scene).all())
    assert float(scene.std()) > 0


@pytest.mark.parametrize("n_classes", [1000, 527, None])
def test_a_net_for_imagenet_loses_its_last_layer(n_classes: int | None, tmp_path: Path, capsys: Captured) -> None:
    values = state("mn04_im", n_classes)
    if n_classes is not None:
        values["classifier.5.bias"] = torch.full((n_classes,), float("nan"))  # of no interest
    (tmp_path / "mn04_im.pt").write_bytes(pt(values))
    assert main(["mn04_im", "--source", str(tmp_path / "mn04_im.pt")]) == 0
    assert "note: no checksum of the file published as mn04_im is known" in capsys.readouterr().err
    expected = {key: value for key, value in values.items() if key not in LAST}
    assert_same(read(cache_folder() / "mn04_im.safetensors")[0], expected)
    extractor = hear_edgel3.load("mn04_im", features=["clf1", "clf2"])
    scene = extractor.scene_embeddings(torch.from_numpy(signals.clip(0.2, 48000))[None])
    assert scene.shape == (1, 384 + 512)
    assert bool(torch.isfinite(scene).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    given = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state("mn01_as").items()}
    (tmp_path / "x.pt").write_bytes(pt(given))
    converted = convert(row("mn01_as"), tmp_path / "x.pt")
    assert_same(converted.state, {k: v.float() if v.is_floating_point() else v for k, v in given.items()})
    converted.write(tmp_path / "x.safetensors")
    assert_same(read(tmp_path / "x.safetensors")[0], converted.state)
    assert hear_edgel3.load("mn01_as", tmp_path / "x.safetensors").net.features[0][0].weight.dtype == torch.float32


def trained() -> State:
    """Parameters that want gradients among the values, as `state_dict(keep_vars=True)` has them."""
    return {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state("mn01_as").items()}


def in_other_layouts() -> State:
    values = {
        k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state("mn01_as").items()
    }
    values["classifier.2.weight"] = values["classifier.2.weight"].t().contiguous().t()
    return values


def in_one_buffer() -> State:
    values = state("mn01_as")
    buffer = torch.cat([v.flatten() for v in values.values() if v.is_floating_point()])
    parts = iter(buffer.split([v.numel() for v in values.values() if v.is_floating_point()]))
    return {k: next(parts).view(v.shape) if v.is_floating_point() else v for k, v in values.items()}


LAYOUTS: dict[str, Callable[[], bytes]] = {
    "state_dict": lambda: pt({"state_dict": state("mn01_as"), "epoch": 3}),
    "model": lambda: pt({"epoch": 3, "model": state("mn01_as"), "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}}),
    "model_state_dict": lambda: pt({"model_state_dict": state("mn01_as")}),
    "OrderedDict": lambda: pt(collections.OrderedDict(state("mn01_as"))),
    "another order": lambda: pt(dict(reversed(state("mn01_as").items()))),
    "before PyTorch 1.6": lambda: pt(state("mn01_as"), zipped=False),
    "parameters": lambda: pt(trained()),
    "other layouts": lambda: pt(in_other_layouts()),
    "views of one buffer": lambda: pt(in_one_buffer()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_way_to_save_a_state_dict(layout: str, smallest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(smallest)
    plain = convert(row("mn01_as"), path)
    path.write_bytes(LAYOUTS[layout]())
    converted = convert(row("mn01_as"), path)
    assert_same(converted.state, state("mn01_as"))
    converted.write(tmp_path / "x.safetensors")
    tensors, provenance = read(tmp_path / "x.safetensors")
    assert_same(tensors, state("mn01_as"))
    plain.write(tmp_path / "plain.safetensors")
    assert provenance["tensors_sha256"] == read(tmp_path / "plain.safetensors")[1]["tensors_sha256"]


def test_a_folder_of_downloads(sources: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["--all", "--source", str(sources), "--output", str(out)]) == 0
    names = ["mn01_as", "mn04_as", "mn10_as", "mn10_as_mels_40", "mn10_as_fc"]
    assert files_under(out) == sorted(f"{name}.safetensors" for name in names)
    for name in names:
        tensors, provenance = read(out / f"{name}.safetensors")
        assert_same(tensors, state(name))
        assert provenance["configuration"] == name
        assert provenance["source_file"] == row(name).upstream.filename
    captured = capsys.readouterr()
    assert [line.split("  ")[0] for line in captured.out.splitlines()] == [
        str(out / f"{name}.safetensors") for name in names
    ]
    assert len(captured.err.splitlines()) == 5


@pytest.mark.parametrize("name", ["mn01_all_b_mel_avgs", "mn01_as_e1_l_all_se", "mn01_as_logits_ts320"])
def test_any_name_of_a_checkpoint_will_do(name: str, source: Path) -> None:
    assert main([name, "--source", str(source)]) == 0
    assert files_under(cache_folder()) == ["mn01_as.safetensors"]
    assert hear_edgel3.load(name).scene_embedding_size == resolve(name).embedding_size


# --- what is written ---


def test_the_same_source_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths[:2]:
        assert main(["mn01_as", "--source", str(source), "--output", str(path)]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "weights_convert", "mn01_as", "--source", str(source), "--output", str(paths[2])],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{paths[2]}  sha256={hashlib.sha256(paths[2].read_bytes()).hexdigest()}\n"
    assert len({path.read_bytes() for path in paths}) == 1


def test_the_file_says_where_it_came_from(source: Path, smallest: bytes, tmp_path: Path) -> None:
    convert(row("mn01_as"), source).write(tmp_path / "x.safetensors")
    provenance = read(tmp_path / "x.safetensors")[1]
    assert len(provenance.pop("tensors_sha256")) == 64
    assert provenance == {
        "format": 1,
        "configuration": "mn01_as",
        "source_file": "mn01_as_mAP_298.pt",
        "source_sha256": hashlib.sha256(smallest).hexdigest(),
        "source_git_blob": hashlib.sha1(b"blob %d\0" % len(smallest) + smallest).hexdigest(),
        "upstream_url": "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn01_as_mAP_298.pt",
        "licence": "MIT",
        "copyright": "(c) 2022 Florian Schmid",
        "citation": row("mn01_as").citation,
        "converter": f"hear_edgel3 {__version__}",
    }
    assert str(tmp_path).encode() not in (tmp_path / "x.safetensors").read_bytes()


def test_the_result_is_for_its_checkpoint_alone(sources: Path, tmp_path: Path) -> None:
    """The parameters of mn10_as_mels_40 fit mn10_as; the front end does not."""
    target = tmp_path / "x.safetensors"
    convert(row("mn10_as_mels_40"), sources / row("mn10_as_mels_40").upstream.filename).write(target)
    with pytest.raises(WeightsMismatch, match="holds the weights of mn10_as_mels_40, not of mn10_as"):
        hear_edgel3.load("mn10_as", target)


# --- checksums ---


def test_published_tells_the_authors_file_from_others(source: Path, smallest: bytes) -> None:
    sha256 = hashlib.sha256(smallest).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(smallest) + smallest).hexdigest()
    for values, published, words in (
        ({}, None, "no checksum known"),
        ({"sha256": sha256}, True, f"sha256 {sha256}"),
        ({"git_blob": blob}, True, f"git blob {blob}"),
        ({"sha256": sha256, "git_blob": blob}, True, f"git blob {blob}"),
        ({"sha256": sha256, "git_blob": "0" * 40}, False, f"git blob {'0' * 40}"),
        ({"sha256": "0" * 64, "git_blob": blob}, False, f"git blob {blob}"),
        ({"sha256": "0" * 64}, False, f"sha256 {'0' * 64}"),
    ):
        changed = with_upstream("mn01_as", **values)
        assert is_published(changed, checksums(smallest)) is published
        assert convert(changed, source).published is published
        assert expected_checksum(changed) == words


def test_known_checksums() -> None:
    known = {name: row(name).upstream for name in ("mn04_as", "mn05_as", "mn10_as", "mn20_as")}
    assert len({upstream.git_blob for upstream in known.values()}) == 4
    assert all(re.fullmatch("[0-9a-f]{40}", str(upstream.git_blob)) for upstream in known.values())
    assert re.fullmatch("[0-9a-f]{64}", str(known["mn04_as"].sha256))


def test_the_note_depends_on_what_is_known(source: Path, smallest: bytes, monkeypatch, capsys: Captured) -> None:
    notes = []
    for values in ({}, {"sha256": "0" * 64}, {"sha256": hashlib.sha256(smallest).hexdigest()}):
        put_in_table(monkeypatch, with_upstream("mn01_as", **values))
        assert main(["mn01_as", "--source", str(source)]) == 0
        notes.append(capsys.readouterr().err)
    assert notes[0].startswith("note: no checksum of the file published as mn01_as is known")
    assert notes[1].startswith(
        "note: mn01_as_mAP_298.pt is not, byte for byte, the file published as mn01_as (sha256 0"
    )
    assert notes[2] == ""


# --- what is refused ---


def assert_refused(
    name: str, source: Path, error: type[HearEdgeL3Error], words: str, folder: Path, capsys: Captured
) -> None:
    """By the function with this error, by the command with exit code 1 and the same text; and nothing is written."""
    with pytest.raises(error, match=words) as caught:
        convert(row(name), source)
    assert type(caught.value) is error
    assert source.name in str(caught.value)
    folder.mkdir()
    assert main([name, "--source", str(source), "--output", str(folder / "x.safetensors")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {name}: ")
    assert re.search(words, captured.err)
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert files_under(folder) == files_under(cache_folder()) == []


WIDTH = "expected 294 tensors of a net of width 0.1 with the head mlp"

OTHER_NETS: list[tuple[str, str, Callable[[], State], str]] = [
    (
        "another width",
        "mn01_as",
        lambda: state("mn04_as"),
        f"{WIDTH}, found 312 tensors, a last convolution of 384 channels instead of 96, that of width 0.4",
    ),
    (
        "a width that is not published",
        "mn01_as",
        lambda: variant(width_mult=0.3),
        f"{WIDTH}, found .*, that of width 0.3",
    ),
    (
        "a reduced tail",
        "mn01_as",
        lambda: variant(width_mult=0.1, reduced_tail=True),
        f"{WIDTH}, found 294 tensors, a last convolution of 48 channels instead of 96, that of no width that there is",
    ),
    (
        "a fully convolutional head",
        "mn01_as",
        lambda: variant(width_mult=0.1, head="fully_convolutional"),
        f"{WIDTH}, found 296 tensors, the head fully_convolutional",
    ),
    (
        "an attention head",
        "mn01_as",
        lambda: variant(width_mult=0.1, head="multihead_attention_pooling"),
        f"{WIDTH}, found 293 tensors, the head multihead_attention_pooling",
    ),
    (
        "an mlp head",
        "mn10_as_fc",
        lambda: state("mn01_as"),
        "expected 314 tensors of a net of width 1 with the head fully_convolutional, found 294 tensors, "
        "a last convolution of 96 channels instead of 960, that of width 0.1, the head mlp",
    ),
    (
        "other classes",
        "mn01_as",
        lambda: variant(width_mult=0.1, n_classes=10),
        rf"{WIDTH}, found 294 tensors, classifier\.5\.weight of shape \(10, 128\) instead of \(527, 128\), classifier",
    ),
    ("no classes", "mn01_as", lambda: state("mn01_as", None), rf"{WIDTH}, found 292 tensors, classifier\.5\.bias miss"),
    (
        "squeeze-and-excitation of frequencies",
        "mn01_as",
        lambda: variant(width_mult=0.1, se_dims="cf"),
        rf"{WIDTH}, found .* tensors, .*conc_se_layers\.1.* unknown",
    ),
    (
        "a missing tensor",
        "mn01_as",
        lambda: without("features.9.block.1.0.weight"),
        "features.9.block.1.0.weight missi",
    ),
    (
        "a missing counter",
        "mn01_as",
        lambda: without("features.0.1.num_batches_tracked"),
        "num_batches_tracked missing",
    ),
    ("no last norm", "mn01_as", lambda: without("features.16.1.weight"), f"{WIDTH}, found 293 .*not a MobileNetV3's"),
    (
        "an extra tensor",
        "mn01_as",
        lambda: state("mn01_as") | {"head.weight": torch.zeros(3)},
        f"{WIDTH}, found 295 tensors, head.weight unknown",
    ),
    (
        "another shape",
        "mn01_as",
        lambda: state("mn01_as") | {"features.0.0.weight": torch.zeros(8, 3, 3, 3)},
        rf"{WIDTH}, found 294 tensors, features\.0\.0\.weight of shape \(8, 3, 3, 3\) instead of \(8, 1, 3, 3\)",
    ),
    (
        "prefixed names",
        "mn01_as",
        lambda: {f"module.{k}": v for k, v in state("mn01_as").items()},
        rf"{WIDTH}, found 294 that are not a MobileNetV3's \(module\.classifier",
    ),
    ("another net", "mn01_as", lambda: {"conv.weight": torch.zeros(3)}, f"{WIDTH}, found 1 that are not .*conv.weight"),
]


def without(*names: str) -> State:
    values = state("mn01_as")
    assert set(names) <= set(values)
    return {k: v for k, v in values.items() if k not in names}


@pytest.mark.parametrize(("name", "make", "words"), [c[1:] for c in OTHER_NETS], ids=[c[0] for c in OTHER_NETS])
def test_another_net(name: str, make: Callable[[], State], words: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.pt").write_bytes(pt(make()))
    words = f"x.pt is not a checkpoint of {name}: .*{words}"
    assert_refused(name, tmp_path / "x.pt", WeightsMismatch, words, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("asked", "named", "expected", "found"),
    [
        ("mn10_as", "mn10_as_mels_40", "hop_length 320, n_mels 128", "hop_length 320, n_mels 40"),
        ("mn10_as_hop_15", "mn10_as", "hop_length 480", "hop_length 320"),
        ("mn10_as_fc_s2221", "mn10_as_fc", r"strides \(2, 2, 2, 1\)", r"strides \(2, 2, 2, 2\)"),
    ],
)
def test_the_name_of_another_checkpoint_whose_parameters_fit(
    asked: str, named: str, expected: str, found: str, sources: Path, tmp_path: Path, capsys: Captured
) -> None:
    filename = row(named).upstream.filename
    words = rf"is the name of the published file of {named}, not of {asked}: expected {row(asked).upstream.filename} "
    words += rf"\(.*{expected}.*\), found .*{found}.*; rename it if it is another file"
    assert_refused(asked, sources / filename, WeightsMismatch, words, tmp_path / "out", capsys)
    os.link(sources / filename, tmp_path / "mine.pt")  # renamed
    assert main([asked, "--source", str(tmp_path / "mine.pt")]) == 0


def test_an_audioset_file_for_an_imagenet_net_is_refused_by_its_name(sources: Path, tmp_path: Path, capsys) -> None:
    source = sources / row("mn04_as").upstream.filename
    words = r"is the name of the published file of mn04_as, not of mn04_im: expected mn04_im\.pt "
    assert_refused("mn04_im", source, WeightsMismatch, words, tmp_path / "out", capsys)


def test_the_bytes_of_another_published_file(sources: Path, tmp_path: Path, monkeypatch, capsys: Captured) -> None:
    """Whatever it is called, and whether its parameters fit or not."""
    path = tmp_path / "mine.pt"
    path.write_bytes((sources / row("mn10_as_mels_40").upstream.filename).read_bytes())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    put_in_table(monkeypatch, with_upstream("mn10_as_mels_40", sha256=sha256))
    words = (
        "mine.pt is the published file of mn10_as_mels_40, not of mn10_as: expected hop_length 320, n_mels 128, .*, "
    )
    words += "found hop_length 320, n_mels 40, width_mult 1.0"
    assert_refused("mn10_as", path, WeightsMismatch, words, tmp_path / "out", capsys)
    assert convert(row("mn10_as_mels_40"), path).published


def test_the_bytes_of_another_published_file_by_gits_id(source: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    put_in_table(monkeypatch, from_upstream(row("mn01_as"), source.read_bytes()))
    words = "is the published file of mn01_as, not of mn02_as: expected .*width_mult 0.2, .*, found .*width_mult 0.1"
    assert_refused("mn02_as", source, WeightsMismatch, words, tmp_path / "out", capsys)
    assert convert(row("mn01_as"), source).published


def test_bytes_count_more_than_names(sources: Path, tmp_path: Path) -> None:
    """A copy of the published file under another's name is what its bytes say."""
    path = sources / row("mn10_as_mels_40").upstream.filename
    assert convert(from_upstream(row("mn10_as"), path.read_bytes()), path).published


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features.0.0.weight", float("nan")),
        ("features.9.block.1.1.running_var", float("inf")),
        ("classifier.5.bias", -float("inf")),
    ],
)
def test_values_that_are_not_finite(key: str, value: float, tmp_path: Path, capsys: Captured) -> None:
    changed = state("mn01_as")[key].clone()
    changed.view(-1)[-1] = value
    (tmp_path / "x.pt").write_bytes(pt(state("mn01_as") | {key: changed}))
    words = f"x.pt: {key} has values that are not finite"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def test_values_too_large_for_float32(tmp_path: Path, capsys: Captured) -> None:
    key = "features.0.0.weight"
    (tmp_path / "x.pt").write_bytes(pt(state("mn01_as") | {key: torch.full((8, 1, 3, 3), 1e300, dtype=torch.float64)}))
    words = f"{key} has values that are not finite"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


NO_STATE_DICTS: dict[str, tuple[Callable[[], object], str]] = {
    "a tensor": (lambda: torch.zeros(3), "is not a state dict: expected named tensors, found Tensor"),
    "a list": (lambda: list(state("mn01_as").values()), "is not a state dict: expected named tensors, found list"),
    "nothing": (lambda: None, "is not a state dict: expected named tensors, found NoneType"),
    "a number": (lambda: 3, "is not a state dict: expected named tensors, found int"),
    "an empty dict": (dict, "is not a state dict: expected named tensors, found dict"),
    "an empty state dict": (lambda: {"state_dict": {}, "epoch": 3}, "expected named tensors, found dict"),
    "no names": (lambda: dict(enumerate(state("mn01_as").values())), "is not a state dict: 0 is Tensor"),
    "a number among tensors": (lambda: state("mn01_as") | {"epoch": 3}, "is not a state dict: 'epoch' is int, not a"),
    "a sparse tensor": (
        lambda: state("mn01_as") | {"classifier.5.weight": state("mn01_as")["classifier.5.weight"].to_sparse()},
        r"classifier\.5\.weight is not a dense tensor of real numbers",
    ),
}


@pytest.mark.parametrize("kind", NO_STATE_DICTS)
def test_a_pytorch_file_that_is_no_state_dict(kind: str, tmp_path: Path, capsys: Captured) -> None:
    make, words = NO_STATE_DICTS[kind]
    (tmp_path / "x.pt").write_bytes(pt(make()))
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def random_bytes(n: int) -> bytes:
    return random.Random(0).randbytes(n)


def zip_of_texts() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.txt", "hello")
    return buffer.getvalue()


OTHER_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"Not Found\n",
    "html": lambda: b"<!DOCTYPE html><html>rate limit</html>",
    "json": lambda: b'{"message": "Not Found"}',
    "zeros": lambda: bytes(1000),
    "random": lambda: random_bytes(5000),
    "random after zip": lambda: b"PK\x03\x04" + random_bytes(5000),
    "zip": zip_of_texts,
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + random_bytes(500),
    "safetensors": lambda: save(state("mn01_as")),
    "gzip": lambda: gzip.compress(pt(state("mn01_as")), 1),
}
NO_CHECKPOINT = (
    r"x\.pt (is not a PyTorch checkpoint|is a damaged or truncated PyTorch checkpoint|holds more than tensors)"
)


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_that_is_something_else(kind: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.pt").write_bytes(OTHER_FILES[kind]())
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, NO_CHECKPOINT, tmp_path / "out", capsys)


@pytest.mark.parametrize("where", [2, 9, 30, 1000, 0.1, 0.5, 0.99, -200, -1])
def test_a_truncated_file(where: float, smallest: bytes, tmp_path: Path, capsys: Captured) -> None:
    length = int(len(smallest) * where) if isinstance(where, float) else where
    (tmp_path / "x.pt").write_bytes(smallest[:length])
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, NO_CHECKPOINT, tmp_path / "out", capsys)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of what it finds in such files
def test_damage_never_escapes_as_another_error(smallest: bytes) -> None:
    """Bytes of the structure (which stands around the values) changed at random: read, or WeightsCorrupt."""
    places = [*range(30_000), *range(len(smallest) - 20_000, len(smallest))]
    source = random.Random(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(smallest)
        for place in source.sample(places, 3):
            damaged[place] = source.randrange(256)
        try:
            read_state_dict(bytes(damaged), "x.pt")
        except WeightsCorrupt:
            refused += 1
    assert 30 < refused < 150


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


BOMBS: dict[str, Callable[[Bomb], bytes]] = {
    "alone": pt,
    "among tensors": lambda bomb: pt(state("mn01_as") | {"x": bomb}),
    "beside the state dict": lambda bomb: pt({"state_dict": state("mn01_as"), "hyper_parameters": bomb}),
    "as a key": lambda bomb: pt({bomb: state("mn01_as")}),
    "before PyTorch 1.6": lambda bomb: pt(state("mn01_as") | {"x": bomb}, zipped=False),
    "a bare pickle": lambda bomb: pickle.dumps(bomb, 2),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_code_in_a_file_is_not_executed(kind: str, tmp_path: Path, capsys: Captured) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "x.pt").write_bytes(BOMBS[kind](Bomb(marker)))
    words = "x.pt holds more than tensors and plain containers"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)
    assert not marker.exists()
    if kind == "a bare pickle":  # the bomb is live
        pickle.loads((tmp_path / "x.pt").read_bytes())
        assert marker.is_dir()


@pytest.mark.parametrize("kind", ["a module", "arrays"])
def test_other_programs_objects_are_not_made(kind: str, tmp_path: Path, capsys: Captured) -> None:
    value = torch.nn.Linear(2, 2) if kind == "a module" else {k: v.numpy() for k, v in state("mn01_as").items()}
    (tmp_path / "x.pt").write_bytes(pt(value))
    words = "x.pt holds more than tensors and plain containers"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def test_a_source_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    words = r"the source file .*nowhere\.pt does not exist"
    assert_refused("mn01_as", tmp_path / "nowhere.pt", WeightsNotFound, words, tmp_path / "out", capsys)
    assert main(["mn01_as", "--source", str(tmp_path)]) == 1  # a folder that does not have it
    assert f"{tmp_path / 'mn01_as_mAP_298.pt'} does not exist" in capsys.readouterr().err


def test_load_gives_the_command_for_a_file_of_the_authors(source: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(WeightsMismatch) as caught:
        hear_edgel3.load("mn01_as_logits", source)
    command = f"python -m weights_convert mn01_as --source {source} --output mn01_as.safetensors"
    assert command in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert main(command.split()[3:]) == 0
    assert hear_edgel3.load("mn01_as_logits", "mn01_as.safetensors").scene_embedding_size == 527


# --- downloads ---


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    server = FileServer()
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", server.url)
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "hub")  # the discard port: nobody asks it
    yield server
    server.close()


@pytest.mark.parametrize("checksum", ["sha256", "git_blob"])
def test_a_download_with_a_known_checksum(
    checksum: str, mirror: FileServer, smallest: bytes, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    known = from_upstream(row("mn01_as"), smallest)
    if checksum == "sha256":
        known = with_upstream("mn01_as", sha256=hashlib.sha256(smallest).hexdigest())
    put_in_table(monkeypatch, known)
    mirror.files["mn01_as_mAP_298.pt"] = wrong = pt(state("mn01_as"), zipped=False)  # the same values, other bytes
    assert main(["mn01_as"]) == 1
    captured = capsys.readouterr()
    url = f"{mirror.url}/mn01_as_mAP_298.pt"
    assert captured.err.splitlines()[-1] == (
        f"error: mn01_as: {url} is not the published file of mn01_as: expected {expected_checksum(known)}, found git "
        f"blob {hashlib.sha1(b'blob %d' % len(wrong) + bytes(1) + wrong).hexdigest()}, sha256 "
        f"{hashlib.sha256(wrong).hexdigest()} ({len(wrong)} bytes); nothing was written"
    )
    with pytest.raises(WeightsCorrupt, match="is not the published file of mn01_as"):
        hear_edgel3.load("mn01_as")
    assert files_under(cache_folder()) == []
    mirror.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as"]) == 0
    assert "note:" not in capsys.readouterr().err
    assert_same(read(cache_folder() / "mn01_as.safetensors")[0], state("mn01_as"))
    assert mirror.requests == [("GET", "/mn01_as_mAP_298.pt")] * 3


def test_the_real_table_refuses_a_seeded_mn04_as(mirror: FileServer, sources: Path, tmp_path: Path, capsys) -> None:
    filename = row("mn04_as").upstream.filename
    mirror.files[filename] = (sources / filename).read_bytes()
    assert main(["mn04_as", "--output", str(tmp_path / "x.safetensors")]) == 1
    assert "expected git blob 1c675af80a401a1d54cbd01530b7411372f32601, found git blob" in capsys.readouterr().err
    assert files_under(tmp_path) == []


def test_a_download_without_a_known_checksum(mirror: FileServer, smallest: bytes, tmp_path: Path, capsys) -> None:
    mirror.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as", "--output", str(tmp_path / "x.safetensors")]) == 0
    assert "note: no checksum of the file published as mn01_as is known" in capsys.readouterr().err
    tensors, provenance = read(tmp_path / "x.safetensors")
    assert_same(tensors, state("mn01_as"))
    assert provenance["source_file"] == "mn01_as_mAP_298.pt"


def test_load_downloads_and_converts_once(mirror: FileServer, smallest: bytes, capsys: Captured) -> None:
    mirror.files["mn01_as_mAP_298.pt"] = smallest
    extractor = hear_edgel3.load("mn01_as_all_b")
    assert_same(extractor.net.state_dict(), state("mn01_as"))
    assert files_under(cache_folder()) == ["mn01_as.safetensors"]
    assert f"fetching and converting the weights of mn01_as, once ({mirror.url}/mn01_as_mAP" in capsys.readouterr().err
    other = hear_edgel3.load("mn01_as", features=["e1", "l"])  # other features, the same weights
    assert other.weights == extractor.weights
    assert mirror.requests == [("GET", "/mn01_as_mAP_298.pt")]


@pytest.mark.parametrize(
    ("fault", "body", "error", "words"),
    [
        (None, b"<!DOCTYPE html><html>rate limit</html>", WeightsCorrupt, "mn01_as_mAP_298.pt"),
        (None, b"", WeightsCorrupt, "mn01_as_mAP_298.pt is not a PyTorch checkpoint"),
        ("truncated", None, DownloadError, "mn01_as_mAP_298.pt broke off after .* bytes; try again"),
        (404, None, DownloadError, "mn01_as_mAP_298.pt answered 404"),
        (500, None, DownloadError, "mn01_as_mAP_298.pt answered 500"),
    ],
)
def test_downloads_that_fail(
    fault: str | int | None,
    body: bytes | None,
    error: type[HearEdgeL3Error],
    words: str,
    mirror: FileServer,
    smallest: bytes,
    capsys: Captured,
) -> None:
    mirror.fault = fault
    mirror.files["mn01_as_mAP_298.pt"] = smallest if body is None else body
    with pytest.raises(error, match=words):
        convert(row("mn01_as"))
    assert main(["mn01_as"]) == 1
    assert re.search(f"error: mn01_as: .*{words}", capsys.readouterr().err)
    with pytest.raises(HearEdgeL3Error, match=words):
        hear_edgel3.load("mn01_as")
    assert files_under(cache_folder()) == []


def test_a_download_that_is_another_published_file(mirror: FileServer, smallest: bytes, monkeypatch, capsys) -> None:
    put_in_table(monkeypatch, from_upstream(row("mn05_as"), smallest))
    mirror.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as"]) == 1
    words = "error: mn01_as: mn01_as_mAP_298.pt is the published file of mn05_as, not of mn01_as"
    assert words in capsys.readouterr().err
    assert files_under(cache_folder()) == []


def test_a_file_with_brackets_in_its_name(mirror: FileServer) -> None:
    mirror.files["mn40_as_mAP_483(2).pt"] = b"whatever"
    assert download(row("mn40_as(3)")) == b"whatever"
    assert mirror.requests == [("GET", "/mn40_as_mAP_483(2).pt")]


# --- the real file ---


def test_the_real_mn04_as(shared: Path, tmp_path: Path, capsys: Captured) -> None:
    path = shared / "checkpoints" / "mn04_as_mAP_432.pt"
    assert main(["mn04_as", "--source", str(path.parent)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # byte for byte the published file: no note
    target = cache_folder() / "mn04_as.safetensors"
    assert captured.out.startswith(f"{target}  sha256=")
    tensors, provenance = read(target)
    upstream = row("mn04_as").upstream
    assert provenance["source_git_blob"] == upstream.git_blob == "1c675af80a401a1d54cbd01530b7411372f32601"
    assert provenance["source_sha256"] == upstream.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    original = torch.load(path, weights_only=True)
    assert tensors.keys() == original.keys()
    for key, value in original.items():
        assert torch.equal(tensors[key], value.to(tensors[key].dtype)), key
    extractor = hear_edgel3.load("mn04_as")
    assert extractor.weights.path == str(target)
    scene = extractor.scene_embeddings(torch.from_numpy(signals.clip(0.5, 48000))[None])
    assert scene.shape == (1, 320)
    assert bool(torch.isfinite(scene).all())
    assert publish(row("mn04_as"), target).size == target.stat().st_size
    renamed = tmp_path / "mine.pt"
    renamed.write_bytes(path.read_bytes())
    for other in ("mn10_as", "mn04_im"):
        words = f"mine.pt is the published file of mn04_as, not of {other}"
        with pytest.raises(WeightsMismatch, match=words):
            convert(row(other), renamed)
    assert convert(row("mn04_as"), renamed).published


# --- publishing ---


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    server = FakeHub()
    use_hub(monkeypatch, server.url, tmp_path / "hub")
    yield server
    server.close()


def test_a_dry_run_without_a_known_checksum(hub: FakeHub, source: Path, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.safetensors"
    sha256 = convert(row("mn01_as"), source).write(path)
    assert main(["publish", "mn01_as", "--weights", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f'"mn01_as": ("REVISION", "{sha256}", {path.stat().st_size}),\n'
    card = publish(row("mn01_as"), path).card
    assert card in captured.err
    assert hub.requests == []
    assert "- mobilenetv3\n" in card
    assert "license: mit\n" in card
    cells = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", card, re.MULTILINE))
    assert cells["embedding size"] == "184"
    assert cells["parameters"] == "123,783"
    assert cells["sample rate to feed"] == "48000 Hz"
    assert cells["sample rate of the net"] == "32000 Hz"
    assert cells["window"] == "160 ms, centred on its timestamp"
    assert cells["default hop"] == "50 ms"
    assert cells["upstream file"] == row("mn01_as").upstream.url
    assert cells["its sha256"] == f"`{hashlib.sha256(source.read_bytes()).hexdigest()}`"
    assert "(c) 2022 Florian Schmid" in card
    assert row("mn01_as").citation in card


def test_a_net_for_imagenet_can_be_published(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "mn01_im.pt").write_bytes(pt(state("mn01_im", 1000)))
    convert(row("mn01_im"), tmp_path / "mn01_im.pt").write(tmp_path / "x.safetensors")
    done = publish(row("mn01_im"), tmp_path / "x.safetensors")
    assert done.repo_id == "hear-edgel3/mn01_im"
    assert hub.requests == []


def test_other_names_of_a_checkpoint_are_published_as_it(hub: FakeHub, source: Path, capsys: Captured) -> None:
    assert main(["mn01_as", "--source", str(source)]) == 0
    capsys.readouterr()
    for name in ("mn01_as", "mn01_all_b_mel_avgs", "mn01_e1_l"):
        assert main(["publish", name]) == 0
        captured = capsys.readouterr()
        assert "into hear-edgel3/mn01_as:" in captured.err
        assert '("REVISION", "' in captured.out
    assert hub.requests == []


def test_without_a_checksum_the_name_of_the_source_counts(
    hub: FakeHub, source: Path, tmp_path: Path, capsys: Captured
) -> None:
    mine = tmp_path / "mine.pt"
    mine.write_bytes(source.read_bytes())
    convert(row("mn01_as"), mine).write(tmp_path / "x.safetensors")
    for arguments in ([], ["--upload"]):
        assert main(["publish", "mn01_as", "--weights", str(tmp_path / "x.safetensors"), *arguments]) == 1
        captured = capsys.readouterr()
        assert "was not converted from the published file of mn01_as (mn01_as_mAP_298.pt, no checksum " in captured.err
        assert "the file says mn01_as, mine.pt, " in captured.err
        assert captured.out == ""
    assert hub.requests == []


@pytest.mark.parametrize(
    ("change", "published"),
    [
        ({}, True),
        ({"configuration": "mn01_im"}, False),
        ({"source_file": None}, False),
        ({"source_file": 3}, False),
        ({"source_git_blob": None}, False),
        ({"source_sha256": None}, False),
        ({"converter": None}, False),
    ],
    ids=str,
)
def test_the_provenance_of_what_is_published(
    change: dict[str, object], published: bool, hub: FakeHub, source: Path, tmp_path: Path
) -> None:
    provenance = {k: v for k, v in (convert(row("mn01_as"), source).provenance | change).items() if v is not None}
    save_file(state("mn01_as"), tmp_path / "x.safetensors", {"hear_edgel3": json.dumps(provenance)})
    if published:
        assert publish(row("mn01_as"), tmp_path / "x.safetensors").revision is None
    else:
        with pytest.raises(WeightsMismatch, match="was not converted from the published file of mn01_as"):
            publish(row("mn01_as"), tmp_path / "x.safetensors")
    assert hub.requests == []


def test_with_checksums_all_that_are_known_count(hub: FakeHub, source: Path, smallest: bytes, tmp_path: Path) -> None:
    convert(row("mn01_as"), source).write(tmp_path / "x.safetensors")
    right = hashlib.sha256(smallest).hexdigest()
    known = from_upstream(row("mn01_as"), smallest)
    both = dataclasses.replace(known, upstream=dataclasses.replace(known.upstream, sha256=right))
    for accepted in (known, both, with_upstream("mn01_as", sha256=right)):
        assert publish(accepted, tmp_path / "x.safetensors").size > 0
    wrong = dataclasses.replace(known, upstream=dataclasses.replace(known.upstream, sha256="0" * 64))
    for refused in (wrong, with_upstream("mn01_as", sha256="0" * 64), with_upstream("mn01_as", git_blob="0" * 40)):
        with pytest.raises(WeightsMismatch, match=re.escape(expected_checksum(refused))):
            publish(refused, tmp_path / "x.safetensors")
    assert hub.requests == []


def test_a_seeded_mn04_as_is_not_the_published_one(hub: FakeHub, sources: Path, tmp_path: Path) -> None:
    convert(row("mn04_as"), sources / row("mn04_as").upstream.filename).write(tmp_path / "x.safetensors")
    with pytest.raises(
        WeightsMismatch, match="git blob 1c675af80a401a1d54cbd01530b7411372f32601; the file says mn04_as"
    ):
        publish(row("mn04_as"), tmp_path / "x.safetensors")
    assert hub.requests == []


# --- odd contents ---


def converted(state: object, folder: Path) -> bytes:
    (folder / "x.pt").write_bytes(state if isinstance(state, bytes) else pt(state))
    return convert(row("mn01_as"), folder / "x.pt").to_bytes()


def test_tensors_that_share_their_memory(tmp_path: Path) -> None:
    values = state("mn01_as")
    values["features.1.block.0.1.running_mean"] = values["features.0.1.running_mean"]
    assert converted(values, tmp_path)


ODD: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "meta": lambda x: x.to("meta"),
    "complex": lambda x: x.to(torch.complex64),
    "quantized": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "whole numbers": lambda x: x.to(torch.int32),
}


@pytest.mark.filterwarnings("ignore")  # torch's own, of quantized tensors
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers(kind: str, tmp_path: Path) -> None:
    values = state("mn01_as")
    values["features.0.0.weight"] = ODD[kind](values["features.0.0.weight"])
    with pytest.raises(WeightsCorrupt, match=r"features\.0\.0\.weight"):
        converted(values, tmp_path)


def test_a_counter_that_does_not_count(tmp_path: Path) -> None:
    values = state("mn01_as")
    values["features.0.1.num_batches_tracked"] = torch.tensor(float("nan"))
    with pytest.raises(WeightsCorrupt, match="num_batches_tracked should be whole numbers"):
        converted(values, tmp_path)


@pytest.mark.parametrize("length", [30, 60, 120])
def test_a_truncated_file_of_the_old_kind(length: int, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt):
        converted(pt(state("mn01_as"), zipped=False)[:length], tmp_path)


def test_damage_to_a_file_of_the_old_kind_never_escapes_as_another_error() -> None:
    data = pt(state("mn01_as"), zipped=False)
    source = random.Random(1)
    for _ in range(100):
        damaged = bytearray(data)
        for place in source.sample([*range(30_000), *range(len(data) - 20_000, len(data))], 3):
            damaged[place] = source.randrange(256)
        with contextlib.suppress(WeightsCorrupt):
            read_state_dict(bytes(damaged), "x.pt")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_pickles_do_not_warn(protocol: int, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt):
        converted(pickle.dumps({"a": 1}, protocol), tmp_path)


@pytest.mark.parametrize("raw", [b"Not Found\n", b"<!DOCTYPE html>", bytes(1000)])
def test_text_is_called_what_it_is(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt, match="is not a PyTorch checkpoint"):
        converted(raw, tmp_path)


def test_the_message_gives_no_dangerous_advice(tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt) as caught:
        converted({"x": Bomb(tmp_path / "marker")}, tmp_path)
    assert "weights_only" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_publish_prints_the_name_of_the_checkpoint(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "mn01_as_mAP_298.pt").write_bytes(pt(state("mn01_as")))
    assert main(["mn01_as", "--source", str(tmp_path / "mn01_as_mAP_298.pt")]) == 0
    capsys.readouterr()
    assert main(["publish", "mn01_e1_l"]) == 0
    assert capsys.readouterr().out.startswith('"mn01_as": ')
