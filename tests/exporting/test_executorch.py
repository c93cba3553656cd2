"""ExecuTorch files: what is known of their operators, and those that are not ours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.exporting import converting, executorch
from hear_edgel3.exporting.targets import target_of_file


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
