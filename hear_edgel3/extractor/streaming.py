"""Audio that arrives block by block, from a microphone for example, and what is known of it at each moment.

Nothing waits for a block or a batch to be full: a window is embedded as soon as its last sample, and those that the
resampler's filter reads beyond it, have come. What a stream holds does not grow with its length, and its positions are
whole numbers, so that a stream of days neither fills the memory nor drifts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch

from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.resample import StreamResampler
from hear_edgel3.audio.samples import mono_block, pieces
from hear_edgel3.errors import StreamFinished
from hear_edgel3.framing.cutting import WindowCutter, in_groups
from hear_edgel3.framing.rules import Framing, samples_needed

if TYPE_CHECKING:
    from hear_edgel3.extractor.extractor import Extractor

_Found = TypeVar("_Found")


class Moment(NamedTuple):
    """An embedding and its time.

    Attributes:
        timestamp_ms: the middle of its window in milliseconds from the beginning of the stream.
        embedding: (D,) float32 on the CPU.
    """

    timestamp_ms: float
    embedding: torch.Tensor


class AudioStream(ABC, Generic[_Found]):
    """What all streams have in common: blocks in, things found in their windows out.

    Audio stays on the CPU until its window runs through the net.

    Attributes:
        sample_rate: rate in Hz of the blocks.
        fed: samples fed so far.
    """

    def __init__(self, extractor: Extractor, sample_rate: int | None, framing: Framing) -> None:
        self.sample_rate = check_rate(extractor.sample_rate if sample_rate is None else sample_rate)
        self.fed = 0
        self._extractor = extractor
        self._framing = framing
        self._net_rate = extractor.net_sample_rate
        self._resampler: StreamResampler | None = None
        if self.sample_rate != self._net_rate:
            self._resampler = StreamResampler(self.sample_rate, self._net_rate)
        self._cutter = WindowCutter(framing)
        self._finished = False

    @property
    def latency_ms(self) -> float:
        """How much audio after a timestamp must have been fed before its result comes, in milliseconds.

        No timestamp needs more, unless the stream ends; some may need less, by up to a sample of the stream and one of
        the net. What the computation takes comes on top.
        """
        last = (self._framing.window - 1 - self._centre) / self._net_rate
        if self._resampler is None:
            ahead = Fraction(1)
        else:  # what the filter reads after that sample, whose position is rounded up to one of the stream's
            parts = Fraction(self._net_rate, self.sample_rate).numerator
            ahead = self._resampler.lookahead + Fraction(parts - 1, parts)
        usual = last + ahead / self.sample_rate
        # The reflection before the first timestamp takes in one sample more.
        first = Fraction(self.needed(0), self.sample_rate) - self._timestamp_ms(0) / 1000
        return float(1000 * max(first, usual))

    def needed(self, k: int) -> int:
        """Samples that must have been fed before the result of window ``k`` comes, unless the stream ends."""
        at_net_rate = samples_needed(self._framing, k)
        return at_net_rate if self._resampler is None else self._resampler.needed(at_net_rate)

    def feed(self, block: Any) -> list[_Found]:
        """Takes the next block.

        Args:
            block: (n,) or (n, channels), of any length, floats in [-1, 1] or integers at their full scale. Channels are
                averaged.

        Returns:
            What has been found in the windows that are complete now, in order of time.

        Raises:
            InvalidAudio: wrong shape or type, or not finite; the block is refused, and the stream can go on without it.
            StreamFinished: the stream has ended.
        """
        return list(self._feed(block))

    def finish(self) -> list[_Found]:
        """Ends the stream.

        Returns:
            What has been found in the windows that reach beyond the end; nothing if no sample has been fed.

        Raises:
            InvalidAudio: there were samples, but too few for the net.
            StreamFinished: the stream has ended before.
        """
        return list(self._finish())

    def follow(self, blocks: Iterable[Any]) -> Iterator[_Found]:
        """Feeds all blocks, finishes, and yields what is found as soon as it is.

        Raises:
            As :meth:`feed` and :meth:`finish`.
        """
        for block in blocks:
            yield from self._feed(block)
        yield from self._finish()

    def warm_up(self) -> None:
        """Runs a window of silence, so that the first one is not later than the rest: engines compile at first use."""
        self._look_into(0, torch.zeros(1, self._framing.window))

    def _feed(self, block: Any) -> Iterator[_Found]:
        self._check_open()
        samples = mono_block(block, self.fed).cpu()
        for piece in pieces(samples):
            self.fed += len(piece)
            converted = piece if self._resampler is None else self._resampler.push(piece)
            yield from self._found_in(self._cutter.push(converted.float()))

    def _finish(self) -> Iterator[_Found]:
        self._check_open()
        self._finished = True
        if not self.fed:
            return
        self._extractor.check_length(self.fed, self.sample_rate)
        if self._resampler is not None:
            yield from self._found_in(self._cutter.push(self._resampler.flush().float()))
        count = self._count(self._cutter.received, Fraction(self.fed, self.sample_rate))
        yield from self._found_in(self._cutter.finish(count))

    def _check_open(self) -> None:
        if self._finished:
            raise StreamFinished("the stream has been finished; make a new one for more audio")

    def _found_in(self, windows: Iterator[torch.Tensor]) -> Iterator[_Found]:
        k = self._cutter.done
        for group in in_groups(windows, self._at_once):
            yield from self._look_into(k, group)
            k += len(group)

    @cached_property
    def _at_once(self) -> int:
        return self._extractor.windows_at_once(self._framing.window)  # asked once: it looks at the whole net

    def _count(self, n_samples: int, duration: Fraction) -> int:
        """Windows of the whole stream, which had ``n_samples`` at the net's rate."""
        return self._framing.count(n_samples, duration)

    @property
    @abstractmethod
    def _centre(self) -> Fraction:
        """The least distance in samples at the net's rate from a window's start to its timestamp."""

    @abstractmethod
    def _timestamp_ms(self, k: int) -> Fraction:
        """The time that window ``k`` stands for."""

    @abstractmethod
    def _look_into(self, k: int, windows: torch.Tensor) -> list[_Found]:
        """What is found in (n, window) samples, of which the first is window ``k``."""


class EmbeddingStream(AudioStream[Moment]):
    """The timestamp embeddings of a stream; :meth:`hear_edgel3.Extractor.stream` makes one.

    Together they are those that :meth:`Extractor.timestamp_embeddings` gives for the whole, with timestamps in float64.

    Args:
        extractor: what embeds. Moving it to another device in between is fine.
        sample_rate: rate in Hz of the blocks; None for the extractor's.
        hop_ms: distance between timestamps in milliseconds; None for the extractor's.

    Raises:
        InvalidOption: the rate or the hop cannot be used.
    """

    def __init__(self, extractor: Extractor, sample_rate: int | None = None, hop_ms: float | None = None) -> None:
        framing = extractor.timestamp_framing(hop_ms)
        super().__init__(extractor, sample_rate, framing)
        self._hop_ms = Fraction(framing.hop_ms)

    @property
    def _centre(self) -> Fraction:
        # Starts are rounded: where a hop is n and a fraction of b parts, by (b // 2) / b at most.
        parts = (self._hop_ms * self._net_rate / 1000).denominator
        return self._framing.window // 2 - Fraction(parts // 2, parts)

    def _timestamp_ms(self, k: int) -> Fraction:
        return k * self._hop_ms

    def _look_into(self, k: int, windows: torch.Tensor) -> list[Moment]:
        rows = self._extractor.embed_windows(windows)
        return [Moment(float(self._timestamp_ms(k + i)), row) for i, row in enumerate(rows)]
