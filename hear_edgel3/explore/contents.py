"""What a page knows of its clips, as JSON: lists of text, and tables of numbers as base64 of little-endian arrays."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.file_means import FileMeans
from hear_edgel3.explore import spectrograms
from hear_edgel3.explore.distinctive import distinctive
from hear_edgel3.explore.folders import below, common_folder
from hear_edgel3.explore.projection import neighbours_kept
from hear_edgel3.explore.recorded import Moments
from hear_edgel3.explore.survey import Survey
from hear_edgel3.explore.tags import TOP, TagSource

_MARKS = (("200 Hz", 200), ("1 kHz", 1000), ("4 kHz", 4000), ("10 kHz", 10000))
_FAILED_SHOWN = 1000  # of files without an embedding; all are counted


@dataclass(frozen=True)
class ClipMap:
    """Where the clips lie, and what lies near them.

    Attributes:
        places: (n, 2) float32 in [-1, 1], where each clip lies.
        projection: How the places were found, ``pca`` or ``umap``.
        neighbours: (n, k) int64, the numbers of the nearest clips, the nearest first; -1 where there are no more.
        similarities: (n, k) float32, the cosines of the neighbours.
    """

    places: np.ndarray
    projection: str
    neighbours: np.ndarray
    similarities: np.ndarray


def page_contents(
    title: str,
    description: Description,
    means: FileMeans,
    clip_map: ClipMap,
    survey: Survey,
    tags: TagSource | None,
    embed: bool,
    folder: Path,
    audio: str | os.PathLike[str] | None,
    order: str,
    recorded: Moments,
    n_all: int,
    channel: int | str,
) -> dict[str, Any]:
    """Everything but spectrograms and sounds, after the survey.

    Args:
        title: What the page calls the dataset.
        description: What made the embeddings.
        means: The clips, with their embeddings.
        clip_map: Where they lie on the map.
        survey: What was found in the audio files.
        tags: Who said what is heard; None if nobody was asked.
        embed: Whether previews of the sounds are in the page.
        folder: The dataset's, by which labels are kept in a browser.
        audio: The folder that relative file names are relative to; None for the current one.
        order: ``name``, or ``uncertain`` for the least certain first.
        recorded: When and where the clips were recorded.
        n_all: How many clips there are, of which these may be a part.
        channel: What of the files' channels was embedded: "mean" of all, or the number of one.
    """
    root = common_folder(means.files)
    folders = [below(root, file) for file in means.files]
    known = {folder: i for i, folder in enumerate(sorted(set(folders)))}
    classes, used = _only_used(survey.classes)
    return {
        "title": title,
        "n_all": n_all,
        "dataset": hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16],
        "audio": _beginning(means.files, audio),
        "channel": None if channel == MEAN else channel,
        "configuration": description.configuration,
        "size": description.size,
        "hop_ms": description.hop_ms,
        "version": description.package_version,
        "projection": clip_map.projection,
        "neighbours_kept": neighbours_kept(clip_map.places, clip_map.neighbours),
        "root": root,
        "names": [
            name[len(os.path.dirname(f)) :].lstrip("/") for f, name in zip(means.files, means.names, strict=True)
        ],
        "folders": list(known),
        "folder_of": _table([known[folder] for folder in folders], "<u4"),
        "files": means.files,
        "spans": means.spans if any(means.spans) else None,
        "links": survey.links,
        "embedded_seconds": spectrograms.SECONDS if embed else None,
        "rows": _table(means.rows, "<u4"),
        "seconds": _table(means.seconds, "<f4"),
        "sample_rates": _table(means.sample_rates, "<u4"),
        "places": _table(clip_map.places, "<f4"),
        "n_neighbours": clip_map.neighbours.shape[1],
        "neighbours": _table(clip_map.neighbours, "<i4"),
        "similarities": _table(clip_map.similarities, "<f4"),
        "recorded": None if recorded.seconds is None else _table(recorded.seconds, "<f8"),
        "sites": recorded.sites,
        "site_of": None if recorded.site_of is None else _table(recorded.site_of, "<i4"),
        "tagged_by": None if tags is None else tags.name,
        "labels": [] if tags is None else [tags.labels[i] for i in used],
        "n_tags": TOP,
        "tags": _table(classes, "<i4"),
        "distinctive": _table(distinctive(classes, survey.probabilities), "<i4"),
        "probabilities": _table(survey.probabilities, "<f4"),
        "uncertainties": _table(survey.uncertainties, "<f4"),
        # NaN, where nothing is known, come last.
        "order": _table(np.argsort(-survey.uncertainties, kind="stable"), "<u4") if order == "uncertain" else None,
        "spectrograms": {
            "bands": spectrograms.BANDS,
            "frames": spectrograms.FRAMES,
            "levels": spectrograms.LEVELS,
            "per_block": spectrograms.PER_BLOCK,
            "seconds": spectrograms.SECONDS,
            "highest_hz": spectrograms.highest_hz(),
            "marks_hz": [[text, round(spectrograms.height_of(hz), 4)] for text, hz in _MARKS],
        },
        "unseen": survey.unseen,
        "notes": survey.notes,
        "failed": means.failed[:_FAILED_SHOWN],
        "n_failed": len(means.failed),
    }


def _beginning(files: Sequence[str], audio: str | os.PathLike[str] | None) -> str | None:
    """The folder in which relative names of files begin, for a shell; None if there are none."""
    if all(os.path.isabs(file) for file in files):
        return None
    return shlex.quote(os.path.abspath(os.curdir if audio is None else audio))


def _only_used(classes: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Classes renumbered without those that no clip has, and the old numbers of the new ones."""
    used = np.unique(classes[classes >= 0])
    return np.where(classes >= 0, np.searchsorted(used, classes), -1), used.tolist()


def _table(values: Any, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(dtype)).tobytes()).decode("ascii")
