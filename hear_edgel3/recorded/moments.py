"""Moments as text in ISO 8601, with an offset from UTC where it is known, and without one where it is not."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from hear_edgel3.recorded.zones import offset_of

_DATE = r"(?P<Y>\d{4})(?P<s>[-:._/]?)(?P<m>\d{2})(?P=s)(?P<d>\d{2})"
_TIME = r"(?P<H>\d{2})(?P<t>[-:._]?)(?P<M>\d{2})(?P=t)(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?"
_ZONE = r"(?P<z>\s*Z|\s*[+-]\d{2}:?\d{2})?"
_ISO = re.compile(rf"\s*{_DATE}[T _]\s*{_TIME}{_ZONE}\s*$")


def parsed(text: str) -> datetime | None:
    """A moment in ISO 8601, or nearly so: recorders put in blanks, and separators of their own.

    Returns:
        The moment, with a time zone if the text has one; None if it is no moment.
    """
    found = _ISO.match(text)
    return None if found is None else of_match(found)


def of_match(found: re.Match[str]) -> datetime | None:
    """A moment of a match with the groups Y, m, d, H, M, S and perhaps f and z; None if there is no such moment."""
    parts = found.groupdict()
    micro = int((parts.get("f") or "0")[:6].ljust(6, "0"))
    zone = None if not parts.get("z") else offset_of(parts["z"].strip())
    try:
        return datetime(*(int(parts[name]) for name in "YmdHMS"), micro, zone)  # type: ignore[call-arg,arg-type]
    except ValueError:
        return None


def moment_after(began: str | None, seconds: float, zone: tzinfo | None = None) -> str | None:
    """The moment so many seconds behind another one, in ISO 8601 to the millisecond.

    Args:
        began: The other one, in ISO 8601; None if nobody knows.
        seconds: How many.
        zone: The time zone to say it in, if the other one has one; None for that one's.
    """
    if began is None:
        return None
    moment = datetime.fromisoformat(began)
    if moment.tzinfo is not None and zone is not None:
        # By way of UTC, so that a change of the clocks in between counts.
        moment = (moment.astimezone(offset_of("Z")) + timedelta(seconds=seconds)).astimezone(zone)
    else:
        moment += timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds")
