"""The table of checkpoints and the reading of configuration names.

A configuration's name is a checkpoint's name, and for families that have a choice of features their words behind it:
``mn10_as``, ``mn10_as_all_b_mel_avgs``. The checkpoints are the rows of the families in the table. Besides, a folder
that ``hear-edgel3 distill`` or ``train`` has made is a checkpoint, named by its path; one such folder is shipped inside
the package, and that one is the default everywhere.
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hear_edgel3._checks import shown
from hear_edgel3.disk.paths import why_not_there
from hear_edgel3.errors import InvalidOption, UnknownConfiguration, UnknownFeatures
from hear_edgel3.families import table
from hear_edgel3.families.protocols import Family
from hear_edgel3.families.schema import Checkpoint, Component, Configuration, Local, Published, PublishedHead
from hear_edgel3.registry import folder as local

__all__ = [
    "BUILT_IN",
    "LOGITS",
    "by_name",
    "checkpoints",
    "families",
    "find",
    "list_configurations",
    "near_names",
    "published",
    "published_heads",
    "resolve",
    "with_classes",
    "with_features",
    "with_logits",
]

# The checkpoint whose weights are inside the package.
BUILT_IN = "tiny"
# What every vocabulary calls the outputs of a classifier.
LOGITS = "logits"

_BUILT_IN = local.read_folder(Path(__file__).parents[1] / "checkpoints" / BUILT_IN)


def _rows() -> dict[str, Checkpoint]:
    """All rows by their names, in the order in which they are listed."""
    return _rows_of(tuple(table.FAMILIES.values()))


@functools.lru_cache(maxsize=1)  # the table changes in tests only
def _rows_of(families: tuple[Family, ...]) -> dict[str, Checkpoint]:
    return {row.name: row for row in (_BUILT_IN, *(row for family in families for row in family.rows))}


def checkpoints() -> tuple[Published, ...]:
    """The rows of published checkpoints, in the order of the table."""
    return tuple(row for family in table.FAMILIES.values() for row in family.rows)


def published_heads() -> dict[str, PublishedHead]:
    """The heads that authors of checkpoints have published for them, by name."""
    return {head.name: head for family in table.FAMILIES.values() for head in family.heads}


def families() -> tuple[str, ...]:
    """Names of the families."""
    return tuple(sorted({row.family for row in _rows().values()}))


def list_configurations(family: str | None = None) -> list[str]:
    """Names of the checkpoints, each a configuration with its default features, in the order of the table.

    Args:
        family: only those of this family.

    Raises:
        UnknownConfiguration: there is no such family.
    """
    if family is not None and not (isinstance(family, str) and family in families()):
        raise UnknownConfiguration(f"there is no family {shown(family)}; the families are: {', '.join(families())}")
    return [row.name for row in _rows().values() if family in (None, row.family)]


def find(name: str) -> Configuration | None:
    """The configuration of a name, or None if it is not one."""
    try:
        return by_name(name)
    except UnknownConfiguration:
        return None


def near_names(name: str, cutoff: float = 0.5) -> list[str]:
    """Up to three names of checkpoints that resemble ``name``, by a likeness of at least ``cutoff`` from 0 to 1."""
    return difflib.get_close_matches(name, list_configurations(), n=3, cutoff=cutoff)


def resolve(name: str | os.PathLike[str]) -> Configuration:
    """The configuration of a name or of a folder.

    Args:
        name: a configuration's name, or the path of a folder that ``hear-edgel3 distill`` has made.

    Raises:
        UnknownConfiguration: there is none; the message suggests near names, or says what is wrong with the features.
        ConfigurationError: the folder's description is damaged.
    """
    if not isinstance(name, os.PathLike) and os.sep not in str(name):
        try:
            return by_name(name)
        except UnknownConfiguration:
            if not local.is_folder(name):
                raise
    elif not local.is_folder(name):
        why = why_not_there(os.path.join(name, local.FILENAME))
        what = f"that folder has no {local.FILENAME}" if os.path.isdir(name) else "there is no such folder"
        what = what if why == "does not exist" else f"what is in that folder {why}"
        raise UnknownConfiguration(
            f"there is no configuration {os.fspath(name)!r}: {what}; give a name that `hear-edgel3 list` shows, or a "
            f"folder made by `hear-edgel3 distill` or `train`"
        )
    row = local.read_folder(name)
    return Configuration(row.name, row, row.vocabulary.read(row, ""))


def published(name: str) -> Published:
    """The published checkpoint of a name.

    Raises:
        UnknownConfiguration: there is none of that name.
    """
    row = by_name(name).checkpoint
    if not isinstance(row, Published):
        raise UnknownConfiguration(f"{row.name} is part of this package, nothing that its authors published")
    return row


def by_name(name: str) -> Configuration:
    """The configuration of a name.

    Raises:
        UnknownConfiguration: there is none; the message suggests near names, or says what is wrong with the features.
    """
    if isinstance(name, str):
        canonical = name
        for family in table.FAMILIES.values():
            canonical = family.canonical(canonical)
        words = canonical.split("_")
        for n in range(len(words), 0, -1):  # the longest name first: mn10_as_hop_15 before mn10_as
            row = _rows().get("_".join(words[:n]))
            if row is not None and "" not in words:
                chosen = "_".join(words[n:])
                try:
                    return Configuration(name, row, row.vocabulary.read(row, chosen), chosen)
                except UnknownFeatures as error:
                    near = [other for other in near_names(name, cutoff=0.85) if other != row.name]
                    hint = f"; did you mean {' or '.join(near)}?" if near else ""
                    raise UnknownFeatures(f"there is no configuration {name!r}: {error}{hint}") from error
    near = near_names(str(name))
    hint = f"did you mean {' or '.join(near)}?" if near else _NEITHER
    raise UnknownConfiguration(f"there is no configuration {name!r}; {hint}")


_NEITHER = (
    "`hear-edgel3 list` shows them all (nets of your own are named by their folders, and there is no such folder)"
)


def with_classes(
    configuration: Configuration, n_classes: int, settings: Mapping[str, Any] | None = None
) -> Configuration:
    """The same checkpoint, trained further on classes of somebody's own.

    Args:
        configuration: whose net it was.
        n_classes: how many classes there are.
        settings: the net's :attr:`~hear_edgel3.families.protocols.Family.settings` since; None for those that it had.

    Raises:
        InvalidOption: nets of this family have no classifier, or the checkpoint's folder names its classes itself.
    """
    row = configuration.checkpoint
    if isinstance(row, Local) and row.classes:
        raise InvalidOption(f"{row.name} names its classes in its folder, so weights cannot name others")
    change = table.FAMILIES[row.family].with_classes
    if change is None:
        raise InvalidOption(f"{row.name} has no classifier, so there can be no labels of its classes")
    if settings:
        row = replace(row, net=Component(row.net.make, {**row.net.arguments, **settings}))
    changed = replace(row, **{**change(row, n_classes), "labels": None, "reported": {}})
    return replace(configuration, checkpoint=changed, features=row.vocabulary.read(changed, configuration.words))


def with_features(configuration: Configuration, features: Sequence[str]) -> Configuration:
    """The same checkpoint with other features.

    Args:
        configuration: named without features.
        features: words of the checkpoint's vocabulary.

    Raises:
        InvalidOption: the name has features already, or the words make no sense for this checkpoint.
    """
    row = configuration.checkpoint
    if configuration.words:
        raise InvalidOption(
            f"{configuration.name} names features already; give them in the name or in `features`, not in both"
        )
    if isinstance(features, str) or not isinstance(features, Iterable):
        raise InvalidOption(f"features must be a list of words, got {features!r}")
    given = list(features)
    if not all(isinstance(word, str) and word for word in given):
        raise InvalidOption(f"features must be a list of words, got {given!r}")
    words = "_".join(given)
    if not words:
        raise InvalidOption(f"features is empty; leave it out for the default of {row.name}")
    try:
        return Configuration(f"{row.name}_{words}", row, row.vocabulary.read(row, words), words)
    except UnknownFeatures as error:
        raise UnknownFeatures(f"features {given!r} do not fit {row.name}: {error}") from error


def with_logits(configuration: Configuration) -> Configuration:
    """The same features and, behind them, the logits of the net's own classifier, all put out by one pass of it.

    One whose features have them already stays as it is.

    Args:
        configuration: of a net with a classifier of its own (and no head of somebody's own).

    Raises:
        UnknownFeatures: it has none.
    """
    row, features = configuration.checkpoint, configuration.features
    if LOGITS in features.names:
        return configuration
    logits = row.vocabulary.read(row, LOGITS)
    names = (*features.names, *logits.names)
    together = replace(
        features,
        names=names,
        size=features.size + logits.size,
        sizes=(*features.sizes, *logits.sizes),
        arguments={**features.arguments, "outputs": names},
        kernels=features.kernels and logits.kernels,
        bands=(*features.bands, *(1 for _ in logits.names)) if features.bands else (),
    )
    return replace(configuration, features=together)
