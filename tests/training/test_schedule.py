"""Learning rates and optimisers."""

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.optimizers import OPTIMIZERS, Optimizer, keras_optimizer
from hear_edgel3.training.recipes import RECIPES
from hear_edgel3.training.schedule import TwoPhases, UpDown, cosine

# The multipliers of EfficientAT's programs, to five decimals.
_AUDIOSET = {
    **dict(enumerate((0.01234, 0.02175, 0.06005, 0.14183, 0.28650, 0.49504, 0.73162, 0.92485, 1, 1))),
    **{20: 1, 79: 1, 80: 1, 81: 0.98958, 100: 0.79158, 120: 0.58316, 150: 0.27053, 174: 0.02042, 175: 0.01, 199: 0.01},
}
_FINE_TUNED = {
    **dict(enumerate((0.01097, 0.01742, 0.04076, 0.08629, 0.16530, 0.28650, 0.44933, 0.63763, 0.81873, 0.95123))),
    **{10: 1, 11: 0.98477, 12: 0.96954, 20: 0.84769, 30: 0.69538, 40: 0.54308, 50: 0.39077, 60: 0.23846, 70: 0.08615},
    **{74: 0.02523, 75: 0.01, 79: 0.01},
}


@pytest.mark.parametrize("name", ["audioset", "pl_audioset", "esc50", "fsd50k", "openmic", "dcase20"])
def test_multipliers_are_those_of_the_programs(name: str) -> None:
    schedule = RECIPES[name].schedule
    table = _AUDIOSET if "audioset" in name else _FINE_TUNED
    for epoch, wanted in table.items():
        assert schedule.factor(epoch) == pytest.approx(wanted, abs=5.1e-6), epoch


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((name, name) for name in ("audioset", "esc50", "fsd50k", "openmic", "dcase20")),
        ("pl_audioset", "audioset_pl"),
    ],
)
def test_every_epoch_has_the_published_learning_rate(name: str, key: str, published) -> None:
    row = RECIPES[name]
    used = published[f"lr_{key}__used"]
    assert len(used) == row.epochs
    np.testing.assert_allclose([row.learning_rate(e) for e in range(row.epochs)], used, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        [row.learning_rate(e + 1) for e in range(row.epochs)], published[f"lr_{key}__logged"], rtol=0, atol=1e-12
    )


def test_the_rise_may_overlap_the_fall_and_may_be_missing(published) -> None:
    for key, schedule in (
        ("overlap_5_7_3_02", UpDown(5, 3, 7, 0.2)),
        ("nowarmup_0_4_2_01", UpDown(0, 2, 4, 0.1)),
    ):
        wanted = published[f"lr_{key}__multiplier"]
        np.testing.assert_allclose([schedule.factor(e) for e in range(len(wanted))], wanted, rtol=0, atol=1e-12)


def test_a_schedule_by_hand() -> None:
    schedule = UpDown(warmup=2, start=2, length=4, last=0.2)
    wanted = [np.exp(-5 * 0.75**2), np.exp(-5 * 0.25), 1, 0.8, 0.6, 0.4, 0.2, 0.2]
    np.testing.assert_allclose([schedule.factor(e) for e in range(8)], wanted, rtol=1e-12)


def test_cosine_rises_on_a_line_and_never_stops() -> None:
    assert cosine(0.0, 0.1) == 1e-3
    assert cosine(0.05, 0.1) == pytest.approx(0.5)
    assert cosine(0.1, 0.1) == pytest.approx(1.001)
    assert cosine(0.55, 0.1) == pytest.approx(0.501)
    assert cosine(1.0, 0.1) == pytest.approx(1e-3)


