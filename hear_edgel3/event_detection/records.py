"""What was found in a recording, and the rows that become of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import tzinfo
from typing import Any

from hear_edgel3.disk.state import FileState
from hear_edgel3.event_detection.event import Event
from hear_edgel3.recorded import moment_after


@dataclass(frozen=True)
class Recording:
    """What was found in a recording, or in a clip of one.

    Attributes:
        file: What it is called.
        events: What is heard in it, by start, in seconds of the file.
        start: Where the clip begins, in seconds of the file; None for the beginning.
        end: Where the clip ends; None for the end.
        duration: The length of the file in seconds; None where it is unknown.
        sample_rate: Of the file, in Hz; None where it is unknown.
        began: When the file begins, in ISO 8601, with or without an offset from UTC; None if nobody knows.
        site: Where it was recorded; None if nobody knows.
        channels: The channels that the events were heard in, in order; empty where not each was listened to by itself.
        clips: The files that the events were cut out into, in order; empty if they were not.
        seen: What the file was like before it was read.
        error: Why nothing was found; None if all went well.
    """

    file: str
    events: tuple[Event, ...] = ()
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    sample_rate: int | None = None
    began: str | None = None
    site: str | None = None
    channels: tuple[int, ...] = ()
    clips: tuple[str, ...] = ()
    seen: FileState | None = None
    error: str | None = None

    def to_values(self) -> dict[str, Any]:
        """As plain values, without what says nothing."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {**values, "events": [[e.start, e.end, e.label, e.mid, e.score] for e in self.events]}

    @staticmethod
    def of_values(values: dict[str, Any]) -> Recording:
        """What :meth:`to_values` made.

        Raises:
            LookupError, TypeError, ValueError: It is something else.
        """
        found = Recording(**{**values, "events": tuple(Event(*event) for event in values["events"])})
        if not isinstance(found.file, str):
            raise TypeError("it names no file")
        seen = None if found.seen is None else FileState(*found.seen)
        return replace(found, seen=seen, channels=tuple(found.channels), clips=tuple(found.clips))

    @staticmethod
    def of_channels(found: Sequence[Recording]) -> Recording:
        """What was found in each channel of a recording, as one: channel by channel."""
        return replace(
            found[0],
            events=tuple(event for one in found for event in one.events),
            channels=tuple(number for number, one in enumerate(found) for _ in one.events),
            clips=tuple(clip for one in found for clip in one.clips),
        )

    @property
    def seconds(self) -> float:
        """How many seconds of sound that is: of the clip, if it is one. 0 where the length of the file is unknown."""
        end = self.duration if self.end is None else min(self.end, self.duration or 0.0)
        return max(0.0, (end or 0.0) - (self.start or 0.0))

    def heard(self) -> Iterator[tuple[Event, int | None, str | None]]:
        """The events, each with its channel and the file that it was cut out into, where there are any."""
        nothing = [None] * len(self.events)
        yield from zip(self.events, self.channels or nothing, self.clips or nothing, strict=True)

    def shifted(self) -> Recording:
        """With times of the file, where those of the clip were."""
        offset = self.start or 0.0
        if not offset:
            return self
        moved = [replace(event, start=event.start + offset, end=event.end + offset) for event in self.events]
        return replace(self, events=tuple(moved))

    def when(self, seconds: float, zone: tzinfo | None) -> str | None:
        """When a place in it was recorded, in ISO 8601 to the millisecond; None if nobody knows.

        Args:
            seconds: The place, in seconds of the file.
            zone: The time zone to say it in; None for the one that the recording says.
        """
        return moment_after(self.began, seconds, zone)


@dataclass(frozen=True)
class Layout:
    """What the rows of a table have.

    Attributes:
        times: Whether they say when it was.
        sites: Whether they say where it was.
        channels: Whether each channel was listened to by itself.
        clips: Whether they name files that were cut out.
        channel: The only channel that was listened to, from 0; None for the mean of all, or each by itself.
        zone: The time zone of the times; None for those that recordings say.
    """

    times: bool = True
    sites: bool = True
    channels: bool = False
    clips: bool = False
    channel: int | None = None
    zone: tzinfo | None = field(default=None, compare=False)

    @property
    def has_channel(self) -> bool:
        """Whether they say in which channel it was: where channels were chosen."""
        return self.channels or self.channel is not None

    def channel_of(self, channel: int | None) -> int | None:
        """What they say of an event that was heard in this channel, if that is known by itself."""
        return self.channel if channel is None else channel

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        more = [("recorded_at", self.times), ("site", self.sites), ("clip", self.clips)]
        extra = [name for name, has in more if has]
        channel = ("channel",) if self.has_channel else ()
        return ("file", *channel, "start", "end", "label", "mid", "score", *extra, "error")

    def rows(self, recording: Recording) -> Iterator[dict[str, Any]]:
        """The rows of a recording: one per event, or one that says what went wrong."""
        site = {"site": recording.site} if self.sites else {}
        if recording.error is not None:
            failed = {"file": recording.file, **site, "error": recording.error}
            yield {name: failed.get(name) for name in self.columns}
            return
        for event, channel, clip in recording.heard():
            where = {"file": recording.file, "channel": self.channel_of(channel)}
            row: dict[str, Any] = {**where, **asdict(event), **site, "clip": clip}
            if self.times:
                row["recorded_at"] = recording.when(event.start, self.zone)
            yield {name: row.get(name) for name in self.columns}
