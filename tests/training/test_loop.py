"""The trainer by itself: what it asks of a task, what it keeps, and what it says."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hear_edgel3.errors import ComputationError, MissingExtra, OutputError
from hear_edgel3.training import loop
from support.types import Captured


class Line(loop.Task):
    """A line through points; the figures of its epochs are as told."""

    what = "line (another one)"
    identity = "line"

    def __init__(self, told: Sequence[float], starts: bool = False, patience: int = 100, scale: float = 1.0) -> None:
        self.net = nn.Linear(1, 1)
        with torch.no_grad():
            self.net.weight.zero_()
            self.net.bias.zero_()
        self.epochs, self.counts_start, self._patience, self._scale = len(told) - starts, starts, patience, scale
        self._told = iter(told)
        self.rates: list[float] = []

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=1.0)

    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> loop.Batches:
        generator = torch.Generator().manual_seed(epoch)
        return _List([torch.rand(4, 1, generator=generator) for _ in range(2)])

    def begin(self, epoch: int) -> None:
        self.net.train()

    def learning_rates(self, epoch: int, share: float) -> Sequence[float]:
        self.rates.append(epoch + share)
        return [0.1]

    def loss(self, net: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        error = (net(batch) - self._scale * (2 * batch + 1)).square().mean()
        return error, {"train_twice": 2 * error}

    def measure(self, net: nn.Module, device: torch.device) -> dict[str, float]:
        return {"figure": next(self._told)}

    def deciding(self, row: Mapping[str, float]) -> float:
        return row["figure"]

    def is_over(self, progress: loop.Progress) -> bool:
        return progress.epoch - progress.best_epoch >= self._patience


class _List:
    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def run(task: loop.Task, folder: Path, **options: Any) -> loop.Progress:
    return loop.train(
        task, folder, loop.make_accelerator("no", "cpu", "training", "train"), **{"quiet": True, **options}
    )


def test_what_is_kept(tmp_path: Path, capsys: Captured) -> None:
    task = Line([3.0, 1.0, 2.0])
    progress = run(task, tmp_path, quiet=False)
    assert (progress.epoch, progress.best_epoch, progress.best_loss) == (3, 2, 1.0)
    assert task.rates == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert [row["train_twice"] == pytest.approx(2 * row["train_loss"]) for row in progress.metrics] == [True] * 3
    assert not torch.equal(progress.best["weight"], task.net.state_dict()["weight"])
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,seconds,lr,train_loss,train_twice,figure"
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["3", "1", "2"]
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("epoch 2/3,")]
    assert len(said) == 1
    assert said[0].endswith("figure 1 (best)")
    assert "train_loss" in said[0]


@pytest.mark.parametrize(
    ("told", "starts", "epochs", "best"),
    [
        ([5.0, 4.0, 4.5, 4.6, 0.1], False, 4, 2),
        ([1.0, 4.0, 4.5, 0.1], True, 2, 0),
        ([1.0, 0.5, 0.6, 0.7, 0.1], True, 3, 1),
        ([math.nan, 4.0, math.inf, math.nan, 0.1], False, 4, 2),
        ([math.nan, 4.0, 5.0, 6.0], True, 3, 1),
    ],
)
def test_early_stopping(told: list[float], starts: bool, epochs: int, best: int, tmp_path: Path) -> None:
    """With a patience of two; what it began with may be the best one, if it counts."""
    progress = run(Line(told, starts, patience=2), tmp_path)
    assert (progress.epoch, progress.best_epoch) == (epochs, best)
    if starts:
        assert (tmp_path / "metrics.csv").read_text().splitlines()[1].startswith("0,0,,,,")
        assert torch.equal(progress.best["weight"], torch.zeros(1, 1)) == (best == 0)


def test_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = run(Line([3.0, 1.0, 2.0, 0.5]), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Line, "deciding", lambda self, row: 1 / 0 if row["epoch"] == 3 else row["figure"])
        with pytest.raises(ZeroDivisionError):
            run(Line([3.0, 1.0, 2.0, 0.5]), other)
    task = Line([2.0, 0.5, 0.0, 0.0])
    progress = run(task, other)
    assert task.rates[0] == 2.0
    assert all(torch.equal(progress.best[name], value) for name, value in straight.best.items())
    without = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in one.metrics] for one in (straight, progress)
    ]
    assert without[0] == without[1]
    task.identity = "another"
    with pytest.raises(OutputError, match="belongs to another line \\(another one\\); use another --output"):
        run(task, other)


_KILLED_AT = """
import os, signal, sys
from pathlib import Path

