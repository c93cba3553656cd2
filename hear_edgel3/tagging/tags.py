"""What a tagger says of a clip or a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hear_edgel3._checks import check_whole, is_whole, shown
from hear_edgel3._extras import require
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.labels import Label
from hear_edgel3.tagging.outputs import AUDIOSET, Outputs
from hear_edgel3.tagging.reading import are_above, are_said, order, read

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Tag:
    """A class and how probable it is that it is heard.

    Attributes:
        label: its name.
        mid: its machine identifier.
        probability: from 0 to 1. Those of different classes add up to 1 only where one class is right. Of a net that
            guesses numbers it is the number itself.
        above_threshold: whether it reaches its threshold; None if the net has no thresholds.
    """

    label: str
    mid: str
    probability: float
    above_threshold: bool | None = None


@dataclass(frozen=True)
class ClipTags:
    """What is heard in one clip, over time.

    Attributes:
        configurations: the checkpoints that were asked, several for an ensemble.
        labels: the classes.
        starts: (n,) float64, where each window starts in seconds.
        ends: (n,) float64, where it ends; the last may end behind the clip, where it saw zeros.
        logits: (n, n_classes) float32, the mean over the ensemble; or numbers, where ``outputs`` says so.
        duration: of the clip in seconds.
        outputs: how logits are read.
    """

    configurations: tuple[str, ...]
    labels: tuple[Label, ...]
    starts: np.ndarray
    ends: np.ndarray
    logits: np.ndarray
    duration: float
    outputs: Outputs = AUDIOSET

    @property
    def probabilities(self) -> np.ndarray:
        """(n, n_classes) float32 from 0 to 1; or the numbers."""
        return read(self.outputs, self.logits)

    @property
    def said(self) -> np.ndarray:
        """(n, n_classes) bool: what is said to be heard.

        It is the likeliest class where one is right, and else the classes with 0.5 or more; where a class has a
        threshold, that counts, so that there may be none.
        """
        return are_said(self.outputs, self.probabilities)

    def top(self, n: int = 10, window: int = 0) -> list[Tag]:
        """The most probable classes of a window, the most probable first.

        Args:
            n: how many, from 0.
            window: which.

        Raises:
            InvalidOption: ``n`` is no such number, or there is no such window.
        """
        if not is_whole(window, -len(self.logits)) or window >= len(self.logits):
            raise InvalidOption(
                f"window must be the number of one, from 0 to {len(self.logits) - 1} here, got {shown(window)}"
            )
        return most_probable(self.logits[window], self.labels, n, self.outputs)

    def to_pandas(self) -> pandas.DataFrame:
        """A table of :attr:`probabilities` with a row per window and a column per class.

        The index has two levels, ``start`` and ``end`` of the window in seconds.

        Raises:
            MissingExtra: pandas is not installed.
        """
        pd = require("pandas", "making a table", "pandas")
        index = pd.MultiIndex.from_arrays([self.starts, self.ends], names=["start", "end"])
        return pd.DataFrame(self.probabilities, index=index, columns=[label.name for label in self.labels])


def most_probable(logits: np.ndarray, labels: Sequence[Label], n: int, outputs: Outputs = AUDIOSET) -> list[Tag]:
    """The ``n`` most probable classes, the most probable first; equal ones, and numbers, in the order of the classes.

    Args:
        logits: (n_classes,) float32.
        labels: the classes.
        n: how many, from 0.
        outputs: how logits are read.

    Raises:
        InvalidOption: ``n`` is no such number.
    """
    check_whole(n, "n, how many classes,", 0)
    probabilities = read(outputs, logits[None])
    above = None if outputs.thresholds is None else are_above(outputs, probabilities)[0].tolist()
    found = probabilities[0].tolist()
    return [
        Tag(labels[i].name, labels[i].mid, found[i], None if above is None else above[i])
        for i in order(outputs, logits)[:n]
    ]


def mean_logits(answers: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of (n, n_classes) float32 logits over an ensemble."""
    mean: np.ndarray = np.stack(answers).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


@dataclass(frozen=True)
class WindowTags:
    """What is heard in one window of a stream.

    Attributes:
        start_ms: where the window starts, in milliseconds from the beginning of the stream.
        end_ms: where it ends; the last windows may end behind the stream, where they saw zeros.
        labels: the classes.
        logits: (n_classes,) float32, the mean over the ensemble; or numbers, where ``outputs`` says so.
        outputs: how logits are read.
    """

    start_ms: float
    end_ms: float
    labels: tuple[Label, ...]
    logits: np.ndarray
    outputs: Outputs = AUDIOSET

    @property
    def timestamp_ms(self) -> float:
        """The middle of the window in milliseconds."""
        return (self.start_ms + self.end_ms) / 2

    @property
    def probabilities(self) -> np.ndarray:
        """(n_classes,) float32 from 0 to 1; or the numbers."""
        probabilities: np.ndarray = read(self.outputs, self.logits[None])[0]
        return probabilities

    @property
    def said(self) -> np.ndarray:
        """(n_classes,) bool: what is said to be heard, as in :class:`ClipTags`."""
        said: np.ndarray = are_said(self.outputs, self.probabilities[None])[0]
        return said

    def top(self, n: int = 10) -> list[Tag]:
        """The ``n`` most probable classes, the most probable first."""
        return most_probable(self.logits, self.labels, n, self.outputs)
