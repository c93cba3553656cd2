"""What a detector is asked to be, and how it learns: the options of :func:`hear_edgel3.train`, checked in one place."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hear_edgel3.errors import InvalidOption
from hear_edgel3.heads.names import ACTIVATIONS

HEADS = ("linear", "mlp", "own")
PRECISIONS = ("no", "bf16", "fp16")
_UNITS, _ACTIVATION, _DROPOUT = 256, "relu", 0.2


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a detector learns. What is None is chosen by the way of training, or by the recipe.

    Attributes:
        head: "linear"; "mlp", with a hidden layer; or "own", the net's own classifier with other classes.
        units: The values of the hidden layer of an mlp; None for 256.
        activation: Of that layer, one of ``hear_edgel3.heads.ACTIVATIONS``; None for relu.
        dropout: The share of that layer that is left out in training; None for 0.2.
        fine_tune: Whether the net is trained, too. Else it stays as it is, and heads are fitted on its embeddings.
        recipe: The name of a published recipe, by which the net is trained; it implies ``fine_tune``.
        epochs: How many epochs at most.
        head_epochs: How many of these the head alone is trained in, before the net is.
        frozen_share: The share of the net's layers, from its input on, that are never trained.
        net_rate: The learning rate of the net, as a factor of the head's.
        lr: The highest learning rate, of the head.
        batch_size: How many sounds a step has.
        weight_decay: Of the optimiser.
        patience: After how many epochs without a better validation part training ends.
        precision: "no", "bf16" or "fp16": mixed precision, in fine-tuning.
        threshold: Whether each class gets a threshold, below which it is not said: for sounds of no class.
        seed: Of all that is random.
    """

    head: str = "linear"
    units: int | None = None
    activation: str | None = None
    dropout: float | None = None
    fine_tune: bool = False
    recipe: str | None = None
    epochs: int | None = None
    head_epochs: int | None = None
    frozen_share: float | None = None
    net_rate: float | None = None
    lr: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    patience: int | None = None
    precision: str = "no"
    threshold: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used, or options contradict each other.
        """
        _check_word("head", self.head, HEADS)
        _check_word("precision", self.precision, PRECISIONS)
        for name, least in (("units", 1), ("epochs", 1), ("head_epochs", 0), ("batch_size", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise InvalidOption(f"{name} must be a whole number from {least}, got {value!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**32:
            raise InvalidOption(f"seed must be a whole number from 0 to {2**32 - 1}, got {self.seed!r}")
        for name in ("lr", "net_rate", "weight_decay", "dropout", "frozen_share"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise InvalidOption(f"{name} must be a number from 0, got {value!r}")
        if self.lr == 0:
            raise InvalidOption("lr must be above 0: with 0 nothing is learnt")
        if self.dropout is not None and self.dropout >= 1:
            raise InvalidOption(f"dropout must be below 1, got {self.dropout!r}")
        if self.frozen_share is not None and self.frozen_share > 1:
            raise InvalidOption(f"frozen_share must be a share from 0 to 1, got {self.frozen_share!r}")
        if self.activation is not None and self.activation not in ACTIVATIONS:
            near = difflib.get_close_matches(str(self.activation), ACTIVATIONS, n=1)
            hint = f"; is {near[0]} meant?" if near else ""
            raise InvalidOption(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}{hint}")
        self._check_dead()

    def _check_dead(self) -> None:
        """Refuses options that would do nothing.

        Raises:
            InvalidOption: One of them is given.
        """
        if self.head != "mlp":
            for name in ("units", "activation"):
                if getattr(self, name) is not None:
                    raise InvalidOption(f"{name} is for a hidden layer: give head mlp too, or leave it out")
        if self.head == "own" and self.dropout is not None:
            raise InvalidOption("dropout of the net's own classifier is the net's; leave it out")
        if self.trains_net:
            return
        for name in ("head_epochs", "frozen_share", "net_rate"):
            if getattr(self, name) is not None:
                raise InvalidOption(f"{name} is for training the net: give fine_tune too, or leave it out")
        if self.precision != "no":
            raise InvalidOption("precision is for training the net: give fine_tune too, or leave it out")
        if self.head == "linear":
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
    def hidden_units(self) -> int:
        """The values of the hidden layer of an mlp."""
        return self.units or _UNITS

    @property
    def hidden_activation(self) -> str:
        """The activation of the hidden layer of an mlp."""
        return self.activation or _ACTIVATION

    @property
    def hidden_dropout(self) -> float:
        """The share of the hidden layer that is left out in training."""
        return _DROPOUT if self.dropout is None else float(self.dropout)

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


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidOption(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
