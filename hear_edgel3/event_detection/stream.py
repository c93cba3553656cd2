"""Events of audio that arrives block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import torch

from hear_edgel3._checks import check_made
from hear_edgel3.audio.channels import MEAN
from hear_edgel3.event_detection.event import Event
from hear_edgel3.event_detection.finder import EventFinder, Pass
from hear_edgel3.extractor.streaming import AudioStream


class EventStream(AudioStream[Event]):
    """The events of a stream, each as soon as it is over for sure.

    Together they are those that :meth:`EventFinder.find_samples` finds in the whole. An event that goes on for ever is
    told when ``max_length`` cuts it, if there is one.

    Args:
        finder: What finds them.
        sample_rate: The rate in Hz of the blocks; None for what the net is fed.
        channel: What of the channels: "mean" of all, or the number of one, from 0.

    Raises:
        InvalidOption: The rate or the channel cannot be used.
    """

    def __init__(self, finder: EventFinder, sample_rate: int | None = None, channel: int | str = MEAN) -> None:
        check_made(finder, "finder", EventFinder, "an EventFinder")
        super().__init__(finder.net, sample_rate, finder.framing, channel)
        self._finder = finder
        self._pass = Pass(finder, keep=False)
        self._hop = finder.framing.hop

    def finish(self) -> list[Event]:
        """Ends the stream, and with it the events that go on.

        Returns:
            The events that were not over.

        Raises:
            As :meth:`hear_edgel3.extractor.streaming.AudioStream.finish`.
        """
        found = super().finish()
        return [*found, *self._last()]

    def follow(self, blocks: Iterable[Any]) -> Iterator[Event]:
        """Feeds all blocks, finishes, and yields the events as soon as they are over."""
        yield from super().follow(blocks)
        yield from self._last()

    def _last(self) -> list[Event]:
        return self._pass.finish(float(self._path.duration)) if self.fed else []

    def warm_up(self) -> None:
        """Runs a window of silence, so that the first one is not later than the rest."""
        window = self._framing.window
        self._net.embed_windows(torch.zeros(1, window, dtype=torch.float32, device="cpu"))

    @property
    def _centre(self) -> Fraction:
        # An event is told when a slice without it is there, which is the middle of a window.
        return Fraction(self._framing.window, 2) - self._hop * self._pass.delay

    def _timestamp_ms(self, k: int) -> Fraction:
        return 1000 * (self._framing.start(k) + self._centre) / self._net_rate

    def _look_into(self, k: int, windows: torch.Tensor) -> list[Event]:  # noqa: ARG002
        return self._pass.take(windows)
