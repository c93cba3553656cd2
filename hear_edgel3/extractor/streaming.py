"""Audio that arrives block by block, from a microphone for example, and what is known of it at each moment.

Nothing waits for a block or a batch to be full: a window is embedded as soon as its last sample, and those that the
resampler's filter reads beyond it, have come. What a stream holds does not grow with its length, and its positions are
whole numbers, so that a stream of days neither fills the memory nor drifts.

If a net fails (for want of memory, say), the error comes out of ``feed`` or ``finish``, and nothing is lost: the block
has been taken, and what it gives comes with the next call, for which the net is asked again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from hear_edgel3.audio.channels import MEAN, Mixer
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import each_of, mono_block, pieces
from hear_edgel3.errors import StreamFinished
from hear_edgel3.extractor.window_net import WindowNet
from hear_edgel3.framing.rules import CentredFraming, Framing

_Found = TypeVar("_Found")


class Moment(NamedTuple):
    """An embedding and its time.

    Attributes:
        timestamp_ms: The middle of its window in milliseconds from the beginning of the stream.
        embedding: The embedding, (D,) float32 on the CPU.
    """

    timestamp_ms: float
    embedding: torch.Tensor


class AudioStream(ABC, Generic[_Found]):
    """What all streams have in common: blocks in, things found in their windows out.

    Audio stays on the CPU until its window runs through the net. A stream is for one thread at a time.

    Args:
        net: What the windows are cut for.
        sample_rate: The rate in Hz of the blocks; None for the net's default.
        framing: Where the windows lie, at the net's rate.
        channel: What of the channels: "mean" of all, or the number of one, from 0.

    Attributes:
        sample_rate: The rate in Hz of the blocks.

    Raises:
        InvalidOption: The rate or the channel cannot be used.
    """

    def __init__(self, net: WindowNet, sample_rate: int | None, framing: Framing, channel: int | str = MEAN) -> None:
        self._mixer = Mixer("audio", channel)
        self.sample_rate = check_rate(net.sample_rate if sample_rate is None else sample_rate)
        self._net = net
        self._net_rate = net.net_sample_rate
        self._framing = framing
        self._path = net.window_path(framing, self.sample_rate, device=torch.device("cpu"))
        # What has been fed and found, and has not yet gone on its way; both are empty unless a net has failed.
        self._untaken: deque[torch.Tensor] = deque()
        self._found: list[_Found] = []
        self._finished = False

    @property
    def fed(self) -> int:
        """How many samples have been fed."""
        return self._path.fed + sum(len(piece) for piece in self._untaken)

    @property
    def latency_ms(self) -> float:
        """How much audio after a timestamp must have been fed before its result comes, in milliseconds.

        No timestamp needs more, unless the stream ends; some may need less, by up to a sample of the stream and one of
        the net. What the computation takes comes on top.
        """
        last = (self._framing.window - 1 - self._centre) / self._net_rate
        usual = last + self._path.lookahead / self.sample_rate
        # The reflection before the first timestamp takes in one sample more.
        first = Fraction(self.needed(0), self.sample_rate) - self._timestamp_ms(0) / 1000
        return float(1000 * max(first, usual))

    def needed(self, k: int) -> int:
        """Samples that must have been fed before the result of window ``k`` comes, unless the stream ends."""
        return self._path.needed(k)

    def feed(self, block: Any) -> list[_Found]:
        """Takes the next block.

        If the net raises an error, the block has been taken all the same: do not feed it again. What it gives, and
        what was found before the net failed, comes with the next call of this method or of :meth:`finish`; an empty
        block will do to try again.

        Args:
            block: (n,) or (n, channels), of any length, floats in [-1, 1] or integers at their full scale. Of
                channels their mean is taken, or the one that the stream was made for.

        Returns:
            What has been found in the windows that are complete now, in order of time.

        Raises:
            InvalidAudio: wrong shape or type, or not finite; the block is refused, and the stream can go on without it.
            StreamFinished: the stream has ended.
        """
        self._accept(block)
        return self._all_found()

    def finish(self) -> list[_Found]:
        """Ends the stream.

        If the net raises an error, call it again for the rest.

        Returns:
            What has been found in the windows that reach beyond the end; nothing if no sample has been fed.

        Raises:
            InvalidAudio: there were samples, but too few for the net.
            StreamFinished: the stream has ended before.
        """
        self._finish()
        return self._all_found()

    def follow(self, blocks: Iterable[Any]) -> Iterator[_Found]:
        """Feeds all blocks, finishes, and yields what is found as soon as it is.

        Raises:
            As :meth:`feed` and :meth:`finish`.
        """
        for block in each_of(blocks, "blocks"):
            self._accept(block)
            yield from self._found_now()
        self._finish()
        yield from self._found_now()

    def warm_up(self) -> None:
        """Runs a window of silence, so that the first one is not later than the rest: engines compile at first use."""
        self._look_into(0, torch.zeros(1, self._framing.window, dtype=torch.float32, device="cpu"))

    def _accept(self, block: Any) -> None:
        if self._finished:
            raise self._ended_before()
        samples = mono_block(block, self.fed, self._mixer).cpu()
        self._mixer.warn_of_scale()
        if len(samples) > 0:
            self._untaken.extend(pieces(samples))

    def _finish(self) -> None:
        if self._finished and not self._is_left():
            raise self._ended_before()
        if not self._finished:
            self._mixer.finish()
        self._finished = True

    @staticmethod
    def _ended_before() -> StreamFinished:
        return StreamFinished("the stream has been finished; make a new one for more audio")

    def _is_left(self) -> bool:
        """Whether there is something to find that has been fed, or to hand out that has been found."""
        unended = self.fed > 0 and not self._path.ended
        return bool(self._found) or unended or self._path.next_group() is not None

    def _all_found(self) -> list[_Found]:
        try:
            while self._go_on():
                pass
        finally:
            self._keep_untaken()
        found, self._found = self._found, []
        return found

    def _found_now(self) -> Iterator[_Found]:
        try:
            more = True
            while more:
                more = self._go_on()
                found, self._found = self._found, []
                yield from found
        finally:
            self._keep_untaken()

    def _go_on(self) -> bool:
        """Does the next thing that can be done without more audio.

        Returns:
            Whether there was one.
        """
        windows = self._path.next_group()
        if windows is not None:
            self._found += self._look_into(self._path.done, windows)
            self._path.advance(len(windows))
        elif self._untaken:
            self._path.push(self._untaken.popleft())
        elif self._finished and self.fed > 0 and not self._path.flushed:
            self._path.flush()
        elif self._finished and self.fed > 0 and not self._path.ended:
            self._path.end()
        else:
            return False
        return True

    def _keep_untaken(self) -> None:
        # The caller may use the memory of a block again as soon as it has been fed.
        self._untaken = deque(piece.clone() for piece in self._untaken)

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

    Together they are those that :meth:`hear_edgel3.Extractor.timestamp_embeddings` gives for the whole, with timestamps
    in float64.

    Args:
        net: What embeds. Moving it to another device in between is fine.
        sample_rate: The rate in Hz of the blocks; None for the net's default.
        framing: Where the windows lie.
        channel: What of the channels: "mean" of all, or the number of one, from 0.

    Raises:
        InvalidOption: The rate or the channel cannot be used.
    """

    def __init__(
        self, net: WindowNet, sample_rate: int | None, framing: CentredFraming, channel: int | str = MEAN
    ) -> None:
        super().__init__(net, sample_rate, framing, channel)
        self._hop_ms = Fraction(framing.hop_ms)

    @property
    def _centre(self) -> Fraction:
        # Starts are rounded: where a hop is n and a fraction of b parts, by (b // 2) / b at most.
        parts = (self._hop_ms * self._net_rate / 1000).denominator
        return self._framing.window // 2 - Fraction(parts // 2, parts)

    def _timestamp_ms(self, k: int) -> Fraction:
        return k * self._hop_ms

    def _look_into(self, k: int, windows: torch.Tensor) -> list[Moment]:
        rows = self._net.embed_windows(windows)
        return [Moment(float(self._timestamp_ms(k + i)), row) for i, row in enumerate(rows)]
