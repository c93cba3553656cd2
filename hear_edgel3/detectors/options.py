"""What a detector is asked to be, and how it learns: the options of :func:`hear_edgel3.train`, checked in one place."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hear_edgel3._checks import check_flags, check_paths, check_texts, check_whole, check_word
from hear_edgel3.errors import InvalidOption
from hear_edgel3.heads.names import ACTIVATIONS

HEADS = ("linear", "mlp", "own")
PRECISIONS = ("no", "bf16", "fp16")
CLASS_WEIGHTS = ("balanced", "none")
# What only means something where the net is trained.
_OF_NETS = (
    *("head_epochs", "head_lr", "share", "layer_decay", "clip_seconds", "class_weights", "label_smoothing", "mixup"),
    *("precision", "teacher", "wandb"),
)
_OF_LEARNING = (*_OF_NETS, "epochs", "lr", "batch_size", "weight_decay", "patience", "seed", "recipe")
_NOT_OF_RECIPES = (
    *("head_epochs", "head_lr", "share", "layer_decay", "clip_seconds", "class_weights", "label_smoothing", "mixup"),
    *("lr", "batch_size", "weight_decay"),
)
RECIPES = ("esc50", "fsd50k", "openmic", "dcase20", "audioset", "pl_audioset", "deepspectrumlite")
# The recipe that has a head of its own.
_IMAGES, _IMAGES_MLP = "deepspectrumlite", (512, "arelu", 0.25)
_RATES = ("lr", "head_lr", "share", "layer_decay", "weight_decay", "clip_seconds", "label_smoothing", "mixup")
_UNITS, _ACTIVATION, _DROPOUT = 256, "relu", 0.2


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a detector learns. What is None is chosen by the way of training, or by the recipe.

    Attributes:
        head: "linear"; "mlp", with a hidden layer; or "own", the net's own classifier with other classes. None for
            linear, or what the recipe has.
        units: The values of the hidden layer of an mlp; None for 256.
        activation: Of that layer, one of ``hear_edgel3.heads.ACTIVATIONS``; None for relu.
        dropout: The share of that layer that is left out in training; None for 0.2.
        fine_tune: Whether the net is trained, too. Else it stays as it is, and heads are fitted on its embeddings.
        recipe: The name of a published recipe, by which the net is trained; it implies ``fine_tune``.
        epochs: How many epochs, at most.
        head_epochs: How many of these the head alone is trained in, before the net is.
        lr: The highest learning rate: of the net or, if that stays as it is, of an mlp.
        head_lr: The learning rate of the head, where the net is trained.
        share: The share of the net's parameters, from its output on, that learn.
        layer_decay: The learning rate of the first of these, as a factor of that of the last.
        batch_size: How many sounds a step has.
        weight_decay: Of the optimiser.
        patience: After how many epochs without a better validation part training ends.
        clip_seconds: The longest part of a sound that the net is trained on at once.
        class_weights: "balanced" for classes that weigh the same, or "none", where the net is trained.
        label_smoothing: The share of a label that is spread over all classes, where the net is trained.
        mixup: The alpha of mixup of spectrograms, where the net is trained; 0 for none.
        precision: "no", "bf16" or "fp16": mixed precision, where the net is trained.
        teacher: The folder of a teacher's stored predictions, for recipes that learn from one.
        wandb: The project at Weights & Biases that gets the curves; None without.
        threshold: Whether each class gets a threshold, below which it is not said: for sounds of no class.
        seed: Of all that is random.
    """

    head: str | None = None
    units: int | None = None
    activation: str | None = None
    dropout: float | None = None
    fine_tune: bool = False
    recipe: str | None = None
    epochs: int | None = None
    head_epochs: int | None = None
    lr: float | None = None
    head_lr: float | None = None
    share: float | None = None
    layer_decay: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    patience: int | None = None
    clip_seconds: float | None = None
    class_weights: str | None = None
    label_smoothing: float | None = None
    mixup: float | None = None
    precision: str | None = None
    teacher: str | None = None
    wandb: str | None = None
    threshold: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used, or options contradict each other.
        """
        check_flags(fine_tune=self.fine_tune, threshold=self.threshold)
        check_texts(wandb=self.wandb)
        check_paths(teacher=self.teacher)
        if self.head is not None:
            check_word(self.head, "head", HEADS)
        if self.recipe is not None:
            check_word(self.recipe, "recipe", RECIPES)
        for name, allowed in (("precision", PRECISIONS), ("class_weights", CLASS_WEIGHTS)):
            if getattr(self, name) is not None:
                check_word(getattr(self, name), name, allowed)
        for name, least in (("units", 1), ("epochs", 1), ("head_epochs", 0), ("batch_size", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_whole(value, name, least))
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**32:
            raise InvalidOption(f"seed must be a whole number from 0 to {2**32 - 1}, got {self.seed!r}")
        for name in (*_RATES, "dropout"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise InvalidOption(f"{name} must be a number from 0, got {value!r}")
        if self.lr == 0:
            raise InvalidOption("lr must be above 0: with 0 nothing is learnt")
        if self.share is not None and not 0 < self.share <= 1:
            raise InvalidOption(f"share must be above 0 and at most 1, got {self.share!r}")
        if self.dropout is not None and self.dropout >= 1:
            raise InvalidOption(f"dropout must be below 1, got {self.dropout!r}")
        if self.activation is not None and not (isinstance(self.activation, str) and self.activation in ACTIVATIONS):
            near = difflib.get_close_matches(str(self.activation), ACTIVATIONS, n=1)
            hint = f"; is {near[0]} meant?" if near else ""
            raise InvalidOption(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}{hint}")
        self._check_dead()

    def _check_dead(self) -> None:
        """Refuses options that would do nothing.

        Raises:
            InvalidOption: One of them is given.
        """
        if self.head_kind != "mlp":
            for name in ("units", "activation"):
                if getattr(self, name) is not None:
                    raise InvalidOption(f"{name} is for a hidden layer: give head mlp too, or leave it out")
        if self.head_kind == "own" and self.dropout is not None:
            raise InvalidOption("dropout of the net's own classifier is the net's; leave it out")
        if self.recipe is not None:
            for name in _NOT_OF_RECIPES:
                if getattr(self, name) is not None:
                    raise InvalidOption(f"{name} is what the recipe {self.recipe} decides; leave one of them out")
        if self.teacher is not None and self.recipe is None:
            raise InvalidOption("teacher is for recipes that learn from stored predictions: give recipe too")
        if self.trains_net:
            return
        for name in _OF_NETS:
            if getattr(self, name) is not None:
                raise InvalidOption(f"{name} is for training the net: give fine_tune too, or leave it out")
        if self.head_kind == "linear":
            for name in ("epochs", "lr", "batch_size", "weight_decay", "patience", "dropout"):
                if getattr(self, name) is not None:
                    raise InvalidOption(
                        f"{name} has no effect on a linear head on frozen embeddings, which is fitted in one go: give "
                        f"head mlp or fine_tune, or leave it out"
                    )

    @property
    def trains_net(self) -> bool:
        """Whether the net itself is trained."""
        return self.fine_tune or self.recipe is not None

    @property
    def head_kind(self) -> str:
        """What the head is."""
        if self.head is not None:
            return self.head
        return "linear" if self.recipe is None else "mlp" if self.recipe == _IMAGES else "own"

    @property
    def hidden_units(self) -> int:
        """The values of the hidden layer of an mlp."""
        return self.units or (_IMAGES_MLP[0] if self.recipe == _IMAGES else _UNITS)

    @property
    def hidden_activation(self) -> str:
        """The activation of the hidden layer of an mlp."""
        return self.activation or (_IMAGES_MLP[1] if self.recipe == _IMAGES else _ACTIVATION)

    @property
    def hidden_dropout(self) -> float:
        """The share of the hidden layer that is left out in training."""
        if self.dropout is not None:
            return float(self.dropout)
        return _IMAGES_MLP[2] if self.recipe == _IMAGES else _DROPOUT

    def of_learning(self) -> dict[str, Any]:
        """What was given of how the net is trained."""
        return {name: getattr(self, name) for name in _OF_LEARNING if getattr(self, name) is not None}

    def of_head(self) -> TrainOptions:
        """The options of the same head on a net that stays as it is then."""
        kept = ("head", "units", "activation", "dropout", "threshold", "seed")
        given = {name: getattr(self, name) for name in kept}
        if self.head_kind != "mlp":
            given["dropout"] = None
        return TrainOptions(**given)

    def as_dict(self) -> dict[str, Any]:
        """What was chosen, as plain values: those that are not the default."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}


def make_options(given: Mapping[str, Any]) -> TrainOptions:
    """The options that were given by name.

    Raises:
        InvalidOption: There is no such option, or its value cannot be used.
    """
    known = [field.name for field in dataclasses.fields(TrainOptions)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; is {near[0]} meant?" if near else f"; there are {', '.join(known)}"
            raise InvalidOption(f"train has no option {name!r}{hint}")
    return TrainOptions(**given)
