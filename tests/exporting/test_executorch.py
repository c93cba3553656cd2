"""ExecuTorch files: what is refused, and, where ExecuTorch is installed, what they put out and say of themselves."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, InvalidOption, MissingExtra
from hear_edgel3.exporting import converting, executorch
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.exporting.targets import target_of_file
from support import signals
from support.detectors import CLASSES, write_detector

installed = pytest.mark.skipif(
    importlib.util.find_spec("executorch") is None,
    reason="the extra executorch is not installed, which is too large for CI",
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"quantize": "int8"}, "a file for executorch is never in eight bits"),
        ({"length": "dynamic"}, "a file for executorch takes windows of one length only; give seconds"),
    ],
)
def test_refused(words: dict, text: str, here: Path) -> None:
    with pytest.raises(InvalidOption, match=text):
        export("tiny", to="executorch", **words)
    assert list(here.iterdir()) == []


def test_a_missing_tool_is_named(without, here: Path) -> None:
    without("executorch")
    with pytest.raises(MissingExtra, match=r"'executorch'.*\[executorch\]"):
        export("tiny", to="executorch")


def test_its_files_are_known_by_their_ending(tmp_path: Path, capsys) -> None:
    file = tmp_path / "net.pte"
    file.write_bytes(b"\x1c\0\0\0TFL3")
    assert target_of_file(file) == "executorch"
    assert main(["info", str(file)]) == 1
    assert "net.pte is no ExecuTorch file" in capsys.readouterr().err


def node(name: str, output: tuple[int, ...], *inputs: tuple[int, ...]) -> Any:
    def of(shape: tuple[int, ...]) -> dict[str, Any]:
        return {"val": SimpleNamespace(shape=shape)}

    target = SimpleNamespace(__name__=f"{name}.default")
    args = [SimpleNamespace(meta=of(shape)) for shape in inputs]
    return SimpleNamespace(op="call_function", target=target, meta=of(output), args=args)


def test_what_is_known_of_operators() -> None:
    nodes = [
        node("conv2d", (1, 16, 4, 4), (1, 6, 8, 8), (16, 3, 3, 3)),
        node("linear", (7, 10), (7, 32), (10, 32)),
        node("matmul", (1, 5, 64, 9), (64, 32), (1, 5, 32, 9)),
        node("relu", (7, 10), (7, 10)),
        node("relu_", (7, 10), (7, 10)),
        node("_assert_tensor_metadata", ()),
        SimpleNamespace(op="placeholder"),
    ]
    exported = SimpleNamespace(
        graph=SimpleNamespace(nodes=nodes),
        state_dict={"a": torch.zeros(3, 4)},
        constants={"b": torch.zeros(5)},
    )
    assert converting._facts(exported) == {
        "operators": {"conv2d": 1, "linear": 1, "matmul": 1, "relu": 2},
        "parameters": 17,
        "macs_window": 16 * 16 * 27 + 7 * 10 * 32 + 5 * 64 * 9 * 32,
    }


def a_program(said: object, monkeypatch: pytest.MonkeyPatch, path: Path) -> Path:
    """A file, and an engine that reads this in it."""
    method = SimpleNamespace(execute=lambda _: [said])
    program = SimpleNamespace(method_names={"forward", "hear_edgel3"}, load_method=lambda _: method)
    if said is None:
        program.method_names = {"forward"}
    runtime = SimpleNamespace(get=lambda: SimpleNamespace(load_program=lambda _: program))
    monkeypatch.setitem(sys.modules, "executorch", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "executorch.runtime", SimpleNamespace(Runtime=runtime))
    path.write_bytes(b"\x1c\0\0\0ET12")
    return path


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (None, "says nothing of what it is"),
        ("{", "no JSON"),
        (3.5, "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "JSON"),
    ],
)
def test_files_of_others(said: object, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_program(said, monkeypatch, tmp_path / "x.pte")
    with pytest.raises(ConfigurationError, match=text):
        executorch.read_card(path)


def test_operators_that_are_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_program('{"card": {}, "operators": {}, "parameters": 3}', monkeypatch, tmp_path / "x.pte")
    with pytest.raises(ConfigurationError, match="of its operators is incomplete"):
        executorch.describe(path, {"length": 1})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("executorch")
    write_detector(folder / "net", "small", targets="single", temperature=1.7)
    return export(folder / "net", folder / "own.pte", to="executorch")


@installed
@pytest.mark.slow
def test_windows_one_after_the_other(own: Exported) -> None:
    x = np.stack([signals.clip(1.1, 32000, seed=i)[:32000] for i in range(3)]).astype(np.float32)
    found = executorch.open_file(own.path)(x)
    assert list(found) == ["embedding", "logits", "probabilities"]
    extractor = hear_edgel3.load(own.path.parent / "net", engine="eager")
    expected = extractor.embed_windows(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found["embedding"], expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    scaled = torch.softmax(torch.from_numpy(found["logits"]) / 1.7, 1)
    np.testing.assert_allclose(found["probabilities"], scaled, atol=1e-5)


@installed
@pytest.mark.slow
def test_what_it_says_of_itself(own: Exported, capsys) -> None:
    assert main(["info", str(own.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["target"] == "executorch"
    assert facts["card"] == json.loads(json.dumps(own.card))
    assert facts["card"]["labels"] == list(CLASSES)
    assert facts["window_samples"] == 32000
    assert facts["operators"]["conv2d"] > 10
    assert facts["macs_window"] > 1_000_000