def test_two_phases() -> None:
    row = RECIPES["deepspectrumlite"]
    assert [row.learning_rate(e) for e in (0, 39, 40, 139)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    phases = row.schedule
    assert isinstance(phases, TwoPhases)
    assert [phases.frozen_layers(10, e) for e in (0, 39, 40)] == [10, 10, 7]
    assert row.epochs == phases.pre_epochs + phases.epochs


@pytest.mark.parametrize("wrong", [(-1, 0, 1, 0.1), (0, 0, 0, 0.1), (0, 0, 1, 1.1), (0, 0.5, 1, 0.1), (True, 0, 1, 0)])
def test_schedules_that_cannot_be(wrong: tuple) -> None:
    with pytest.raises(InvalidOption):
        UpDown(*wrong)


@pytest.mark.parametrize("wrong", [(-1, 1, 1.0, 0.5), (0, 0, 1.0, 0.5), (1, 1, 0.0, 0.5), (1, 1, 1.0, 1.5)])
def test_phases_that_cannot_be(wrong: tuple) -> None:
    with pytest.raises(InvalidOption):
        TwoPhases(*wrong)


def _trained(settings: Optimizer, schedule: UpDown) -> np.ndarray:
    """(6, 3): a parameter after each of six epochs of two steps."""
    parameter = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = settings.make([parameter])
    seen = []
    for epoch in range(6):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule.factor(epoch)
        for _ in range(2):
            optimizer.zero_grad()
            (parameter * torch.tensor([1.0, 2.0, 3.0])).square().sum().backward()
            optimizer.step()
        seen.append(parameter.detach().numpy().copy())
    return np.stack(seen)


@pytest.mark.parametrize(
    ("key", "name", "weight_decay"), [("adam", "adam", 0.0), ("adam_wd", "adam", 0.01), ("adamw", "adamw", 0.01)]
)
def test_parameters_go_where_they_went(key: str, name: str, weight_decay: float, published) -> None:
    got = _trained(Optimizer(name, 0.1, weight_decay), UpDown(3, 4, 4, 0.1))
    np.testing.assert_allclose(got, published[f"optim__{key}"], rtol=0, atol=1e-6)


def test_weight_decay_of_the_two_adams() -> None:
    """A first step by hand: Adam's is the sign of the gradient with the penalty, AdamW shrinks the parameter too."""
    for name, wanted in (("adam", 1.0 - 0.1), ("adamw", 1.0 * (1 - 0.1 * 0.5) - 0.1)):
        parameter = nn.Parameter(torch.tensor([1.0]))
        optimizer = Optimizer(name, 0.1, weight_decay=0.5).make([parameter])
        parameter.grad = torch.tensor([3.0])
        optimizer.step()
        assert parameter.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_steps_downhill(name: str) -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = keras_optimizer(name, 0.01).make([parameter])
    parameter.square().backward()
    optimizer.step()
    assert 0 < parameter.item() < 1


def test_keras_first_steps() -> None:
    """Of a gradient of 2 with a rate of 0.1: by the formulas of Adagrad and Adadelta with Keras's values."""
    adagrad = 1 - 0.1 * 2 / (np.sqrt(0.1 + 4) + 1e-7)
    adadelta = 1 - 0.1 * 2 * np.sqrt(1e-7) / np.sqrt(0.05 * 4 + 1e-7)
    for name, wanted in (("adagrad", adagrad), ("adadelta", adadelta), ("rmsprop", 1 - 0.1 * 2 / np.sqrt(0.1 * 4))):
        parameter = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        optimizer = keras_optimizer(name, 0.1).make([parameter])
        parameter.grad = torch.tensor([2.0], dtype=torch.float64)
        optimizer.step()
        assert parameter.item() == pytest.approx(wanted, abs=1e-7), name


@pytest.mark.parametrize(
    ("wrong", "named"), [(("lion", 0.1), "adadelta"), (("adam", 0.0), "learning_rate"), (("adam", 0.1, -1.0), "decay")]
)
def test_optimizers_that_cannot_be(wrong: tuple, named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        Optimizer(*wrong)
    with pytest.raises(InvalidOption, match="adagrad"):
        keras_optimizer("ftrl", 0.1)
