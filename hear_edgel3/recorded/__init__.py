"""When and where a recording was made: what its name, its folder, and the metadata in its file say."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.recorded.looking import Recorded as Recorded
    from hear_edgel3.recorded.looking import TimeAndPlace as TimeAndPlace
    from hear_edgel3.recorded.moments import moment_after as moment_after
    from hear_edgel3.recorded.unknown import Unknown as Unknown
    from hear_edgel3.recorded.zones import zone_of as zone_of

__all__ = ["Recorded", "TimeAndPlace", "Unknown", "moment_after", "zone_of"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Recorded": "looking",
        "TimeAndPlace": "looking",
        "Unknown": "unknown",
        "moment_after": "moments",
        "zone_of": "zones",
    },
)
