"""From probabilities over time to events: pure arithmetic, without audio and nets."""

from hear_edgel3.timeline.decoder import EventDecoder, Found, found_in
from hear_edgel3.timeline.groups import ClassGroups, groups_of
from hear_edgel3.timeline.rules import EventRules
from hear_edgel3.timeline.slices import slices_of

__all__ = ["ClassGroups", "EventDecoder", "EventRules", "Found", "found_in", "groups_of", "slices_of"]
