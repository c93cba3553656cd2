"""ExecuTorch files: what is known of their operators, and those that are not ours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, InvalidOption
from hear_edgel3.exporting import converting, executorch
from hear_edgel3.exporting.executorch_int8 import divide_biases, takes
from hear_edgel3.exporting.int8 import Narrowed, choose
from hear_edgel3.exporting.program import program_of
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


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pixels, self.wide = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 5, 3)
        self.linear, self.steps = torch.nn.Linear(5, 2), torch.nn.Conv2d(3, 4, 1, stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(self.wide(self.pixels(x)).mean((2, 3))), self.steps(x)


def narrowed_of(weight: torch.Tensor) -> Narrowed:
    scale = np.arange(2, 2 + len(weight), dtype=np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    return Narrowed(np.ones(weight.shape, np.int8), scale)


def test_biases_are_added_before_scales_are_multiplied_by() -> None:
    module = Layers().eval()
    exported = torch.export.export(module, (torch.zeros(1, 3, 8, 8),), strict=False)
    narrowed = {f"{name}.weight": narrowed_of(getattr(module, name).weight) for name in ("pixels", "linear")}
    divide_biases(exported, narrowed)
    for name, values in exported.state_dict.items():
        before = dict(module.named_parameters())[name]
        scale = torch.arange(2, 2 + len(before)) if name in ("pixels.bias", "linear.bias") else torch.ones(1)
        assert torch.equal(values, before / scale if before.ndim == 1 else before), name
    for name in ("steps", "wide"):
        with pytest.raises(ValueError, match=rf"{name}.weight and 0 more weights are not where it takes them"):
            divide_biases(exported, {f"{name}.weight": narrowed_of(getattr(module, name).weight)})


def test_which_weights_it_takes_in_eight_bits(weights_folder: Path, tmp_path: Path) -> None:
    with program_of(hear_edgel3.load("tiny", engine="torch"), "whole", 32000, float64=False) as program:
        x = [torch.zeros(1, 32000)]
        some, every = choose(program, x, takes).narrowed, choose(program, x).narrowed
    assert {name for name in every if name not in some} == {f"net.features.{i}.block.1.0.weight" for i in range(12, 16)}
    assert {one.values.shape[2:] for one in some.values()} == {(), (1, 1)}
    sea = hear_edgel3.load("sea_64", weights_folder, engine="torch")
    with (
        program_of(sea, "net", 8000, float64=False) as program,
        pytest.raises(InvalidOption, match="most of sea_64's are others; leave quantize \\(--quantize\\) out"),
    ):
        executorch.quantize(program, tmp_path / "x", tmp_path / "y", [program.example])
