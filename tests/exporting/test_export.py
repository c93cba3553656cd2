"""Exported files: what they put out, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, ExportFailed, InvalidOption, OutputError
from hear_edgel3.exporting import onnx as target
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.detectors import CLASSES, RATES
from support.states import strange_state

Detectors = Callable[[str, str], tuple[Path, Exported]]


def sounds(rate: int, n_samples: int, n: int = 3) -> np.ndarray:
    """Noise, and a pure tone."""
    clips = [signals.clip(n_samples / rate + 0.1, rate, seed=i)[:n_samples] for i in range(n - 1)]
    tone = 0.7 * np.sin(2 * np.pi * 0.05 * np.arange(n_samples))
    return np.stack([*clips, tone]).astype(np.float32)


def exact(extractor: Extractor, x: np.ndarray) -> np.ndarray:
    """What an extractor's net puts out, in float64 from the samples on. Its net stays in that type."""
    with torch.no_grad():
        return extractor.net.double()(extractor.frontend.in_float64(torch.from_numpy(x)).double()).numpy()


def check(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_what_the_caller_has_asked_torch_for_does_not_matter(quantize: str, tmp_path: Path) -> None:
    usual = export("tiny", tmp_path / "usual.onnx", length=0.2, quantize=quantize)
    with strange_state():
        strange = export("tiny", tmp_path / "strange.onnx", length=0.2, quantize=quantize)
    x = sounds(32000, 6400)
    found, expected = (target.open_file(one.path)(x) for one in (strange, usual))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(("n_samples", "n"), [(32000, 3), (5120, 1), (81_111, 2), (514, 2)])
def test_any_number_of_windows_of_any_length(tiny_file: Exported, n_samples: int, n: int) -> None:
    x = sounds(32000, n_samples, max(n, 1))
    found = target.open_file(tiny_file.path)(x)
    check(found["embedding"], exact(hear_edgel3.load("tiny"), x))
    logits = exact(hear_edgel3.load("tiny", features=["logits"]), x)
    check(found["logits"], logits)
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-logits)), atol=1e-5)
    usual = hear_edgel3.load("tiny", engine="eager").embed_windows(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found["embedding"], usual, rtol=0, atol=1e-4 * np.abs(usual).max())


@pytest.mark.parametrize("hertz", [160.0, 1000.0, 8000.0, 12800.0])
@pytest.mark.parametrize("name", ["tiny", "sea_64"])
def test_images_of_pure_tones(name: str, hertz: float, weights_folder: Path) -> None:
    """A DFT in float32 drowns what leaks out of them: MobileNetV3's own, and what some engines make of L3's."""
    frontend = hear_edgel3.load(name, None if name == "tiny" else weights_folder).frontend
    rate = 32000 if name == "tiny" else 8000
    t = torch.arange(rate) / rate
    x = (0.9 * torch.sin(2 * torch.pi * (hertz * rate / 32000) * t))[None]
    images = frontend.in_float64(x)
    assert images.dtype == torch.float64
    off = (frontend.portable(True)(x) - images).abs().max() / images.abs().max()
    assert off < 3e-7
    assert (frontend.portable(False)(x) - images).abs().max() / images.abs().max() > 10 * off
    # The same function as the front end's own, which is off by as much as its own DFT.
    assert (frontend.eval()(x) - images).abs().max() < 1e-3


def test_the_parts_make_the_whole(tiny_file: Exported, tmp_path: Path) -> None:
    front, net = (export("tiny", tmp_path / f"{part}.onnx", part=part) for part in ("frontend", "net"))
    x = sounds(32000, 20_000)
    images = target.open_file(front.path)(x)["spectrogram"]
    assert images.shape == (3, 128, hear_edgel3.load("tiny").frontend.n_frames(20_000))
    found, whole = target.open_file(net.path)(images), target.open_file(tiny_file.path)(x)
    for name in ("embedding", "logits", "probabilities"):
        np.testing.assert_allclose(found[name], whole[name], atol=1e-5 * np.abs(whole[name]).max())


@pytest.mark.parametrize(
    ("kind", "targets"), [("small", "single"), ("small_l3", "several"), ("own", "several"), ("small", "numbers")]
)
def test_classes_of_somebodys_own(kind: str, targets: str, detector_file: Detectors) -> None:
    folder, done = detector_file(kind, targets)
    assert done.card["labels"] == list(CLASSES)
    assert done.card["targets"] == targets
    x = sounds(RATES[kind], RATES[kind])
    found = target.open_file(done.path)(x)
    check(found["embedding"], exact(hear_edgel3.load(folder), x))
    answers = exact(hear_edgel3.load(folder, features=["logits"]), x)
    check(found["numbers" if targets == "numbers" else "logits"], answers)
    assert ("probabilities" in found) == (targets != "numbers")
    if targets == "single":
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1.0, atol=1e-5)


def test_what_a_file_says_of_itself(tiny_file: Exported) -> None:
    card = target.read_card(tiny_file.path)
    assert card == json.loads(json.dumps(tiny_file.card))
    extractor = hear_edgel3.load("tiny")
    assert card["labels"] == [label.name for label in extractor.labels or ()]
    assert (card["sample_rate"], card["window"], card["length"]) == (32000, extractor.window, None)
    assert card["contract"] == extractor.contract.to_dict()
    assert extractor.weights is not None
    assert card["weights_sha256"] == extractor.weights.sha256
    assert card["version"] == hear_edgel3.__version__
    assert card["licence"] == "MIT"


