"""The options of a distillation, checked before anything is read or computed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from hear_edgel3._checks import check_word
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.protocols import Student
from hear_edgel3.families.schema import UNNAMED
from hear_edgel3.families.table import FAMILIES, students

AUGMENTATIONS = ("usual", "broad")
PRECISIONS = ("no", "bf16", "fp16")
QUANTIZED = ("none", "int8")
PRUNED = "pruned"  # the student that is a part of its teacher
# What such a student has no use for.
_OF_A_WIDTH = frozenset(
    [
        *("width_mult", "sample_rate", "n_mels", "embedding", "embedding_size"),
        *("views", "gain_db", "mix", "masking", "fix_norm", "augmentation"),
    ]
)
_MOST_HOURS = 1000.0
_MOST_SOURCES = 0.5
_LARGEST_SEED = (1 << 63) - 1  # of torch


@dataclass(frozen=True)
class Recipe:
    """How a student is distilled.

    Attributes:
        name: The name of the new configuration: letters and digits.
        student: The family of the student's net: "mobilenetv3" (EfficientAT's net, which embeds and, if the teacher
            does, tags), "l3" (as SEA), or another one of the table that can be distilled.
        width_mult: The factor of all channel counts, relative to MobileNetV3 at width 1 or to SEA-512.
        sample_rate: The rate of an "l3" student in Hz; a "mobilenetv3" has 32000.
        n_mels: The number of mel bands; None for 128 ("mobilenetv3") or 64 ("l3").
        embedding: What the student puts out by default: "teacher", the approximation of the teacher's embedding, or
            "own", its own layers ("mobilenetv3" only), for which the approximation only served in training.
        embedding_size: The values of the approximation; None for as many as the teacher's embedding has, fewer for the
            leading principal components of the teacher's embeddings of the training audio.
        lengths: The lengths in seconds of the clips that the student sees, ascending; "l3" sees windows of one second.
        clips_per_file: The most clips that are taken from one file, evenly spread over it.
        views: The variants of each clip for which the teacher is asked: the first is the clip as it is.
        augmentation: What the other variants are. "usual": the clip, cut to another length, shifted, louder or softer,
            and mixed with other clips; "broad": mixes of one to four clips of any source, at other speeds, filtered, in
            rooms, repeated, in grains, overdriven and in noise (:mod:`hear_edgel3.distillation.broad`).
        gain_db: The most by which usual variants are made louder or softer.
        mix: The probability that a usual variant is mixed with another clip.
        masking: How much is masked while the student learns: 1 for what its front end masks in train mode.
        validation: The fraction of the files that is held out, of the sources that are not.
        hold_out_sources: The sources of which nothing is learnt: their names, or the fraction of all sources, 0 for
            none. None for a tenth of them, and at least two, where there are eight or more. A source is the folder
            directly below an input that holds a file, or the input itself. The best epoch is chosen, and training
            stops, by the loss on their clips, where there are any.
        epochs: The passes over all clips, with one variant of each.
        batch_seconds: The seconds of audio per step.
        lr: The peak learning rate of AdamW.
        weight_decay: The weight decay of AdamW.
        warmup: The fraction of all steps over which the learning rate rises; then it falls as a cosine.
        fix_norm: The fraction of the epochs (at least one) in which batch norm measures what goes through it; then its
            statistics stay. A student that only ever trains with those of its batches gives wild answers to the few
            sounds that are far from the mean, such as steady noise, when it has to do without.
        logits_weight: The weight of the loss on logits, where that on embeddings has 1.
        patience: The epochs without a better validation loss after which training stops; they count once batch norm is
            fixed.
        seed: The seed of everything random.
        precision: "no" (float32), "bf16" or "fp16" mixed precision.
        half: Whether the student's weights are stored as 16-bit floats.
        quantize: "int8" to store its weights in eight bits, with a scale for each output channel; "none" for floats.
    """

    name: str = UNNAMED
    student: str = "mobilenetv3"
    width_mult: float = 0.4
    sample_rate: int = 8000
    n_mels: int | None = None
    embedding: str = "teacher"
    embedding_size: int | None = None
    lengths: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    clips_per_file: int = 6
    views: int = 4
    augmentation: str = "usual"
    gain_db: float = 10.0
    mix: float = 0.5
    masking: float = 0.5
    validation: float = 0.1
    hold_out_sources: float | tuple[str, ...] | None = None
    epochs: int = 30
    batch_seconds: float = 160.0
    lr: float = 3e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1
    fix_norm: float = 0.4
    logits_weight: float = 20.0
    patience: int = 10
    seed: int = 0
    precision: str = "no"
    half: bool = False
    quantize: str = "none"

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: a value cannot be used; the message says which would.
        """
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", self.name):
            raise InvalidOption(f"name must be letters and digits and begin with a letter, got {self.name!r}")
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("augmentation", self.augmentation, AUGMENTATIONS)
        _one_of("embedding", self.embedding, ("teacher", "own"))
        self._settle()
        object.__setattr__(self, "lengths", _checked_lengths(self.lengths))
        if not _is_number(self.width_mult) or not 0.05 <= self.width_mult <= 10:
            raise InvalidOption(f"width_mult must be a number from 0.05 to 10, got {self.width_mult!r}")
        for key, lowest in (("clips_per_file", 1), ("views", 1), ("epochs", 1), ("patience", 1), ("seed", 0)):
            _at_least(key, getattr(self, key), lowest)
        if self.seed > _LARGEST_SEED:
            raise InvalidOption(f"seed must be at most {_LARGEST_SEED}, got {self.seed}")
        if self.n_mels is not None:
            _at_least("n_mels", self.n_mels, 16)
        if self.embedding_size is not None:
            _at_least("embedding_size", self.embedding_size, 1)
        for key in ("batch_seconds", "lr"):
            if not _is_number(getattr(self, key)) or not getattr(self, key) > 0:
                raise InvalidOption(f"{key} must be a positive number, got {getattr(self, key)!r}")
        tops = {"mix": 1.0, "masking": 1.0, "validation": 0.5, "warmup": 0.5, "fix_norm": 1.0, "gain_db": 60.0}
        for key, top in tops.items():
            value = getattr(self, key)
            if not _is_number(value) or not 0 <= value <= top:
                raise InvalidOption(f"{key} must be from 0 to {top:g}, got {value!r}")
        if not self.validation > 0:
            raise InvalidOption("validation must be more than 0: without held-out files nobody knows what was learnt")
        object.__setattr__(self, "hold_out_sources", _checked_sources(self.hold_out_sources))
        for key in ("weight_decay", "logits_weight"):
            if not _is_number(getattr(self, key)) or getattr(self, key) < 0:
                raise InvalidOption(f"{key} must not be negative, got {getattr(self, key)!r}")
        if not isinstance(self.half, bool):
            raise InvalidOption(f"half must be True or False, got {self.half!r}")
        _one_of("quantize", self.quantize, QUANTIZED)
        if self.half and self.quantize != "none":
            raise InvalidOption(f"half and quantize={self.quantize!r} say two ways to store the weights; keep one")

    def _settle(self) -> None:
        """Checks the student, and sets what follows from it."""
        _one_of("student", self.student, (*students(), PRUNED))
        if self.student == PRUNED:
            raise InvalidOption(f"the student {PRUNED!r} has options of its own: use PrunedRecipe, or distill(...)")
        kind = student_of(self.student)
        for key, value in kind.settle(self).items():
            object.__setattr__(self, key, value)
        if kind.window_ms is not None:
            object.__setattr__(self, "lengths", (kind.window_ms / 1000,))

    @property
    def measuring_epochs(self) -> int:
        """The number of epochs in which batch norm measures: the first ones."""
        return max(1, round(self.fix_norm * self.epochs))

    @property
    def is_broad(self) -> bool:
        """Whether it learns from broad clips."""
        return self.augmentation == "broad"

    @property
    def bands(self) -> int:
        """The mel bands of the student: those that were asked for, or its family's own number."""
        return student_of(self.student).n_mels if self.n_mels is None else self.n_mels

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        values = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True)
class PrunedRecipe(Recipe):
    """How a student is made by pruning its teacher. The options of a student of a width of its own have no effect.

    Attributes:
        parameters: The most parameters that are left; None for no limit.
        macs: The most multiply-accumulates for ten seconds; None for no limit.
        epoch_hours: The hours of clips in an epoch, none of which is heard twice.
        fit_clips: The clips by which channels are chosen, and layers fitted.
    """

    student: str = PRUNED
    lengths: tuple[float, ...] = (2.0, 5.0, 10.0)
    batch_seconds: float = 80.0
    lr: float = 3e-4
    warmup: float = 0.05
    epochs: int = 20
    parameters: int | None = None
    macs: int | None = None
    epoch_hours: float = 2.0
    fit_clips: int = 960

    def _settle(self) -> None:
        for field in fields(Recipe):
            if field.name in _OF_A_WIDTH and getattr(self, field.name) != field.default:
                raise _of_no_use(field.name)
        _one_of("student", self.student, (PRUNED,))
        if self.parameters is None and self.macs is None:
            raise InvalidOption(f"the student {PRUNED!r} needs parameters or macs, which say how small it shall be")
        for key in ("parameters", "macs"):
            if getattr(self, key) is not None:
                _at_least(key, getattr(self, key), 1)
        _at_least("fit_clips", self.fit_clips, 16)
        if not _is_number(self.epoch_hours) or not 0 < self.epoch_hours <= _MOST_HOURS:
            raise InvalidOption(
                f"epoch_hours must be more than 0 and at most {_MOST_HOURS:g}, got {self.epoch_hours!r}"
            )

    @property
    def measuring_epochs(self) -> int:
        """None: batch norm stays as it is."""
        return 0

    @property
    def is_broad(self) -> bool:
        """Always."""
        return True

    @property
    def batches(self) -> int:
        """The batches of an epoch."""
        return max(1, round(3600 * self.epoch_hours / self.batch_seconds))

    def to_dict(self) -> dict[str, Any]:
        """The attributes that have an effect, as plain values."""
        return {key: value for key, value in super().to_dict().items() if key not in _OF_A_WIDTH}


