"""What a tagger says of a clip or a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.labels import Label


@dataclass(frozen=True)
class Tag:
    """A class and how probable it is that it is heard.

    Attributes:
        label: its name.
        mid: its machine identifier.
        probability: from 0 to 1; those of different classes do not add up to 1.
    """

    label: str
    mid: str
    probability: float


@dataclass(frozen=True)
class ClipTags:
    """What is heard in one clip, over time.

    Attributes:
        configurations: the checkpoints that were asked, several for an ensemble.
        labels: the classes.
        starts: (n,) float64, where each window starts in seconds.
        ends: (n,) float64, where it ends; the last may end behind the clip, where it saw zeros.
        logits: (n, n_classes) float32, the mean over the ensemble.
        duration: of the clip in seconds.
    """

    configurations: tuple[str, ...]
    labels: tuple[Label, ...]
    starts: np.ndarray
    ends: np.ndarray
    logits: np.ndarray
    duration: float

    @property
    def probabilities(self) -> np.ndarray:
        """(n, n_classes) float32 from 0 to 1."""
        probabilities: np.ndarray = torch.sigmoid(torch.from_numpy(self.logits)).numpy()
        return probabilities

    def top(self, n: int = 10, window: int = 0) -> list[Tag]:
        """The most probable classes of a window, the most probable first.

        Args:
            n: how many, from 0.
            window: which.

        Raises:
            InvalidOption: ``n`` is no such number.
        """
        return most_probable(self.logits[window], self.labels, n)


def most_probable(logits: np.ndarray, labels: Sequence[Label], n: int) -> list[Tag]:
    """The ``n`` most probable classes, the most probable first; equal ones in the order of the classes.

    Args:
        logits: (n_classes,) float32.
        labels: the classes.
        n: how many, from 0.

    Raises:
        InvalidOption: ``n`` is no such number.
    """
    if not _is_whole(n):
        raise InvalidOption(f"n, how many classes, must be a whole number from 0, got {n!r}")
    probabilities = torch.sigmoid(torch.from_numpy(logits)).tolist()
    order = np.argsort(-logits, kind="stable")[:n]
    return [Tag(labels[i].name, labels[i].mid, probabilities[i]) for i in order]


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 0


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
        logits: (n_classes,) float32, the mean over the ensemble.
    """

    start_ms: float
    end_ms: float
    labels: tuple[Label, ...]
    logits: np.ndarray

    @property
    def timestamp_ms(self) -> float:
        """The middle of the window in milliseconds."""
        return (self.start_ms + self.end_ms) / 2

    @property
    def probabilities(self) -> np.ndarray:
        """(n_classes,) float32 from 0 to 1."""
        probabilities: np.ndarray = torch.sigmoid(torch.from_numpy(self.logits)).numpy()
        return probabilities

    def top(self, n: int = 10) -> list[Tag]:
        """The ``n`` most probable classes, the most probable first."""
        return most_probable(self.logits, self.labels, n)
