"""The published recipes as rows: every default of EfficientAT's training programs, and of DeepSpectrumLite's example.

EfficientAT at a425fdc (MIT): ``ex_esc50``, ``ex_fsd50k``, ``ex_openmic``, ``ex_dcase20``, ``ex_audioset``,
``ex_pl_audioset``. DeepSpectrumLite 1.0.2: the example of its README. A row says how a net learns. What those programs
lack (a seed, the best epoch by a validation part, going on after an interruption) is the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch

from hear_edgel3._checks import check_texts, check_word
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.images import SapAugment
from hear_edgel3.training.losses import Distillation, binary_cross_entropy, cross_entropy, keras_loss
from hear_edgel3.training.mixing import Mix
from hear_edgel3.training.optimizers import Optimizer, keras_optimizer
from hear_edgel3.training.schedule import Temperature, TwoPhases, UpDown
from hear_edgel3.training.spectrograms import SpectrogramAugmentation
from hear_edgel3.training.waveforms import WaveformAugmentation


@dataclass(frozen=True)
class TrainingRecipe:
    """How a net is trained.

    Attributes:
        name: Of the recipe.
        title: What it is for.
        net: The configuration that it starts from by default.
        pretrained: Whether it starts from that one's weights, not from random ones.
        targets: "classes" (one of several: cross entropy), "labels" (any of several: binary cross entropy), "known
            labels" (labels of which some are not known: masked binary cross entropy), or "numbers" (regression).
        n_classes: Of the published data set; None where it is the user's.
        optimizer: With the highest learning rate.
        schedule: Of the learning rate.
        batch_size: The examples per step, per device.
        devices: How many the published run had: its steps have ``devices * batch_size`` examples.
        epochs: Their number.
        clip_seconds: The length of a clip; None for whole files.
        random_crop: Whether a longer clip is cut at a random place, not at its start. In training alone: EfficientAT's
            FSD50K program does so in evaluation, too, which is a score that is drawn.
        epoch_draws: The examples that are drawn for an epoch by the rarity of their classes
            (:func:`~hear_edgel3.training.sampling.audioset_weights`); None for the whole set, shuffled.
        waveforms: What is done to samples.
        spectrograms: What is done to spectrograms; None for images, which ``sap_augment`` is for.
        sap_augment: What is done to images.
        distillation: The loss with a teacher's stored predictions, where there are some; None without a teacher.
        loss: The name of a loss as Keras calls it, where it does not follow from ``targets``.
        temperature: Of DyMN's attention, which falls epoch by epoch; None where it stays as the net has it. It is no
            weight: what is stored must have it beside them.
        mixed_precision: "no", "fp16" or "bf16".
        selected_by: The score that EfficientAT logs first, by which a validation part can choose the epoch.
        dropout: Of the head.
        units: Of the hidden layer of a head of the recipe's own; None for the net's own classifier.
        activation: Of that layer.
    """

    name: str
    title: str
    net: str
    targets: str
    n_classes: int | None
    optimizer: Optimizer
    schedule: UpDown | TwoPhases
    batch_size: int
    epochs: int
    clip_seconds: float | None
    selected_by: str
    pretrained: bool = True
    devices: int = 1
    random_crop: bool = False
    epoch_draws: int | None = None
    waveforms: WaveformAugmentation = field(default_factory=WaveformAugmentation)
    spectrograms: SpectrogramAugmentation | None = None
    sap_augment: SapAugment | None = None
    distillation: Distillation | None = None
    loss: str | None = None
    temperature: Temperature | None = None
    mixed_precision: str = "no"
    dropout: float = 0.2
    units: int | None = None
    activation: str | None = None

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of an epoch, which count from 0."""
        return self.optimizer.learning_rate * self.schedule.factor(epoch)

    def loss_of(
        self,
        outputs: torch.Tensor,
        targets: torch.Tensor,
        mix: Mix | None = None,
        known: torch.Tensor | None = None,
        teacher: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The loss of a batch.

        Args:
            outputs: (n, n_classes) logits, or numbers.
            targets: (n, n_classes), or (n,) int64 numbers of classes. With "known labels", relevances from 0 to 1, of
                which those above a half count as the label.
            mix: As the spectrograms were mixed.
            known: (n, n_classes) bool, with "known labels".
            teacher: (n, n_classes) logits and (n,) bool, as
                :meth:`~hear_edgel3.training.teacher_predictions.TeacherPredictions.read` gives them.

        Returns:
            A scalar.

        Raises:
            InvalidOption: The recipe cannot use what is given.
        """
        if mix is not None and self.targets == "numbers":
            raise InvalidOption("numbers cannot be mixed by classes; leave mixup out for a regression")
        if teacher is not None:
            if self.distillation is None or self.targets != "labels":
                raise InvalidOption(f"the recipe {self.name} has no use for a teacher's predictions")
            return self.distillation(outputs, targets, *teacher, mix)
        if (known is not None) != (self.targets == "known labels"):
            raise InvalidOption(
                f"the recipe {self.name} learns {self.targets}: known is {'not ' * (known is None)}given"
            )
        if self.targets == "known labels":
            targets = (targets > 0.5).to(outputs.dtype)
        if self.targets in ("labels", "known labels"):
            return binary_cross_entropy(outputs, targets, mix, known)
        if self.loss is None or (self.loss == "categorical_crossentropy" and self.targets == "classes"):
            return cross_entropy(outputs, targets, mix)
        if mix is not None:
            raise InvalidOption(f"examples cannot be mixed with the loss {self.loss}; leave mixup out")
        return keras_loss(self.loss, outputs, targets).mean()


_AUDIOSET = TrainingRecipe(
    name="audioset",
    title="AudioSet, with the predictions of an ensemble of transformers",
    net="mn10_as",
    pretrained=False,
    targets="labels",
    n_classes=527,
    optimizer=Optimizer("adam", 8e-4),
    schedule=UpDown(warmup=8, start=80, length=95, last=0.01),
    batch_size=120,
    epochs=200,
    clip_seconds=10.0,
    epoch_draws=100_000,
    spectrograms=SpectrogramAugmentation(),
    distillation=Distillation(label_weight=0.1, temperature=1.0),
    temperature=Temperature(),
    selected_by="mAP",
)
_FINE_TUNED = TrainingRecipe(
    name="esc50",
    title="ESC-50, environmental sounds",
    net="mn10_as",
    targets="classes",
    n_classes=50,
    optimizer=Optimizer("adam", 6e-5),
    schedule=UpDown(warmup=10, start=10, length=65, last=0.01),
    batch_size=128,
    epochs=80,
    clip_seconds=5.0,
    waveforms=WaveformAugmentation(gain=12, roll=4000, mixup=0.5),
    spectrograms=SpectrogramAugmentation(),
    selected_by="accuracy",
)
_ROWS = (
    _FINE_TUNED,
    replace(
        _FINE_TUNED,
        name="fsd50k",
        title="FSD50K, sound events",
        targets="labels",
        n_classes=200,
        optimizer=Optimizer("adam", 7e-5),
        batch_size=64,
        clip_seconds=10.0,
        random_crop=True,
        selected_by="mAP",
    ),
    replace(
        _FINE_TUNED,
        name="openmic",
        title="OpenMIC 2018, instruments, of which not all labels are known",
        targets="known labels",
        n_classes=20,
        optimizer=Optimizer("adam", 1e-5),
        batch_size=64,
        clip_seconds=10.0,
        selected_by="mAP",
    ),
    replace(
        _FINE_TUNED,
        name="dcase20",
        title="DCASE 2020 task 1A, acoustic scenes from several devices",
        n_classes=10,
        optimizer=Optimizer("adam", 8e-4),
        batch_size=64,
        clip_seconds=None,
        waveforms=replace(_FINE_TUNED.waveforms, roll_first=True),
    ),
    _AUDIOSET,
    replace(
        _AUDIOSET,
        name="pl_audioset",
        title="AudioSet on four GPUs in half precision",
        optimizer=Optimizer("adam", 3e-3, weight_decay=1e-4),
        devices=4,
        mixed_precision="fp16",
    ),
    TrainingRecipe(
        name="deepspectrumlite",
        title="Images of spectrograms and a small classifier",
        net="densenet121",
        targets="classes",
        n_classes=None,
        optimizer=keras_optimizer("adadelta", 1e-3),
        schedule=TwoPhases(pre_epochs=40, epochs=100, fine=0.1, frozen_share=0.7),
        batch_size=32,
        epochs=140,
        clip_seconds=4.0,
        sap_augment=SapAugment(),
        loss="categorical_crossentropy",
        dropout=0.25,
        units=512,
        activation="arelu",
        selected_by="UAR",
    ),
)

RECIPES: Mapping[str, TrainingRecipe] = MappingProxyType({row.name: row for row in _ROWS})

# What EfficientAT's README changes for some nets: by the recipe, and how the net's name begins.
_VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("audioset", "mn10_im", {"learning_rate": 4e-4, "batch_size": 60}),
    ("audioset", "dymn10_im", {"learning_rate": 1e-3, "highest_temperature": 30.0}),
    ("fsd50k", "dymn", {"learning_rate": 4e-5, "batch_size": 32}),
    ("openmic", "dymn", {"learning_rate": 2e-5, "batch_size": 32}),
    ("dcase20", "dymn", {"learning_rate": 3e-4, "batch_size": 32}),
    ("esc50", "dymn", {"learning_rate": 4e-5, "batch_size": 64}),
)


def recipe_for(name: str, net: str | None = None) -> TrainingRecipe:
    """The row of a recipe, as its authors recommend it for a net.

    Args:
        name: Of the recipe.
        net: The name of a configuration, whose weights are started from; None for the recipe's own.

    Raises:
        InvalidOption: There is no such recipe, or the net is no name.
    """
    check_word(name, "the recipe's name", RECIPES)
    check_texts(net=net)
    row = RECIPES[name]
    if net is None:
        return row
    changed = next((what for recipe, start, what in _VARIANTS if recipe == name and net.startswith(start)), {})
    rate = changed.get("learning_rate", row.optimizer.learning_rate)
    # A net that was trained already has the temperature with which its training ended.
    temperature = row.temperature and Temperature(changed.get("highest_temperature", 1.0))
    return replace(
        row,
        net=net,
        pretrained=True,
        optimizer=replace(row.optimizer, learning_rate=rate),
        batch_size=changed.get("batch_size", row.batch_size),
        temperature=temperature,
    )
