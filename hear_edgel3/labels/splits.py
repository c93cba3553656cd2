"""Which sounds are learnt from, which decide when that is enough, and which measure what was learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from hear_edgel3._checks import check_flags, check_made, check_whole, check_word
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.leaks import Bond, Together, bonds, called_alike, find_leaks, say_leaks, units
from hear_edgel3.labels.names import PARTS, TEST, TRAIN, VALIDATION, listed

# Numbers are spread evenly over the parts by so many equally large ranges, of so many sounds at least: of ranges of
# three sounds each, a part that is to have a fifth would get a third.
_BINS, _LEAST_IN_BIN = 10, 10
# More units than this are drawn without a look at their classes: chance spreads these evenly enough.
_MOST_UNITS = 200_000
# A part that lacks more than this share of its sounds is evened out, by the best of so many units.
_FAR = 0.25
_COMPARED = 64


class How(StrEnum):
    """How sounds are divided."""

    AUTO = "auto"  # as the set states it; at random if it does not
    GIVEN = "given"  # by the parts that the set states
    FOLDS = "folds"  # by its folds, each being the test part once; those of our own if it states none
    GROUPS = "groups"  # each group is the test part once
    RANDOM = "random"


class OnLeak(StrEnum):
    """What to do about leaks in the parts and folds that a set states."""

    REFUSE = "refuse"
    SAY = "say"


@dataclass(frozen=True)
class Dividing:
    """How sounds are divided.

    Attributes:
        how: See :class:`How`.
        n_folds: How many folds are made, where a set states none.
        test: The share of sounds that are the test part of a random split; 0 for no test part.
        validation: The share of the training part that becomes the validation part, where a set states none.
        seed: Of all that is random.
        on_leak: What to do about leaks in a stated split; None refuses them, but says them in published sets, whose
            scores could not be compared otherwise. Sounds that are nearly the same, or called alike, are said, and not
            refused.
        copies: Whether to look for exact copies.
    """

    how: How = How.AUTO
    n_folds: int = 5
    test: float = 0.2
    validation: float = 0.15
    seed: int = 0
    on_leak: OnLeak | None = None
    copies: bool = True

    def __post_init__(self) -> None:
        for name, words in (("how", How), ("on_leak", OnLeak)):
            value = getattr(self, name)
            if value is None and name == "on_leak":
                continue
            check_word(value, name, words)
            object.__setattr__(self, name, words(value))
        for name, value, least in (("n_folds", self.n_folds, 2), ("seed", self.seed, 0)):
            check_whole(value, name, least)
        check_flags(copies=self.copies)
        for name, value in (("test", self.test), ("validation", self.validation)):
            if not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
                raise InvalidOption(f"{name} must be a share from 0 to below 1, got {value!r}")


@dataclass(frozen=True)
class Split:
    """A split of sounds, by their numbers, which are in order and each in one part.

    Attributes:
        name: What it is called: ``fold 3``, for example.
        train: What is learnt from.
        validation: What decides which epoch is best, and what thresholds and temperature are fitted on; it is never
            part of the test. Empty if there is none.
        test: What measures. Empty if there is none.
        notes: What the user should know.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()


def divide(
    labelled: Labelled,
    dividing: Dividing | None = None,
    near: Iterable[Sequence[int]] = (),
    contents: Sequence[str] | None = None,
) -> list[Split]:
    """Divides sounds: into one split, or one per fold or group.

    What must stay together (clips of one file, groups, exact copies, ``near``) stays so in every split that is made
    here, validation parts included. Classes are spread evenly over the parts as far as that allows, by iterative
    stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011),
    with units in the place of single sounds; scikit-learn has none for several labels.

    Args:
        labelled: The sounds.
        dividing: How.
        near: Rows of sounds that are nearly the same, as for :func:`hear_edgel3.labels.leaks.bonds`.
        contents: A digest of each sound's file, if they are known, likewise.

    Returns:
        The splits.

    Raises:
        LabelsError: The set does not state what is asked for, a stated split has leaks, or there is too little.
    """
    dividing = Dividing() if dividing is None else dividing
    check_made(labelled, "labelled", Labelled, "what read_labelled returns")
    check_made(dividing, "dividing", Dividing, "a Dividing, or None")
    how = _how(labelled, dividing)
    together = bonds(labelled, near, dividing.copies, contents)
    unit = units(len(labelled), together)
    rng = np.random.default_rng(dividing.seed)
    if how is How.GIVEN:
        splits = [_given(labelled, unit, dividing, rng)]
    elif how is How.FOLDS:
        splits = _folds(labelled, unit, dividing, rng)
    elif how is How.GROUPS:
        splits = _groups(labelled, unit, dividing, rng)
    else:
        share = (1 - dividing.test, dividing.test)
        part = _assigned(labelled, np.arange(len(labelled)), unit, share, rng)
        splits = [
            _split("random split", labelled, np.flatnonzero(part == 0), np.flatnonzero(part == 1), unit, dividing, rng)
        ]
    return [_checked(labelled, split, together, dividing) for split in splits]