def test_weights_that_were_changed_are_not_said_to_be_those_of_their_file(tmp_path: Path) -> None:
    extractor = hear_edgel3.load("tiny", features=["b3"])
    assert extractor.weights is not None
    options: dict[str, Any] = {"length": 0.2, "part": "net"}
    usual = export(extractor, tmp_path / "usual.onnx", **options).card
    assert usual["weights_sha256"] == extractor.weights.sha256
    with torch.no_grad():
        next(extractor.net.parameters()).mul_(1.01)
    changed = export(extractor, tmp_path / "changed.onnx", **options).card
    assert {**usual, "weights_sha256": None} == changed


def test_the_proof(tiny_file: Exported) -> None:
    proof = tiny_file.proof
    assert proof.passed
    assert set(proof.outputs) == {"embedding", "logits", "probabilities"}
    assert set(proof.outputs["embedding"].by_kind) == {"tone", "silence", "click", "synthetic"}
    assert 0 < proof.outputs["embedding"].share < 1e-5
    assert proof.outputs["embedding"].cosine_without_mel_avgs is not None
    assert proof.size == tiny_file.path.stat().st_size
    assert proof.peak_memory is None or 0 < proof.peak_memory < 200e6


def test_an_extractor_stays_as_it_was(tmp_path: Path) -> None:
    """Also one that has never run; whatever the caller has asked torch for."""
    extractor = hear_edgel3.load("tiny")
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    threads, variant = torch.get_num_threads(), extractor.net.variant
    with torch.inference_mode():
        export(extractor.train(), tmp_path / "tiny.onnx", length=0.2)
    assert extractor.training
    assert (torch.get_num_threads(), extractor.net.variant) == (threads, variant)
    assert all(torch.equal(value, before[name]) for name, value in extractor.state_dict().items())


def test_over_the_tolerance_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, here: Path) -> None:
    monkeypatch.setattr(target, "TOLERANCES", {"": 1e-9})
    path, report = tmp_path / "tiny.onnx", tmp_path / "report.json"
    path.write_bytes(b"of before")
    assert main(["export", "tiny", "--output", str(path), "--report", str(report)]) == 1
    assert "was not written" in capsys.readouterr().err
    assert path.read_bytes() == b"of before"
    assert json.loads(report.read_text())["proof"]["passed"] is False
    with pytest.raises(ExportFailed, match="of the peak"):
        export("tiny", path, part="frontend")


def test_the_command(tmp_path: Path, capsys, here: Path) -> None:
    """With sounds of somebody's own, and windows of a length of one's own; then info."""
    import soundfile

    (tmp_path / "own").mkdir()
    soundfile.write(tmp_path / "own" / "a.wav", signals.clip(1.2, 44100), 44100)
    words = ["--check", str(tmp_path / "own"), "--length", "0.5", "--report", "r.json"]
    assert main(["export", "tiny", *words]) == 0
    out = capsys.readouterr().out
    assert "3 of them your own" in out
    assert out.endswith("wrote tiny.onnx\n")
    report = json.loads(Path("r.json").read_text())
    assert report["proof"]["own"] == 3
    assert report["card"]["length"] == 16000
    assert "own" in report["proof"]["outputs"]["logits"]["by_kind"]
    assert main(["info", "tiny.onnx", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["operators"]["Conv"] > 10
    assert facts["card"] == report["card"]
    assert abs(facts["parameters"] / 599_000 - 1) < 0.1
    assert main(["info", "tiny.onnx"]) == 0
    assert "527: Speech" in capsys.readouterr().out


def test_macs_of_a_file(sea_exported: Exported) -> None:
    """Those of the net as its row has them, and the front end's."""
    from hear_edgel3.extractor.complexity import complexity_of
    from hear_edgel3.registry.names import resolve

    costs = complexity_of(resolve("sea_64"))
    assert costs is not None
    found = target.describe(sea_exported.path, sea_exported.card)["macs_window"]
    # Of each frame 66 by 64 times 64 by 16, twice 33 by 16 times 16 by 32, and the mel bank.
    frames, bins = 50, 33 * 16
    assert found - costs.macs_window == frames * (66 * 64 * 16 + 2 * 33 * 16 * 32 + bins * 64)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"to": "steam"}, InvalidOption, "to must be one of onnx"),
        ({"part": "half"}, InvalidOption, "part must be one of"),
        ({"length": 0.001}, InvalidOption, "too short for tiny"),
        ({"length": "long"}, InvalidOption, "length must be dynamic"),
        ({"output": "nowhere/x.onnx"}, OutputError, "does not exist"),
        ({"configuration": hear_edgel3.load("tiny").half()}, InvalidOption, "not float32"),
    ],
)
def test_refused(words: dict, error: type[Exception], text: str, here: Path) -> None:
    with pytest.raises(error, match=text):
        export(**words)


def test_files_of_others(tmp_path: Path, here: Path, capsys) -> None:
    import onnx

    from hear_edgel3.engine.exported import to_onnx

    damaged, other = tmp_path / "damaged.onnx", tmp_path / "other.onnx"
    damaged.write_bytes(b"no protobuf at all")
    with pytest.raises(ConfigurationError, match="damaged"):
        target.read_card(damaged)
    onnx.save(onnx.load_from_string(to_onnx(hear_edgel3.load("tiny").net)), other)
    with pytest.raises(ConfigurationError, match="was not exported by hear_edgel3"):
        target.read_card(other)
    assert main(["info", str(other)]) == 1
    assert "was not exported by hear_edgel3" in capsys.readouterr().err
