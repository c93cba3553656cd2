"""What files of all targets have in common: they compute what PyTorch does, and say what they are.

What is expected of a net is computed once, in float64, and every target is held to the tolerance that it states itself.
Targets whose tools are not installed are skipped, with what is missing; those of LiteRT and ExecuTorch are too large
for CI.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ExportFailed, InvalidOption, MissingExtra
from hear_edgel3.exporting.executorch_int8 import takes
from hear_edgel3.exporting.int8 import choose
from hear_edgel3.exporting.program import program_of
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.exporting.targets import MODULES, fixed_s_of, target_of, tolerance_of
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.detectors import CLASSES

Export = Callable[[str | Path, str], Exported]
Detector = Callable[[str, str], Path]

# A page has the file of "onnx" in it.
ALL = [name for name in MODULES if name != "web"]
SLOW = ("litert", "executorch")
KINDS = ("synthetic", "synthetic", "tone", "silence", "click")
NETS = ("tiny", "sea_64", "a folder")


PARAMS = {to: pytest.param(to, marks=[pytest.mark.slow] if to in SLOW else []) for to in ALL}


@pytest.fixture(params=PARAMS.values())
def to(request: pytest.FixtureRequest) -> str:
    """A target whose tools are there."""
    name: str = request.param
    try:
        target_of(name).check_installed()
    except (MissingExtra, InvalidOption) as error:
        pytest.skip(str(error))
    return name


@dataclass(frozen=True)
class Golden:
    """What a net makes of sounds.

    Attributes:
        name: Of the net, or its folder.
        x: (n, n_samples) float32, a second of each kind.
        images: (n, n_mels, n_frames) float32, rounded from float64.
        outputs: By name, (n, size) float64.
    """

    name: str | Path
    x: np.ndarray
    images: np.ndarray
    outputs: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def golden(weights_folder: Path, detector_folder: Detector) -> Callable[[str], Golden]:
    """`golden(net)`, computed once by PyTorch in float64, from the samples on."""

    @cache
    def made(net: str) -> Golden:
        name: str | Path = detector_folder("small", "single") if net == "a folder" else net
        words: dict[str, Any] = {"weights": weights_folder} if net == "sea_64" else {}
        extractor = hear_edgel3.load(name, **words)
        x = sounds(extractor.net_sample_rate)
        outputs = {"embedding": exact(extractor, x)}
        if net != "sea_64":
            outputs["logits"] = exact(hear_edgel3.load(name, features=["logits"]), x)
        images = extractor.frontend.in_float64(torch.from_numpy(x)).float().numpy()
        return Golden(name, x, images, outputs)

    return made


def sounds(rate: int) -> np.ndarray:
    """One of each of KINDS."""
    t = np.arange(rate)
    noise = [signals.clip(1.0, rate, seed=i) for i in range(2)]
    clips = [*noise, 0.7 * np.sin(2 * np.pi * 0.05 * t), np.zeros(rate), np.eye(1, rate, rate // 2)[0]]
    return np.stack(clips).astype(np.float32)


def exact(extractor: Extractor, x: np.ndarray) -> np.ndarray:
    """What an extractor's net puts out, in float64 from the samples on. Its net stays in that type."""
    with torch.no_grad():
        return extractor.net.double()(extractor.frontend.in_float64(torch.from_numpy(x)).double()).numpy()


@pytest.mark.parametrize("net", NETS)
def test_it_computes_what_pytorch_does(net: str, to: str, golden: Callable[[str], Golden], exported: Export) -> None:
    expected, target = golden(net), target_of(to)
    done = exported(expected.name, to)
    session = target.open_file(done.path)
    x = expected.images if done.card["input"] == "spectrogram" else expected.x
    found = session(x)
    assert [*found] == [*done.card["outputs"]]
    for name, values in expected.outputs.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape
        off = np.abs(found[name] - values).max(axis=1) / np.abs(values).max()
        for kind, one in zip(KINDS, off, strict=True):
            assert one <= tolerance_of(target, kind), (name, kind)
    assert (net != "sea_64") == ("probabilities" in found)
    if net != "sea_64":
        logits = torch.from_numpy(found["logits"])
        answers = torch.sigmoid(logits) if net == "tiny" else torch.softmax(logits / 1.7, 1)
        np.testing.assert_allclose(found["probabilities"], answers, atol=1e-5)
    before = {name: value.copy() for name, value in found.items()}
    alone = session(x[2:3])["embedding"]
    for name, value in before.items():
        np.testing.assert_array_equal(found[name], value)  # a later call overwrites nothing
    np.testing.assert_allclose(alone, found["embedding"][2:3], atol=1e-5 * np.abs(alone).max())


