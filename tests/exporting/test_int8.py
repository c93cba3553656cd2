"""Files in eight bits: what they lose, what they save, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3 import lite
from hear_edgel3.cli import main
from hear_edgel3.errors import ExportFailed, InvalidOption
from hear_edgel3.exporting import int8, proving
from hear_edgel3.exporting import onnx as target
from hear_edgel3.exporting.places import cosines, without_mel_averages
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.weights.quantized import SCALE, dequantize_state, quantize_state
from support import signals
from tests.benchmarks.quality import int8 as quality_int8
from tests.benchmarks.quality.scores import Row


@pytest.fixture(scope="module")
def tiny_int8(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export("tiny", tmp_path_factory.mktemp("int8") / "tiny.onnx", quantize="int8")


def test_weights_alone_where_activations_cost_too_much(tiny_int8: Exported, tiny_file: Exported) -> None:
    proof = tiny_int8.proof
    assert tiny_int8.card["quantization"]["method"] == "weights"
    assert proof.passed
    assert proof.float_size == tiny_file.path.stat().st_size
    assert tiny_int8.path.stat().st_size <= 0.37 * proof.float_size
    cosine = proof.outputs["embedding"].cosine_without_mel_avgs
    assert cosine is not None
    assert 0.995 < cosine[0] < cosine[1] < 1
    text = "\n".join(proof.lines())
    assert "in eight bits: the weights" in text
    assert "of the same in float32: size 0.3" in text


def test_the_same_as_float_on_sounds_that_it_has_not_seen(tiny_int8: Exported, tiny_file: Exported) -> None:
    x = np.stack([signals.clip(1.0, 32000, seed=i) for i in range(5)]).astype(np.float32)
    found, expected = (target.open_file(done.path)(x)["embedding"] for done in (tiny_int8, tiny_file))
    places = without_mel_averages(tiny_file.card["features"])
    assert places is not None
    assert (~places).sum() == 128
    values = cosines(found[:, places].astype(float), expected[:, places].astype(float))
    assert len(values) == 5
    assert values.min() > 0.999
    assert not np.array_equal(found, expected)


def test_static_where_all_activations_are_relus(
    tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated on sounds of somebody's own too. Weights that are drawn, as here, lose more than the authors'."""
    monkeypatch.setattr(proving, "_LEAST", {"static": 0.98})
    (tmp_path / "own").mkdir()
    for i in range(4):
        soundfile.write(tmp_path / "own" / f"{i}.wav", signals.clip(2.0, 16000, seed=i), 16000)
    done = export("sea_64", tmp_path / "sea.onnx", quantize="int8", calibrate=tmp_path / "own", weights=weights_folder)
    assert done.card["quantization"] == {"method": "static"}
    assert done.proof.float_size is not None
    assert done.proof.size <= 0.3 * done.proof.float_size
    operators = target.describe(done.path, target.read_card(done.path))["operators"]
    assert operators["Conv"] == 8
    # Of seven convolutions the weights and biases, and of activations what goes into the first of them, and what each
    # of them and each of the three max pools puts out.
    assert operators["DequantizeLinear"] == 7 * 2 + 1 + 7 + 3
    # More than seven bits overflow on processors without VNNI, which the ones that tests run on may have.
    values = [onnx.numpy_helper.to_array(one) for one in onnx.load(done.path).graph.initializer]
    narrow = [one for one in values if one.dtype == np.int8 and one.ndim == 4]
    assert len(narrow) == 7  # the first convolution, of one channel, is slower in eight bits than in float
    assert max(np.abs(one.astype(int)).max() for one in narrow) <= 64


def test_what_costs_too_much_stays_in_float(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing may be lost, as many blocks stay in float as may, those first that lose most for their size."""
    monkeypatch.setattr(int8, "ENOUGH", 1.0)
    done = export("tiny", tmp_path / "tiny.onnx", quantize="int8", length=0.5)
    found = done.card["quantization"]
    assert 0 < len(found["in_float"]) < found["blocks"]
    assert ", ".join(found["in_float"]) in "\n".join(done.proof.lines())


def test_below_the_bar_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(proving, "_LEAST", {"weights": 1.0, "static": 1.0})
    with pytest.raises(ExportFailed, match="a mean cosine of 1 or more"):
        export("tiny", tmp_path / "tiny.onnx", quantize="int8", length=0.5)
    assert not (tmp_path / "tiny.onnx").exists()


def test_narrowed_weights_are_the_stored_format_s() -> None:
    state = {"a.weight": torch.randn(64, 40, generator=torch.Generator().manual_seed(0)), "a.bias": torch.ones(64)}
    narrowed = int8.narrowed_weights(state)
    assert [*narrowed] == ["a.weight"]
    one = narrowed["a.weight"]
    assert one.values.dtype == np.int8
    stored = quantize_state(state)
    assert torch.equal(torch.from_numpy(one.scale.ravel()), stored["a.weight" + SCALE].float())
    np.testing.assert_array_equal(one.values * one.scale, dequantize_state(stored)["a.weight"])


def test_lite_and_info_read_it(tiny_int8: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", signals.clip(1.5, 32000), 32000)
    assert lite.Model(str(tiny_int8.path)).tag(str(tmp_path / "a.wav")).shape == (527,)
    assert main(["info", str(tiny_int8.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert abs(facts["parameters"] / 599_000 - 1) < 0.1
    assert facts["card"]["quantization"]["method"] == "weights"
    plain = target.describe(tiny_int8.path, facts["card"])
    assert plain["macs_window"] == facts["macs_window"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"quantize": "int4"}, "quantize must be one of none, int8; got 'int4'"),
        ({"calibrate": "x"}, "calibrate is for quantize='int8'"),
        ({"quantize": "int8", "part": "frontend"}, "the front end alone is never in eight bits"),
    ],
)
def test_refused(words: dict, text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=text):
        hear_edgel3.export("tiny", tmp_path / "x.onnx", **words)


def test_what_probes_lose_is_measured_on_the_file(tiny_file: Exported) -> None:
    """The benchmark runs the file itself, and its differences are in points."""
    clips = np.stack([signals.clip(1.0, 32000, seed=seed) for seed in range(2)])
    embedded = quality_int8.Exported("tiny, int8", tiny_file.path, 1).embed(clips)
    expected = hear_edgel3.load("tiny", sample_rate=32000).scene_embeddings(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(embedded, expected, atol=1e-4 * np.abs(expected).max())
    before, after = Row("a", 1, None), Row("a, int8", 1, None)
    for row, right in ((before, 0.8), (after, 0.79)):
        row.accuracy, row.resampled = {"drums": right}, {"drums": np.full(9, right)}
    assert quality_int8.table([(before, after)]).splitlines()[-1] == (
        "| points gained | -1.0 [-1.0, -1.0] | -1.0 [-1.0, -1.0] |"
    )
