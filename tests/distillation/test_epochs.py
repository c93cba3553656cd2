"""Epochs: when training stops, and when batch norm is fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.student import StudentNet
from hear_edgel3.errors import ComputationError
from hear_edgel3.registry import folder as local
from hear_edgel3.weights.file import read_tensors
from support.distilling import INF, NAN, TWO_AND_TWO, Distill, losses, table, watched_states


@pytest.mark.parametrize(
    ("fix_norm", "values", "epochs", "best"),
    [
        # batch norm is fixed after one epoch: what was best before counts no more
        (0.0, [0.5, 3.0, 2.0, 1.0, 1.5, 1.0, 0.1], 6, 4),
        # after four: nobody loses patience before, and again the best is among the others
        (0.5, [1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 7.0, 9.0], 8, 6),
        (0.5, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 0.1], 7, 5),
        # never
        (1.0, [1.0, 2.0, 0.9, 4.0, 5.0, 6.0, 7.0, 8.0], 8, 3),
        # what is not finite is worse than all others, and is taken only if there are none
        (0.0, [1.0, NAN, 2.0, NAN, 1.5, INF, 1.6, 0.1], 7, 5),
        (0.0, [1.0, NAN, INF, NAN, 0.1], 4, 2),
    ],
)
def test_early_stopping(
    fix_norm: float,
    values: list[float],
    epochs: int,
    best: int,
    distill: Distill,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a patience of two. The best epoch's weights are kept."""
    losses(monkeypatch, values)
    states = watched_states(monkeypatch)
    options = {"student": "l3", "views": 1, "epochs": 8, "embedding_size": 3}
    folder = distill(tmp_path / "out", "sea_64", **options, patience=2, fix_norm=fix_norm)
    made = local.read_folder(folder).made
    assert (made["epochs"], made["best_epoch"]) == (epochs, best)
    assert len(table(folder)) == epochs
    state, _ = read_tensors(folder / "model.safetensors")
    for name in ("convs.0.weight", "norms.3.running_mean"):
        assert torch.equal(state[name], states[best - 1][name])


@pytest.mark.parametrize(
    ("fix_norm", "epochs", "expected"),
    [(0.4, 30, 12), (0.4, 3, 1), (0.4, 1, 1), (0.0, 30, 1), (0.0, 1, 1), (0.3, 8, 2), (0.5, 3, 2), (1.0, 7, 7)],
)
def test_epochs_in_which_batch_norm_measures(fix_norm: float, epochs: int, expected: int) -> None:
    assert Recipe(fix_norm=fix_norm, epochs=epochs).measuring_epochs == expected


@pytest.mark.parametrize(("teacher", "kind"), [("mn01_as", "mobilenetv3"), ("sea_64", "l3")])
def test_batch_norm_is_fixed(
    teacher: str, kind: str, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statistics stay as they were at the end of the measuring epochs, and all that is learnt goes on."""
    states = watched_states(monkeypatch)
    distill(tmp_path / "out", teacher, student=kind, **TWO_AND_TWO)
    measured = [name for name in states[0] if "running_" in name]
    learnt = [name for name in states[0] if name.endswith(("weight", "bias"))]
    assert len(measured) > 10
    for before, after, stays in zip(states[:-1], states[1:], (False, True, True), strict=True):
        changed = [name for name in measured if not torch.equal(before[name], after[name])]
        assert (changed == []) == stays
        assert len(changed) in (0, len(measured)) or kind == "l3"  # its bands do not change: the norm of the input
        # some steps are too small for float32
        assert sum(not torch.equal(before[name], after[name]) for name in learnt) > 0.9 * len(learnt)


def test_what_batch_norm_measures() -> None:
    """The mean over the batches of an epoch, nothing of those before; then it uses that, and dropout goes on."""
    student = StudentNet(Recipe(width_mult=0.05), 5, 10)
    norm = student.net.features[0][1]  # type: ignore[index]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    x = torch.randn(3, 4, 8, 6, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    for epoch in ((x[0],), (x[1], x[2])):
        student.train(measuring=True)
        with torch.no_grad():
            for batch in epoch:
                found = norm(batch)
        means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in epoch])
        variances = torch.stack([batch.transpose(0, 1).flatten(1).var(dim=1) for batch in epoch])
        # float32 sums in another order
        torch.testing.assert_close(norm.running_mean, means.mean(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variances.mean(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(8), rtol=0, atol=1e-5)
    student.train(measuring=False)
    with torch.no_grad():
        torch.testing.assert_close(norm(x[0]), norm.eval()(x[0]))
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0), rtol=1e-5, atol=1e-5)
    modules = list(student.net.modules())
    assert all(not module.training for module in modules if isinstance(module, torch.nn.BatchNorm2d))
    assert [module.training for module in modules if isinstance(module, torch.nn.Dropout)] == [True]
    student.train(measuring=True)
    assert all(module.training for module in modules)


@pytest.mark.parametrize("fix_norm", [0.0, 1.0])
def test_one_epoch(fix_norm: float, distill: Distill, tmp_path: Path) -> None:
    folder = distill(tmp_path / "out", "sea_64", student="l3", views=1, epochs=1, fix_norm=fix_norm)
    made = local.read_folder(folder).made
    assert (made["epochs"], made["best_epoch"]) == (1, 1)
    assert np.isfinite(list(made["scores"].values())).all()
    state, _ = read_tensors(folder / "model.safetensors")
    assert not torch.equal(state["norms.3.running_var"], torch.ones_like(state["norms.3.running_var"]))


def test_a_training_that_diverges(distill: Distill, tmp_path: Path) -> None:
    with pytest.raises(
        ComputationError, match=r"training diverged in epoch \d \(loss nan\): use a lower learning rate"
    ):
        distill(tmp_path / "out", lr=1e38, batch_seconds=4.0)
    assert not (tmp_path / "out" / "model.safetensors").exists()
