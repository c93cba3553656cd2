"""From a dataset's folder to a page."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hear_edgel3._checks import (
    check_flags,
    check_path,
    check_paths,
    check_texts,
    check_whole,
    check_word,
    is_whole,
    number_of,
    shown,
)
from hear_edgel3.dataset.channel import channel_of
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import FileMeans, longest_s, read_file_means, read_some_file_means
from hear_edgel3.disk.atomic import check_writable
from hear_edgel3.engine.callers_state import own_state
from hear_edgel3.errors import DatasetError, InvalidOption
from hear_edgel3.explore.contents import ClipMap, page_contents
from hear_edgel3.explore.page import write_page
from hear_edgel3.explore.projection import METHODS, NEIGHBOURS, project, require_umap
from hear_edgel3.explore.recorded import moments
from hear_edgel3.explore.sampling import chosen
from hear_edgel3.explore.sounds import in_place_of
from hear_edgel3.explore.survey import Survey
from hear_edgel3.explore.tags import tag_source
from hear_edgel3.registry.names import BUILT_IN
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.whitening import Whitening

_LISTED = 8  # of each clip's nearest, on the page
ORDERS = ("name", "uncertain")
_LONG_S, _SEGMENT_S = 60.0, 10.0
_SHORTEST_S = 0.001
# Of more clips than this a page shows a part: it stays fluid, and can be made of a million windows.
SAMPLE = 20_000


@dataclass(frozen=True)
class PageSummary:
    """What became of a page.

    Attributes:
        n_clips: How many clips are on the map.
        projection: How they were laid out, ``pca`` or ``umap``.
        n_failed: How many files of the dataset have no embedding.
        notes: What is missing of a clip, by its name: the sound, the spectrogram, or the tags.
        n_all: How many clips there are, of which those on the map are a part if there are more than asked for.
    """

    n_clips: int
    projection: str
    n_failed: int
    notes: dict[str, str]
    n_all: int


@own_state()
def explore(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    title: str | None = None,
    projection: str = "auto",
    seed: int = 0,
    tags: bool = True,
    tagger: str | None = None,
    audio: str | os.PathLike[str] | None = None,
    embed_audio: bool = False,
    segments: float | None = None,
    order: str = "name",
    sample: int | None = SAMPLE,
    quiet: bool = True,
) -> PageSummary:
    """Makes a page of a dataset of embeddings: a map of its clips to look at and to listen to.

    Args:
        folder: The folder of the dataset.
        output: The page to write; one that exists is replaced.
        title: What the page calls the dataset; None for the folder's name.
        projection: ``pca``, ``umap`` or ``auto``, see :func:`~hear_edgel3.explore.projection.project`.
        seed: The seed of the projection.
        tags: Whether to say what is heard in each clip.
        tagger: The configuration that says it; None for the built-in one, or, where the embeddings are the logits of a
            net, for that net.
        audio: The folder that relative file names are relative to; None for the current one.
        embed_audio: Whether to put a preview of each clip into the page, instead of a link to its file.
        segments: Seconds, of a dataset of timestamps: each such stretch of a recording is a clip of its own. None for
            10 where a recording is longer than a minute, and else, or with 0, for whole recordings.
        order: In which the page goes through its clips: by ``name``, or ``uncertain`` for those first of which the
            tagger is least certain (:func:`~hear_edgel3.explore.tags.uncertainty`).
        sample: The most clips, or segments, that the page shows: of more it has a part, always the same one, from all
            recordings (:func:`~hear_edgel3.explore.sampling.chosen`). None for all.
        quiet: Whether to show no progress.

    Returns:
        What became of it. A clip whose audio cannot be read stays on the map, with a note.

    Raises:
        DatasetError: the folder is no dataset, or has no embeddings.
        InvalidOption: no such projection, order or sample, an order that needs tags without them, the tagger cannot
            tag, or segments of a dataset that has no timestamps.
        MissingExtra: pyarrow, or umap-learn if it was asked for, is not installed.
        OutputError: the page cannot be written; no part of it is left.
        ComputationError: UMAP failed.
        UnknownConfiguration, WeightsNotFound, ...: of the tagger, see :class:`~hear_edgel3.tagging.tagger.Tagger`.
    """
    check_word(order, "order", ORDERS)
    check_word(projection, "projection", METHODS)
    check_flags(tags=tags, embed_audio=embed_audio)
    check_texts(title=title)
    check_paths(tagger=tagger, audio=audio)
    check_path(output, "output")
    check_whole(seed, "seed", 0)
    if order == "uncertain" and not tags:
        raise InvalidOption("the order 'uncertain' is of how certain a tagger is: leave --no-tags (tags=False) out")
    if sample is not None and not is_whole(sample, 1):
        raise InvalidOption(f"sample must be a number of clips, at least 1, or None for all; got {shown(sample)}")
    page = Path(output)
    check_writable(page)
    if projection == "umap":
        require_umap()
    dataset = Dataset(folder)
    check_writable(page, [*dataset.parts, *in_place_of(page, dataset, audio)])
    channel = channel_of(dataset.folder)
    source = tag_source(tagger, dataset.description, BUILT_IN, channel) if tags else None
    means, n_all = _means(dataset, segments, sample)
    if not means.files:
        raise DatasetError(
            f"{dataset.folder} has no embeddings to show: {len(means.failed)} files failed"
            + (f", the first with: {means.failed[0][1]}" if means.failed else "")
        )
    whitened = Whitening.fit([means.vectors], dataset.description.size, len(means.files)).apply(means.vectors)
    neighbours = nearest(whitened, NEIGHBOURS)
    places, method = project(means.vectors, projection, seed, whitened, neighbours)
    clip_map = ClipMap(places, method, *(table[:, :_LISTED] for table in neighbours))
    name = title or dataset.folder.resolve().name or "embeddings"
    name = name.encode("utf-8", "backslashreplace").decode()  # names of folders may be no text
    recorded = moments(dataset, means.files, means.spans)
    survey = Survey(means, page, audio, source, embed_audio, quiet, channel)
    write_page(
        page,
        name,
        survey.blocks(),
        lambda: page_contents(
            name,
            dataset.description,
            means,
            clip_map,
            survey,
            source,
            embed_audio,
            dataset.folder,
            audio,
            order,
            recorded,
            n_all,
            channel,
        ),
    )
    names = means.names
    notes = {names[i]: note for i, note in survey.notes.items()}
    return PageSummary(len(means.files), method, len(means.failed), notes, n_all)


def _means(dataset: Dataset, segments: float | None, most: int | None) -> tuple[FileMeans, int]:
    """The clips, at most so many, and how many there are of all."""
    asked = 0.0 if segments is None else number_of(segments)
    if asked != 0 and not _SHORTEST_S <= asked < math.inf:
        raise InvalidOption(f"segments must be seconds, at least {_SHORTEST_S}, or 0 for none; got {shown(segments)}")
    if segments and dataset.description.hop_ms is None:
        raise InvalidOption(
            f"{dataset.folder} has one embedding per file and no timestamps, so that there are no segments: leave them "
            f"out, or extract with timestamps"
        )
    if segments is None and dataset.description.hop_ms is not None and longest_s(dataset) > _LONG_S:
        segments = _SEGMENT_S
    if most is not None and len(dataset) > most:
        return read_some_file_means(dataset, partial(chosen, most=most), segments or None)
    means = read_file_means(dataset, segments or None)
    return means, len(means.files)
