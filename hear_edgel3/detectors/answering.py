"""What a detector's folder says of sounds: logits of each as a whole, as ``predict`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hear_edgel3.detectors.frozen import logits_of
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.extractor.loading import load
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.folder import read_folder
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener

if TYPE_CHECKING:
    from hear_edgel3.detectors.work import Work


def logits_of_folder(folder: Path, items: Sequence[Item], work: Work) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """(N, C) logits, or numbers, and the sounds that cannot be read, each with the reason; their rows are NaN.

    Args:
        folder: The detector.
        items: The sounds.
        work: What computes.
    """
    row = read_folder(folder)
    if row.head is not None:
        return _by_head(folder, items, work)
    return _by_classifier(folder, row, items, work)


def _by_head(folder: Path, items: Sequence[Item], work: Work) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Scene embeddings through the job machinery, which keeps them, and then the head."""
    embedded = replace(work, weights=None).embed(items, folder)  # the folder has its own
    net = load(folder, engine="eager").net
    assert isinstance(net, HeadedNet)
    logits = logits_of(net.head, embedded.vectors)
    logits[[number for number, _ in embedded.failed]] = np.nan
    return logits, list(embedded.failed)


def _by_classifier(
    folder: Path, row: Local, items: Sequence[Item], work: Work
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """One sound after the other through the net and its own classifier, whose rule for whole clips is another one."""
    from hear_edgel3.tagging.tagger import Tagger

    tagger = Tagger(str(folder), engine=work.engine)
    if work.device is not None:
        tagger.to(work.device)
    logits = np.full((len(items), len(row.classes)), np.nan, np.float32)
    failed = []
    opener = ItemOpener("")
    try:
        for number, item in enumerate(items):
            try:
                with opener.open(item) as file:
                    logits[number] = tagger.tag_opened(file).logits[0]
            except HearEdgeL3Error as error:
                failed.append((number, str(error) if item.name in str(error) else f"{item.name}: {error}"))
    finally:
        opener.close()
    return logits, failed
