"""Labelled sounds as one thing: what to hear, what is right for each, and how they are divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.names import listed
from hear_edgel3.sources.item import Item


class Kind(StrEnum):
    """What is right for a sound."""

    SINGLE = "single"  # one class of several
    SEVERAL = "several"  # any number of classes, none included
    NUMBERS = "numbers"  # numbers to be guessed: regression


@dataclass(frozen=True)
class Labelled:
    """Labelled sounds.

    Attributes:
        name: What the set is called: that of a published one, or of the folder or table.
        kind: What is right for a sound.
        classes: The names of the classes, in the order of the targets; those of the numbers, if these are the targets.
        items: What to hear: N files, members of HDF5 files, or clips of files.
        targets: What is right. Of one class: (N,) int64, its number. Of several: (N, C), uint8 of 0 and 1, or float32
            in [0, 1] where a set states how relevant a class is. Numbers: (N, C) float32, all finite.
        mask: (N, C) bool, which cells of ``targets`` were stated by anyone; None if all were.
        parts: (N) ``train``, ``validation`` or ``test``, if the set states such a split; None if it does not.
        folds: (N) names of folds, if it states these; None if it does not.
        groups: (N) names of what must not be divided (recordings, speakers, places); None if that is not known.
        notes: What the user should know.
        left_out: Those of the notes that are of sounds that cannot be used.
        published: Whether it is a published set, whose splits are used as they are, so that scores can be compared.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    targets: np.ndarray
    mask: np.ndarray | None = None
    parts: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    published: bool = False
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.items)
        shape = (n,) if self.kind is Kind.SINGLE else (n, len(self.classes))
        if self.targets.shape != shape:
            raise LabelsError(f"{self.name}: the targets have the shape {self.targets.shape}, not {shape}")
        if self.mask is not None and (self.kind is Kind.SINGLE or self.mask.shape != shape):
            raise LabelsError(f"{self.name}: the mask does not fit its targets")
        for what, values in (("parts", self.parts), ("folds", self.folds), ("groups", self.groups)):
            if values is not None and len(values) != n:
                raise LabelsError(f"{self.name}: {len(values)} {what} are stated for {n} sounds")
        if self.targets.dtype.kind == "f" and not np.isfinite(self.targets).all():
            raise LabelsError(f"{self.name}: a target is not finite")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def channels(self) -> tuple[int | str, ...]:
        """What is heard of files with several channels: "mean" of all, and numbers from 0, in order."""
        found = {MEAN if item.channel is None else item.channel for item in self.items}
        return tuple(sorted(found, key=lambda one: (isinstance(one, int), one)))

    def matrix(self, rows: Sequence[int] | np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, C) float32 targets of some rows: one-hot if there is one class each."""
        if self.kind is not Kind.SINGLE:
            return np.asarray(self.targets[rows], np.float32)
        return np.asarray(np.eye(len(self.classes), dtype=np.float32)[self.targets[rows]])

    def positives(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(C,) how many sounds each class has, of those whose cell is stated.

        Args:
            rows: The numbers of the sounds that count; None for all.

        Raises:
            LabelsError: The targets are numbers.
        """
        if self.kind is Kind.NUMBERS:
            raise LabelsError(f"{self.name} has numbers, and no classes to be counted")
        targets = self.targets if rows is None else self.targets[rows]
        if self.kind is Kind.SINGLE:
            return np.bincount(targets, minlength=len(self.classes))
        has = targets > 0.5 if targets.dtype.kind == "f" else targets
        if self.mask is not None:
            has = has.astype(bool) & (self.mask if rows is None else self.mask[rows])
        return np.asarray(np.count_nonzero(has, axis=0))

    def empty_classes(self) -> list[str]:
        """The classes that no sound has."""
        return [self.classes[i] for i in np.flatnonzero(self.positives() == 0)]

    def subset(self, rows: Sequence[int] | np.ndarray) -> Labelled:
        """Some of the sounds; the classes stay the same.

        Args:
            rows: Numbers of sounds, from 0; or, of each sound, whether it is among them (bool).

        Raises:
            LabelsError: They are neither.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool and rows.shape == (len(self),):
            rows = np.flatnonzero(rows)
        if rows.size > 0 and (rows.dtype.kind not in "iu" or rows.ndim != 1):
            raise LabelsError(
                f"rows must be numbers of sounds, or a bool for each of the {len(self)}; got {rows.dtype} of shape "
                f"{rows.shape}"
            )
        rows = rows.astype(np.int64)

        def taken(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in rows)

        return replace(
            self,
            items=tuple(self.items[i] for i in rows),
            targets=self.targets[rows],
            mask=None if self.mask is None else self.mask[rows],
            parts=taken(self.parts),
            folds=taken(self.folds),
            groups=taken(self.groups),
        )

    def about(self) -> str:
        """One line on what there is."""
        what = {
            Kind.SINGLE: f"{len(self.classes)} classes, one each",
            Kind.SEVERAL: f"{len(self.classes)} classes, any number each",
            Kind.NUMBERS: f"numbers: {listed(self.classes)}",
        }[self.kind]
        divided = [
            f"{len(set(values))} {word}"
            for word, values in (("folds", self.folds), ("groups", self.groups))
            if values is not None
        ]
        if self.parts is not None:
            divided.append(", ".join(f"{n} {part}" for part, n in sorted(Counter(self.parts).items())))
        if self.channels != (MEAN,):
            numbers = ", ".join(map(str, self.channels))
            divided.append(f"{'channel' if len(self.channels) == 1 else 'channels'} {numbers}, counted from 0")
        return f"{self.name}: {len(self)} sounds, {what}" + "".join(f"; {one}" for one in divided)
