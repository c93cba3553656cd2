"""Time zones by their names."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache

from hear_edgel3._checks import shown
from hear_edgel3.errors import InvalidOption

_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?$")


def zone_of(name: str) -> tzinfo:
    """A time zone.

    Args:
        name: ``UTC``, an offset (``+02:00``, ``-3``), or a name of the IANA's database (``Europe/Berlin``).

    Raises:
        InvalidOption: There is none.
    """
    if not isinstance(name, str):
        raise InvalidOption(f"the name of a time zone must be text, as UTC or Europe/Berlin, got {shown(name)}")
    return _zone_of(name)


@lru_cache(maxsize=64)
def _zone_of(name: str) -> tzinfo:
    text = name.strip().removeprefix("UTC").removeprefix("GMT") if name.strip() not in ("UTC", "GMT") else ""
    if text in ("", "Z"):
        return UTC
    found = offset_of(text)
    if found is not None:
        return found
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name.strip())
    except (OSError, ValueError, LookupError) as error:  # ZoneInfoNotFoundError is a LookupError
        raise InvalidOption(
            f"there is no time zone {name!r} here; give UTC, an offset (+02:00), or a name like Europe/Berlin (names "
            f"need the system's time zone database, or the package tzdata)"
        ) from error


def offset_of(text: str) -> timezone | None:
    """A time zone of ``Z``, ``+02:00``, ``+0200`` or ``+2``; None if it is something else."""
    if text == "Z":
        return UTC
    found = _OFFSET.match(text)
    if found is None:
        return None
    hours, minutes = int(found[2]), int(found[3] or 0)
    if hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if found[1] == "-" else offset)
