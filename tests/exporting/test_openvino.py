"""OpenVINO files: what they put out, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, ExportFailed, InvalidOption, MissingExtra, OutputError
from hear_edgel3.exporting import onnx, openvino, run
from hear_edgel3.exporting.run import Exported, export
from support import signals
from support.detectors import CLASSES, write_detector


@pytest.fixture(scope="session")
def tiny_xml(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export("tiny", tmp_path_factory.mktemp("openvino") / "tiny.xml", to="openvino")


def sounds(rate: int, n_samples: int) -> np.ndarray:
    """Noise, and a pure tone."""
    tone = 0.7 * np.sin(2 * np.pi * 0.05 * np.arange(n_samples))
    return np.stack([signals.clip(n_samples / rate + 0.1, rate)[:n_samples], tone]).astype(np.float32)


@pytest.mark.parametrize(("n_samples", "n"), [(32000, 2), (81_111, 1), (514, 2)])
def test_any_number_of_windows_of_any_length(tiny_xml: Exported, tiny_file: Exported, n_samples: int, n: int) -> None:
    x = sounds(32000, n_samples)[:n]
    found, expected = openvino.open_file(tiny_xml.path)(x), onnx.open_file(tiny_file.path)(x)
    assert list(found) == ["embedding", "logits", "probabilities"]
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        off = np.abs(found[name] - value).max(axis=1) / np.abs(value).max()
        assert off[0] < 1e-5
        assert off[-1] < 1e-4  # the tone
    again = openvino.open_file(tiny_xml.path)
    first = again(x)["embedding"]
    again(-x[::-1])
    np.testing.assert_array_equal(first, found["embedding"])  # a later call overwrites nothing


def test_what_it_says_of_itself(tiny_xml: Exported, tiny_file: Exported, capsys) -> None:
    card = openvino.read_card(tiny_xml.path)
    assert card == json.loads(json.dumps(tiny_xml.card))
    assert card["labels"] == tiny_file.card["labels"]
    weights = tiny_xml.path.with_suffix(".bin")
    assert tiny_xml.proof.size == tiny_xml.path.stat().st_size + weights.stat().st_size
    assert tiny_xml.proof.engine.startswith("openvino 20")
    assert tiny_xml.proof.outputs["embedding"].allowed["tone"] > tiny_xml.proof.outputs["embedding"].allowed["click"]
    assert main(["info", str(tiny_xml.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["target"] == "openvino"
    assert facts["bytes"] == tiny_xml.proof.size
    assert facts["operators"]["Convolution"] > 10
    # The same net, and nearly the same front end, whose matrices are in float64 there.
    same = onnx.describe(tiny_file.path, tiny_file.card)
    assert abs(facts["parameters"] / same["parameters"] - 1) < 0.02
    assert abs(facts["macs_window"] / same["macs_window"] - 1) < 0.02


def test_the_part_that_is_the_net(tmp_path: Path, weights_folder: Path) -> None:
    """SEA's front end is refused, because OpenVINO has no float64; its net is not."""
    path = tmp_path / "sea.xml"
    with pytest.raises(ExportFailed, match="its net alone may") as caught:
        export("sea_64", path, to="openvino", weights=weights_folder)
    assert "largest difference" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    done = export("sea_64", path, to="openvino", part="net", weights=weights_folder)
    extractor = hear_edgel3.load("sea_64", weights_folder)
    x = torch.from_numpy(sounds(8000, 8000))
    with torch.no_grad():
        images = extractor.frontend(x)
        expected = extractor.net(images).numpy()
    found = openvino.open_file(path)(images.numpy())["embedding"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert done.card["input"] == "spectrogram"
    assert openvino.describe(path, done.card)["macs_window"] > 1_000_000


def test_where_float32_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of half a second are refused with a DFT in float32, and written with one in pairs of them."""
    words = {"to": "openvino", "part": "frontend", "length": 0.5}
    done = export("tiny", tmp_path / "front.xml", **words)  # type: ignore[arg-type]
    assert done.proof.outputs["spectrogram"].share < 5e-6
    monkeypatch.setattr(run, "has_pairs", lambda *_: False)
    with pytest.raises(ExportFailed, match="PyTorch in float32 is off by"):
        export("tiny", tmp_path / "plain.xml", **words)  # type: ignore[arg-type]


def test_classes_of_somebodys_own(tmp_path: Path) -> None:
    write_detector(tmp_path / "net", "small", targets="single", temperature=1.7)
    done = export(tmp_path / "net", tmp_path / "own.xml", to="openvino")
    assert openvino.read_card(done.path)["labels"] == list(CLASSES)
    found = openvino.open_file(done.path)(sounds(32000, 32000))
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1.0, atol=1e-5)
    logits = torch.from_numpy(found["logits"])
    np.testing.assert_allclose(found["probabilities"], torch.softmax(logits / 1.7, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"quantize": "int8"}, InvalidOption, "a file for openvino is never in eight bits"),
        ({"output": "tiny.ir"}, InvalidOption, r"must end in \.xml"),
        ({"output": "tiny.onnx"}, InvalidOption, "ends as files for onnx do"),
        ({"output": "nowhere/tiny.xml"}, OutputError, "does not exist"),
        ({"output": "taken.xml"}, OutputError, r"taken\.bin: it is a folder"),
    ],
)
def test_refused(words: dict, error: type[Exception], text: str, here: Path) -> None:
    Path("taken.bin").mkdir()
    with pytest.raises(error, match=text):
        export("tiny", to="openvino", **words)


def test_a_missing_tool_is_named(without, here: Path) -> None:
    without("openvino")
    with pytest.raises(MissingExtra, match=r"openvino.*\[openvino\]"):
        export("tiny", to="openvino")


def test_files_of_others(tiny_xml: Exported, tmp_path: Path, here: Path, capsys) -> None:
    import openvino as ov

    alone = tmp_path / "alone.xml"
    alone.write_bytes(tiny_xml.path.read_bytes())
    with pytest.raises(ConfigurationError, match=r"alone\.bin is not there"):
        openvino.read_card(alone)
    alone.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="damaged"):
        openvino.read_card(alone)
    alone.write_text("<no>graph</no>")
    assert main(["info", str(alone)]) == 1
    assert "is damaged, or no OpenVINO file" in capsys.readouterr().err
    other = ov.Core().read_model(tiny_xml.path)
    other.set_rt_info("{", ["hear_edgel3"])
    ov.save_model(other, tmp_path / "other.xml", compress_to_fp16=False)
    with pytest.raises(ConfigurationError, match="no JSON"):
        openvino.read_card(tmp_path / "other.xml")
    parameter = ov.opset8.parameter([1], np.float32)
    ov.save_model(ov.Model([ov.opset8.relu(parameter)], [parameter]), tmp_path / "theirs.xml")
    (tmp_path / "theirs.bin").touch()
    with pytest.raises(ConfigurationError, match="says nothing of what it is"):
        openvino.read_card(tmp_path / "theirs.xml")
