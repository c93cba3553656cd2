"""Names of classes and of parts: which ones are meant to be the same, and how several stand in one cell."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hear_edgel3.errors import LabelsError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
_WORDS = {
    TRAIN: ("train", "training"),
    VALIDATION: ("validation", "valid", "val"),
    TEST: ("test", "testing", "eval", "evaluate", "evaluation"),
}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}
# In the order in which they are looked for.
SEPARATORS = (";", "|", ",")


def plain(name: str) -> str:
    """What is equal for names that only differ by case, spaces, underscores or forms of the same characters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def part_of(word: str) -> str | None:
    """The part of a split that a word means (``val``: ``validation``), or None if that is not known."""
    return _PART_OF.get(plain(word))


def unknown_part(word: str) -> str:
    """What to say of a word that means no part."""
    near = difflib.get_close_matches(plain(word), _PART_OF, 1)
    suggestion = f"; is {near[0]!r} meant?" if near else ""
    return (
        f"{word!r} is no part of a split; known are {', '.join(_PART_OF)}{suggestion} (the option `parts` can say what "
        f"other words mean)"
    )


def alike(counts: Mapping[str, int]) -> list[str]:
    """What to say of names that only differ by case, spaces, underscores or forms of the same characters or number.

    Args:
        counts: How often each name is there.
    """
    said = []
    for meant, why in (
        (plain, "differ by case, spaces, underscores or forms of the same characters only"),
        (_number, "are the same number, and different classes here"),
    ):
        forms: dict[str, list[str]] = {}
        for name in counts:
            forms.setdefault(meant(name), []).append(name)
        said += [
            "the labels "
            + " and ".join(f"{_told_apart(name, names)} ({counts[name]} of them)" for name in names)
            + f" {why}: write them in one way"
            for names in forms.values()
            if len(names) > 1
        ]
    return said


def _number(name: str) -> str:
    """What is equal for forms of one number that spreadsheets and programs make of it (1, 01, 1.0); else the name."""
    whole = re.fullmatch(r"([+-]?)0*(\d+)(?:\.0*)?", name.strip(), re.ASCII)
    return name if whole is None else f"{whole[1].removeprefix('+')}{whole[2]}"


def _told_apart(name: str, names: Sequence[str]) -> str:
    """A name as it is written; by the numbers of its characters where another one looks the same."""
    same = [other for other in names if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name)]
    return ascii(name) if len(same) > 1 else repr(name)


def separator_of(cells: Iterable[str], wanted: str | None = None) -> str | None:
    """What stands between several labels in a cell, one for the whole column; None if no cell has more than one.

    It is the first of ``;``, ``|`` and ``,`` that any cell has. A cell that is a JSON list needs none.

    Args:
        cells: The column.
        wanted: What was named; it is taken as it is.

    Raises:
        LabelsError: There are both ``;`` and ``|``, so that it takes a person to say which of them separates.
    """
    if wanted is not None:
        return wanted
    seen: Counter[str] = Counter()
    for cell in cells:
        if _json_list(cell) is None:
            seen.update(one for one in SEPARATORS if one in cell)
    if seen[";"] and seen["|"]:
        raise LabelsError("its labels have both ';' and '|' between them; the option `separator` says which one counts")
    return next((one for one in SEPARATORS if seen[one]), None)


def labels_in(cell: str, separator: str | None) -> list[str]:
    """The labels in a cell: a JSON list, or texts with a separator between them; empty ones are left out."""
    listed = _json_list(cell)
    found = listed if listed is not None else (cell.split(separator) if separator else [cell])
    return [label for label in found if label.strip()]


def _json_list(cell: str) -> list[str] | None:
    if not cell.lstrip().startswith("["):
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return [str(label) for label in value] if isinstance(value, list) else None


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names with commas between them, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
