"""What the speed benchmark times has to compute the right thing first."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hear_edgel3.registry.names import resolve
from tests.benchmarks import by_ncnn, speed
from tests.benchmarks.subjects import net_of


@pytest.mark.parametrize("name", ["mn04_as", "mn10_as", "sea_64", "sea_512", "sparse_95"])
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_ncnn_is_exact(name: str) -> None:
    net = net_of(name)
    if not by_ncnn.can_run(net):
        pytest.skip("ncnn or pnnx is not installed (pip install ncnn pnnx)")
    row = resolve(name).checkpoint
    samples = torch.randn(3, row.window, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        images = row.frontend.build().eval()(samples)
        expected = net(images)
    run = by_ncnn.compile_net(net, images[:1], threads=1)
    for _ in range(3):  # what was freed may happen to be whole still, the first time
        gc.collect()
        np.testing.assert_allclose(run(images), expected, rtol=0, atol=4e-6 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("engine", "how_far"),
    [(lambda x: x + 1e-3, "1.0e-03"), (lambda x: x.half().float() * 1.001, "1."), (lambda x: x * torch.nan, "nan")],
)
def test_what_is_wrong_is_not_timed(
    engine: Callable[[torch.Tensor], torch.Tensor],
    how_far: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = torch.linspace(-1, 1, 64)[None]
    made: dict[str, Callable[[], torch.Tensor]] = {
        "straightforward port": lambda: right,
        "engine right": lambda: right * (1 + 1e-6),
        "ncnn": lambda: engine(right),
    }
    monkeypatch.setattr(speed, "contestants", lambda *arguments: dict(made))
    assert not speed.measure([speed.prepare("sea_64", None, 1, 1)], 2, None, memory=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("engine right")]
    (refused,) = [line for line in lines if line.startswith("ncnn")]
    assert "not timed: its result is wrong by " + how_far in refused
    del made["ncnn"]
    assert speed.measure([speed.prepare("sea_64", None, 1, 1)], 2, None, memory=False)
    assert "not timed" not in capsys.readouterr().out


def test_nets_that_are_timed_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    turns: list[str] = []

    def contestants(name: str, *arguments: object) -> dict[str, Callable[[], torch.Tensor]]:
        def run() -> torch.Tensor:
            turns.append(name)
            return torch.ones(1, 4)

        return {"straightforward port": run}

    monkeypatch.setattr(speed, "contestants", contestants)
    subjects = [speed.prepare(name, None, 1, 1) for name in ("sea_64", "tiny")]
    turns.clear()
    assert speed.measure(subjects, 3, None, memory=False)
    assert turns == ["sea_64", "tiny"] * 4  # once to warm up
    tables = [line for line in capsys.readouterr().out.splitlines() if ", batch of 1, 1 thread(s)" in line]
    assert [table.split(",")[0] for table in tables] == ["sea_64", "tiny"]
