"""Cuts clips into the windows that a framing places: clips at hand, or arriving in blocks."""

from __future__ import annotations

import itertools
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
        (at most ``group``, window) tensors; together batch * count rows.
    """
    audio = _lengthened(audio, shortest(framing))
    total = audio.shape[1]
    places = ((clip, k) for clip in range(audio.shape[0]) for k in range(count))
    while some := list(itertools.islice(places, group)):
        yield torch.stack([_cut(audio[clip], 0, framing.start(k), framing, total) for clip, k in some])


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

    def next(self) -> torch.Tensor | None:
        """Cuts the next window.

        Returns:
            (window,) samples of its own, or None if they have not come yet, or there are no more windows.
        """
        if self._count is None:
            if self._buffer.received < self._needed:
                return None
            window = _cut(self._buffer.samples, self._buffer.start, self._start, self._framing, None)
        elif self.done < self._count:
            held, total = self._buffer.samples, self._buffer.received
            if total < shortest(self._framing):  # nothing has been dropped yet
                held, total = _lengthened(held, shortest(self._framing)), shortest(self._framing)
            window = _cut(held, self._buffer.start, self._start, self._framing, total)
        else:
            return None
        self._aim_at(self.done + 1)
        return window.clone()  # alone, lest it keep everything around it


def _lengthened(audio: torch.Tensor, length: int) -> torch.Tensor:
    missing = length - audio.shape[-1]
    return audio if missing <= 0 else torch.nn.functional.pad(audio, (0, missing))


def _cut(held: torch.Tensor, held_start: int, start: int, framing: Framing, total: int | None) -> torch.Tensor:
    """Cuts one window.

    Args:
        held: The clip from sample ``held_start`` on, at least as far as the window and its reflection reach.
        held_start: Where ``held[0]`` lies in the clip.
        start: Where the window lies in the clip.
        framing: How long it is, and what lies beyond the clip's ends.
        total: How many samples the clip has; None if the window ends before the clip does.
    """
    length = framing.window
    begin, end = start - held_start, start + length - held_start
    if begin >= 0 and end <= len(held):
        return held[begin:end]
    if framing.reflect:
        place = torch.arange(start, start + length, device=held.device).abs()
        if total is not None:
            place = total - 1 - (total - 1 - place).abs()
            # A window of an odd length whose middle is rounded to the clip's end needs the reflection one sample
            # further than the shortest clip has it; the first sample stands in for that one.
            place = place.clamp_min(held_start)
        return held[place - held_start]
    lo, hi = min(max(begin, 0), len(held)), min(max(end, 0), len(held))
    before = min(max(0, -begin), length)
    return torch.nn.functional.pad(held[lo:hi], (before, length - before - (hi - lo)))
