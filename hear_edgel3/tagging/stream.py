"""What is heard in audio that arrives block by block."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.extractor.streaming import AudioStream
from hear_edgel3.extractor.window_net import WindowNet
from hear_edgel3.framing.rules import CoveringFraming
from hear_edgel3.registry.labels import Label
from hear_edgel3.tagging.outputs import AUDIOSET, Outputs, outputs_together
from hear_edgel3.tagging.reading import in_common_scale
from hear_edgel3.tagging.tags import WindowTags, mean_logits


class TagStream(AudioStream[WindowTags]):
    """The tags of a stream's windows; :meth:`hear_edgel3.Tagger.stream` makes one.

    Together they are those that :meth:`hear_edgel3.Tagger.tag_samples` gives for the whole, with the same windows.

    Args:
        nets: What gives logits; all of one rate. Those of several are averaged.
        labels: The nets' classes.
        sample_rate: The rate in Hz of the blocks; None for what the first net is fed.
        framing: Where the windows lie.
        channel: What of the channels: "mean" of all, or the number of one, from 0.
        outputs: How the logits of each net are read; None for those of nets for AudioSet.

    Raises:
        InvalidOption: The rate or the channel cannot be used.
    """

    def __init__(
        self,
        nets: Sequence[WindowNet],
        labels: tuple[Label, ...],
        sample_rate: int | None,
        framing: CoveringFraming,
        channel: int | str = MEAN,
        outputs: Sequence[Outputs] | None = None,
    ) -> None:
        super().__init__(nets[0], sample_rate, framing, channel)
        self._nets = nets
        self._labels = labels
        self._outputs = [AUDIOSET] * len(nets) if outputs is None else list(outputs)
        self._together = outputs_together(self._outputs)

    @property
    def _centre(self) -> Fraction:
        return Fraction(self._framing.window, 2)

    def _timestamp_ms(self, k: int) -> Fraction:
        return 1000 * (self._framing.start(k) + self._centre) / self._net_rate

    def _look_into(self, k: int, windows: torch.Tensor) -> list[WindowTags]:
        answers = [net.embed_windows(windows).numpy() for net in self._nets]
        logits = mean_logits(in_common_scale(answers, self._outputs))
        return [self._window_tags(k + i, row) for i, row in enumerate(logits)]

    def _window_tags(self, k: int, logits: np.ndarray) -> WindowTags:
        start = Fraction(1000 * self._framing.start(k), self._net_rate)
        end = start + Fraction(1000 * self._framing.window, self._net_rate)
        return WindowTags(float(start), float(end), self._labels, logits, self._together)
