"""Losses: EfficientAT's values, and values by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.losses import (
    Distillation,
    binary_cross_entropy,
    cross_entropies,
    cross_entropy,
    keras_loss,
    softened,
)
from hear_edgel3.training.mixing import Mix


def _bce(z: float, y: float) -> float:
    p = 1 / (1 + np.exp(-z))
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


@pytest.fixture
def batch(published) -> tuple[torch.Tensor, torch.Tensor, Mix]:
    logits, targets, partner, share = (torch.from_numpy(published[f"mix__{k}"]) for k in ("logits", "y", "perm", "lam"))
    return logits, targets, Mix(partner, share)


def test_label_losses_are_efficientats(batch, published) -> None:
    logits, targets, mix = batch
    assert float(binary_cross_entropy(logits, targets, mix)) == pytest.approx(
        float(published["mix__bce_label_loss"]), abs=1e-6
    )
    assert float(binary_cross_entropy(logits, targets)) == pytest.approx(
        float(published["mix__bce_no_mixup"]), abs=1e-6
    )


@pytest.mark.parametrize("kind", ["index", "soft", "soft64"])
def test_cross_entropies_are_efficientats(kind: str, batch, published) -> None:
    """Those of float64 targets too, which are computed in float32 here: 3e-6 is its rounding."""
    logits, _, mix = batch
    targets = torch.from_numpy(published["mix__classes" if kind == "index" else "mix__soft_targets"])
    targets = targets.double() if kind == "soft64" else targets
    each = cross_entropies(logits, targets, mix)
    assert each.dtype == torch.float32
    np.testing.assert_allclose(each, published[f"mix__ce_{kind}_per_clip"], rtol=0, atol=3e-6)
    assert float(cross_entropy(logits, targets, mix)) == pytest.approx(float(published[f"mix__ce_{kind}"]), abs=3e-6)


def test_masked_losses_are_efficientats(published) -> None:
    logits, both = torch.from_numpy(published["openmic__logits"]), torch.from_numpy(published["openmicmix__s12_y"])
    targets, known = (both[:, :20] > 0.5).float(), both[:, 20:] > 0.5
    mix = Mix(torch.from_numpy(published["openmic__perm"]), torch.from_numpy(published["openmic__lam"]))
    plain = binary_cross_entropy(logits, targets, known=known)
    assert float(plain) == pytest.approx(float(published["openmic__loss_plain"]), abs=1e-6)
    mixed = binary_cross_entropy(logits, targets, mix, known)
    assert float(mixed) == pytest.approx(float(published["openmic__loss_mixup"]), abs=1e-6)


@pytest.mark.parametrize("temperature", [1, 2])
@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("mixed", [False, True])
def test_distillation_is_efficientats(temperature: int, weight: float, mixed: bool, batch, published) -> None:
    """Apart from its fault: a partner that the teacher has not heard gets the last row there, which is taken off."""
    logits, targets, mix = batch
    rows = published["kd__indices"]
    stored = torch.from_numpy(published["kd__teacher_logits"]).float()
    teacher, known = stored[rows], torch.from_numpy(rows >= 0)
    assert 0 < int(known.sum()) < len(rows)
    loss = Distillation(weight, float(temperature))
    on_labels, on_teacher = loss.parts(logits, targets, teacher, known, mix if mixed else None)
    tag = f"kd__T{temperature}_{'mix' if mixed else 'plain'}_lambda{str(weight).replace('.', 'p')}"
    fault = 0.0
    if mixed:
        last = torch.sigmoid(stored[-1] / temperature).expand_as(logits)
        each = functional.binary_cross_entropy_with_logits(logits, last, reduction="none").mean(dim=1)
        hit = known & ~known[mix.partner]
        assert bool(hit.any())
        fault = (1 - weight) * float(((1 - mix.share) * each * hit).mean())
    assert float(on_labels) == pytest.approx(float(published[tag + "_label"]), abs=1e-6)
    assert float(on_teacher) + fault == pytest.approx(float(published[tag + "_kd"]), abs=1e-6)
    total = loss(logits, targets, teacher, known, mix if mixed else None)
    assert float(total) + fault == pytest.approx(float(published[tag + "_total"]), abs=1e-6)


def test_binary_cross_entropy_by_hand() -> None:
    logits, targets = torch.tensor([[0.5, -1.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    wanted = (_bce(0.5, 1), _bce(-1, 0), _bce(2, 0), _bce(0, 1))
    assert float(binary_cross_entropy(logits, targets)) == pytest.approx(np.mean(wanted), abs=1e-6)
    known = torch.tensor([[True, False], [True, True]])
    masked = binary_cross_entropy(logits, targets, known=known)
    assert float(masked) == pytest.approx((wanted[0] + wanted[2] + wanted[3]) / 4, abs=1e-6)  # unknown ones count as 0
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    mixed = (_bce(0.5, 0.75), _bce(-1, 0.25), _bce(2, 0.5), _bce(0, 0.5))
    assert float(binary_cross_entropy(logits, targets, mix)) == pytest.approx(np.mean(mixed), abs=1e-6)


def test_cross_entropy_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))
    classes, mix = torch.tensor([0, 2]), Mix(torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    wanted = [-(0.75 * np.log(0.7) + 0.25 * np.log(0.1)), -np.log(0.5)]
    np.testing.assert_allclose(cross_entropies(logits, classes, mix), wanted, atol=1e-6)
    soft = functional.one_hot(classes).double()
    np.testing.assert_allclose(cross_entropies(logits, soft, mix), wanted, atol=1e-6)


def test_half_precision_logits_are_widened() -> None:
    logits = torch.tensor([[20.0, -20.0]], dtype=torch.float16)
    for loss in (binary_cross_entropy(logits, torch.tensor([[0.0, 0.0]])), cross_entropy(logits, torch.tensor([1]))):
        assert loss.dtype == torch.float32
    assert binary_cross_entropy(logits.double(), torch.tensor([[0.0, 0.0]])).dtype == torch.float64


def test_who_the_teacher_has_not_heard_stays_unheard() -> None:
    """Three examples: the second is unknown. It adds nothing, and nothing is put in its place as a partner."""
    logits, targets = torch.tensor([[0.5], [1.0], [-2.0]]), torch.zeros(3, 1)
    teacher, known = torch.tensor([[2.0], [float("nan")], [-1.0]]), torch.tensor([True, False, True])
    mix = Mix(torch.tensor([1, 2, 0]), torch.tensor([0.75, 0.5, 0.625]))
    t0, t2 = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    _, on_teacher = Distillation(0.0).parts(logits, targets, teacher, known, mix)
    wanted = (0.75 * _bce(0.5, t0) + 0 + 0.625 * _bce(-2.0, t2) + 0.375 * _bce(-2.0, t0)) / 3
    assert float(on_teacher) == pytest.approx(wanted, abs=1e-6)
    logits.requires_grad_()
    Distillation(0.0)(logits, targets, teacher, known, mix).backward()
    assert logits.grad is not None
    assert float(logits.grad[1]) == 0
    assert bool(torch.isfinite(logits.grad).all())


def test_the_teacher_alone_is_the_teacher_alone() -> None:
    """EfficientAT takes a weight of 0 for none of the teacher."""
    logits, targets, known = torch.tensor([[0.5]]), torch.ones(1, 1), torch.tensor([True])
    loss = Distillation(0.0)(logits, targets, torch.tensor([[-3.0]]), known)
    assert float(loss) == pytest.approx(_bce(0.5, 1 / (1 + np.exp(3.0))), abs=1e-6)
    loss = Distillation(1.0)(logits, targets, torch.tensor([[-3.0]]), known)
    assert float(loss) == pytest.approx(_bce(0.5, 1.0), abs=1e-6)


@pytest.mark.parametrize("wrong", [(1.5, 1.0), (-0.1, 1.0), (0.1, 0.0), (0.1, float("inf"))])
def test_distillation_that_cannot_be(wrong: tuple) -> None:
    with pytest.raises(InvalidOption):
        Distillation(*wrong)


def test_softened_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 1.0]])
    p, q = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(-1.0))  # at T 2: differences of 1 in both
    assert float(softened(student, torch.tensor([0]), teacher, 0.0, 2.0)) == pytest.approx(0, abs=1e-7)
    teacher = torch.tensor([[5.0, 1.0]])
    q = 1 / (1 + np.exp(-2.0))
    divergence = (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))) / 2  # over examples and classes
    label = -np.log(1 / (1 + np.exp(-2.0)))
    got = softened(student, torch.tensor([0]), teacher, 0.02, 2.0)
    assert float(got) == pytest.approx(0.02 * label + 0.98 * 4 * divergence, abs=1e-6)


def test_losses_by_the_names_of_keras() -> None:
    outputs, targets = torch.tensor([[0.5, 2.5]]), torch.tensor([[1.0, 0.0]])
    wanted = {
        "mse": (0.25 + 6.25) / 2,
        "mean_absolute_error": (0.5 + 2.5) / 2,
        "huber": (0.125 + 2.0) / 2,
        "binary_crossentropy": (_bce(0.5, 1) + _bce(2.5, 0)) / 2,
        "categorical_crossentropy": np.log(1 + np.exp(2.0)),
    }
    for name, value in wanted.items():
        assert keras_loss(name, outputs, targets).tolist() == pytest.approx([value], abs=1e-6), name
    with pytest.raises(InvalidOption, match="categorical_crossentropy"):
        keras_loss("poisson", outputs, targets)
