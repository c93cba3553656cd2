"""Heads that `hear-edgel3 train` makes on a net, on the same tasks and folds as the probe."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import hear_edgel3
from hear_edgel3.detectors.base import with_head_words
from hear_edgel3.detectors.options import make_options
from hear_edgel3.labels import Labelled
from hear_edgel3.labels.labelled import Kind
from hear_edgel3.sources.item import Item
from tests.benchmarks.quality.clips import Clips
from tests.benchmarks.quality.nets import load, weights_file

HEADS = ("linear", "mlp")
_BEHIND = "+"


class Trained:
    """A net with heads that are trained on all folds of a task but one, and tested on that.

    Args:
        name: "NAME+HEAD": a configuration's name, or a folder that holds one, and "linear" or "mlp".
        weights: As for :func:`tests.benchmarks.quality.nets.load`.
    """

    def __init__(self, name: str, weights: Path | None) -> None:
        self._config, _, self._head = name.rpartition(_BEHIND)
        self._weights = weights_file(self._config, weights)
        # Of the features that the head gets.
        net = load(os.fspath(with_head_words(self._config, make_options({"head": self._head}))), weights)
        self.name = f"{net.name}, {self._head} head of train"
        self.parameters, self.macs, self.size = net.parameters, net.macs, net.embedding_size

    def guess(self, clips: Clips) -> np.ndarray:
        """(n,) classes, each by what learnt from the other folds."""
        classes = sorted(set(clips.labels.tolist()))
        with tempfile.TemporaryDirectory() as folder:
            items = []
            for name, samples in zip(clips.names, clips.samples, strict=True):
                path = Path(folder) / f"{name}.wav"
                soundfile.write(path, samples, len(samples), "FLOAT")  # a second, at its own rate
                items.append(Item(str(path), path.stat().st_size))
            labelled = Labelled(
                name="clips",
                kind=Kind.SINGLE,
                classes=tuple(classes),
                items=tuple(items),
                targets=np.array([classes.index(label) for label in clips.labels]),
                folds=tuple(map(str, clips.folds)),
                groups=tuple(map(str, clips.groups)),
            )
            found = hear_edgel3.evaluate(
                labelled,
                self._config,
                weights=self._weights,
                cache=Path(folder) / "cache",
                on_leak="say",
                workers=1,
                head=self._head,
            )
        return np.array(["" if guess is None else guess for guess in found.guessed])


def is_trained(name: str) -> bool:
    """Whether a name is that of a net with a head of `train`."""
    return name.rpartition(_BEHIND)[2] in HEADS and _BEHIND in name
