"""Tables of labelled sounds: CSV, TSV and Parquet, and the tracks that Audacity and Raven write."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hear_edgel3.audio.channels import MEAN, TABLE
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.detections import (
    is_of_detections,
    joined_rows,
    joined_sounds,
    notes_of_review,
    without_failures,
)
from hear_edgel3.labels.gathering import Problems, Sound, gather
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import SEPARATORS, labels_in, listed, plain, separator_of
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.labels.track_sounds import TrackSounds
from hear_edgel3.registry.labels import labels as list_of_classes
from hear_edgel3.sources.channels import is_another, number_of
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import Listing, list_items
from hear_edgel3.sources.tables import TableOptions, is_list, open_list

# Of several the first one counts. "annotation" and "species" are Raven's, "common name" BirdNET's.
_ONE = (
    "label",
    "class",
    "category",
    "class name",
    "class label",
    "scene label",
    "annotation",
    "species",
    "common name",
    "tag",
    "target",
)
_ANY = ("labels", "classes", "categories", "tags", "positive labels")
_NUMBERS = ("numbers", "number", "values", "value", "rating", "score")
_CHANNEL = "channel"
_PARTS = ("split", "subset", "partition", "part")
# What stands for bytes that are no UTF-8, in a text that was read as such: of file names it can be taken back.
_NO_TEXT = re.compile(r"\\x[89a-f][0-9a-f]")
_LARGEST = 3.4028234e38  # of a float32
_MID = "/"  # what AudioSet's machine identifiers begin with


@dataclass(frozen=True)
class _Targets:
    """Where a table has its targets.

    Attributes:
        kind: Of the targets.
        places: The numbers of the columns.
        names: The names of the columns.
        is_relevance: Whether each column is of one class, with numbers in [0, 1].
    """

    kind: Kind
    places: tuple[int, ...]
    names: tuple[str, ...]
    is_relevance: bool = False


def read_table(path: str, options: LabelOptions) -> Labelled:
    """Reads a table of labelled sounds.

    The columns may have any of the names that tools of this field use, in any case: of files, starts and ends as for
    SOURCES; ``label``, ``class``, ``category`` and the like for one label; ``labels``, ``tags`` and the like for any
    number of labels; ``number``, ``value`` and the like for numbers; ``split``, ``fold`` and ``group``. An empty cell
    of ``labels`` means that the sound has no class; an empty ``label`` is an error. What is in ``channel`` counts if
    the options say so. In tables of detections (:mod:`hear_edgel3.labels.detections`) rows of one time are several
    labels of one sound, if the options do not name the column of one label.

    Args:
        path: The table.
        options: How labels are read.

    Raises:
        LabelsError: It cannot be read or used; the message says all that is wrong.
    """
    listing = listed_items([path], options, options.audio)
    problems = Problems(path, options.skip, list(listing.notes))
    without_failures(path, listing, problems)
    kind, read, classes = _sounds(path, listing, options, problems)
    sounds = list(read)
    if is_of_detections(listing) and not options.relevances and kind is not Kind.NUMBERS:
        if options.label is None:
            kind, sounds = joined_rows(path, kind, sounds, problems)
        elif any(len(sound.labels) > 1 for sound in joined_sounds(sounds)[0]):
            problems.hint = "without the option `label`, rows of one time are several labels of one sound"
    return gather(path, kind, sounds, options, classes, problems)


def read_tracks(name: str, paths: Sequence[str], options: LabelOptions, folder: str | None = None) -> Labelled:
    """Reads tracks of labels: Audacity's, and Raven's selection tables.

    Each label is a clip of the file that the track is of: ``a.wav`` for ``a.txt``, for example. Equal times with
    different labels are one clip with several labels. A selection that Raven lists once per view counts once.

    Args:
        name: What to call the set.
        paths: The tracks.
        options: How labels are read.
        folder: What they are in, if that is one folder: sounds of tracks in folders inside it may be in folders of
            these names in ``options.audio``. What is in no such folder may be anywhere below it, if it is called as no
            other sound there.

    Raises:
        LabelsError: They cannot be read or used; the message says all that is wrong.
    """
    sounds: list[Sound] = []
    problems = Problems(name, options.skip)
    where = TrackSounds(folder, options.audio)
    for path in paths:
        listing, errors = None, []
        for audio in where.folders(path):
            try:
                listing = listed_items([path], options, audio)
                break
            except LabelsError as error:
                errors.append(str(error))
        if listing is None:
            problems.leave_out("tracks that cannot be read", errors[0])
            continue
        problems.notes += [note for note in listing.notes if note not in problems.notes]
        kind, some, _ = _sounds(path, listing, options, problems)
        if kind is not Kind.SINGLE:
            raise LabelsError(f"{path} is no track of labels, but a table of {kind} targets: read it by itself")
        sounds += some
    joined, n_twice = joined_sounds(sounds)
    if n_twice:
        problems.notes.append(f"{n_twice} labels are in a track twice (Raven writes one per view), and count once")
    kind = Kind.SEVERAL if any(len(sound.labels) > 1 for sound in joined) else Kind.SINGLE
    return gather(name, kind, joined, options, None, problems)


def listed_items(sources: Sequence[str], options: LabelOptions, audio: str | None) -> Listing:
    """What sources mean, with all columns of tables.

    Raises:
        LabelsError: One of them gives nothing.
    """
    # What is there twice is said later, with its labels.
    tables = TableOptions(keep=None, audio=audio, whole_files=options.whole_files, repeats=True)
    listing = list_items(sources, tables)
    if listing.failures:
        raise LabelsError("; ".join(str(error) for _, error in listing.failures))
    return listing


def is_track(path: str) -> bool:
    """Whether a text is a track of labels, by the columns that it has: none of files, or Raven's.

    The sound that it is of need not be there: reading it says that, where a track that is none would be left out.
    """
    if not is_list(path) or not path.lower().endswith(".txt") or not os.path.isfile(path):
        return False
    try:
        with open_list(path, TableOptions()) as table:
            columns = table.columns
            return table.has_columns and columns.has_clips and any(row.start is not None for row in table.rows)
    except (OSError, ValueError, csv.Error):
        return False


def _sounds(
    path: str, listing: Listing, options: LabelOptions, problems: Problems
) -> tuple[Kind, Iterator[Sound], tuple[str, ...] | None]:
    if not listing.has_tables:
        raise LabelsError(f"{path} is a list of files without columns; to learn from it, it needs a column of labels")
    columns = listing.columns
    targets = _find_targets(path, columns, options)
    part = _column(path, columns, options.part, _PARTS)
    fold = _column(path, columns, options.fold, ("fold",))
    group = _column(path, columns, options.group, ("group",))

    channel_of = _channel_reader(path, listing, options, problems)

    def cell(item: Item, place: int | None) -> str | None:
        return None if place is None or place >= len(item.kept) else item.kept[place]

    read, classes = _reader(path, listing, targets, options, problems)
    _check_encoding(path, targets.names, problems)
    if options.label is None and options.labels is None:
        problems.notes += notes_of_review(path, listing, targets.names)

    def sounds() -> Iterator[Sound]:
        labels: dict[str, None] = {}
        for item in listing.items:
            cells = [cell(item, place) or "" for place in targets.places]
            read_labels, values, error = read(cells)
            where = (cell(item, part), cell(item, fold), cell(item, group))
            labels.update(dict.fromkeys(read_labels))
            yield Sound(channel_of(item), read_labels, values, *where, error)
        _check_encoding(path, labels, problems)

    return targets.kind, sounds(), classes


def _check_encoding(path: str, names: Iterable[str], problems: Problems) -> None:
    """Refuses names in another encoding than that of the table, which would be those of the classes."""
    for name in names:
        if _NO_TEXT.search(name):
            problems.add(f"names in {path} that are not in UTF-8 or UTF-16, in which it is to be saved", repr(name))


def _channel_reader(path: str, listing: Listing, options: LabelOptions, problems: Problems) -> Callable[[Item], Item]:
    """What gives each item the channel that its row says, if that is what is to be heard; else a note may say what is.

    Raises:
        LabelsError: Rows are to say it, and there is no such column.
    """
    place = _column(path, listing.columns, None, (_CHANNEL,))
    first = 1 if listing.has_ravens else 0
    if place is None:
        if options.channel == TABLE:
            raise LabelsError(
                f"{path} has no column {_CHANNEL!r}, but {listed(listing.columns, 20) or 'none'} beside that of files; "
                f"the option `channel` may also be the number of a channel, or mean"
            )
        return lambda item: item

    def cell(item: Item) -> str:
        return ((item.kept[place] if place < len(item.kept) else None) or "").strip()

    def with_channel(item: Item) -> Item:
        number = number_of(cell(item), first)
        if number is not None or item.error is not None:
            return item._replace(channel=number)
        said = repr(cell(item)[:40]) if cell(item) else "nothing"
        return item._replace(
            error=f"{item.name}: {said} in {listing.columns[place]!r} is no number of a channel, from {first}"
        )

    if options.channel == TABLE:
        return with_channel
    said = list(dict.fromkeys(text for item in listing.items if (text := cell(item))))
    heard = "the mean of all channels" if options.channel == MEAN else f"channel {options.channel}, from 0, of all"
    if said and is_another({number_of(text, first) for text in said}, options.channel, listing.items):
        column = listing.columns[place]
        note = (
            f"{heard} is heard, whatever the column {column!r} says ({listed(said)}); the option `channel` `table` "
            f"takes what it says"
        )
        if note not in problems.notes:  # of another track
            problems.notes.append(note)
        if len(said) > 1:
            problems.hint = f"rows of several channels, by the column {column!r}: `channel` `table` keeps them apart"
    return lambda item: item


_Read = Callable[[list[str]], tuple[tuple[str, ...], tuple[float, ...] | None, str | None]]


def _reader(
    path: str, listing: Listing, targets: _Targets, options: LabelOptions, problems: Problems
) -> tuple[_Read, tuple[str, ...] | None]:
    """What reads the cells of a row, and the names of the classes, if the columns state them."""
    place = targets.places[0]
    column = [item.kept[place] or "" for item in listing.items if place < len(item.kept)]
    if targets.kind is Kind.SINGLE:
        if lists := _like_lists(column):
            problems.notes.append(
                f"the column {targets.names[0]!r} has one label per sound, so that each of these is a class, though "
                f"parts of them are classes too: {listed(lists)}; if they are several labels, the option `labels` "
                f"{targets.names[0]!r} reads them so"
            )
        return lambda cells: ((cells[0],) if cells[0].strip() else (), None, None), None
    if targets.is_relevance:
        return lambda cells: ((), *_relevances(cells, targets.names)), targets.names
    if targets.kind is Kind.SEVERAL:
        try:
            separator = separator_of(column, options.separator)
        except LabelsError as error:
            raise LabelsError(f"{path}: {error}") from None
        if options.separator is None and separator is not None:
            problems.notes.append(
                f"labels in the column {targets.names[0]!r} are separated by {separator!r} (looked for in this order: "
                f"{' '.join(SEPARATORS)})"
            )
        mids = {label.mid: label.name for label in list_of_classes("audioset")}
        everything = {one.strip() for text in column for one in labels_in(text, separator)}
        named = bool(everything) and all(one.startswith(_MID) and one in mids for one in everything)

        def several(cells: list[str]) -> tuple[tuple[str, ...], None, None]:
            found = labels_in(cells[0], separator)
            return tuple(mids[one.strip()] if named else one for one in found), None, None

        return several, tuple(mids.values()) if named else None
    separator = options.separator or next((one for one in ";|" if any(one in text for text in column)), None)
    n = max((len(labels_in(text, separator)) for text in column), default=1) if len(targets.places) == 1 else 0
    names = targets.names if n <= 1 else tuple(f"{targets.names[0]}_{i + 1}" for i in range(n))
    return lambda cells: ((), *_numbers(labels_in(cells[0], separator) if n > 1 else cells, names)), names


def _like_lists(cells: Sequence[str]) -> list[str]:
    """Labels that look like several: parts are labels of other sounds, too; of commas, which names have, all parts."""
    labels = {cell.strip() for cell in cells}
    found = []
    for label in sorted(labels):
        for separator in SEPARATORS:
            parts = [part.strip() in labels for part in label.split(separator)]
            if len(parts) > 1 and (all(parts) if separator == "," else any(parts)):
                found.append(label)
                break
    return found


def _numbers(cells: Sequence[str], names: Sequence[str]) -> tuple[tuple[float, ...] | None, str | None]:
    if len(cells) != len(names):
        return None, f"it has {len(cells)} of {len(names)} numbers"
    values = []
    for cell, name in zip(cells, names, strict=True):
        value = _number(cell)
        if not cell.strip():
            return None, f"it has no number in {name!r}"
        if value is None or not math.isfinite(value):
            hint = "; write it with a point" if value is None and _number(cell.replace(",", ".")) is not None else ""
            return None, f"{cell.strip()[:40]!r} in {name!r} is no number{hint}"
        if abs(value) > _LARGEST:
            return None, f"{cell.strip()[:40]!r} in {name!r} is too large for a float32"
        values.append(value)
    return tuple(values), None


def _relevances(cells: Sequence[str], names: Sequence[str]) -> tuple[tuple[float, ...] | None, str | None]:
    values = []
    for cell, name in zip(cells, names, strict=True):
        value = {"": math.nan, "true": 1.0, "false": 0.0}.get(cell.strip().lower(), _number(cell))
        if value is None or not (math.isnan(value) or 0 <= value <= 1) or (cell.strip() and math.isnan(value)):
            return None, f"{cell.strip()[:40]!r} in {name!r} is not between 0 and 1"
        values.append(value)
    if all(map(math.isnan, values)):
        return None, "nothing is said of any class"
    return tuple(values), None


def _number(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _find_targets(path: str, columns: Sequence[str], options: LabelOptions) -> _Targets:
    def places(names: Sequence[str]) -> tuple[int, ...]:
        return tuple(_place(path, columns, name) for name in names)

    if options.relevances:
        return _Targets(Kind.SEVERAL, places(options.relevances), options.relevances, is_relevance=True)
    if options.numbers:
        return _Targets(Kind.NUMBERS, places(options.numbers), options.numbers)
    for kind, name in ((Kind.SINGLE, options.label), (Kind.SEVERAL, options.labels)):
        if name is not None:
            return _Targets(kind, places([name]), (name,))
    by_name = {plain(name): i for i, name in reversed(list(enumerate(columns)))}
    one, many, numbers = (
        next((by_name[name] for name in names if name in by_name), None) for names in (_ONE, _ANY, _NUMBERS)
    )
    if one is not None and many is not None:
        raise LabelsError(
            f"{path} has the columns {columns[one]!r} and {columns[many]!r}; the option `label` or `labels` says which "
            f"one counts"
        )
    for kind, place in ((Kind.SINGLE, one), (Kind.SEVERAL, many), (Kind.NUMBERS, numbers)):
        if place is not None:
            return _Targets(kind, (place,), (columns[place],))
    raise LabelsError(
        f"{path} has no column of labels (label, class, category; labels, tags; number, value; and the like), but "
        f"beside that of files {listed(columns, 20) or 'none'}; the options `label`, `labels`, `numbers` and "
        f"`relevances` name columns"
    )


def _column(path: str, columns: Sequence[str], wanted: str | None, usual: Sequence[str]) -> int | None:
    if wanted is not None:
        return _place(path, columns, wanted)
    by_name = {plain(name): i for i, name in reversed(list(enumerate(columns)))}
    return next((by_name[name] for name in usual if name in by_name), None)


def _place(path: str, columns: Sequence[str], name: str) -> int:
    if name in columns:
        return columns.index(name)
    found = [i for i, column in enumerate(columns) if plain(column) == plain(name)]
    if len(found) != 1:
        raise LabelsError(f"{path} has no column {name!r}, but {listed(columns, 20) or 'none'} beside that of files")
    return found[0]


def name_of(path: str) -> str:
    """What to call the set of a folder or file: its last part."""
    return os.path.basename(os.path.abspath(path)) or path
