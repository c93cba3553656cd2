"""Cuts clips into the windows that a framing places: clips at hand, or arriving in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch

from hear_edgel3.audio.buffer import Tail
from hear_edgel3.framing.rules import Framing, samples_needed, shortest


def windows_of_batch(audio: torch.Tensor, framing: Framing, count: int, group: int) -> Iterator[torch.Tensor]:
    """Cuts a batch of clips into groups of windows, clip by clip, in order.

    Args:
        audio: (batch, n) at the net's rate.
        framing: where windows lie.
        count: windows per clip.
        group: windows per group.

    Yields:
        (at most ``group``, window) tensors; together batch * count rows.
    """
    audio = _lengthened(audio, shortest(framing))
    total = audio.shape[1]
    places = [(clip, framing.start(k)) for clip in range(audio.shape[0]) for k in range(count)]
    for i in range(0, len(places), group):
        yield torch.stack([_cut(audio[clip], 0, start, framing, total) for clip, start in places[i : i + group]])


def windows_of_stream(
    blocks: Iterable[torch.Tensor], framing: Framing, total: _Total, group: int
) -> Iterator[torch.Tensor]:
    """Cuts a stream into groups of windows, holding no more audio than the next group needs.

    Args:
        blocks: (n,) tensors at the net's rate.
        framing: where windows lie.
        total: called when the stream has ended, with the number of samples it had; returns the number of windows.
        group: windows per group.

    Yields:
        (at most ``group``, window) tensors.
    """
    cutter = WindowCutter(framing)

    def windows() -> Iterator[torch.Tensor]:
        for block in blocks:
            yield from cutter.push(block)
        yield from cutter.finish(total(cutter.received))

    yield from in_groups(windows(), group)


class _Total(Protocol):
    def __call__(self, n_samples: int) -> int: ...


def in_groups(windows: Iterable[torch.Tensor], group: int) -> Iterator[torch.Tensor]:
    """Stacks (window,) tensors into (at most ``group``, window) ones."""
    ready: list[torch.Tensor] = []
    for window in windows:
        ready.append(window)
        if len(ready) == group:
            yield torch.stack(ready)
            ready = []
    if ready:
        yield torch.stack(ready)


class WindowCutter:
    """Cuts a stream into windows as soon as they are complete, holding no more of it than those to come need.

    Args:
        framing: where windows lie.

    Attributes:
        done: windows cut so far; the next one is window ``done``.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._behind = framing.window if framing.reflect else 0  # what the reflection at the end may need
        self._tail = Tail()
        self._go_on_with(0)

    def _go_on_with(self, k: int) -> None:
        self.done = k
        self._start = self._framing.start(k)
        self._needed = samples_needed(self._framing, k)

    @property
    def received(self) -> int:
        """Samples that the stream has had."""
        return self._tail.received

    def push(self, block: torch.Tensor) -> Iterator[torch.Tensor]:
        """Takes (n,) more samples at the net's rate, and yields the (window,) tensors that are complete now.

        The samples are taken when the iterator is started; it must be run to its end.
        """
        tail = self._tail
        tail.append(block)
        while self._needed <= tail.received:
            window = _cut(tail.samples, tail.start, self._start, self._framing, None)
            self._go_on_with(self.done + 1)
            yield window.clone()  # alone, lest it keep everything around it
        # A hop longer than the window leaves samples out that need not be kept.
        tail.forget(self._start - self._behind)

    def finish(self, count: int) -> Iterator[torch.Tensor]:
        """Ends the stream, and yields the windows that reach beyond its end.

        Args:
            count: windows of the stream altogether.
        """
        held, total = self._tail.samples, self.received
        if total < shortest(self._framing):  # nothing has been dropped yet
            held, total = _lengthened(held, shortest(self._framing)), shortest(self._framing)
        while self.done < count:
            window = _cut(held, self._tail.start, self._start, self._framing, total)
            self._go_on_with(self.done + 1)
            yield window


def _lengthened(audio: torch.Tensor, length: int) -> torch.Tensor:
    missing = length - audio.shape[-1]
    return audio if missing <= 0 else torch.nn.functional.pad(audio, (0, missing))


def _cut(held: torch.Tensor, held_start: int, start: int, framing: Framing, total: int | None) -> torch.Tensor:
    """One window.

    Args:
        held: the clip from sample ``held_start`` on, at least as far as the window and its reflection reach.
        held_start: position of ``held[0]`` in the clip.
        start: position of the window in the clip.
        framing: its length, and what lies beyond the clip's ends.
        total: samples of the clip; None if the window ends before the clip does.
    """
    length = framing.window
    begin, end = start - held_start, start + length - held_start
    if begin >= 0 and end <= len(held):
        return held[begin:end]
    if framing.reflect:
        place = torch.arange(start, start + length, device=held.device).abs()
        if total is not None:
            place = total - 1 - (total - 1 - place).abs()
            place = place.clamp_min(held_start)  # a middle rounded beyond the end asks for one sample more at most
        return held[place - held_start]
    lo, hi = min(max(begin, 0), len(held)), min(max(end, 0), len(held))
    before = min(max(0, -begin), length)
    return torch.nn.functional.pad(held[lo:hi], (before, length - before - (hi - lo)))
