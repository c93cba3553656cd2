"""The events of one recording after the other, in this process or in a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from hear_edgel3.audio.channels import EACH
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import INPUT_ERRORS, HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.event_detection.clips import ClipCutter
from hear_edgel3.event_detection.finder import EventFinder, Pass
from hear_edgel3.event_detection.records import Recording
from hear_edgel3.event_detection.request import EventOptions
from hear_edgel3.jobs.reading import FileEnded, FileOpened, ItemReader
from hear_edgel3.jobs.worker import PartCounts
from hear_edgel3.recorded import TimeAndPlace
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener

_REPORT_EVERY_S = 0.2

Report = Callable[[PartCounts], None]


@dataclass(frozen=True)
class HowToWork:
    """What a worker needs to know.

    Attributes:
        configurations: The nets' names, or their folders.
        weights: The weights of each; None to find them.
        engine: What runs it.
        device: The torch device.
        threads: How many threads torch has; None for as many as it likes.
        channel: What of the channels: "mean" of all, the number of one, from 0, or "each" by itself.
        options: What is asked of events.
        clips: Where the sounds are cut out to; None if they are not.
        margin: How many seconds before and behind an event are cut out with it.
        look: What to find out of when and where recordings were made.
        ours: The absolute paths, as text, of clips that may be replaced; None for whatever is there.
    """

    configurations: tuple[str, ...]
    weights: tuple[str | None, ...]
    engine: str
    device: str
    threads: int | None
    channel: int | str
    options: EventOptions
    clips: str | None
    margin: float
    look: TimeAndPlace
    ours: frozenset[str] | None = frozenset()


class _Ear(NamedTuple):
    """What listens to one channel."""

    reader: ItemReader
    opener: ItemOpener
    cutter: ClipCutter | None


class Worker:
    """Finds the events of one recording after the other.

    Args:
        how: What it needs to know.
    """

    def __init__(self, how: HowToWork) -> None:
        import torch

        if how.threads is not None:
            torch.set_num_threads(how.threads)
        self._finder = EventFinder(how.configurations, how.weights, how.engine, how.options)
        try:
            self._finder.to(how.device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
            raise InvalidOption(f"device {how.device!r} cannot be used: {error}") from error
        self._how = how
        self._look = how.look
        self._ears: dict[int | str, _Ear] = {}

    def close(self) -> None:
        """Closes what is open."""
        for ear in self._ears.values():
            ear.opener.close()

    def __call__(self, item: Item, report: Report, *_: Any) -> Recording:
        """The events of a recording. What is wrong with it alone is said in the result.

        Raises:
            OutputError: The disk is full, for example.
        """
        try:
            return self._find(item, report)
        except OutputError:
            raise
        except INPUT_ERRORS as error:
            return self._failed(item, error)

    def _find(self, item: Item, report: Report) -> Recording:
        if self._how.channel != EACH:
            return self._listen(item, self._how.channel, 0, report)[0]
        found: list[Recording] = []
        channels = 1
        while len(found) < channels:
            one, channels = self._listen(item, len(found), len(found), report)
            if one.error is not None:
                return one
            found.append(one)
        return Recording.of_channels(found)

    def _listen(self, item: Item, channel: int | str, number: int, report: Report) -> tuple[Recording, int]:
        """What is found in one channel, or in their mean, and how many channels there are.

        Args:
            item: The recording.
            channel: What of its channels.
            number: How many of them were listened to before.
            report: What is told how much of it has been heard.
        """
        found = Recording(item.file, start=item.start, end=item.end)
        pass_ = Pass(self._finder)
        ear = self._ear(channel)
        channels, heard, reported = 1, 0.0, time.monotonic()
        with closing(ear.reader.read([item], {})) as reading:
            for _, event in reading:
                if isinstance(event, FileOpened):
                    channels = event.channels
                    found = replace(found, duration=event.duration, sample_rate=event.sample_rate)
                    if event.recorded is not None:
                        found = replace(found, began=event.recorded.began, site=event.recorded.site)
                elif isinstance(event, FileEnded):
                    found = replace(found, seen=event.seen)
                    if event.error is not None:
                        return replace(self._failed(item, event.error), seen=event.seen), channels
                else:
                    heard += event.seconds
                    pass_.take(event.samples)
                    if time.monotonic() - reported > _REPORT_EVERY_S:
                        reported = time.monotonic()
                        every = channels if self._how.channel == EACH else 1
                        report(PartCounts(seconds=(number * (found.duration or 0.0) + heard) / every))
        found = replace(found, events=tuple(pass_.finish(heard))).shifted()
        if ear.cutter is not None:
            found = replace(found, clips=tuple(map(text_of_path, ear.cutter.cut(item, found.events))))
        return found, channels

    def _ear(self, channel: int | str) -> _Ear:
        if channel not in self._ears:
            how, opener = self._how, ItemOpener("", channel)
            named = channel if isinstance(channel, int) and how.channel == EACH else None
            self._ears[channel] = _Ear(
                # One thread decodes while the net computes.
                ItemReader(self._finder.net, self._finder.framing, "", 1, channel, how.look),
                opener,
                None if how.clips is None else ClipCutter(how.clips, how.margin, opener, named, how.ours),
            )
        return self._ears[channel]

    def _failed(self, item: Item, error: Exception) -> Recording:
        recorded = self._look.of_file(item.file, "")
        return replace(failed(item, error), began=recorded.began, site=recorded.site)


def failed(item: Item, error: Exception) -> Recording:
    """What becomes of a recording that cannot be done."""
    known = isinstance(error, HearEdgeL3Error)
    text = text_of_path(str(error))
    named = text if item.file in text else f"{item.name}: {text}"
    said = f"{type(error).__name__ if known else 'ComputationError'}: {named}"
    return Recording(item.file, start=item.start, end=item.end, error=said)


def maker(how: HowToWork) -> Callable[[], Worker]:
    """What makes a worker, to be sent to other processes."""
    return partial(Worker, how)
