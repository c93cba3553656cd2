"""From the sounds of a set, one by one, to all of it: everything that is wrong with them is found here, and named."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import alike, listed, unknown_part
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.sources.item import Identities, Item

_SHOWN = 5


@dataclass(frozen=True)
class Sound:
    """A sound of a set as it was read.

    Attributes:
        item: What to hear.
        labels: Its classes, as they are written.
        values: Its numbers, or how relevant each class is (NaN: nobody said).
        part: The part of a split, as it is written.
        fold: The name of its fold.
        group: What must not be divided.
        error: Why its label or numbers cannot be used.
        row: Its row in targets that are stored as an array; -1 if they are not.
    """

    item: Item
    labels: tuple[str, ...] = ()
    values: tuple[float, ...] | None = None
    part: str | None = None
    fold: str | None = None
    group: str | None = None
    error: str | None = None
    row: int = -1


@dataclass(frozen=True)
class Stored:
    """Targets that a set stores as an array already.

    Attributes:
        targets: (N, C), as :attr:`Labelled.targets` of several classes.
        mask: (N, C) bool, or None.
    """

    targets: np.ndarray
    mask: np.ndarray | None = None


@dataclass
class Problems:
    """What is wrong with a set, by kinds, so that one error can name it all.

    Attributes:
        of: The name of the set.
        skip: Whether sounds that cannot be used are left out.
        notes: What the user should know.
        hint: What may be behind all of it, for the user; or nothing.
    """

    of: str
    skip: bool
    notes: list[str] = field(default_factory=list)
    hint: str = ""
    _wrong: dict[str, list[str]] = field(default_factory=dict)
    _left_out: dict[str, list[str]] = field(default_factory=dict)
    _can_skip: bool = False

    def add(self, what: str, which: str = "") -> None:
        """Adds something that is wrong with all of the set."""
        self._wrong.setdefault(what, []).append(which)

    def leave_out(self, what: str, which: str) -> None:
        """Adds a sound that cannot be used."""
        (self._left_out if self.skip else self._wrong).setdefault(what, []).append(which)
        self._can_skip |= not self.skip

    def check(self) -> None:
        """Says what was wrong so far.

        Raises:
            LabelsError: Something was.
        """
        if self._wrong:
            lines = [_line(what, which) for what, which in self._wrong.items()]
            hint = (_GONE_HINT if _GONE in self._wrong else "") + (_HINT if self._can_skip else "")
            hint += f"\n({self.hint})" if self.hint else ""
            raise LabelsError(f"{self.of} cannot be used as it is:" + "".join(f"\n- {line}" for line in lines) + hint)

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and what was left out."""
        return (*self.notes, *self.left_out())

    def left_out(self) -> tuple[str, ...]:
        """What was left out."""
        return tuple(f"left out: {_line(what, which)}" for what, which in self._left_out.items())


_GONE = "files that are not there"
_GONE_HINT = (
    "\n(relative paths begin in the set's own folder or in that of the option `audio`, `.` for the current one; "
    "absolute ones are taken as the set has them)"
)
_HINT = "\n(sounds without a file, a label or a number can be left out with the option `skip`)"


