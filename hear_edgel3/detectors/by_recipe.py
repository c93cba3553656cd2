"""Training by a published recipe as a task of the trainer: every row of :data:`hear_edgel3.training.RECIPES`, exactly.

What the programs lack is the trainer's: seeds, going on, the best epoch by a validation part. That part is heard whole,
as scene embeddings are, and not augmented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from hear_edgel3.detectors.ahead import Ahead
from hear_edgel3.detectors.clips import Decoded
from hear_edgel3.detectors.label_task import LabelTask
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.detectors.tuned_net import TunedNet, keep_zeros
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels import Kind, Labelled
from hear_edgel3.sources.item import Item
from hear_edgel3.training import loop
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.losses import cross_entropies, keras_loss
from hear_edgel3.training.recipes import TrainingRecipe, recipe_for
from hear_edgel3.training.sampling import Epochs, ShuffledEpochs, WeightedEpochs, audioset_weights, share_of
from hear_edgel3.training.schedule import TwoPhases
from hear_edgel3.training.spectrograms import MelFrontend
from hear_edgel3.training.teacher_predictions import TeacherPredictions
from hear_edgel3.training.waveforms import mix_known_targets, mix_targets

# What the recipes call the figure that decides, and what it is called here.
_FIGURES = {"mAP": "mAP", "accuracy": "accuracy", "UAR": "balanced_accuracy"}
_KINDS = {
    "classes": Kind.SINGLE,
    "labels": Kind.SEVERAL,
    "known labels": Kind.SEVERAL,
    "numbers": Kind.NUMBERS,
}


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips to learn from.

    Attributes:
        samples: (n, n_samples) on the device.
        targets: (n, C) float32.
        known: (n, C) bool, or None where all labels are known.
        teacher: (n, C) logits and (n,) bool, or None without a teacher.
        draws: What is random in the spectrograms.
    """

    samples: torch.Tensor
    targets: torch.Tensor
    known: torch.Tensor | None
    teacher: tuple[torch.Tensor, torch.Tensor] | None
    draws: Draws


