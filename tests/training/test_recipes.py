"""The rows of the published recipes."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training import RECIPES, recipe_for
from hear_edgel3.training.losses import Distillation, binary_cross_entropy, cross_entropy
from hear_edgel3.training.mixing import Mix

# By column of the table of EfficientAT's defaults.
_TABLE = {
    "audioset": (527, "labels", "adam", 8e-4, 0.0, 120, 200, 10.0),
    "pl_audioset": (527, "labels", "adam", 3e-3, 1e-4, 120, 200, 10.0),
    "fsd50k": (200, "labels", "adam", 7e-5, 0.0, 64, 80, 10.0),
    "openmic": (20, "known labels", "adam", 1e-5, 0.0, 64, 80, 10.0),
    "dcase20": (10, "classes", "adam", 8e-4, 0.0, 64, 80, None),
    "esc50": (50, "classes", "adam", 6e-5, 0.0, 128, 80, 5.0),
}


def test_there_are_the_recipes_of_the_programs() -> None:
    assert set(RECIPES) == {*_TABLE, "deepspectrumlite"}
    assert all(name == row.name for name, row in RECIPES.items())


@pytest.mark.parametrize("name", _TABLE)
def test_defaults(name: str) -> None:
    row = RECIPES[name]
    optimizer = row.optimizer
    assert _TABLE[name] == (
        row.n_classes,
        row.targets,
        optimizer.name,
        optimizer.learning_rate,
        optimizer.weight_decay,
        row.batch_size,
        row.epochs,
        row.clip_seconds,
    )
    assert (optimizer.betas, optimizer.eps, row.dropout) == ((0.9, 0.999), 1e-8, 0.2)


@pytest.mark.parametrize("name", _TABLE)
def test_augmentation(name: str) -> None:
    row = RECIPES[name]
    on_audioset = "audioset" in name
    waves = row.waveforms
    assert (waves.gain, waves.roll, waves.mixup) == ((0, 0, 0.0) if on_audioset else (12, 4000, 0.5))
    assert waves.mixup_alpha == 2.0
    assert waves.roll_first == (name == "dcase20")
    images = row.spectrograms
    assert images is not None
    assert (images.mixup, images.freq_mask, images.time_mask) == (0.3, 0, 0)
    assert (images.mixstyle, images.mixstyle_alpha) == (0.0, 0.4)
    assert (images.fmin_jitter, images.fmax_jitter) == (10, 2000)
    assert row.random_crop == (name == "fsd50k")
    assert row.epoch_draws == (100_000 if on_audioset else None)
    assert (row.temperature is not None) == on_audioset
    if on_audioset:
        assert row.distillation is not None
        assert (row.distillation.label_weight, row.distillation.temperature) == (0.1, 1.0)
    else:
        assert row.distillation is None


def test_lightning_differs() -> None:
    assert (RECIPES["pl_audioset"].devices, RECIPES["pl_audioset"].mixed_precision) == (4, "fp16")
    assert (RECIPES["audioset"].devices, RECIPES["audioset"].mixed_precision) == (1, "no")


def test_deepspectrumlite_has_a_head_of_its_own() -> None:
    row = RECIPES["deepspectrumlite"]
    assert (row.units, row.activation, row.dropout, row.batch_size) == (512, "arelu", 0.25, 32)
    assert (row.optimizer.name, row.optimizer.eps) == ("adadelta", 1e-7)
    assert row.spectrograms is None
    assert row.sap_augment is not None


@pytest.mark.parametrize(
    ("name", "net", "rate", "batch"),
    [
        ("esc50", None, 6e-5, 128),
        ("esc50", "mn10_as", 6e-5, 128),
        ("esc50", "dymn10_as", 4e-5, 64),
        ("fsd50k", "dymn10_as", 4e-5, 32),
        ("openmic", "dymn04_as", 2e-5, 32),
        ("dcase20", "dymn10_as", 3e-4, 32),
        ("audioset", "mn10_im", 4e-4, 60),
        ("audioset", "dymn10_im", 1e-3, 120),
        ("audioset", "tiny", 8e-4, 120),
    ],
)
def test_what_the_authors_recommend_for_a_net(name: str, net: str | None, rate: float, batch: int) -> None:
    row = recipe_for(name, net)
    assert (row.optimizer.learning_rate, row.batch_size) == (rate, batch)
    assert row.net == (net or "mn10_as")
    assert row.pretrained == (name != "audioset" or net is not None)


def test_rows_stay_as_they_are() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPES["esc50"].epochs = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        RECIPES["mine"] = RECIPES["esc50"]  # type: ignore[index]
    with pytest.raises(InvalidOption, match="esc50"):
        recipe_for("esc10")


def test_the_temperature_of_dymn() -> None:
    """It falls from 30 for a net that is new, stays for one that is not, and starts again for ImageNet's."""
    new = RECIPES["audioset"].temperature
    assert new is not None
    assert [new.of(e) for e in (0, 1, 28, 29, 199)] == [30, 29, 2, 1, 1]
    below = replace(new, lowest=0.3)
    assert [below.of(e) for e in (29, 30, 31, 50, 64, 99)] == pytest.approx([1, 0.98, 0.96, 0.58, 0.3, 0.3])
    for net, first in (("dymn10_im", 30.0), ("dymn10_as", 1.0)):
        temperature = recipe_for("audioset", net).temperature
        assert temperature is not None
        assert temperature.of(0) == first


def test_each_recipe_has_its_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, soft = torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator)
    mix = Mix(torch.tensor([1, 2, 3, 0]), torch.full((4,), 0.75))
    classes, known = torch.tensor([0, 1, 2, 0]), torch.rand(4, 3, generator=generator) > 0.3
    for name in ("esc50", "dcase20", "deepspectrumlite"):
        assert torch.equal(RECIPES[name].loss_of(logits, classes, mix), cross_entropy(logits, classes, mix))
    for name in ("fsd50k", "audioset", "pl_audioset"):
        assert torch.equal(RECIPES[name].loss_of(logits, soft, mix), binary_cross_entropy(logits, soft, mix))
    wanted = binary_cross_entropy(logits, (soft > 0.5).float(), mix, known)
    assert torch.equal(RECIPES["openmic"].loss_of(logits, soft, mix, known), wanted)
    teacher = torch.randn(4, 3, generator=generator), torch.tensor([True, False, True, True])
    wanted = Distillation(0.1)(logits, soft, *teacher, mix)
    assert torch.equal(RECIPES["audioset"].loss_of(logits, soft, mix, teacher=teacher), wanted)
    regression = replace(RECIPES["deepspectrumlite"], targets="numbers", loss="mse")
    assert float(regression.loss_of(logits, soft)) == pytest.approx(float((logits - soft).square().mean()))


def test_losses_that_cannot_be() -> None:
    logits, mix = torch.zeros(2, 3), Mix(torch.tensor([1, 0]), torch.ones(2))
    known, teacher = torch.ones(2, 3, dtype=torch.bool), (logits, torch.tensor([True, True]))
    regression = replace(RECIPES["deepspectrumlite"], targets="numbers", loss="mse")
    for call in (
        lambda: RECIPES["openmic"].loss_of(logits, logits),
        lambda: RECIPES["fsd50k"].loss_of(logits, logits, known=known),
        lambda: RECIPES["fsd50k"].loss_of(logits, logits, teacher=teacher),
        lambda: regression.loss_of(logits, logits, mix),
        lambda: replace(RECIPES["esc50"], loss="mse").loss_of(logits, logits, mix),
    ):
        with pytest.raises(InvalidOption):
            call()