sys.path[:0] = ["tests", "tests/training"]
from test_loop import Line, run

from hear_edgel3.disk import atomic

calls, usual = iter(range(100)), getattr(atomic, sys.argv[1])

def killed(*given):
    if next(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(*given)

setattr(atomic, sys.argv[1], killed)
run(Line([3.0, 1.0, 2.0]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("place", ["become", "sync_folder"])
@pytest.mark.parametrize("call", range(2, 6))
def test_metrics_and_state_go_together_wherever_it_is_killed(place: str, call: int, tmp_path: Path) -> None:
    """Before either of the two files of the second and third epoch takes its place, and after."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_AT, place, str(call), str(tmp_path)],
        check=False,
        capture_output=True,
        timeout=100,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    known = len(torch.load(tmp_path / "training.pt", weights_only=True)["progress"]["metrics"])
    assert known in (1, 2, 3)
    assert known - 1 <= len(epochs_of(tmp_path)) <= known
    run(Line([9.0] * 3), tmp_path)
    assert epochs_of(tmp_path) == ["1", "2", "3"]
    state = torch.load(tmp_path / "training.pt", weights_only=True)
    assert [row["epoch"] for row in state["progress"]["metrics"]] == [1, 2, 3]


def epochs_of(folder: Path) -> list[str]:
    return [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("found", [None, "epoch,figure\n1,2\n2,3\n3,4\n4,5\n"])
def test_a_table_of_other_epochs_is_put_right_before_anything_else(found: str | None, tmp_path: Path) -> None:
    """Also of a training in which there is nothing more to do."""
    run(Line([3.0, 1.0, 2.0]), tmp_path)
    table = tmp_path / "metrics.csv"
    right = table.read_bytes()
    table.unlink()
    if found is not None:
        table.write_text(found)
    run(Line([9.0] * 3), tmp_path)
    assert table.read_bytes() == right
    os.utime(table, ns=(0, 0))
    run(Line([9.0] * 3), tmp_path)
    assert table.stat().st_mtime_ns == 0


def test_divergence(tmp_path: Path) -> None:
    with pytest.raises(ComputationError, match="training diverged in epoch 1"):
        run(Line([1.0, 1.0], scale=1e38), tmp_path)
    assert not (tmp_path / "training.pt").exists()


def test_curves_are_sent_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"Weights & Biases needs the package 'wandb'.*\"\.\[wandb\]\""):
        run(Line([1.0]), tmp_path, wandb="sounds")
    assert not list(tmp_path.iterdir())
    sent: list[Any] = []

    class Run:
        def log(self, row: dict[str, float], step: int) -> None:
            sent.append((step, row["figure"]))

        def finish(self) -> None:
            sent.append("finished")

    class Fake:
        @staticmethod
        def init(**options: Any) -> Run:
            sent.append((options["project"], options["id"], options["resume"]))
            return Run()

    monkeypatch.setitem(sys.modules, "wandb", Fake)  # type: ignore[arg-type]
    run(Line([2.0, 1.0]), tmp_path, wandb="sounds")
    assert sent == [("sounds", "line", "allow"), (1, 2.0), (2, 1.0), "finished"]


def test_weights_and_biases_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, where it is installed."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(Line([2.0, 1.0]), tmp_path, wandb="sounds")
    assert list((tmp_path / "wandb").glob("offline-run-*"))
