"""Engines ask a net what it has, never of which family it is; their table costs nothing to read."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import hear_edgel3.engine
from hear_edgel3.engine import exported, table
from hear_edgel3.engine import numba as numba_engine
from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.kernel_description import FoldedNet
from hear_edgel3.families.l3.frontend import AMIN, DYNAMIC_RANGE_DB, L3MelSpectrogram
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve

SHAPE = (64, 24)


class OfAnotherFamily(nn.Module):
    """A net that no engine has heard of, and that has all that they can ask for."""

    example_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = L3Net((4,) * 8, final_norm=False).eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)

    def folded(self) -> nn.Module:
        return self.inner.folded()

    def kernel_layers(self) -> FoldedNet:
        return self.inner.kernel_layers()


def test_no_engine_imports_a_family() -> None:
    files = sorted(Path(hear_edgel3.engine.__file__).parent.rglob("*.py"))
    assert len(files) > 20
    imported = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    of_families = {name.split(".")[2] for name in imported if name.startswith("hear_edgel3.families.")}
    assert of_families == {"kernel_description", "kernel_residuals"}


@pytest.mark.parametrize("engine", ["numba", "torch", "onnxruntime", "openvino", "eager"])
def test_every_engine_runs_a_net_of_another_family(engine: str) -> None:
    net, x = OfAnotherFamily(), 20 * torch.randn(2, *SHAPE)
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(Runner(engine)(net, x), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_auto_takes_numba_for_a_net_that_its_kernels_can_run() -> None:
    assert Runner().choose(OfAnotherFamily()).name == "numba"
    assert not numba_engine.takes(nn.Conv2d(1, 1, 3))


@pytest.mark.parametrize(("name", "shape"), [("sea_64", (64, 50)), ("sparse_95", (64, 50)), ("tiny", (128, 101))])
def test_nets_have_an_image_to_be_traced_with(name: str, shape: tuple[int, int]) -> None:
    net = resolve(name).checkpoint.net.build().eval()
    assert net.example_shape == shape
    assert exported.obstacle(net) is None
    with torch.no_grad():
        assert net(torch.zeros(2, *shape)).ndim == 2


def test_what_the_front_end_says_of_itself() -> None:
    frontend = resolve("sea_64").checkpoint.frontend.build()
    assert isinstance(frontend, L3MelSpectrogram)
    computes = frontend.kernel_spectrogram()
    assert computes is not None
    assert (computes.n_mels, computes.amin, computes.dynamic_range_db) == (64, AMIN, DYNAMIC_RANGE_DB)
    assert [computes.n_frames(n) for n in (1, 162, 163, 8000)] == [frontend.n_frames(n) for n in (1, 162, 163, 8000)]
    with pytest.raises(ValueError, match="Other does not compute mel decibels"):
        importlib.import_module("hear_edgel3.engine.kernels.mel").Spectrogram(
            type("Other", (L3MelSpectrogram,), {})(8000, 2048, 162, 64)
        )


def test_the_table() -> None:
    """A name is a module that has what the runner asks for."""
    assert table.NAMES == ("auto", "numba", "torch", "onnxruntime", "openvino", "eager")
    for module in table.MODULES.values():
        engine = importlib.import_module(module)
        assert all(callable(getattr(engine, name)) for name in ("check_installed", "obstacle", "pays", "compile_net"))


def test_the_table_imports_nothing() -> None:
    code = (
        "import sys; from hear_edgel3.engine.table import NAMES; print({'torch', 'numpy', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
