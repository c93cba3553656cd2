"""What is heard in audio that arrives block by block."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch

from hear_edgel3.extractor.streaming import AudioStream
from hear_edgel3.framing.rules import EdgeL3Framing
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import WindowTags, mean_logits


class TagStream(AudioStream[WindowTags]):
    """The tags of a stream's windows; :meth:`hear_edgel3.Tagger.stream` makes one.

    Together they are those that :meth:`hear_edgel3.Tagger.tag_samples` gives for the whole, with the same windows.

    Args:
        tagger: what tags.
        sample_rate: rate in Hz of the blocks; None for what the first net is fed.
        framing: where the windows lie.

    Raises:
        InvalidOption: the rate cannot be used.
    """

    def __init__(self, tagger: Tagger, sample_rate: int | None, framing: EdgeL3Framing) -> None:
        super().__init__(tagger.extractors[0], sample_rate, framing)
        self._tagger = tagger
        self._hop = framing.hop

    def _count(self, n_samples: int, duration: Fraction) -> int:
        # With gaps between windows, the last one may lie behind the stream altogether: it says nothing.
        starting = math.ceil(duration * self._net_rate / self._hop)
        return min(self._framing.count(n_samples, duration), max(1, starting))

    @property
    def _centre(self) -> Fraction:
        return Fraction(self._framing.window, 2)

    def _timestamp_ms(self, k: int) -> Fraction:
        return 1000 * (self._framing.start(k) + self._centre) / self._net_rate

    def _look_into(self, k: int, windows: torch.Tensor) -> list[WindowTags]:
        logits = mean_logits([e.embed_windows(windows).numpy() for e in self._tagger.extractors])
        return [self._window_tags(k + i, row) for i, row in enumerate(logits)]

    def _window_tags(self, k: int, logits: np.ndarray) -> WindowTags:
        start = Fraction(1000 * self._framing.start(k), self._net_rate)
        end = start + Fraction(1000 * self._framing.window, self._net_rate)
        return WindowTags(float(start), float(end), self._tagger.labels, logits)
