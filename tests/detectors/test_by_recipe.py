"""Training by a recipe: two steps are those that are written out by hand with what recipes are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.detectors import by_recipe
from hear_edgel3.detectors.tuned_net import make_tuned_net
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.extractor import Extractor
from hear_edgel3.heads import HeadLayout, make_head
from hear_edgel3.labels import Kind, Labelled, Split
from hear_edgel3.training import RECIPES, Draws, TrainingRecipe, recipe_for, write_teacher_predictions
from hear_edgel3.training.losses import cross_entropies
from hear_edgel3.training.sampling import ShuffledEpochs, WeightedEpochs, audioset_weights
from hear_edgel3.training.schedule import TwoPhases
from hear_edgel3.training.waveforms import mix_known_targets, mix_targets
from support.labelled_sounds import heard, make_labelled, tune

SEED = 3
ROWS = np.array([0, 1, 5, 13, 18, 26, 30])
KINDS = {"classes": Kind.SINGLE, "labels": Kind.SEVERAL, "known labels": Kind.SEVERAL}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds") / "made"


@pytest.fixture(scope="module")
def small(mobilenetv3_folder: Path) -> Extractor:
    return hear_edgel3.load("mn01_as", mobilenetv3_folder)


def by_hand(
    recipe: TrainingRecipe,
    labelled: Labelled,
    model: torch.nn.Module,
    frontend: torch.nn.Module,
    teacher: tuple[torch.Tensor, torch.Tensor] | None = None,
    epochs: int = 2,
) -> dict[str, torch.Tensor]:
    """The state after some epochs of one step each."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    n, samples = len(ROWS), heard(labelled, ROWS)
    matrix = torch.from_numpy(labelled.matrix(ROWS))
    known = None
    if recipe.targets == "known labels":
        assert labelled.mask is not None
        known = torch.from_numpy(labelled.mask[ROWS])
    length = round((recipe.clip_seconds or 0) * 32000) or max(map(len, samples))
    optimizer = recipe.optimizer.make([p for p in model.parameters() if p.requires_grad])
    net = [p for p in model.net.parameters() if p.requires_grad]  # type: ignore[union-attr]
    for epoch in range(epochs):
        order = ShuffledEpochs(n, SEED).order(epoch)
        if recipe.epoch_draws is not None:
            order = WeightedEpochs(audioset_weights((matrix > 0.5).numpy()), 100_000, SEED).order(epoch)
        clips, targets = [], matrix[order].clone()
        mask = None if known is None else known[order].clone()
        for i, sound in enumerate(order.tolist()):
            draws = Draws.at(SEED, epoch, 0, i)
            clip, partner = recipe.waveforms(sound, n, samples.__getitem__, length, recipe.random_crop, draws)
            clips.append(clip)
            if partner is not None and known is None:
                other = matrix[partner.number]
                targets[i] = mix_targets(targets[i][None], other[None], torch.tensor([partner.share]))[0]
            elif partner is not None and mask is not None and known is not None:
                there = (matrix[partner.number][None], known[partner.number][None], torch.tensor([partner.share]))
                relevance, stated = mix_known_targets(targets[i][None], mask[i][None], *there)
                targets[i], mask[i] = relevance[0], stated[0]
        draws, mix = Draws.at(SEED, epoch, 0), None
        if recipe.spectrograms is not None:
            images = recipe.spectrograms.spectrograms(frontend, torch.stack(clips), draws)  # type: ignore[arg-type]
            images, mix = recipe.spectrograms(images, draws)
        else:
            images = frontend(torch.stack(clips))
        model.train()
        if isinstance(recipe.schedule, TwoPhases):
            frozen = recipe.schedule.frozen_layers(len(net), epoch)
            for place, parameter in enumerate(net):
                parameter.requires_grad_(place >= frozen)
        if recipe.sap_augment is not None:
            with torch.no_grad():
                losses = cross_entropies(model.eval()(images), targets)
            model.train()
            images, targets = recipe.sap_augment(images, targets, losses, draws)
        if isinstance(recipe.schedule, TwoPhases) and not recipe.schedule.is_fine(epoch):
            model.net.eval()  # type: ignore[union-attr]
        with torch.random.fork_rng([]):
            torch.manual_seed(int(np.random.SeedSequence([SEED, epoch, 0]).generate_state(1)[0]))
            outputs = model(images)
        answers = None if teacher is None else (teacher[0][order], teacher[1][order])
        loss = recipe.loss_of(outputs, targets, mix, mask, answers)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(epoch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.state_dict()


def set_for(recipe: TrainingRecipe, sounds: Path) -> Labelled:
    labelled = make_labelled(sounds, KINDS[recipe.targets])
    return replace(labelled, mask=None) if recipe.targets == "labels" else labelled


def split() -> Split:
    return Split("some", ROWS, np.zeros(0, np.int64), np.zeros(0, np.int64))


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "deepspectrumlite"])
def test_two_steps(name: str, sounds: Path, small: Extractor, tmp_path: Path) -> None:
    recipe = recipe_for(name, "mn01_as")
    labelled = set_for(recipe, sounds)
    teacher, stored = None, None
    if recipe.distillation is not None:  # which has not heard one of them
        names = [Path(labelled.items[row].file).stem for row in ROWS]
        logits = np.random.RandomState(0).randn(len(ROWS), 3).astype(np.float32)
        stored = str(tmp_path / "teacher")
        write_teacher_predictions(stored, names[1:], [logits[1:]], 3, "float32")
        logits[0] = 0.0
        teacher = (torch.from_numpy(logits), torch.arange(len(ROWS)) > 0)
    made = make_tuned_net(small, None, 3, SEED)
    wanted = by_hand(recipe, labelled, made.model, made.frontend, teacher)
    tuned = tune(
        labelled,
        small,
        tmp_path / "out",
        None,
        split(),
        head_epochs=None,
        epochs=2,
        recipe=name,
        seed=SEED,
        teacher=stored,
    )
    assert tuned.epoch == 2
    assert tuned.metrics[-1]["lr"] == recipe.learning_rate(1)
    for key, value in tuned.net_state.items():
        assert torch.equal(value, wanted[f"net.{key}"]), key
    assert not torch.equal(tuned.net_state["features.0.0.weight"], small.net.state_dict()["features.0.0.weight"])


