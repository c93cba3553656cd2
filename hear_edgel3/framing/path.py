"""The way from samples to windows: what is fed is counted, brought to the net's rate and cut, in this order.

Batches, files, streams, tags, jobs and search all go this way, and only this one. :class:`WindowPath` is the way of one
clip that arrives in blocks, :func:`windows_of_clips` that of a batch at hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch

from hear_edgel3.audio.buffer import StreamBuffer
from hear_edgel3.audio.rates import minimum_samples, resampled_length
from hear_edgel3.audio.resample import StreamResampler, resample
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.framing.cutting import WindowCutter, windows_of_batch
from hear_edgel3.framing.rules import WindowRule, samples_needed

# Longer clips at hand are converted and cut in blocks, so that memory holds no second copy of them.
_LONGEST_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class NetInput:
    """What a net is fed with.

    Attributes:
        name: The configuration's name, for errors.
        sample_rate: The net's rate in Hz.
        takes_nothing: Whether a clip too short for one sample at that rate can be embedded, as silence.
        device: Where samples are converted and cut.
    """

    name: str
    sample_rate: int
    takes_nothing: bool
    device: torch.device

    def check_length(self, n_samples: int, sample_rate: int) -> None:
        """Checks that a clip is long enough.

        Args:
            n_samples: How many samples it has.
            sample_rate: Their rate in Hz.

        Raises:
            InvalidAudio: It is too short to be embedded.
        """
        if not self.takes_nothing and resampled_length(n_samples, sample_rate, self.sample_rate) < 1:
            raise InvalidAudio(
                f"audio of {n_samples} samples at {sample_rate} Hz is too short; {self.name} needs at least "
                f"{minimum_samples(sample_rate, self.sample_rate)}"
            )

    def on_device(self, samples: torch.Tensor) -> torch.Tensor:
        """Brings samples to where they are converted, in a type that exists there: mps has no float64."""
        return (samples.float() if self.device.type == "mps" else samples).to(self.device)


class WindowPath:
    """The way of one clip that arrives in blocks.

    Samples go in by :meth:`push` and :meth:`end`; windows come out by :meth:`next_group`, in groups that run through a
    net at once, and stay until :meth:`advance` says that they have been dealt with: what fails can be tried again. No
    more windows than one group are ever cut, so memory holds little beside what has been pushed and not dealt with.

    Neither a front end nor a net runs here, so that other threads than the net's can do it.

    Args:
        rule: Where the windows lie, at the net's rate.
        sample_rate: The rate in Hz of what is pushed.
        net: What the windows are for.
        group: How many windows of a length run at once; asked when the length is known.

    Attributes:
        sample_rate: The rate in Hz of what is pushed.
        fed: How many samples have been pushed.
        done: How many windows have been dealt with; the next group begins with window ``done``.
        flushed: Whether the resampler has given all that it held back.
        ended: Whether the clip has ended.
    """

    def __init__(self, rule: WindowRule, sample_rate: int, net: NetInput, group: Callable[[int], int]) -> None:
        self.sample_rate = sample_rate
        self.fed = 0
        self.done = 0
        self.ended = False
        self._rule = rule
        self._net = net
        self._group = group
        self._at_once = 0
        self._resampler: StreamResampler | None = None
        if sample_rate != net.sample_rate:
            self._resampler = StreamResampler(sample_rate, net.sample_rate)
        self.flushed = False
        self._buffer = StreamBuffer()
        self._cutter: WindowCutter | None = None  # there is none until the rule has decided
        self._cut: deque[torch.Tensor] = deque()  # some windows each
        self._n_cut = 0

    @property
    def duration(self) -> Fraction:
        """How many seconds have been pushed."""
        return Fraction(self.fed, self.sample_rate)

    @property
    def lookahead(self) -> Fraction:
        """How many samples after a window's last one must have been pushed before it comes, that one included.

        It is the most that any window needs: the window's last sample lies between two that are pushed, and the
        resampler's filter reads beyond it.
        """
        if self._resampler is None:
            return Fraction(1)
        parts = Fraction(self._net.sample_rate, self.sample_rate).numerator
        return self._resampler.lookahead + Fraction(parts - 1, parts)

    @property
    def last_weight(self) -> float:
        """How much the last window counts in a mean over the clip's windows, once it has ended."""
        return weight_of_last(self._rule, self.fed, self.sample_rate, self._net.sample_rate)

    def needed(self, k: int) -> int:
        """How many samples must have been pushed before window ``k`` comes, unless the clip ends.

        Args:
            k: Which window, of a rule that has decided or needs no samples for it.
        """
        framing = self._rule.decide(self._buffer.received, ended=False)
        assert framing is not None
        at_net_rate = samples_needed(framing, k)
        return at_net_rate if self._resampler is None else self._resampler.needed(at_net_rate)

    def push(self, block: torch.Tensor, *, fresh: bool = False) -> None:
        """Takes (n,) more checked samples.

        Args:
            block: The samples.
            fresh: Whether nobody writes to them before their windows are dealt with; else they are copied.
        """
        self.fed += block.shape[0]
        samples = self._net.on_device(block)
        if self._resampler is None:
            self._take(samples, fresh or samples.dtype != torch.float32)
        else:
            self._take(self._resampler.push(samples, fresh=fresh), fresh=True)

    def flush(self) -> None:
        """Lets out the samples that the resampler holds back. No more can be pushed then; :meth:`end` comes next."""
        if not self.flushed:
            self.flushed = True
            if self._resampler is not None:
                self._take(self._resampler.flush(), fresh=True)

    def end(self) -> None:
        """Says that no more samples come, and lets out the windows that reach beyond the end.

        Raises:
            InvalidAudio: The clip is too short for the net.
        """
        self.ended = True
        self._net.check_length(self.fed, self.sample_rate)
        self.flush()
        self._decide()
        assert self._cutter is not None
        self._cutter.end(self.duration)
        self._refill()

    def _take(self, samples: torch.Tensor, fresh: bool) -> None:
        self._buffer.append(samples.float(), fresh=fresh)
        self._decide()
        self._refill()

    def _decide(self) -> None:
        if self._cutter is not None:
            return
        framing = self._rule.decide(self._buffer.received, self.ended)
        if framing is not None:
            self._at_once = self._group(framing.window)
            self._cutter = WindowCutter(framing, self._buffer)

    def _refill(self) -> None:
        """Cuts windows that are complete, up to a group; the samples of the others wait in the buffer."""
        while self._cutter is not None and self._n_cut < self._at_once:
            windows = self._cutter.next(self._at_once - self._n_cut)
            if windows is None:
                break
            self._cut.append(windows)
            self._n_cut += windows.shape[0]

    def next_group(self, full: bool = False) -> torch.Tensor | None:
        """The next windows. Until :meth:`advance` is called, they are given again.

        Args:
            full: Whether to wait for a full group, unless the clip has ended.

        Returns:
            (n, window) float32 on the device of the net's input, or None if there are none for now. They are to be read
            only, as rows may share memory.
        """
        if not self._cut or (full and not self.ended and self._n_cut < self._at_once):
            return None
        return self._cut[0] if len(self._cut) == 1 else torch.cat(list(self._cut))

    def advance(self, n: int) -> None:
        """Goes on behind the next ``n`` windows, which have been dealt with."""
        self.done += n
        self._n_cut -= n
        while n:
            windows = self._cut.popleft()
            if windows.shape[0] > n:
                self._cut.appendleft(windows[n:])
            n -= min(n, windows.shape[0])
        self._refill()

    def groups(self, blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Takes a clip from its first block to its last, and ends it.

        Args:
            blocks: (n,) tensors of checked samples each, which nobody writes to before all is done.

        Yields:
            (n, window) groups, full ones but for the last.

        Raises:
            InvalidAudio: The clip is too short for the net.
        """
        for block in blocks:
            self.push(block, fresh=True)
            yield from self._groups()
        self.end()
        yield from self._groups()

    def _groups(self) -> Iterator[torch.Tensor]:
        while (windows := self.next_group(full=True)) is not None:
            yield windows
            self.advance(len(windows))


def weight_of_last(rule: WindowRule, n_samples: int, sample_rate: int, net_sample_rate: int) -> float:
    """How much the last window of a clip counts in a mean over all of them, of which the others count 1.

    Args:
        rule: Where the windows lie, at the net's rate.
        n_samples: How many samples the clip has.
        sample_rate: Their rate in Hz.
        net_sample_rate: The net's.
    """
    at_net_rate = resampled_length(n_samples, sample_rate, net_sample_rate)
    framing = rule.decide(at_net_rate, ended=True)
    assert framing is not None
    return framing.last_weight(at_net_rate)


def windows_of_clips(
    samples: torch.Tensor, rule: WindowRule, sample_rate: int, net: NetInput, group: Callable[[int], int]
) -> tuple[int, Iterator[torch.Tensor]]:
    """The windows of a batch of clips.

    Args:
        samples: (batch, n) checked samples.
        rule: Where the windows lie, at the net's rate.
        sample_rate: The rate of the samples in Hz.
        net: What the windows are for.
        group: How many windows of a length run at once.

    Returns:
        How many windows a clip has, and the windows of all clips in order, in (n, window) float32 groups on the device
        of the net's input.

    Raises:
        InvalidAudio: The clips are too short for the net.
    """
    n_samples = samples.shape[1]
    net.check_length(n_samples, sample_rate)
    at_net_rate = resampled_length(n_samples, sample_rate, net.sample_rate)
    framing = rule.decide(at_net_rate, ended=True)
    assert framing is not None
    count = framing.count(at_net_rate, Fraction(n_samples, sample_rate))

    def groups() -> Iterator[torch.Tensor]:
        if n_samples > _LONGEST_AT_ONCE:
            block = _LONGEST_AT_ONCE // 8  # small beside the clip, and large enough to cost no more than the whole
            for clip in samples:
                yield from WindowPath(framing, sample_rate, net, group).groups(torch.split(clip, block))
            return
        converted = net.on_device(samples)
        if sample_rate != net.sample_rate:
            # resample() refuses to make clips without samples; here they may become windows of silence.
            converted = resample(converted, sample_rate, net.sample_rate) if at_net_rate > 0 else converted[:, :0]
        yield from windows_of_batch(converted.float(), framing, count, group(framing.window))

    return count, groups()
