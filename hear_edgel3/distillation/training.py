"""Distillation as a task of the trainer: a loss on embeddings and logits, and what decides which epoch is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import nn

from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.distillation.examples import Batch, Examples
from hear_edgel3.distillation.lessons import Epoch, Lessons
from hear_edgel3.distillation.loss import DistillationLoss
from hear_edgel3.distillation.measuring import BY_SOURCE, deciding_loss, measure, named
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.student import Learner
from hear_edgel3.distillation.target_scale import TargetScale
from hear_edgel3.training import loop
from hear_edgel3.training.loop import STATE, Progress, Run
from hear_edgel3.training.schedule import cosine

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["STATE", "Progress", "make_accelerator", "train"]

# The steps of a training by names of this room, through which it goes.
_epoch, _save_state = loop.run_epoch, loop.save_state


def make_accelerator(recipe: Recipe, device: str | None) -> Accelerator:
    """The thing that knows devices, processes and precisions.

    Args:
        recipe: for its precision.
        device: "cpu" to stay there; None for what there is.

    Raises:
        MissingExtra: accelerate is not installed.
        InvalidOption: the precision cannot be had here, or there is no such choice of device.
    """
    return loop.make_accelerator(recipe.precision, device, "distilling", "distill")


def train(
    recipe: Recipe,
    student: Learner,
    target_scale: TargetScale,
    lessons: Lessons,
    validation: Examples,
    folder: Path,
    accelerator: Accelerator,
    quiet: bool = False,
    by_source: Examples | None = None,
    guesses: Mapping[str, float] = MappingProxyType({}),
) -> Progress:
    """Trains the student, or goes on where an earlier run with the same recipe and the same examples was stopped.

    After each epoch ``folder`` has ``training.pt`` and ``metrics.csv`` up to it, and the curves are in
    ``folder/tensorboard`` if tensorboard is installed.

    Args:
        recipe: How to train.
        student: What to train.
        target_scale: The scale in which it learns embeddings.
        lessons: What it learns from.
        validation: Clips of files that it does not learn from.
        folder: Of the result.
        accelerator: Where to compute.
        quiet: Without progress bars and lines.
        by_source: Clips of sources that it does not learn from, which then decide which epoch is the best one.
        guesses: Figures that stand in each epoch's row besides, as what a net has to beat.

    Raises:
        OutputError: nothing can be written there, or it holds another training.
        ComputationError: the training diverged.
        InvalidAudio, InvalidOption: there are too few clips of one length for a batch, or for one in each process.
    """
    held_out = {prefix: part for prefix, part in (("", validation), (BY_SOURCE, by_source)) if part is not None}
    loss_of = DistillationLoss(target_scale, student.n_classes is not None, recipe.logits_weight, accelerator.device)
    return loop.train(_Distilling(recipe, student, loss_of, lessons, held_out, guesses), folder, accelerator, quiet)


class _Distilling(loop.Task):
    """A student that learns what its teacher says.

    Args:
        recipe: How to train.
        student: What to train.
        loss_of: The loss, on the device.
        lessons: What it learns from.
        held_out: What it is measured with, by what stands before the names of the figures.
        guesses: Figures that stand in each row besides.
    """

    what = "distillation (other options, teacher or audio)"
    max_norm = 5.0

    def __init__(
        self,
        recipe: Recipe,
        student: Learner,
        loss_of: DistillationLoss,
        lessons: Lessons,
        held_out: Mapping[str, Examples],
        guesses: Mapping[str, float],
    ) -> None:
        self.net = student.net
        self.epochs = recipe.epochs
        counts = [len(part.clips) for part in held_out.values()]
        mean = loss_of.target_scale.mean.cpu().sum().item()
        self.identity = fingerprint(recipe.to_dict(), *lessons.identity, *counts, mean)
        self._recipe, self._student, self._loss_of = recipe, student, loss_of
        self._lessons, self._held_out, self._guesses = lessons, held_out, guesses

    def optimizer(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        return torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self._recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self._recipe.lr,
        )

    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> Epoch:
        return self._lessons.epoch(epoch, process, n_processes, device)

    def begin(self, epoch: int) -> None:
        self._student.train(measuring=epoch < self._recipe.measuring_epochs)

    def learning_rates(self, epoch: int, share: float) -> Sequence[float]:
        return [self._recipe.lr * cosine((epoch + share) / self.epochs, self._recipe.warmup)] * 2

    def loss(self, net: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        outputs = net(_augmented(batch.inputs, self._student, self._recipe.masking))
        on_embedding, on_logits = self._loss_of.parts(outputs, batch)
        parts = {"train_embedding_loss": on_embedding.mean(), "train_logits_loss": on_logits.mean()}
        return self._loss_of(on_embedding, on_logits), parts

    def measure(self, net: nn.Module, device: torch.device) -> dict[str, float]:
        row: dict[str, float] = {}
        for prefix, part in self._held_out.items():
            row |= named(prefix, measure(net, self._loss_of, part, self._recipe.batch_seconds, device))
        return {**row, **self._guesses}

    def deciding(self, row: Mapping[str, float]) -> float:
        return deciding_loss(row)

    def seed(self, epoch: int, process: int) -> int:
        return hash((self._recipe.seed, epoch, process)) & 0x7FFFFFFF

    def forgets(self, epochs: int) -> bool:
        # Nothing that was found while batch norm measured stands in the way of what comes after.
        return epochs in (1, self._recipe.measuring_epochs + 1)

    def is_over(self, progress: Progress) -> bool:
        fixed = progress.epoch > self._recipe.measuring_epochs
        return fixed and progress.epoch - progress.best_epoch >= self._recipe.patience

    def run_epoch(self, number: int, run: Run) -> dict[str, float]:
        return _epoch(number, run)

    def save(self, folder: Path, identity: str, net: nn.Module, run: Run, progress: Progress) -> None:
        _save_state(folder, identity, net, run, progress)

    def say(self, progress: Progress) -> None:
        _say(progress, self._recipe)


def _augmented(inputs: torch.Tensor, student: Learner, masking: float) -> torch.Tensor:
    """Inputs turned in time, and masked where the front end knows how; as they are where just they were asked about."""
    if student.hears_what_was_asked:
        return inputs
    shift = int(torch.randint(inputs.shape[2], (1,)))
    inputs = inputs.roll(shift, dims=2)
    mask = getattr(student.frontend, "mask", None)
    return inputs if mask is None else mask(inputs, masking)


def _say(progress: Progress, recipe: Recipe) -> None:
    row = progress.metrics[-1]
    keys = ("validation_loss", "r2", "top1_agreement", "kl")
    said = []
    for prefix in ("", BY_SOURCE):
        parts = [f"{key} {row[prefix + key]:.4g}" for key in keys if prefix + key in row]
        said.append(", ".join(parts if prefix else [f"train_loss {row['train_loss']:.4g}", *parts]))
    loop.say_epoch(progress, recipe.epochs, "; by source: ".join(filter(None, said)))
