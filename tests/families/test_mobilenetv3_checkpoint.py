"""PyTorch checkpoints of the MobileNetV3 family: every way to save one, and odd contents."""

from __future__ import annotations

import collections
import hashlib
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hear_edgel3
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.convert import convert
from support import signals
from support.damage import Bomb, assert_damage_is_said, scrambled
from support.files import files_under
from support.mobilenetv3_files import LAST, State, assert_same, pt, read, state
from support.synthetic import row
from support.types import Captured
from weights_convert.__main__ import main

pytestmark = pytest.mark.usefixtures("without_checksums")


def converted(state: object, folder: Path) -> bytes:
    (folder / "x.pt").write_bytes(state if isinstance(state, bytes) else pt(state))
    return convert(row("mn01_as"), folder / "x.pt").to_bytes()


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
def test_a_file_of_the_authors(name: str, note: str, mobilenetv3_downloads: Path, capsys: Captured) -> None:
    assert main([name, "--source", str(mobilenetv3_downloads / row(name).upstream.filename)]) == 0
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


def test_a_folder_of_downloads(mobilenetv3_downloads: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["--all", "--source", str(mobilenetv3_downloads), "--output", str(out)]) == 0
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
def test_any_name_of_a_checkpoint_will_do(name: str, mn01_file: Path) -> None:
    assert main([name, "--source", str(mn01_file)]) == 0
    assert files_under(cache_folder()) == ["mn01_as.safetensors"]
    assert hear_edgel3.load(name).scene_embedding_size == resolve(name).embedding_size


# --- odd contents ---


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
    damaged = scrambled(data, 30_000, 20_000, times=100)
    assert_damage_is_said(lambda data: read_state_dict(data, "x.pt"), damaged)


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