def check_states(labelled: Labelled, dividing: Dividing) -> None:
    """Finds out before any work whether a set states what is asked for; :func:`divide` finds out the rest.

    Raises:
        LabelsError: It does not.
    """
    if _how(labelled, dividing) is How.GROUPS and len(set(labelled.groups or ())) < 2:
        name = next(iter(labelled.groups or ()))
        raise LabelsError(f"{labelled.name} states one group, {name!r}, only: nothing would be left to learn from")


def _how(labelled: Labelled, dividing: Dividing) -> How:
    how = dividing.how
    if how is How.AUTO:
        return How.GIVEN if labelled.parts is not None else How.FOLDS if labelled.folds is not None else How.RANDOM
    if how is How.GIVEN and labelled.parts is None:
        raise LabelsError(f"{labelled.name} states no split (a column `split`, or folders {', '.join(PARTS)})")
    if how is How.GROUPS and labelled.groups is None:
        raise LabelsError(
            f"{labelled.name} states no groups (a column `group`, or folders inside those of the classes); the "
            f"option `group_pattern` finds them in paths"
        )
    return how


def _given(labelled: Labelled, unit: np.ndarray, dividing: Dividing, rng: np.random.Generator) -> Split:
    parts = np.array(labelled.parts)
    train, validation, test = (np.flatnonzero(parts == part) for part in PARTS)
    if not len(train):
        raise LabelsError(f"{labelled.name} states a split without a training part")
    if len(validation):
        return Split("given split", train, validation, test)
    return _split("given split", labelled, train, test, unit, dividing, rng)


def _folds(labelled: Labelled, unit: np.ndarray, dividing: Dividing, rng: np.random.Generator) -> list[Split]:
    notes: tuple[str, ...] = ()
    if labelled.folds is not None:
        names = sorted(set(labelled.folds), key=lambda name: (len(name), name))
        if len(names) < 2:
            raise LabelsError(f"{labelled.name} states one fold, {names[0]!r}, only")
        fold_of = np.array([names.index(fold) for fold in labelled.folds])
        if dividing.n_folds not in (len(names), Dividing.n_folds):
            notes = (f"{labelled.name} states {len(names)} folds, which are taken, and not {dividing.n_folds} others",)
    else:
        n = int(unit.max()) + 1
        if n < dividing.n_folds:
            raise LabelsError(
                f"{labelled.name} has {n} groups of sounds that must stay together, too few for {dividing.n_folds} "
                f"folds (n_folds)"
            )
        names = [str(i + 1) for i in range(dividing.n_folds)]
        shares = (1 / dividing.n_folds,) * dividing.n_folds
        fold_of = _assigned(labelled, np.arange(len(labelled)), unit, shares, rng)
    splits = [
        _split(
            name if name.startswith("fold") else f"fold {name}",
            labelled,
            np.flatnonzero(fold_of != i),
            np.flatnonzero(fold_of == i),
            unit,
            dividing,
            rng,
        )
        for i, name in enumerate(names)
    ]
    return [replace(split, notes=(*notes, *split.notes)) for split in splits]


def _groups(labelled: Labelled, unit: np.ndarray, dividing: Dividing, rng: np.random.Generator) -> list[Split]:
    assert labelled.groups is not None
    groups = np.array(labelled.groups)
    names = list(dict.fromkeys(labelled.groups))
    if len(names) < 2:
        raise LabelsError(f"{labelled.name} states one group, {names[0]!r}, only")
    return [
        _split(
            f"without {name}",
            labelled,
            np.flatnonzero(groups != name),
            np.flatnonzero(groups == name),
            unit,
            dividing,
            rng,
        )
        for name in names
    ]


