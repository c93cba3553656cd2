"""The column of a table that says of which channel each row is: whether it says another one than is heard."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from hear_edgel3.audio.channels import EACH, MEAN
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.sources.item import Item

_SIDES = {"l": 0, "left": 0, "r": 1, "right": 1}
# Of the files of a table so many are looked at, from the first to the last.
_LOOKED_AT = 16


@dataclass(frozen=True)
class ChannelColumn:
    """Such a column.

    Attributes:
        table: The name of the table.
        name: The column's name.
        first: How the table calls the first channel: 1 in tables by Raven, else 0.
        said: How it calls the channels that are in it, by their numbers from 0; what is no channel is left out.
    """

    table: str
    name: str
    first: int
    said: dict[int, str] = field(default_factory=dict)

    def add(self, text: str | None) -> None:
        """Takes note of what a row says."""
        number = number_of(text := (text or "").strip(), self.first)
        if number is not None:
            self.said.setdefault(number, text if text.lower() in _SIDES else str(number + self.first))


def number_of(text: str, first: int) -> int | None:
    """The number of a channel, from 0, that a cell says, as a number or as left and right; None if it says none."""
    if (word := text.lower()) in _SIDES:
        return _SIDES[word]
    found = re.fullmatch(r"([0-9]{1,9})(\.0*)?", text)  # pandas writes 1.0 where other cells are empty
    return None if found is None or int(found[1]) < first else int(found[1]) - first


def is_another(said: Collection[int | None], heard: int | str, items: Sequence[Item]) -> bool:
    """Whether rows say other channels than what is heard.

    Programs name the first channel also where there is no other, so that a look at some of the files decides then.

    Args:
        said: The numbers from 0 that are in the column.
        heard: A number from 0, or "mean".
        items: Of the table, at least.
    """
    if heard != MEAN:
        return set(said) != {heard}
    if set(said) != {0}:
        return True
    usable = [item for item in items if item.error is None]
    last, count = len(usable) - 1, min(len(usable), _LOOKED_AT)
    some = [usable[last * i // max(1, count - 1)] for i in range(count)]
    return any(_has_more_channels(item) for item in {item.file: item for item in some}.values())


def _has_more_channels(item: Item) -> bool:
    """Whether a file has several channels; of one that cannot be read it has not, as that is said elsewhere."""
    from hear_edgel3.sources.opening import ItemOpener  # which needs torch

    try:
        with closing(ItemOpener("")) as opener, opener.open(item) as file:
            return file.channels > 1
    except (HearEdgeL3Error, OSError, ValueError):  # ValueError: a NUL in the name
        return False


def notes_of(columns: Sequence[ChannelColumn], heard: int | str, items: Sequence[Item]) -> Iterator[str]:
    """What to say where one signal is made of all channels, or one channel is heard, whatever tables say of each row.

    Args:
        columns: Those of the tables.
        heard: A number from 0, "mean" or "each".
        items: What the tables list.
    """
    for column in columns:
        if heard == EACH or not column.said or not is_another(column.said, heard, items):
            continue
        said = ", ".join(column.said[number] for number in sorted(column.said)[:9])
        more = "; rows that differ by nothing else are one sound" if len(column.said) > 1 else ""
        is_heard = "the mean of all channels" if heard == MEAN else f"channel {heard}, from 0, of all"
        yield (
            f"{is_heard} is heard, whatever the column {column.name!r} of {column.table} says ({said}){more}; the "
            f"option `channel` takes the number of one, from 0"
        )
