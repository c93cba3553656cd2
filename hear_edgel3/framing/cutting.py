"""Cuts clips into the windows that a framing places: clips at hand, or arriving in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import torch

from hear_edgel3.audio.buffer import StreamBuffer
from hear_edgel3.framing.rules import Framing, samples_needed, shortest


def windows_of_batch(audio: torch.Tensor, framing: Framing, count: int, group: int) -> Iterator[torch.Tensor]:
    """Cuts a batch of clips into groups of windows, clip by clip, in order.

    Args:
        audio: (batch, n) samples at the net's rate.
        framing: Where the windows lie.
        count: How many windows a clip has.
        group: How many windows a group has at most.

    Yields:
        (at most ``group``, window) tensors; together batch * count rows. They are to be read only: they may be views of
        the clips, and rows of one may share memory.
    """
    audio = _lengthened(audio, shortest(framing))
    total = audio.shape[1]
    if not len(audio) or not count:
        return
    starts = [framing.start(k) for k in range(count)]
    if count == 1 and starts[0] >= 0 and starts[0] + framing.window <= total:  # a window of each clip, and no padding
        for first in range(0, len(audio), group):
            yield audio[first : first + group, starts[0] : starts[0] + framing.window]
        return
    for first in range(0, len(audio) * count, group):
        end = min(first + group, len(audio) * count)
        parts = [
            _cut(clip, 0, starts[max(first - i * count, 0) : end - i * count], framing, total)
            for i, clip in enumerate(audio[first // count : -(-end // count)], first // count)
        ]
        yield parts[0] if len(parts) == 1 else torch.cat(parts)


class WindowCutter:
    """Cuts a stream into windows, and drops the samples that none of those to come needs.

    Args:
        framing: Where the windows lie.
        buffer: The stream's samples at the net's rate, from the first one on. The cutter does not add to it.

    Attributes:
        done: How many windows have been cut; the next one is window ``done``.
    """

    def __init__(self, framing: Framing, buffer: StreamBuffer) -> None:
        self._framing = framing
        self._buffer = buffer
        self._behind = framing.window if framing.reflect else 0  # what the reflection at the end may need
        self._count: int | None = None
        self._aim_at(0)

    def _aim_at(self, k: int) -> None:
        self.done = k
        self._start = self._framing.start(k)
        self._needed = samples_needed(self._framing, k)
        # A hop longer than the window leaves samples out, which are then dropped as they come.
        self._buffer.forget(self._start - self._behind)

    def end(self, duration: Fraction) -> None:
        """Says that the buffer has all samples of the stream, so that the windows beyond its end can be cut too.

        Args:
            duration: How many seconds the stream lasted.
        """
        self._count = self._framing.count(self._buffer.received, duration)

    def next(self, most: int) -> torch.Tensor | None:
        """Cuts the next windows.

        Args:
            most: How many at most, 1 or more.

        Returns:
            (n, window) samples, of which rows may share memory, but not with the stream; or None if they have not come
            yet, or there are no more windows.
        """
        held, total = self._buffer.samples, self._buffer.received
        starts = [self._start]
        if self._count is None:
            if total < self._needed:
                return None
            while len(starts) < most and samples_needed(self._framing, self.done + len(starts)) <= total:
                starts.append(self._framing.start(self.done + len(starts)))
        elif self.done < self._count:
            if total < shortest(self._framing):  # nothing has been dropped yet
                held, total = _lengthened(held, shortest(self._framing)), shortest(self._framing)
            starts += map(self._framing.start, range(self.done + 1, min(self.done + most, self._count)))
        else:
            return None
        found = _cut(
            held, self._buffer.start, starts, self._framing, None if self._count is None else total, alone=True
        )
        self._aim_at(self.done + len(starts))
        return found


def _lengthened(audio: torch.Tensor, length: int) -> torch.Tensor:
    missing = length - audio.shape[-1]
    return audio if missing <= 0 else torch.nn.functional.pad(audio, (0, missing))


def _cut(
    held: torch.Tensor, held_start: int, starts: list[int], framing: Framing, total: int | None, alone: bool = False
) -> torch.Tensor:
    """Cuts windows out of one clip.

    Args:
        held: The clip from sample ``held_start`` on, at least as far as the windows and their reflection reach.
        held_start: Where ``held[0]`` lies in the clip.
        starts: Where the windows lie in the clip, in order.
        framing: How long they are, and what lies beyond the clip's ends.
        total: How many samples the clip has; None if the windows end before the clip does.
        alone: Whether they may not share the clip's memory, lest a few of them keep all of it.

    Returns:
        (n, window): where windows are equally far apart, a view of what they cover, which lies in memory once.
    """
    window, first = framing.window, starts[0]
    if len(starts) > 1 and starts[1] > first + window:  # what lies between them is not copied with them
        return torch.cat([_cut(held, held_start, [start], framing, total, alone) for start in starts])
    covered = _covered(held, held_start, first, starts[-1] + window, framing.reflect, total)
    if alone and covered.untyped_storage().data_ptr() == held.untyped_storage().data_ptr():
        covered = covered.clone()
    if len(starts) == 1:
        return covered[None]
    step = starts[1] - first
    if step > 0 and starts == list(range(first, first + step * len(starts), step)):
        return covered.unfold(0, window, step) if window else covered.new_empty((len(starts), 0))
    return torch.stack([covered[start - first : start - first + window] for start in starts])


def _covered(
    held: torch.Tensor, held_start: int, start: int, stop: int, reflect: bool, total: int | None
) -> torch.Tensor:
    """(stop - start,) samples of a clip, and what lies beyond its ends; arguments as for :func:`_cut`."""
    begin, end = start - held_start, stop - held_start
    if begin >= 0 and end <= held.shape[0]:
        return held[begin:end]
    if not reflect:
        lo, hi = min(max(begin, 0), len(held)), min(max(end, 0), len(held))
        before = min(max(0, -begin), end - begin)
        return torch.nn.functional.pad(held[lo:hi], (before, end - begin - before - (hi - lo)))
    last = held_start + len(held) if total is None else total
    # What lies within the clip is copied as it is, as an index for each sample would take far longer.
    inside = slice(min(max(start, 0, held_start), stop), min(max(last, start, held_start), stop))
    parts = [
        _reflected(start, inside.start, total, held, held_start),
        held[inside.start - held_start : inside.stop - held_start],
        _reflected(inside.stop, stop, total, held, held_start),
    ]
    return torch.cat(parts)


def _reflected(start: int, stop: int, total: int | None, held: torch.Tensor, held_start: int) -> torch.Tensor:
    """The samples that stand for the places from ``start`` to ``stop``, where these lie beyond the clip's ends."""
    place = torch.arange(start, max(start, stop), device=held.device).abs()
    if total is not None:
        # A window of an odd length whose middle is rounded to the clip's end needs the reflection one sample further
        # than the shortest clip has it; the first sample stands in for that one.
        place = (total - 1 - (total - 1 - place).abs()).clamp_min(held_start)
    return held[place - held_start]
