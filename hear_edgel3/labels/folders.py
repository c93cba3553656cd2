"""A folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.gathering import Problems, Sound, gather
from hear_edgel3.labels.labelled import Kind, Labelled
from hear_edgel3.labels.names import TEST, TRAIN, listed
from hear_edgel3.labels.options import LabelOptions
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items


def read_folders(folder: str, options: LabelOptions) -> Labelled:
    """Reads a folder with a folder per class, or with such folders in ``train``, ``validation`` and ``test``.

    The folders inside that of a class (speakers, recordings, kits) are the groups, if all sounds lie in such folders.

    Args:
        folder: The folder.
        options: How labels are read.

    Raises:
        LabelsError: It cannot be read or used; the message says all that is wrong.
    """
    problems = Problems(folder, options.skip)
    inside = folders_in(folder)
    parts = [name for name in inside if options.part_of(name) is not None]
    has_parts = bool(parts) and len(parts) == len(inside)
    if not has_parts and {TRAIN, TEST} <= {options.part_of(name) for name in parts}:
        others = [name for name in inside if name not in parts]
        problems.add(
            f"folders called {listed(parts)} are the parts of a split, but beside them, in none, are {listed(others)}"
        )
    sounds: list[Sound] = []
    for part in parts if has_parts else [None]:
        below = folder if part is None else os.path.join(folder, part)
        for name in folders_in(below):
            sounds += _of_class(os.path.join(below, name), text_of_path(name), part, problems)
        beside = _beside(below)
        if beside:
            problems.leave_out("sounds beside the folders of classes, and in none", f"{beside} in {below}")
    if sounds and not all(sound.group for sound in sounds):
        if any(sound.group for sound in sounds) and options.group_pattern is None:
            n = sum(not sound.group for sound in sounds)
            problems.notes.append(
                f"{n} of {len(sounds)} sounds lie in no folder inside that of their class, so those folders are not "
                f"taken as groups"
            )
        sounds = [Sound(one.item, one.labels, part=one.part) for one in sounds]
    return gather(folder, Kind.SINGLE, sounds, options, None, problems)


def folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder, in order, without those that begin with a dot.

    Raises:
        LabelsError: It cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if os.path.isdir(entry) and not entry.name.startswith("."))
    except OSError as error:
        raise LabelsError(f"{folder} cannot be listed: {error.strerror or error}") from error


def _of_class(folder: str, label: str, part: str | None, problems: Problems) -> Iterator[Sound]:
    listing = list_items([folder])
    problems.notes += [f"{label}: {note}" for note in listing.notes]
    for path, error in listing.failures:
        if path == folder and not listing.items:
            problems.leave_out("classes without a sound", label)
        else:
            problems.leave_out("folders that cannot be listed", str(error))
    for item in listing.items:
        yield Sound(item, (label,), part=part, group=_group(item, folder))


def _group(item: Item, folder: str) -> str | None:
    inside = os.path.dirname(os.path.relpath(item.file if item.shard is None else item.shard, text_of_path(folder)))
    return inside or None


def _beside(folder: str) -> int:
    """How many sounds lie in a folder itself, links that lead nowhere included."""
    from hear_edgel3.audio.find import is_audio

    # os.path, since entries raise an error for a link that leads in a circle.
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not os.path.isdir(entry)]
    return sum(is_audio(name) and not name.startswith(".") for name in names)
