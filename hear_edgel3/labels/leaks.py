"""What must stay together, and what of that a split has torn apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.contents import readable_contents_of
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.sources.hdf5 import is_hdf5
from hear_edgel3.sources.item import Identities, Item

# The bytes of a file of sounds are all read to find copies in it; of so many rows that takes hours.
_MOST_ROWS = 50_000
_HINT = " (if they are, state groups: by `group_pattern`, a column `group`, or folders inside those of the classes)"


class Bond(StrEnum):
    """Why sounds must stay together; the value is how a message begins."""

    RECORDING = "parts of one recording"
    GROUP = "one group"
    COPY = "exact copies"
    NEAR = "sounds that are nearly the same"
    NAME = "sounds called alike but for a number at the end, which may be parts of one recording"


@dataclass(frozen=True)
class Together:
    """Sounds that must stay together.

    Attributes:
        bond: Why.
        rows: Their numbers, in order.
    """

    bond: Bond
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Leak:
    """Sounds that must stay together, and are on several sides of a split.

    Attributes:
        bond: Why they must.
        sides: The names of the sides.
        rows: One sound of each side.
        name: Of what they are parts.
    """

    bond: Bond
    sides: tuple[str, ...]
    rows: tuple[int, ...]
    name: str

    @property
    def says(self) -> str:
        """What to say of it."""
        return f"{self.name} ({' and '.join(self.sides)})"


def bonds(
    labelled: Labelled,
    near: Iterable[Sequence[int]] = (),
    copies: bool = True,
    contents: Sequence[str] | None = None,
) -> list[Together]:
    """What must stay together: clips of one file, groups, exact copies, and what else is known to be nearly the same.

    Args:
        labelled: The sounds.
        near: Rows of sounds that are nearly the same, as ``hear_edgel3.search.duplicates.find_alike`` finds them in
            embeddings of all sounds, in the order of the sounds.
        copies: Whether to look for exact copies, for which files of equal sizes are read.
        contents: A digest of each sound's file, if they are known: then no file is read for that.

    Raises:
        LabelsError: ``near`` has a row that is none.
    """
    found = [Together(Bond.RECORDING, rows) for rows in _equal(_files(labelled.items))]
    if labelled.groups is not None:
        found += [Together(Bond.GROUP, rows) for rows in _equal(labelled.groups)]
    if copies:
        same = exact_copies(labelled.items) if contents is None else _copies_by(labelled.items, contents)
        found += [Together(Bond.COPY, rows) for rows in same]
    for rows in near:
        if len(rows) > 1:
            if not all(0 <= row < len(labelled) for row in rows):
                raise LabelsError(f"near: there is no sound {max(rows)} among {len(labelled)}")
            found.append(Together(Bond.NEAR, tuple(sorted(rows))))
    return found


def called_alike(labelled: Labelled) -> list[Together]:
    """Sounds of one folder whose names only differ by a number at the end: perhaps parts of one recording.

    Where all sounds of a class are called alike (``dog_1``, ``dog_2``), or hardly any are, names tell nothing of
    recordings, and there are none.

    Args:
        labelled: The sounds.
    """
    stems = [_stem(item) for item in labelled.items]
    together = [Together(Bond.NAME, rows) for rows in _equal(stems) if stems[rows[0]]]
    if 2 * sum(len(one.rows) for one in together) < len(labelled):
        return []
    if labelled.kind is Kind.SINGLE:
        of_class: dict[int, set[str]] = {}
        for stem, target in zip(stems, labelled.targets.tolist(), strict=True):
            of_class.setdefault(target, set()).add(stem)
        if any(len(found) < 2 for found in of_class.values()):
            return []
    return together if len(together) > 1 else []


def _stem(item: Item) -> str:
    """The path of a file without the number at the end of its name; empty if there is none, or nothing else."""
    folder, name = os.path.split(item.file)
    found = re.fullmatch(r"(.*[^\W\d_].*?)[\W_]*\d+", os.path.splitext(name)[0])
    return os.path.join(folder, found[1]) if found and item.shard is None else ""


def units(n: int, together: Iterable[Together]) -> np.ndarray:
    """(n,) numbers from 0, equal for sounds that a chain of bonds joins.

    Args:
        n: How many sounds there are.
        together: What must stay together.
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for one in together:
        first = root(one.rows[0])
        for row in one.rows[1:]:
            other = root(row)
            first, other = min(first, other), max(first, other)
            parent[other] = first
    return np.asarray(np.unique([root(i) for i in range(n)], return_inverse=True)[1]).reshape(n)


