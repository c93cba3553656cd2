"""From probabilities over time to events: pure arithmetic, without audio and nets."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.timeline.decoder import EventDecoder as EventDecoder
    from hear_edgel3.timeline.decoder import Found as Found
    from hear_edgel3.timeline.decoder import found_in as found_in
    from hear_edgel3.timeline.groups import ClassGroups as ClassGroups
    from hear_edgel3.timeline.groups import groups_of as groups_of
    from hear_edgel3.timeline.rules import EventRules as EventRules
    from hear_edgel3.timeline.slices import slices_of as slices_of

__all__ = ["ClassGroups", "EventDecoder", "EventRules", "Found", "found_in", "groups_of", "slices_of"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClassGroups": "groups",
        "EventDecoder": "decoder",
        "EventRules": "rules",
        "Found": "decoder",
        "found_in": "decoder",
        "groups_of": "groups",
        "slices_of": "slices",
    },
)
