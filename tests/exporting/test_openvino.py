"""OpenVINO files: what they put out, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, ExportFailed, InvalidOption, OutputError
from hear_edgel3.exporting import onnx, openvino, run
from hear_edgel3.exporting.run import Exported, export
from support import signals


@pytest.fixture
def tiny_xml(exported: Callable[[str, str], Exported]) -> Exported:
    return exported("tiny", "openvino")


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


def test_where_float32_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of half a second are refused with a DFT in float32, and written with one in pairs of them."""
    words = {"to": "openvino", "part": "frontend", "length": 0.5}
    done = export("tiny", tmp_path / "front.xml", **words)  # type: ignore[arg-type]
    assert done.proof.outputs["spectrogram"].share < 5e-6
    monkeypatch.setattr(run, "has_pairs", lambda *_: False)
    with pytest.raises(ExportFailed, match="PyTorch in float32 is off by"):
        export("tiny", tmp_path / "plain.xml", **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
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
