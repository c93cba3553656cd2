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
        return replace(found, seen=seen, clips=tuple(found.clips))

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
        clips: Whether they name files that were cut out.
        zone: The time zone of the times; None for those that recordings say.
    """

    times: bool = True
    sites: bool = True
    clips: bool = False
    zone: tzinfo | None = field(default=None, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        more = [("recorded_at", self.times), ("site", self.sites), ("clip", self.clips)]
        extra = [name for name, has in more if has]
        return ("file", "start", "end", "label", "mid", "score", *extra, "error")

    def rows(self, recording: Recording) -> Iterator[dict[str, Any]]:
        """The rows of a recording: one per event, or one that says what went wrong."""
        site = {"site": recording.site} if self.sites else {}
        if recording.error is not None:
            row = {"file": recording.file, **site, "error": recording.error}
            yield {name: row.get(name) for name in self.columns}
            return
        clips: Sequence[str | None] = recording.clips or [None] * len(recording.events)
        for event, clip in zip(recording.events, clips, strict=True):
            row = {"file": recording.file, **asdict(event), **site, "clip": clip}
            if self.times:
                row["recorded_at"] = recording.when(event.start, self.zone)
            yield {name: row.get(name) for name in self.columns}
