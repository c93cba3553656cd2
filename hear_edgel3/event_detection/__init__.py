"""Sound events: what is heard in recordings and streams, from when to when."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.event_detection.event import Event as Event
    from hear_edgel3.event_detection.finder import EventFinder as EventFinder
    from hear_edgel3.event_detection.finder import events as events
    from hear_edgel3.event_detection.request import EventOptions as EventOptions
    from hear_edgel3.event_detection.stream import EventStream as EventStream

__all__ = ["Event", "EventFinder", "EventOptions", "EventStream", "events"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Event": "event",
        "EventFinder": "finder",
        "EventOptions": "request",
        "EventStream": "stream",
        "events": "finder",
    },
)