class RecipeTuning(LabelTask):
    """A net that is trained as a recipe says; arguments as in :class:`LabelTask`.

    Attributes:
        recipe: The row.

    Raises:
        InvalidOption: The recipe does not fit the set, or the net.
    """

    def __init__(
        self, labelled: Labelled, tuned: TunedNet, learnt: Decoded, heard: Decoded | None, options: FineTuneOptions
    ) -> None:
        super().__init__(labelled, tuned, learnt, heard, options)
        assert options.recipe is not None
        self.recipe = recipe = recipe_for(options.recipe, tuned.configuration.checkpoint.name)
        self.epochs = recipe.epochs if options.epochs is None else options.epochs
        _check_fits(recipe, labelled, tuned)
        rows = learnt.rows
        self._matrix = torch.from_numpy(labelled.matrix(rows))
        self._known = None
        if recipe.targets == "known labels":
            mask = np.ones(self._matrix.shape, bool) if labelled.mask is None else labelled.mask[rows]
            self._known = torch.from_numpy(mask)
        self._length = round((recipe.clip_seconds or 0) * learnt.sample_rate) or int(learnt.lengths.max())
        # It falls from what the net has, whatever its name: a net that was trained already has that of its last epoch.
        tempered = _tempered(tuned.model) if recipe.temperature is not None else []
        self._temperature = None
        if tempered and recipe.temperature is not None:
            self._temperature = replace(recipe.temperature, highest=tempered[0].tau)
        self._order: Epochs = ShuffledEpochs(len(learnt), options.seed)
        if recipe.epoch_draws is not None:
            weights = audioset_weights((self._matrix > 0.5).numpy())
            self._order = WeightedEpochs(weights, recipe.epoch_draws, options.seed)
        self._teacher = None if options.teacher is None else self._answers(labelled.items, options.teacher)
        self._net_parameters = [
            parameter
            for name, parameter in tuned.model.named_parameters()
            if name not in tuned.head_names and parameter.requires_grad
        ]

    def _make_ready(self, device: torch.device) -> None:
        """Everything is ready: recipes begin with a new classifier, or with the head that they are given."""

    def _answers(self, items: Sequence[Item], folder: str) -> tuple[torch.Tensor, torch.Tensor]:
        """What a teacher says of the sounds that are learnt from: logits, and whether it has heard them."""
        if self.recipe.distillation is None:
            raise InvalidOption(f"the recipe {self.recipe.name} has no use for a teacher's predictions")
        predictions = TeacherPredictions(folder)
        stems = [PurePosixPath(items[row].file).stem for row in self._learnt.rows.tolist()]
        # AudioSet's files are called Y and the id of the video, by which the published predictions are known.
        ids = [
            stem.removeprefix("Y") if row < 0 else stem
            for stem, row in zip(stems, predictions.rows(stems).tolist(), strict=True)
        ]
        logits, known = predictions.read(ids)
        if not known.any():
            raise LabelsError(f"{folder} has no predictions for any of the {len(ids)} sounds; is it for another set?")
        return torch.from_numpy(logits), torch.from_numpy(known)

    def optimizer(self) -> torch.optim.Optimizer:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        keep_zeros(self._tuned)
        return self.recipe.optimizer.make([p for p in self._tuned.model.parameters() if p.requires_grad])

    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> loop.Batches:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        mine = share_of(self._order.order(epoch), process, n_processes)
        if not len(mine):
            raise LabelsError(f"{len(self._order)} sounds to learn from are too few for {n_processes} processes")
        parts = torch.split(mine, self.recipe.batch_size)
        plans = [(number * n_processes + process, part.tolist()) for number, part in enumerate(parts)]

        def finish(batch: Batch) -> Batch:
            known = None if batch.known is None else batch.known.to(device)
            teacher = None if batch.teacher is None else (batch.teacher[0].to(device), batch.teacher[1].to(device))
            return Batch(batch.samples.to(device), batch.targets.to(device), known, teacher, batch.draws)

        return Ahead(plans, lambda plan: self._made(epoch, *plan), finish)

    def _made(self, epoch: int, number: int, chosen: list[int]) -> Batch:
        """A batch: samples augmented, and mixed in pairs with their targets."""
        seed = self._options.seed
        rows = torch.tensor(chosen)
        samples, targets = [], self._matrix[rows].clone()
        known = None if self._known is None else self._known[rows].clone()
        for i, sound in enumerate(chosen):
            clip, partner = self.recipe.waveforms(
                sound,
                len(self._learnt),
                lambda n: torch.from_numpy(self._learnt.read(n)),
                self._length,
                self.recipe.random_crop,
                Draws.at(seed, epoch, number, i),
            )
            samples.append(clip)
            if partner is not None:
                other, share = self._matrix[partner.number][None], torch.tensor([partner.share])
                if known is None or self._known is None:
                    targets[i] = mix_targets(targets[i][None], other, share)[0]
                else:
                    mixed = mix_known_targets(
                        targets[i][None], known[i][None], other, self._known[partner.number][None], share
                    )
                    targets[i], known[i] = mixed[0][0], mixed[1][0]
        teacher = None if self._teacher is None else (self._teacher[0][rows], self._teacher[1][rows])
        return Batch(torch.stack(samples), targets, known, teacher, Draws.at(seed, epoch, number))

    def begin(self, epoch: int) -> None:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        model, schedule = self._tuned.model, self.recipe.schedule
        model.train()
        if isinstance(schedule, TwoPhases):
            if not schedule.is_fine(epoch):
                model.net.eval()  # batch norm does not measure
            frozen = schedule.frozen_layers(len(self._net_parameters), epoch)
            for place, parameter in enumerate(self._net_parameters):
                parameter.requires_grad_(place >= frozen)
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        """Gives the net what it has in an epoch and no tensor shows: its temperature."""
        if self._temperature is not None:
            for module in _tempered(self._tuned.model):
                module.set_tau(self._temperature.of(epoch))

    def learning_rates(self, epoch: int, share: float) -> Sequence[float]:  # noqa: ARG002
        """The same in all of an epoch."""
        return [self.recipe.learning_rate(epoch)]

    def loss(self, net: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        recipe, targets, mix = self.recipe, batch.targets, None
        with torch.no_grad():
            if recipe.spectrograms is None:
                images = self._tuned.frontend(batch.samples)
                if recipe.sap_augment is not None:
                    losses = self._losses(images, targets)
                    images, targets = recipe.sap_augment(images, targets, losses, batch.draws)
            else:
                frontend = self._tuned.frontend
                images = recipe.spectrograms.spectrograms(cast(MelFrontend, frontend), batch.samples, batch.draws)
                images, mix = recipe.spectrograms(images, batch.draws)
        return recipe.loss_of(net(images), targets, mix, batch.known, batch.teacher), {}

    def _losses(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n,) losses of images as they are, by which the strength of their augmentation is chosen."""
        model = self._tuned.model
        was = [(module, module.training) for module in model.modules()]
        outputs = model.eval()(images)
        for module, training in was:
            module.training = training
        if self.recipe.loss in (None, "categorical_crossentropy"):
            return cross_entropies(outputs, targets)
        return keras_loss(str(self.recipe.loss), outputs, targets)

    def _lacks(self, row: Mapping[str, float]) -> float:
        figure = _FIGURES.get(self.recipe.selected_by)
        return row["validation_loss"] if figure is None or figure not in row else 1.0 - row[figure]


def _tempered(model: nn.Module) -> list[Any]:
    """The nets in a model that have a temperature."""
    return [module for module in model.modules() if hasattr(module, "set_tau")]


def _check_fits(recipe: TrainingRecipe, labelled: Labelled, tuned: TunedNet) -> None:
    kind = _KINDS[recipe.targets]
    if labelled.kind is not kind:
        raise InvalidOption(
            f"the recipe {recipe.name} learns {recipe.targets}, but {labelled.name} has targets of the kind "
            f"{labelled.kind}"
        )
    if labelled.mask is not None and recipe.targets != "known labels":
        raise InvalidOption(
            f"the recipe {recipe.name} needs all labels, but {labelled.name} leaves some open; use openmic, or none"
        )
    if recipe.spectrograms is not None and not hasattr(tuned.frontend, "in_range"):
        raise InvalidOption(
            f"the recipe {recipe.name} moves the mel bands, which the front end of {tuned.configuration.name} cannot; "
            f"use a net of the family mobilenetv3, or no recipe"
        )