def _line(what: str, which: Sequence[str]) -> str:
    n_named = sum(bool(one) for one in which)
    named = [one for one in dict.fromkeys(which) if one]  # several clips may be of one file
    if not named:
        return what
    shown = "; ".join(named[:_SHOWN]) + (f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
    if len(named) < n_named:
        return f"{what} ({len(named)}, of {n_named} sounds): {shown}"
    return f"{what} ({len(named)}): {shown}" if len(named) > 1 else f"{what}: {shown}"


def gather(
    name: str,
    kind: Kind,
    sounds: Iterable[Sound],
    options: LabelOptions,
    classes: Sequence[str] | None = None,
    problems: Problems | None = None,
    published: bool = False,
    stored: Stored | None = None,
) -> Labelled:
    """Makes a set of its sounds.

    Args:
        name: What to call it.
        kind: What is right for a sound.
        sounds: Its sounds.
        options: How labels are read.
        classes: The names of the classes, or numbers, in their order, if the set states them; ``options.classes`` goes
            before it. None for all that are used, in the order of their names.
        problems: What was wrong before, and gets what else is.
        published: Whether it is a published set, of which a part may be here that nothing can be learnt from.
        stored: The targets of several classes, if the sounds have only their rows in these.

    Raises:
        LabelsError: Something is wrong; the message names all of it.
    """
    problems = Problems(name, options.skip) if problems is None else problems
    usable = [_heard(sound, options) for sound in sounds if _is_usable(sound, kind, problems)]
    usable = _once(usable, problems)
    stated = options.classes or classes
    for said in alike(Counter(label for sound in usable for label in sound.labels)):
        problems.add(said)
    problems.check()
    if not usable:
        raise LabelsError(f"{name} has no sound with a label" + "".join(f"\n- {note}" for note in problems.all_notes()))
    if stored is None and kind is not Kind.NUMBERS and any(sound.values is None for sound in usable):
        used = {label.strip() for sound in usable for label in sound.labels}
        if stated is not None and (unknown := sorted(used - {one.strip() for one in stated})):
            problems.add(f"labels that are none of the {len(stated)} stated classes", listed(unknown))
            problems.check()
        stated = stated or sorted(used)
    assert stated is not None
    names = tuple(one.strip() for one in stated)
    if stored is None:
        targets, mask = _targets(usable, kind, names)
    else:
        rows = [sound.row for sound in usable]
        targets, mask = stored.targets[rows], None if stored.mask is None else stored.mask[rows]
    labelled = Labelled(
        name,
        kind,
        names,
        tuple(sound.item._replace(kept=()) for sound in usable),
        targets,
        mask,
        _parts(usable, options, problems),
        _all_or_none("fold", [sound.fold for sound in usable], problems),
        _groups(usable, options, problems),
        published=published,
    )
    problems.check()
    _check_classes(labelled, problems, published)
    problems.check()
    return replace(labelled, notes=problems.all_notes(), left_out=problems.left_out())


def _heard(sound: Sound, options: LabelOptions) -> Sound:
    """A sound with the channel of it that is heard, where one was chosen for all."""
    if not isinstance(options.channel, int):
        return sound
    return replace(sound, item=sound.item._replace(channel=options.channel))


def _is_usable(sound: Sound, kind: Kind, problems: Problems) -> bool:
    item = sound.item
    if item.error is not None:
        problems.leave_out("sounds that cannot be used", item.error)
        return False
    if sound.error is not None:
        problems.leave_out("sounds whose targets cannot be used", f"{item.name}: {sound.error}")
        return False
    if kind is Kind.SINGLE and not any(label.strip() for label in sound.labels):
        problems.leave_out("sounds without a label", item.name)
        return False
    if item.shard is None and (why := _why_not_a_file(item.file)) is not None:
        problems.leave_out(why, item.file)
        return False
    return True


def _why_not_a_file(file: str) -> str | None:
    path = path_of_text(file)
    try:
        check_ordinary(path)
        size = os.stat(path).st_size
        if not os.access(path, os.R_OK):
            return "files that may not be read"
    except FileNotFoundError:
        return _GONE
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return f"files that cannot be opened ({getattr(error, 'strerror', None) or 'no ordinary files'})"
    if os.path.isdir(path):
        return "folders in the place of files"
    return None if size else "empty files"


def _once(sounds: list[Sound], problems: Problems) -> list[Sound]:
    """Finds sounds that are there twice."""
    identities = Identities("")
    first: dict[object, Sound] = {}
    for sound in sounds:
        known = first.setdefault(identities.of(sound.item._replace(kept=())), sound)
        if known is sound:
            continue
        name = sound.item.name
        if known.part != sound.part or known.fold != sound.fold:
            sides = f"{known.part or known.fold} and {sound.part or sound.fold}"
            problems.add("the same sound in several parts of a split", f"{name} in {sides}")
        elif (known.labels, known.values) != (sound.labels, sound.values):
            problems.add(
                "the same sound in several rows that contradict each other; several labels belong into one row, in a "
                "column `labels`",
                f"{name} is {listed(known.labels) or known.values} and {listed(sound.labels) or sound.values}",
            )
        else:
            problems.leave_out("the same sound twice", name)
    return list(first.values())


def _targets(sounds: Sequence[Sound], kind: Kind, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    if kind is Kind.NUMBERS:
        return np.array([sound.values for sound in sounds], np.float32).reshape(len(sounds), len(classes)), None
    if all(sound.values is not None for sound in sounds):
        values = np.array([sound.values for sound in sounds], np.float32).reshape(len(sounds), len(classes))
        mask = np.isfinite(values)
        values = np.where(mask, values, 0).astype(np.float32)
        whole = bool(np.isin(values, (0, 1)).all())
        return values.astype(np.uint8) if whole else values, None if mask.all() else mask
    places = {name: i for i, name in enumerate(classes)}
    if kind is Kind.SINGLE:
        return np.array([places[sound.labels[0].strip()] for sound in sounds], np.int64), None
    targets = np.zeros((len(sounds), len(classes)), np.uint8)
    for row, sound in enumerate(sounds):
        targets[row, [places[label.strip()] for label in sound.labels]] = 1
    return targets, None


def _parts(sounds: Sequence[Sound], options: LabelOptions, problems: Problems) -> tuple[str, ...] | None:
    words = _all_or_none("part of a split", [sound.part for sound in sounds], problems)
    if words is None:
        return None
    meant = {word: options.part_of(word) for word in dict.fromkeys(words)}
    for word in (word for word, part in meant.items() if part is None):
        problems.add(unknown_part(word))
    return tuple(meant[word] or "" for word in words)


def _all_or_none(what: str, values: Sequence[str | None], problems: Problems) -> tuple[str, ...] | None:
    """Values that all sounds have, or None if none has any."""
    lacking = sum(not value for value in values)
    if lacking == len(values):
        return None
    if lacking:
        problems.add(f"{lacking} of {len(values)} sounds have no {what}: state it for all of them, or for none")
        return None
    return tuple(str(value).strip() for value in values)


def _groups(sounds: Sequence[Sound], options: LabelOptions, problems: Problems) -> tuple[str, ...] | None:
    if options.group_pattern is None:
        return _all_or_none("group", [sound.group for sound in sounds], problems)
    pattern = re.compile(options.group_pattern)
    groups = []
    for sound in sounds:
        found = pattern.search(sound.item.file)
        if found is None:
            problems.add(f"files whose paths group_pattern {options.group_pattern!r} does not match", sound.item.file)
            continue
        groups.append((found[1] if pattern.groups else found[0]) or "")
    return tuple(groups) if len(groups) == len(sounds) else None


def _check_classes(labelled: Labelled, problems: Problems, published: bool) -> None:
    """Finds sets that nothing can be learnt from, and classes without sounds."""
    if labelled.kind is Kind.NUMBERS:
        for i, name in enumerate(labelled.classes):
            if len(labelled) > 1 and np.ptp(labelled.targets[:, i]) == 0:
                problems.add(f"all sounds have the same number {labelled.targets[0, i]:g} in {name!r}")
        return
    counts = labelled.positives()
    used = np.flatnonzero(counts)
    if labelled.kind is Kind.SINGLE and len(used) < 2 and not published:
        problems.add(
            f"all sounds have one class, {labelled.classes[used[0]]!r}: nothing can be told from it; add sounds of "
            f"another class, if only of background"
        )
        return
    if labelled.kind is Kind.SEVERAL and not published:
        if not len(used):
            problems.add("no sound has any label")
            return
        stated = np.full(len(counts), len(labelled)) if labelled.mask is None else labelled.mask.sum(axis=0)
        if (counts[used] == stated[used]).all():
            problems.add("every sound has every class that is used: nothing can be told from it")
            return
    if empty := labelled.empty_classes():
        problems.notes.append(
            f"{len(empty)} of {len(labelled.classes)} classes have no sound, cannot be learnt and get no score: "
            f"{listed(empty)}"
        )
