"""The families there are. A new one is a folder beside this file, and its import and name here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hear_edgel3.families.dymn.family import DYMN
from hear_edgel3.families.image.family import IMAGE
from hear_edgel3.families.l3.family import L3
from hear_edgel3.families.mobilenetv3.family import MOBILENETV3
from hear_edgel3.families.protocols import Family
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.families.ssondo.family import SSONDO

# In the order in which configurations are listed.
FAMILIES = {family.name: family for family in (L3, MOBILENETV3, DYMN, SSONDO, IMAGE)}


def students() -> tuple[str, ...]:
    """The names of the families whose nets can be distilled."""
    return tuple(family.name for family in FAMILIES.values() if family.student is not None)


@contextmanager
def registered(family: Family) -> Iterator[Family]:
    """Adds a family, or replaces the one of its name, for as long as the block runs: for tests and experiments.

    Args:
        family: What a line of the table would name.
    """
    before = FAMILIES.get(family.name)
    FAMILIES[family.name] = family
    try:
        yield family
    finally:
        if before is None:
            del FAMILIES[family.name]
        else:
            FAMILIES[family.name] = before


def settings_of(row: Checkpoint) -> dict[str, Any]:
    """What changes the results of a row's net and stands in none of its tensors, by name."""
    arguments = row.net.arguments
    return {name: arguments[name] for name in FAMILIES[row.family].settings if name in arguments}
