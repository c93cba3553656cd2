"""What is heard in clips: a few classes each, by index into a list of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.file_means import Span
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.registry.labels import labels
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags

TOP = 5


@dataclass(frozen=True)
class TopTags:
    """The most probable classes of one clip, the most probable first.

    Attributes:
        classes: (TOP,) indices into the labels.
        probabilities: (TOP,) from 0 to 1.
    """

    classes: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class TagSource:
    """Who says what is heard.

    Attributes:
        name: The name of the configuration.
        labels: The names of its classes.
        listens: Whether the clip's file is read for it.
        of_clip: Makes tags of a clip's file, where it is in there (None: all of it), and its embedding. It raises what
            :meth:`Tagger.tag_file` raises.
    """

    name: str
    labels: list[str]
    listens: bool
    of_clip: Callable[[Path, Span | None, np.ndarray], TopTags]


def tag_source(configuration: str | None, description: Description, built_in: str) -> TagSource:
    """A net that tags; or the embeddings themselves, where they are the logits of one and no other is asked for.

    Args:
        configuration: The name of the net's configuration, or None.
        description: What made the embeddings.
        built_in: The net to take when there are neither a name nor logits.

    Raises:
        As :class:`Tagger`.
    """
    own = _labels_of_logits(description) if configuration is None else None
    if own is not None:
        return TagSource(description.configuration, own, False, lambda _path, _span, embedding: _top(embedding))
    tagger = Tagger(built_in if configuration is None else configuration)
    return TagSource(
        tagger.configurations[0],
        [label.name for label in tagger.labels],
        True,
        lambda path, span, _: _top(_tags_of(tagger, path, span).logits[0]),
    )


def _tags_of(tagger: Tagger, path: Path, span: Span | None) -> ClipTags:
    if span is None:
        return tagger.tag_file(path)
    with AudioFile(path, start=span[0], end=span[1]) as file:
        return tagger.tag_opened(file)


def _labels_of_logits(description: Description) -> list[str] | None:
    try:
        made_by = resolve(description.configuration)
    except HearEdgeL3Error:  # of a folder that is not here
        return None
    if made_by.features.names != ("logits",) or made_by.checkpoint.labels is None:
        return None
    if description.size != made_by.embedding_size:  # of a net that was trained further, on other classes
        return None
    return [label.name for label in labels(made_by.checkpoint.labels)]


def _top(logits: np.ndarray) -> TopTags:
    order = np.argsort(-logits, kind="stable")[:TOP]
    return TopTags(order, 1 / (1 + np.exp(-logits[order].astype(np.float64))))