def find_leaks(labelled: Labelled, sides: dict[str, np.ndarray], together: Iterable[Together]) -> list[Leak]:
    """What must stay together, and is on several sides.

    Args:
        labelled: The sounds.
        sides: The rows of each side, by its name.
        together: What must stay together.
    """
    side_of = np.full(len(labelled), -1)
    names = list(sides)
    for i, rows in enumerate(sides.values()):
        side_of[rows] = i
    leaks = []
    for one in together:
        first: dict[int, int] = {}
        for row in one.rows:
            if side_of[row] >= 0:
                first.setdefault(int(side_of[row]), row)
        if len(first) > 1:
            order = sorted(first)
            some = tuple(first[side] for side in order)
            leaks.append(Leak(one.bond, tuple(names[side] for side in order), some, _name(labelled, one.bond, some)))
    return leaks


def say_leaks(leaks: Sequence[Leak], shown: int = 5) -> list[str]:
    """One line per kind of leak.

    Args:
        leaks: What was found.
        shown: How many of a kind are named.
    """
    lines = []
    for bond in Bond:
        some = [leak.says for leak in leaks if leak.bond is bond]
        if some:
            more = f"; and {len(some) - shown} more" if len(some) > shown else ""
            hint = _HINT if bond is Bond.NAME else ""
            lines.append(f"{bond} on several sides of the split ({len(some)}): {'; '.join(some[:shown])}{more}{hint}")
    return lines


def exact_copies(items: Sequence[Item]) -> list[tuple[int, ...]]:
    """Rows of files that have the same bytes.

    Only files of equal sizes are read, and what is in tar and HDF5 files. A file that cannot be read is like no other:
    decoding it will say why. HDF5 files of more than 50,000 sounds altogether are left alone.

    Args:
        items: Files, or clips of files: clips of two copies are taken to be copies.
    """
    first: dict[str, Item] = {}
    names = _files(items)
    for name, item in zip(names, items, strict=True):
        first.setdefault(name, item)
    by_size: dict[int, list[Item]] = {}
    packed: list[Item] = []
    rows: list[Item] = []
    for item in first.values():
        if item.shard is not None:
            (rows if is_hdf5(item.shard) else packed).append(item)
            continue
        try:
            by_size.setdefault(os.stat(path_of_text(item.file)).st_size, []).append(item)
        except (OSError, ValueError):
            continue
    alike = [item for some in by_size.values() if len(some) > 1 or packed or rows for item in some]
    known = readable_contents_of([*alike, *packed, *(rows if len(rows) <= _MOST_ROWS else ())])
    return _copies_by(items, [known.get(first[name].file, name) for name in names])


def _copies_by(items: Sequence[Item], contents: Sequence[str]) -> list[tuple[int, ...]]:
    """Rows of files that have the same bytes, by digests of these; rows of one file are no copies of each other."""
    files = _files(items)
    return [rows for rows in _equal(contents) if len({files[row] for row in rows}) > 1]


def _files(items: Sequence[Item]) -> list[str]:
    """Texts that are equal for items of one file, whatever part or channel of it they are."""
    identities = Identities("")
    return [
        str(identities.of(item._replace(start=None, end=None, kept=(), error=None, channel=None))) for item in items
    ]


def _equal(values: Sequence[str]) -> list[tuple[int, ...]]:
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    return [tuple(some) for some in rows.values() if len(some) > 1]


def _name(labelled: Labelled, bond: Bond, rows: Sequence[int]) -> str:
    if bond is Bond.RECORDING:
        return labelled.items[rows[0]].file
    if bond is Bond.GROUP:
        assert labelled.groups is not None
        return labelled.groups[rows[0]]
    if bond is Bond.NAME:
        return f"{_stem(labelled.items[rows[0]])}..."
    return " = ".join(labelled.items[row].name for row in rows)
