"""AudioSet's ontology: which of its classes lie below which.

``labels/audioset_ontology.csv`` has a row for each class with others below it: its machine identifier, its name, and
the identifiers of its children. It is of AudioSet's ontology (Gemmeke et al., ICASSP 2017; Google, CC BY-SA 4.0,
https://github.com/audioset/ontology), without the classes that no net tells and that have none below them that one
tells. ``tests/recipes/audioset_ontology.py`` made it. A class may lie below several.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

_PACKAGE = "hear_edgel3.registry.labels"
_FILE = "audioset_ontology.csv"


@dataclass(frozen=True)
class Parent:
    """A class that has others below it.

    Attributes:
        mid: Its machine identifier.
        name: Its name; nets need not tell it by itself: "Human sounds", for example.
        children: The machine identifiers of those right below it.
    """

    mid: str
    name: str
    children: tuple[str, ...]


@cache
def parents() -> dict[str, Parent]:
    """All classes with others below them, by their machine identifiers, in the order of the ontology."""
    text = resources.files(_PACKAGE).joinpath(_FILE).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["mid"]: Parent(row["mid"], row["name"], tuple(row["children"].split())) for row in rows}


def below(mid: str) -> frozenset[str]:
    """The machine identifiers of a class and of all that lie below it, however far."""
    found: set[str] = set()
    waiting = [mid]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            parent = parents().get(one)
            waiting += () if parent is None else parent.children
    return frozenset(found)