def _split(
    name: str,
    labelled: Labelled,
    train: np.ndarray,
    test: np.ndarray,
    unit: np.ndarray,
    dividing: Dividing,
    rng: np.random.Generator,
) -> Split:
    """A split whose validation part is taken from its training part."""
    empty = np.zeros(0, np.int64)
    if dividing.validation == 0:
        return Split(name, train, empty, test)
    if len(np.unique(unit[train])) < 2:
        return Split(name, train, empty, test, ("too few sounds that may be parted to validate on any",))
    part = _assigned(labelled, train, unit, (1 - dividing.validation, dividing.validation), rng)
    return Split(name, train[part == 0], train[part == 1], test)


def _assigned(
    labelled: Labelled, rows: np.ndarray, unit: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """(n,) the part of each row, so that classes are spread by the shares and units stay whole."""
    ids, of = np.unique(unit[rows], return_inverse=True)
    of = of.reshape(len(rows))
    if len(ids) > _MOST_UNITS:
        drawn = rng.permutation(len(ids)) / len(ids)
        return np.asarray(np.searchsorted(np.cumsum(shares)[:-1], drawn, side="right")[of])
    counts = np.zeros((len(ids), 1), np.float64)
    np.add.at(counts[:, 0], of, 1)
    classes = _strata(labelled, rows)
    of_class = np.zeros((len(ids), classes.shape[1]))
    np.add.at(of_class, of, classes)
    return _stratified(of_class, counts[:, 0], np.array(shares), rng)[of]


def _strata(labelled: Labelled, rows: np.ndarray) -> np.ndarray:
    """(n, S) bool, what is to be spread evenly: classes, or ranges of the first number."""
    if labelled.kind is not Kind.NUMBERS:
        targets = labelled.matrix(rows) > 0.5
        return targets if labelled.mask is None else targets & labelled.mask[rows]
    values = labelled.targets[rows, 0]
    bins = min(_BINS, max(1, len(rows) // _LEAST_IN_BIN))
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, values)[:, None] == np.arange(bins))


def _stratified(of_class: np.ndarray, sizes: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(U,) the part of each unit.

    Args:
        of_class: (U, S) how many sounds of each class a unit has.
        sizes: (U,) how many sounds it has.
        shares: (P,) of the parts; their sum is 1.
        rng: Breaks ties.
    """
    n = len(sizes)
    shuffled = rng.permutation(n)
    of_class, sizes = of_class[shuffled], sizes[shuffled]
    need, room = shares[:, None] * of_class.sum(axis=0), shares * sizes.sum()
    part, waiting = np.full(n, -1), np.ones(n, bool)
    # The rarest class first, since it is the hardest to spread.
    left = (of_class > 0).sum(axis=0)
    while left.any():
        rarest = int(np.argmin(np.where(left > 0, left, n + 1)))
        members = np.flatnonzero(waiting & (of_class[:, rarest] > 0))
        for i in members[np.argsort(-of_class[members, rarest], kind="stable")]:
            part[i] = _neediest(need[:, rarest], room)
            need[part[i]] -= of_class[i]
            room[part[i]] -= sizes[i]
        waiting[members] = False
        left = left - (of_class[members] > 0).sum(axis=0)
    for i in np.flatnonzero(waiting)[np.argsort(-sizes[waiting], kind="stable")]:
        part[i] = int(np.argmax(room))
        room[part[i]] -= sizes[i]
    _even_out(part, of_class, sizes, shares, rng)
    result = np.empty(n, np.int64)
    result[shuffled] = part
    return result


def _even_out(
    part: np.ndarray, of_class: np.ndarray, sizes: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> None:
    """Moves units into parts that are far too small, where classes of few units were rounded alike.

    Of three units of each class all are nearest to a share of .85, and none to one of .15. A unit is moved if that
    brings both parts nearer to their shares, and the part that it is taken from keeps a unit of each of its classes;
    of those that may be, one whose classes the other part lacks most.

    Args:
        part: (U,) the part of each unit; what is moved is changed here.
        of_class: (U, S) how many sounds of each class a unit has.
        sizes: (U,) how many sounds it has.
        shares: (P,) of the parts.
        rng: Draws those that are compared, of many.
    """
    wanted, total = shares * sizes.sum(), of_class.sum(axis=0)
    there = np.bincount(part, sizes, len(shares))
    has = of_class > 0
    units_of = np.stack([has[part == i].sum(axis=0) for i in range(len(shares))])
    sounds_of = np.stack([of_class[part == i].sum(axis=0) for i in range(len(shares))])
    while True:
        lacks = wanted - there
        to = int(np.argmax(lacks / np.maximum(wanted, 1e-9)))
        if lacks[to] <= _FAR * wanted[to]:
            return
        source = int(np.argmin(lacks))
        may = np.flatnonzero((part == source) & (sizes < 2 * np.minimum(lacks[to], -lacks[source])))
        if len(may) > _COMPARED:
            may = rng.choice(may, _COMPARED, replace=False)
        may = may[(~has[may] | (units_of[source] > 1)).all(axis=1)]
        if not len(may):
            return
        # How much of its classes the other part still lacks, against what it then has too much.
        need = shares[to] * total - sounds_of[to]
        worse = (((need - of_class[may]) ** 2 - need**2) / np.maximum(total, 1)).sum(axis=1)
        unit = int(may[np.argmin(worse)])
        part[unit] = to
        for which, sign in ((source, -1), (to, 1)):
            there[which] += sign * sizes[unit]
            units_of[which] += sign * has[unit]
            sounds_of[which] += sign * of_class[unit]


def _neediest(need: np.ndarray, room: np.ndarray) -> int:
    """The part that needs a class most; of equal ones that with the most room."""
    equal = np.flatnonzero(need >= need.max() - 1e-9)
    return int(equal[np.argmax(room[equal])])


def _checked(labelled: Labelled, split: Split, together: Sequence[Together], dividing: Dividing) -> Split:
    """A split, after a look for leaks and for classes that nothing is learnt of.

    Raises:
        LabelsError: There is a leak that is to be refused, or nothing to learn from.
    """
    sides = {TRAIN: split.train, VALIDATION: split.validation, TEST: split.test}
    if not len(split.train):
        raise LabelsError(f"{labelled.name}, {split.name}: nothing is left to learn from")
    notes = list(split.notes)
    leaks = find_leaks(labelled, sides, together)
    if labelled.groups is None and not labelled.published:
        leaks += find_leaks(labelled, sides, called_alike(labelled))
    on_leak = dividing.on_leak or (OnLeak.SAY if labelled.published else OnLeak.REFUSE)
    refused = [leak for leak in leaks if leak.bond not in (Bond.NEAR, Bond.NAME)] if on_leak is OnLeak.REFUSE else []
    if refused:
        lines = "".join(f"\n- {line}" for line in say_leaks(refused))
        raise LabelsError(
            f"{labelled.name}, {split.name}: scores would be too good, for sounds of the test are known from training:"
            f"{lines}\n(mend the split, or let it be made here; `on_leak` `say` takes it as it is)"
        )
    notes += say_leaks(leaks)
    if labelled.kind is not Kind.NUMBERS:
        learnt = labelled.positives(split.train)
        for side in (VALIDATION, TEST):
            rows = sides[side]
            here = labelled.positives(rows)
            if len(unlearnt := np.flatnonzero((here > 0) & (learnt == 0))):
                names = [labelled.classes[i] for i in unlearnt]
                notes.append(f"{split.name}: classes of the {side} part that no sound is learnt from: {listed(names)}")
            if side == TEST and len(rows) and len(missing := np.flatnonzero((here == 0) & (learnt > 0))):
                names = [labelled.classes[i] for i in missing]
                notes.append(f"{split.name}: classes without a sound in the test part: {listed(names)}")
        if labelled.kind is Kind.SINGLE and np.count_nonzero(learnt) < 2:
            only = labelled.classes[int(learnt.argmax())]
            raise LabelsError(f"{labelled.name}, {split.name}: only one class, {only!r}, is left to learn from")
    return replace(split, notes=tuple(notes))
