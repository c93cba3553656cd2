"""LiteRT files: their form, what is refused, and what their tools say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hear_edgel3.cli import main
from hear_edgel3.errors import ComputationError, ConfigurationError, InvalidOption
from hear_edgel3.exporting import converting, litert, litert_int8
from hear_edgel3.exporting.int8 import Narrowed
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.exporting.targets import fixed_s_of, target_of, target_of_file

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(one) is None for one in ("litert_torch", "ai_edge_litert")),
    reason="the extra litert is not installed, which is too large for CI",
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"length": 0.001}, "too short for tiny"),
        ({"length": 7200}, "up to 3600"),
    ],
)
def test_refused(words: dict, text: str, here: Path) -> None:
    with pytest.raises(InvalidOption, match=text):
        export("tiny", to="litert", **words)
    assert list(here.iterdir()) == []


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


def a_model(*weights: np.ndarray) -> SimpleNamespace:
    """A model of constants, as the format's classes have it."""
    buffers = [SimpleNamespace(data=None), *(SimpleNamespace(data=[*one.tobytes()]) for one in weights)]
    tensors = [
        SimpleNamespace(name=f"t{i}".encode(), type="float", shape=[*one.shape], buffer=i, quantization=None)
        for i, one in enumerate(weights, 1)
    ]
    graph = SimpleNamespace(tensors=tensors, operators=["convolutions"])
    return SimpleNamespace(subgraphs=[graph], buffers=buffers, operatorCodes=["CONV_2D"], metadata=None)


SCHEMA = SimpleNamespace(
    **{f"{name}T": SimpleNamespace for name in ("OperatorCode", "Buffer", "Operator", "QuantizationParameters")},
    BuiltinOperator=SimpleNamespace(DEQUANTIZE=6),
    TensorType=SimpleNamespace(FLOAT32="float", INT8="int8"),
)


def test_weights_are_known_by_their_values_however_their_axes_are_turned() -> None:
    shapes = {"dense": (4, 3, 2, 2), "depthwise": (6, 1, 3, 3), "linear": (5, 7)}
    random = np.random.default_rng(0)
    parameters = {name: torch.from_numpy(random.random(shape, np.float32)) for name, shape in shapes.items()}
    narrowed = {
        name: Narrowed(
            random.integers(-127, 127, shape, np.int8, endpoint=True),
            random.random((shape[0],) + (1,) * (len(shape) - 1), np.float32),
        )
        for name, shape in shapes.items()
    }
    turns = {"dense": (0, 2, 3, 1), "depthwise": (1, 2, 3, 0), "linear": (0, 1)}
    bias = np.ones(4, np.float32)
    model = a_model(bias, *(parameters[name].numpy().transpose(axes) for name, axes in turns.items()))
    litert_int8.narrow_weights(model, SCHEMA, parameters, narrowed)
    (graph,) = model.subgraphs
    assert [one.inputs.tolist() + one.outputs.tolist() for one in graph.operators[:3]] == [[4, 1], [5, 2], [6, 3]]
    assert graph.operators[3:] == ["convolutions"]
    assert [one.data is not None for one in model.buffers] == [False, True, False, False, False, True, True, True]
    for (name, axes), place, axis in zip(turns.items(), (4, 5, 6), (0, 3, 0), strict=True):
        stored = graph.tensors[place]
        values = np.frombuffer(model.buffers[stored.buffer].data, np.int8).reshape(stored.shape)
        np.testing.assert_array_equal(values, narrowed[name].values.transpose(axes))
        assert stored.type == "int8"
        assert stored.quantization.quantizedDimension == axis
        np.testing.assert_array_equal(stored.quantization.scale, narrowed[name].scale.ravel())
        assert graph.tensors[place - 3].buffer == 0
    with pytest.raises(ComputationError, match=r"dense and 2 more weights of the net are not in what litert's tools"):
        litert_int8.narrow_weights(a_model(bias), SCHEMA, parameters, narrowed)


def test_macs() -> None:
    assert litert._macs("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3)], (1, 4, 4, 16)) == 4 * 4 * 16 * 3 * 3 * 3
    assert litert._macs("DEPTHWISE_CONV_2D", [(1, 8, 8, 6), (1, 3, 5, 6)], (1, 8, 8, 6)) == 8 * 8 * 6 * 15
    assert litert._macs("FULLY_CONNECTED", [(7, 32), (10, 32)], (7, 10)) == 7 * 32 * 10
    assert litert._macs("ADD", [(7, 32), (7, 32)], (7, 32)) == 0


@pytest.fixture
def own(exported: Callable[[str | Path, str], Exported], detector_folder: Callable[[str, str], Path]) -> Exported:
    return exported(detector_folder("small", "single"), "litert")


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
