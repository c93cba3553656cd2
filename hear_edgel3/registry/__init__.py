"""The table of checkpoints and the reading of configuration names.

A new checkpoint is one row in its family's module; a new family is one module here, named in ``_FAMILIES``.
"""

from __future__ import annotations

import difflib

from hear_edgel3.errors import UnknownConfiguration
from hear_edgel3.registry import l3
from hear_edgel3.registry.schema import Checkpoint, Component, Configuration, HubFile, Upstream

__all__ = [
    "Checkpoint",
    "Component",
    "Configuration",
    "HubFile",
    "Upstream",
    "checkpoints",
    "families",
    "find",
    "list_configurations",
    "near_names",
    "resolve",
]

_FAMILIES = (l3,)
_CHECKPOINTS = {row.name: row for family in _FAMILIES for row in family.ROWS}


def checkpoints() -> tuple[Checkpoint, ...]:
    """All rows, in the order of the table."""
    return tuple(_CHECKPOINTS.values())


def families() -> tuple[str, ...]:
    """Names of the families."""
    return tuple(dict.fromkeys(row.family for row in _CHECKPOINTS.values()))


def list_configurations(family: str | None = None) -> list[str]:
    """Names of the configurations, in the order of the table.

    Args:
        family: only those of this family.

    Raises:
        UnknownConfiguration: there is no such family.
    """
    if family is not None and family not in families():
        raise UnknownConfiguration(f"there is no family {family!r}; the families are: {', '.join(families())}")
    return [row.name for row in _CHECKPOINTS.values() if family in (None, row.family)]


def find(name: str) -> Configuration | None:
    """The configuration of a name, or None if it is not one."""
    row = _CHECKPOINTS.get(name)
    return None if row is None else Configuration(name, row)


def near_names(name: str) -> list[str]:
    """Up to three configuration names that resemble ``name``."""
    return difflib.get_close_matches(name, list_configurations(), n=3, cutoff=0.5)


def resolve(name: str) -> Configuration:
    """The configuration of a name.

    Raises:
        UnknownConfiguration: there is none; the message suggests near names.
    """
    configuration = find(name) if isinstance(name, str) else None
    if configuration is None:
        near = near_names(str(name))
        hint = f"did you mean {' or '.join(near)}?" if near else "`hear-edgel3 list` shows them all"
        raise UnknownConfiguration(f"there is no configuration {name!r}; {hint}")
    return configuration