def make_recipe(options: Mapping[str, Any]) -> Recipe:
    """The recipe of some options, of the kind that the student wants.

    Raises:
        InvalidOption: There is no such option, or it cannot have such a value.
    """
    kind: type[Recipe] = PrunedRecipe if options.get("student") == PRUNED else Recipe
    known = {field.name for field in fields(kind)}
    wrong = [name for name in options if name not in known]
    if wrong:
        only = {field.name for field in fields(PrunedRecipe)}
        hint = f"; it is for the student {PRUNED!r}" if wrong[0] in only else ""
        raise InvalidOption(f"{wrong[0]} is no option of a distillation{hint}; there are {', '.join(sorted(known))}")
    if kind is PrunedRecipe:
        for name in options:
            if name in _OF_A_WIDTH:  # also with its default value: who gives it expects something of it
                raise _of_no_use(name)
    return kind(**options)


def _of_no_use(name: str) -> InvalidOption:
    return InvalidOption(f"{name} does nothing with the student {PRUNED!r}; leave it out")


def student_of(family: str) -> Student:
    """What a family says of its students.

    Args:
        family: The name of one whose nets can be distilled.
    """
    make = FAMILIES[family].student
    assert make is not None
    return make()


def _checked_lengths(lengths: object) -> tuple[float, ...]:
    """Ascending seconds, all different in the whole milliseconds that examples are kept by."""
    if isinstance(lengths, (list, tuple)) and lengths and all(map(_is_number, lengths)):
        seconds = tuple(map(float, lengths))
        places = [round(1000 * s) for s in seconds]
        if places == sorted(set(places)) and all(0.1 <= s <= 10 for s in seconds):
            return seconds
    raise InvalidOption(f"lengths must be ascending seconds, each from 0.1 to 10, got {lengths!r}")


def _checked_sources(sources: object) -> float | tuple[str, ...] | None:
    """A fraction, or different names."""
    if sources is None or (_is_number(sources) and 0 <= float(sources) <= _MOST_SOURCES):  # type: ignore[arg-type]
        return sources  # type: ignore[return-value]
    if isinstance(sources, (list, tuple)) and sources and all(isinstance(name, str) and name for name in sources):
        unique = tuple(dict.fromkeys(sources))
        if len(unique) == len(sources):
            return unique
    raise InvalidOption(
        f"hold_out_sources must be different names of sources, or a fraction of them from 0 to {_MOST_SOURCES:g}; got "
        f"{sources!r}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    check_word(value, name, allowed)


def _at_least(name: str, value: object, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise InvalidOption(f"{name} must be a whole number of at least {lowest}, got {value!r}")
