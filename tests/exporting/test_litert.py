"""LiteRT files: what is refused, and, where LiteRT is installed, what they put out and say of themselves."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ComputationError, ConfigurationError, ExportFailed, InvalidOption, MissingExtra
from hear_edgel3.exporting import converting, litert
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.exporting.targets import fixed_s_of, target_of, target_of_file
from support import signals
from support.detectors import CLASSES, write_detector

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(one) is None for one in ("litert_torch", "ai_edge_litert")),
    reason="the extra litert is not installed, which is too large for CI",
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"quantize": "int8"}, "a file for litert is never in eight bits"),
        (
            {"length": "dynamic"},
            "a file for litert takes windows of one length only; give seconds, or leave length out",
        ),
        ({"length": 0.001}, "too short for tiny"),
        ({"length": 7200}, "up to 3600"),
    ],
)
def test_refused(words: dict, text: str, here: Path) -> None:
    with pytest.raises(InvalidOption, match=text):
        export("tiny", to="litert", **words)
    assert list(here.iterdir()) == []


def test_a_net_of_one_length_says_so(here: Path) -> None:
    with pytest.raises(InvalidOption, match="takes windows of 1 s only"):
        export("sea_64", to="litert", length="dynamic")


@pytest.mark.parametrize(
    ("module", "package"), [("litert_torch", "litert-torch"), ("ai_edge_litert", "ai-edge-litert")]
)
def test_a_missing_tool_is_named(module: str, package: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lambda name: None if name == module else object()  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(MissingExtra, match=rf"'{package}'.*\[litert\]"):
        export("tiny", to="litert")


def test_its_files_are_known_by_their_ending(tmp_path: Path, capsys) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(b"\x1c\0\0\0ONNX")
    assert target_of_file(file) == "litert"
    assert fixed_s_of(target_of("litert")) == 1
    assert fixed_s_of(target_of("onnx")) is None
    assert main(["info", str(file)]) == 1
    assert "net.tflite is no LiteRT file" in capsys.readouterr().err


def test_operations_that_are_not_traced_are_the_nets_fault(tmp_path: Path, monkeypatch) -> None:
    def export(*_: object, **__: object) -> None:
        raise RuntimeError("\nit depends on data\n(and more)")

    monkeypatch.setattr(torch.export, "export", export)
    program = SimpleNamespace(module=torch.nn.ReLU(), example=torch.zeros(2, 3), card={"name": "asking"})
    with pytest.raises(InvalidOption, match=r"asking cannot be exported for litert: torch\.export .* depends on data$"):
        converting.convert(program, "litert", tmp_path / "x", {})


@pytest.mark.parametrize(("code", "error"), [(3, InvalidOption), (1, ComputationError)])
def test_what_the_tools_say_is_passed_on(code: int, error: type[Exception], tmp_path: Path, monkeypatch) -> None:
    def run(words: list[str], **_: object) -> SimpleNamespace:
        if code == 3:
            Path(words[5]).write_text("no such operation: aten.oddity")
        return SimpleNamespace(returncode=code, stderr="" if code == 3 else "noise\nno aten.oddity\n")

    monkeypatch.setattr(converting.subprocess, "run", run)
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "save", lambda *_: None)
    program = SimpleNamespace(module=torch.nn.ReLU(), example=torch.zeros(2, 3), card={"name": "odd"})
    with pytest.raises(error, match=r"litert[\s\S]*aten\.oddity"):
        converting.convert(program, "litert", tmp_path / "x", {})


def test_macs() -> None:
    assert litert._macs("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3)], (1, 4, 4, 16)) == 4 * 4 * 16 * 3 * 3 * 3
    assert litert._macs("DEPTHWISE_CONV_2D", [(1, 8, 8, 6), (1, 3, 5, 6)], (1, 8, 8, 6)) == 8 * 8 * 6 * 15
    assert litert._macs("FULLY_CONNECTED", [(7, 32), (10, 32)], (7, 10)) == 7 * 32 * 10
    assert litert._macs("ADD", [(7, 32), (7, 32)], (7, 32)) == 0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("litert")
    write_detector(folder / "net", "small", targets="single", temperature=1.7)
    return export(folder / "net", folder / "own.tflite", to="litert")


@installed
@pytest.mark.slow
def test_windows_one_after_the_other(own: Exported) -> None:
    x = np.stack([signals.clip(1.1, 32000, seed=i)[:32000] for i in range(3)]).astype(np.float32)
    found = litert.open_file(own.path)(x)
    assert list(found) == ["embedding", "logits", "probabilities"]
    extractor = hear_edgel3.load(own.path.parent / "net", engine="eager")
    expected = extractor.embed_windows(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found["embedding"], expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(
        found["probabilities"], torch.softmax(torch.from_numpy(found["logits"]) / 1.7, 1), atol=1e-5
    )
    assert own.proof.engine.startswith("litert 2")


@installed
@pytest.mark.slow
def test_what_it_says_of_itself(own: Exported, capsys) -> None:
    assert main(["info", str(own.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["target"] == "litert"
    assert facts["bytes"] == own.proof.size
    assert facts["card"] == json.loads(json.dumps(own.card))
    assert facts["card"]["labels"] == list(CLASSES)
    assert facts["card"]["length"] == facts["window_samples"] == 32000
    assert facts["operators"]["CONV_2D"] > 10
    assert facts["macs_window"] > 1_000_000
    assert facts["parameters"] > 10_000
    assert main(["info", str(own.path)]) == 0
    assert "(1, ...) float32: samples at 32000 Hz, windows of 32000 each" in capsys.readouterr().out


@installed
@pytest.mark.slow
def test_constants_lie_where_the_format_wants_them(own: Exported) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = own.path.read_bytes()
    model = schema.Model.GetRootAs(data, 0)
    tables = [model.Buffers(i) for i in range(model.BuffersLength())]
    places = [one._tab.Vector(one._tab.Offset(4)) for one in tables if one.DataLength()]
    assert len(places) > 50
    assert {place % 16 for place in places} == {0}
    assert len(data) % 16 == 0


@installed
@pytest.mark.slow
def test_files_of_others(own: Exported, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    whole = own.path.read_bytes()
    path.write_bytes(whole.replace(b"hear_edgel3", b"someones_12"))
    with pytest.raises(ConfigurationError, match="says nothing of what it is"):
        litert.read_card(path)
    path.write_bytes(whole.replace(b'{"format"', b'"{format"'))
    with pytest.raises(ConfigurationError, match="no JSON"):
        litert.read_card(path)
    path.write_bytes(whole[:1000])
    with pytest.raises(ConfigurationError, match="damaged"):
        litert.read_card(path)


@installed
@pytest.mark.slow
def test_the_part_that_is_the_net(tmp_path: Path, weights_folder: Path) -> None:
    """SEA's front end is refused, because LiteRT has no float64; its net is not."""
    path = tmp_path / "sea.tflite"
    with pytest.raises(ExportFailed, match="its net alone may"):
        export("sea_64", path, to="litert", weights=weights_folder)
    assert list(tmp_path.iterdir()) == []
    done = export("sea_64", path, to="litert", part="net", weights=weights_folder)
    assert done.card["input"] == "spectrogram"
    assert done.proof.outputs["embedding"].share < 1e-5