def test_what_it_says_of_itself(to: str, detector_folder: Detector, exported: Export, capsys) -> None:
    done = exported(detector_folder("small", "single"), to)
    assert target_of(to).read_card(done.path) == json.loads(json.dumps(done.card))
    assert done.proof.passed
    assert done.proof.engine.startswith(f"{target_of(to).ENGINE} ")
    assert main(["info", str(done.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["target"] == to
    assert facts["bytes"] == done.proof.size
    assert facts["card"] == json.loads(json.dumps(done.card))
    assert facts["card"]["labels"] == list(CLASSES)
    length = None if fixed_s_of(target_of(to)) is None else 32000
    assert facts["card"]["length"] == length
    assert length is None or facts["window_samples"] == length
    convolutions = {"onnx": "Conv", "c": "Conv", "openvino": "Convolution", "litert": "CONV_2D", "executorch": "conv2d"}
    assert facts["operators"][convolutions[to]] > 10
    assert facts["parameters"] > 10_000
    assert facts["macs_window"] > (50_000 if to == "c" else 1_000_000)  # which does not count its front end
    assert main(["info", str(done.path)]) == 0
    windows = "windows of any length" if length is None else "windows of 32000 samples each"
    assert windows in capsys.readouterr().out


@pytest.mark.parametrize("to", [one for name, one in PARAMS.items() if not target_of(name).FLOAT64], indirect=True)
def test_a_front_end_that_needs_float64(to: str, weights_folder: Path, tmp_path: Path) -> None:
    """SEA's: a file with it is refused where an engine has no such type, and its net alone recommended."""
    with pytest.raises(ExportFailed, match="its net alone may") as caught:
        export("sea_64", tmp_path / f"sea{target_of(to).SUFFIX}", to=to, weights=weights_folder)
    assert "largest difference" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# Of "c" there is the same test beside others of its weights.
@pytest.mark.parametrize("to", [PARAMS[one] for one in ("onnx", "litert", "executorch")], indirect=True)
def test_weights_in_eight_bits(to: str, exported: Export, tmp_path: Path) -> None:
    """What is computed is what PyTorch computes with the weights that are stored."""
    done, target = exported("tiny", to), target_of(to)
    path, extractor = tmp_path / done.path.name, hear_edgel3.load("tiny", engine="torch")
    with program_of(extractor, "whole", done.card["length"], target.FLOAT64) as program:
        x = torch.from_numpy(sounds(32000)[:2])
        card = target.quantize(program, done.path, path, [x])
        parameters = dict(program.module.named_parameters())
        in_float = program.module(x)[0].numpy()
        narrowed = choose(program, [x], takes if to == "executorch" else None).narrowed
        for name, one in narrowed.items():
            parameters[name].data.copy_(torch.from_numpy(one.values * one.scale))
        expected = [y.numpy() for y in program.module(x)]
    assert len(narrowed) >= 30
    assert target.read_card(path) == json.loads(json.dumps(card))
    assert card["quantization"]["method"] == "weights"
    session = target.open_file(path)
    for name, values in zip(program.outputs, expected, strict=True):
        off = np.abs(session(x.numpy())[name] - values).max()
        assert off < 1e-5 * np.abs(values).max(), name
    assert np.abs(in_float - expected[0]).max() > 1e-4 * np.abs(in_float).max()
    assert target.size_of(path) < 0.37 * target.size_of(done.path)
    assert target.describe(path, card)["macs_window"] == target.describe(done.path, done.card)["macs_window"]


@pytest.mark.parametrize("to", ALL)
def test_what_a_target_does_not_have(to: str, here: Path) -> None:
    target = target_of(to)
    if not target.INT8:
        with pytest.raises(InvalidOption, match=f"a file for {to} is never in eight bits"):
            export("tiny", to=to, quantize="int8")
    if fixed_s_of(target) is not None:
        with pytest.raises(InvalidOption, match=f"a file for {to} takes windows of one length only; give seconds, or"):
            export("tiny", to=to, length="dynamic")
    with pytest.raises(InvalidOption, match="takes windows of 1 s only"):
        export("sea_64", to=to, length="dynamic")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "module", "package"),
    [
        ("onnx", "onnx", "onnx"),
        ("onnx", "onnxruntime", "onnxruntime"),
        ("openvino", "openvino", "openvino"),
        ("litert", "litert_torch", "litert-torch"),
        ("litert", "ai_edge_litert", "ai-edge-litert"),
        ("executorch", "executorch", "executorch"),
    ],
)
def test_a_missing_tool_is_named(to: str, module: str, package: str, here: Path, monkeypatch) -> None:
    found = lambda name, *_: None if name == module else object()  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(MissingExtra, match=rf"'{package}'.*\[{to}\]"):
        export("tiny", to=to)
