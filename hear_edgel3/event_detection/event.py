"""An event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """A sound that is heard.

    Attributes:
        start: Where it starts, in seconds of the recording or stream.
        end: Where it ends, in seconds.
        label: Its class, or group of classes.
        mid: The machine identifier of the class; empty where it has none.
        score: The highest probability in it, after smoothing, from 0 to 1.
    """

    start: float
    end: float
    label: str
    mid: str
    score: float
