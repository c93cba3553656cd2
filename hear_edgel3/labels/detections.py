"""Tables in which each row is a detection, so that rows of one time are several labels of one sound.

Such are what ``hear-edgel3 events`` writes, BirdNET's tables, Kaleidoscope's, and Raven's. In any other table a row is
a sound, and two rows of one sound with different labels contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hear_edgel3.labels.gathering import Problems, Sound
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.labels.names import plain
from hear_edgel3.sources.lister import Listing

_EVENTS = {"label", "mid", "score"}
# Columns by which a table is known: that of `events`, BirdNET's, Kaleidoscope's.
_OF_DETECTIONS = (_EVENTS, {"common name", "confidence"}, {"indir", "folder"})
_ERROR = "error"
# Where people write what they have heard, in Kaleidoscope.
_REVIEW = "manual id"


def is_of_detections(listing: Listing) -> bool:
    """Whether a table has a row for each detection."""
    names = set(map(plain, listing.columns))
    return listing.has_ravens or any(known <= names for known in _OF_DETECTIONS)


def joined_rows(path: str, kind: Kind, sounds: Iterable[Sound], problems: Problems) -> tuple[Kind, list[Sound]]:
    """Makes one sound of all detections of one time.

    Args:
        path: The table.
        kind: Of its targets, of classes.
        sounds: Of its rows.
        problems: Gets notes of what was joined.

    Returns:
        The kind of all of them, and the sounds.
    """
    found, n_twice = joined_sounds(sounds)
    n_several = sum(len(sound.labels) > 1 for sound in found)
    if kind is Kind.SINGLE and n_several:
        kind = Kind.SEVERAL
        problems.notes.append(
            f"{n_several} of {len(found)} sounds of {path} have several labels, in rows of one time: any number of "
            f"classes may be right"
        )
    if n_twice:
        problems.notes.append(f"{n_twice} rows of {path} say what another row of that time says, and count once")
    return kind, found


def joined_sounds(sounds: Iterable[Sound]) -> tuple[list[Sound], int]:
    """Makes one sound of all rows of the same, in the same part of a split.

    Returns:
        The sounds, and how many said nothing new.
    """
    found: dict[object, Sound] = {}
    n_twice = 0
    for sound in sounds:
        key = (sound.item._replace(kept=()), sound.part, sound.fold)
        known = found.get(key)
        if known is None:
            found[key] = sound
        elif set(sound.labels) <= set(known.labels):
            n_twice += 1
        else:
            labels = tuple(dict.fromkeys(known.labels + sound.labels))
            found[key] = Sound(known.item, labels, None, known.part, known.fold, known.group, known.error)
    return list(found.values()), n_twice


def without_failures(path: str, listing: Listing, problems: Problems) -> None:
    """Leaves out the rows in which ``events`` says why it could not listen to a recording: they label nothing."""
    names = [plain(name) for name in listing.columns]
    if not {*_EVENTS, _ERROR} <= set(names):
        return
    place = names.index(_ERROR)
    items = [item for item in listing.items if item.is_clip or not _cell(item.kept, place)]
    if (n_failed := len(listing.items) - len(items)) and items:
        listing.items = items
        problems.notes.append(f"{n_failed} recordings that failed, as {path} says, have no labels and are left out")


def notes_of_review(path: str, listing: Listing, taken: Sequence[str]) -> list[str]:
    """What to say where people have written what they have heard, and another column counts."""
    names = [plain(name) for name in listing.columns]
    if _REVIEW not in names or _REVIEW in map(plain, taken):
        return []
    place = names.index(_REVIEW)
    count = sum(bool(_cell(item.kept, place)) for item in listing.items)
    if not count:
        return []
    column = listing.columns[place]
    return [
        f"labels of {path} are those in the column {taken[0]!r}, and not the {count} in {column!r}, which the option "
        f"`labels` {column!r} takes"
    ]


def _cell(kept: Sequence[str | None], place: int) -> str:
    return ((kept[place] if place < len(kept) else None) or "").strip()
