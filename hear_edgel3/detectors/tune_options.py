"""How nets are trained further, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from hear_edgel3.detectors.augmentation import ClipAugmentation
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.recipes import RECIPES

CLASS_WEIGHTS = ("balanced", "none")
_EPOCHS = 30


@dataclass(frozen=True)
class FineTuneOptions:
    """How a net is trained further.

    Attributes:
        epochs: The epochs of both phases together; None for 30, or those of the recipe.
        head_epochs: Those of the first, in which only the head learns; None for none if the head is fitted, else three.
        lr: The highest learning rate of the net.
        head_lr: The learning rate of the head; in the second phase, the highest.
        share: The share of the net's parameters, from its output on, that learn in the second phase.
        layer_decay: The rate of the first layers that learn, as a factor of that of the last.
        warmup: The share of the second phase in which rates rise.
        weight_decay: Of weights, not of offsets and scales (AdamW).
        batch_size: Clips per step.
        clip_seconds: The longest part of a sound that is learnt from at once, which lies at random in longer ones; None
            for as long as the median sound, at most ten seconds. Nets of windows of one length learn from these.
        patience: Training stops after so many epochs that are not better on the validation part, and the best one of
            all counts then. Where training comes to its end, that is the last one, but by a recipe the best.
        class_weights: "balanced" for classes that weigh the same however many sounds they have, or "none".
        label_smoothing: The share of a label that is spread over all classes.
        freeze_norm: Whether batch norm keeps its statistics.
        augmentation: What is done to samples.
        mixup: The alpha of mixup of spectrograms; 0 for none.
        mel_jitter: Whether the range of mel bands jitters, where the front end has one.
        freq_mask: The most mel bands that are hidden, as a share of all.
        time_mask: The most frames that are hidden, likewise.
        precision: "no", "bf16" or "fp16".
        seed: Of all that is random.
        recipe: The name of a published recipe (:data:`hear_edgel3.training.RECIPES`), which then decides on everything
            but ``epochs``, ``patience``, ``precision``, ``seed``, ``teacher`` and ``wandb``; None without.
        teacher: The folder of a teacher's stored predictions, for recipes that learn from one.
        wandb: The project at Weights & Biases that gets the curves; None without.
    """

    epochs: int | None = None
    head_epochs: int | None = None
    lr: float = 2e-3
    head_lr: float = 1e-3
    share: float = 1.0
    layer_decay: float = 1.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    batch_size: int = 32
    clip_seconds: float | None = None
    patience: int = 1000
    class_weights: str = "balanced"
    label_smoothing: float = 0.1
    freeze_norm: bool = True
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    mixup: float = 0.0
    mel_jitter: bool = True
    freq_mask: float = 0.1
    time_mask: float = 0.0
    precision: str = "no"
    seed: int = 0
    recipe: str | None = None
    teacher: str | None = None
    wandb: str | None = None

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name, least in (("epochs", 1), ("head_epochs", 0), ("batch_size", 1), ("patience", 1), ("seed", 0)):
            value = getattr(self, name)
            if name in ("epochs", "head_epochs") and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidOption(f"{name} must be a whole number of at least {least}, got {value!r}")
        if self.head_epochs is not None and self.head_epochs > self.n_epochs:
            raise InvalidOption(f"head_epochs={self.head_epochs} are more than all epochs, {self.n_epochs}")
        for name, most in (
            ("lr", 10.0), ("head_lr", 10.0), ("share", 1.0), ("layer_decay", 1.0), ("clip_seconds", 60.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if name == "clip_seconds" and value is None:
                continue
            if not _is_number(value) or not 0 < value <= most:
                raise InvalidOption(f"{name} must be a number above 0, at most {most:g}; got {value!r}")
        for name in ("warmup", "weight_decay", "label_smoothing", "mixup", "freq_mask", "time_mask"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise InvalidOption(f"{name} must be a number from 0 to below 1, got {value!r}")
        if self.class_weights not in CLASS_WEIGHTS:
            raise InvalidOption(f"class_weights must be {' or '.join(CLASS_WEIGHTS)}, got {self.class_weights!r}")
        if self.recipe is not None and self.recipe not in RECIPES:
            raise InvalidOption(f"there is no recipe {self.recipe!r}; there are {', '.join(RECIPES)}")
        if self.precision not in ("no", "bf16", "fp16"):
            raise InvalidOption(f"precision must be no, bf16 or fp16; got {self.precision!r}")

    @property
    def n_epochs(self) -> int:
        """The epochs of both phases together, without a recipe."""
        return _EPOCHS if self.epochs is None else self.epochs

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a card."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
