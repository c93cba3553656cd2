"""What is heard in clips: a few classes each, by index into a list of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.file_means import Span
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption
from hear_edgel3.registry.labels import labels
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.outputs import AUDIOSET, Outputs
from hear_edgel3.tagging.reading import are_above, order
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags

TOP = 5


@dataclass(frozen=True)
class TopTags:
    """The most probable classes of one clip, the most probable first.

    Attributes:
        classes: (TOP,) indices into the labels; -1 where there are no more, or none that reaches its threshold.
        probabilities: (TOP,) from 0 to 1.
        uncertainty: How uncertain the net is, from 0 to 1; see :func:`uncertainty`.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    uncertainty: float


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


def tag_source(
    configuration: str | None, description: Description, built_in: str, channel: int | str = MEAN
) -> TagSource:
    """A net that tags; or the embeddings themselves, where they are the logits of one and no other is asked for.

    Args:
        configuration: The name of the net's configuration, or None.
        description: What made the embeddings.
        built_in: The net to take when there are neither a name nor logits.
        channel: What of files with several channels it hears: "mean" of all, or the number of one.

    Raises:
        InvalidOption: The net guesses numbers.
        And as :class:`Tagger`.
    """
    own = _labels_of_logits(description) if configuration is None else None
    if own is not None:
        return TagSource(description.configuration, own, False, lambda _path, _span, embedding: _top(embedding))
    tagger = Tagger(built_in if configuration is None else configuration)
    if tagger.outputs.are_numbers:
        raise InvalidOption(
            f"{configuration} guesses numbers, and a page shows classes: give another net that tags, or none"
        )
    return TagSource(
        tagger.configurations[0],
        [label.name for label in tagger.labels],
        True,
        lambda path, span, _: _top_of(_tags_of(tagger, path, span, channel), tagger.outputs),
    )


def uncertainty(probabilities: np.ndarray, outputs: Outputs) -> float:
    """How uncertain a net is of a clip, from 0 to 1.

    Where one class is right: 1 less the margin between the two likeliest. Where several may be: of the class that is
    nearest to its threshold t (0.5 without one), ``p / t`` below it, and ``(1 - p) / (1 - t)`` above.

    Args:
        probabilities: (n_classes,) all of them.
        outputs: How they were read.
    """
    p = probabilities.astype(np.float64)
    if outputs.targets == "single":
        likeliest = np.sort(p)[::-1]
        return float(1 - (likeliest[0] - likeliest[1])) if len(p) > 1 else 0.0
    thresholds = [0.5 if t is None else t for t in outputs.thresholds or [None] * len(p)]
    t = np.clip(thresholds, 1e-6, 1 - 1e-6)
    return float(np.where(p < t, p / t, (1 - p) / (1 - t)).max())


def _tags_of(tagger: Tagger, path: Path, span: Span | None, channel: int | str) -> ClipTags:
    start, end = span or (None, None)
    with AudioFile(path, channel=channel, start=start, end=end) as file:
        return tagger.tag_opened(file)


def _labels_of_logits(description: Description) -> list[str] | None:
    try:
        made_by = resolve(description.configuration)
    except HearEdgeL3Error:  # of a folder that is not here
        return None
    row = made_by.checkpoint
    if made_by.features.names != ("logits",) or row.labels is None:
        return None
    if description.size != made_by.embedding_size:  # of a net that was trained further, on other classes
        return None
    return [label.name for label in labels(row.labels)]


def _top_of(tags: ClipTags, outputs: Outputs) -> TopTags:
    """Those of a clip; where classes have thresholds, those that reach them."""
    found = tags.probabilities[0]
    best = order(outputs, tags.logits[0])
    if outputs.thresholds is not None:
        best = best[are_above(outputs, found[None])[0][best]]
    best = best[:TOP]
    classes, probabilities = np.full(TOP, -1), np.zeros(TOP)
    classes[: len(best)], probabilities[: len(best)] = best, found[best]
    return TopTags(classes, probabilities, uncertainty(found, outputs))


def _top(logits: np.ndarray) -> TopTags:
    order = np.argsort(-logits, kind="stable")[:TOP]
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return TopTags(order, probabilities[order], uncertainty(probabilities, AUDIOSET))
