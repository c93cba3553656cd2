"""The net that a detector is made of: what it was called, its weights, and how a folder describes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import load
from hear_edgel3.families.headed import HeadedNet, HeadedVocabulary
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import find, resolve

# Batch norm's counters, which say nothing of what a net computes.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Base:
    """A net to make a detector of.

    Attributes:
        config: As it was asked for.
        extractor: The net, loaded; it is the plain module.
        row: Its row, without a head that it may have.
        words: The words of the embedding that the head is on; none for the net's default.
        shape: The arguments of its family's architecture function.
    """

    config: str | os.PathLike[str]
    extractor: Extractor
    row: Checkpoint
    words: str
    shape: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.extractor.configuration.name

    @property
    def sha256(self) -> str:
        """Of its weights file."""
        assert self.extractor.weights is not None
        return self.extractor.weights.sha256

    @property
    def licence(self) -> str:
        """The licence of its weights, in words."""
        if isinstance(self.row, Published):
            return self.row.upstream.licence
        return self.row.licence if isinstance(self.row, Local) else "not stated"

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors of the net without a head, on the CPU."""
        net = self.extractor.net
        bare = net.net if isinstance(net, HeadedNet) else net
        return {name: value.detach().cpu() for name, value in bare.state_dict().items() if not name.endswith(_COUNTER)}

    def stored(self, names: Iterable[str]) -> tuple[Path, dict[str, str]]:
        """Its weights file, and what tensors of a detector would be called there: a head's net begins with ``net.``."""
        assert self.extractor.weights is not None
        inside = "net." if isinstance(self.extractor.net, HeadedNet) else ""
        return Path(self.extractor.weights.path), {name: inside + name.removeprefix("net.") for name in names}


def check_base(config: str | os.PathLike[str], head: str = "linear") -> None:
    """Finds out before anything is loaded whether there is such a net, and whether it can become a detector.

    Args:
        config: A configuration's name, or a folder.
        head: What the detector's head is to be.

    Raises:
        UnknownConfiguration: There is no such net.
        InvalidOption: It cannot.
    """
    row = resolve(config).checkpoint
    if FAMILIES[row.family].shape is None:
        raise InvalidOption(
            f"{row.name} cannot become a detector: folders cannot hold nets of the family {row.family}; embed the "
            f"sounds with `hear-edgel3 extract`, and train a classifier of your own on that"
        )
    if head == "own" and isinstance(row, Local) and row.classes:
        raise InvalidOption(
            f"{row.name} is a detector, and its classifier keeps its classes: use the head linear or mlp, or train the "
            f"net that it was made of"
        )


def with_head_words(config: str | os.PathLike[str], options: TrainOptions) -> str | os.PathLike[str]:
    """What learns: a net that is named without features gets those that suit heads, if its family says which.

    Features that were chosen stay, and those of folders. So do those of a net that is trained by a recipe, or that
    keeps its own classifier.

    Args:
        config: A configuration's name, or a folder.
        options: How it learns.
    """
    if options.recipe is not None or options.head_kind == "own" or not isinstance(config, str):
        return config
    named = find(config)
    if named is None or named.words or named.checkpoint.default_features:
        return config
    words = FAMILIES[named.checkpoint.family].head_words
    return f"{named.checkpoint.name}_{words}" if words else config


def load_base(config: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None) -> Base:
    """Loads a net.

    Args:
        config: A configuration's name, or a folder.
        weights: As for :func:`hear_edgel3.load`.
    """
    check_base(config)
    extractor = load(config, weights, engine="eager")
    row = extractor.configuration.checkpoint
    words = extractor.configuration.words
    if isinstance(row.vocabulary, HeadedVocabulary):
        words = words or row.vocabulary.words
        row = row.vocabulary.base
    shape = FAMILIES[row.family].shape
    assert shape is not None
    return Base(config, extractor, row, words or row.default_features, shape(row))