def test_two_steps_of_images(sounds: Path, small: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of DeepSpectrumLite's recipe, one in each phase."""
    recipe = replace(
        recipe_for("deepspectrumlite"), schedule=TwoPhases(1, 1, fine=0.1, frozen_share=0.7), clip_seconds=1.0
    )
    monkeypatch.setattr(by_recipe, "recipe_for", lambda *_: recipe)
    labelled = set_for(recipe, sounds)
    layout = HeadLayout("mlp", small.scene_embedding_size, 3, 16, "arelu", 0.25)
    made = make_tuned_net(small, make_head(layout, 1), 3, SEED)
    wanted = by_hand(recipe, labelled, made.model, made.frontend)
    tuned = tune(
        labelled, small, tmp_path / "out", make_head(layout, 1), split(), head_epochs=None, epochs=2,
        recipe="deepspectrumlite", seed=SEED,
    )  # fmt: skip
    assert tuned.head_state is not None
    found = {f"net.{k}": v for k, v in tuned.net_state.items()} | {f"head.{k}": v for k, v in tuned.head_state.items()}
    assert all(torch.equal(value, wanted[key]) for key, value in found.items())
    before = small.net.state_dict()
    assert torch.equal(found["net.features.0.0.weight"], before["features.0.0.weight"])
    assert not torch.equal(found["net.features.15.block.3.0.weight"], before["features.15.block.3.0.weight"])


def test_what_does_not_fit(sounds: Path, small: Extractor, weights_folder: Path, tmp_path: Path) -> None:
    single, several = make_labelled(sounds), make_labelled(sounds, Kind.SEVERAL)
    with pytest.raises(InvalidOption, match="fsd50k learns labels, but sounds has targets of the kind single"):
        tune(single, small, tmp_path / "a", None, recipe="fsd50k", head_epochs=None)
    with pytest.raises(InvalidOption, match="needs all labels, but sounds leaves some open; use openmic"):
        tune(several, small, tmp_path / "b", None, recipe="fsd50k", head_epochs=None)
    sea = hear_edgel3.load("sea_64", weights_folder)
    with pytest.raises(InvalidOption, match="moves the mel bands, which the front end of sea_64 cannot"):
        tune(single, sea, tmp_path / "c", recipe="esc50", head_epochs=None)
    write_teacher_predictions(tmp_path / "teacher", ["else"], [np.zeros((1, 3), np.float32)], 3)
    whole = replace(several, mask=None)
    with pytest.raises(LabelsError, match="has no predictions for any of the"):
        tune(whole, small, tmp_path / "d", None, recipe="audioset", head_epochs=None, teacher=str(tmp_path / "teacher"))
    with pytest.raises(InvalidOption, match="the recipe esc50 has no use for a teacher's predictions"):
        tune(single, small, tmp_path / "e", None, recipe="esc50", head_epochs=None, teacher=str(tmp_path / "teacher"))
