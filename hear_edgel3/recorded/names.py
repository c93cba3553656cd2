"""Moments in the names of files.

What is known: AudioMoth (``20240501_050000.WAV`` and, of its first firmware, ``5B79C0DA.WAV``: seconds since 1970 as
hexadecimal number, in UTC), Song Meter (``SITE_20240501_050000.wav``, and ``SITE_20240501$050000.wav`` of triggered
SM2BATs), BAR-LT (``20190401T112909+1000_Bar-LT.wav``), and ISO 8601 with any separators (``2024-05-01T05-00-00Z``).
Only those with an offset or Z, and the hexadecimal ones, say a time zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hear_edgel3.errors import InvalidOption
from hear_edgel3.recorded.moments import of_match

_DAY = r"(?P<Y>(?:19|20)\d{2})(?P<s>[-_.]?)(?P<m>\d{2})(?P=s)(?P<d>\d{2})"
_CLOCK = r"(?P<H>\d{2})(?P<t>[-_.:]?)(?P<M>\d{2})(?P=t)(?P<S>\d{2})"
# An offset stands right behind a time with a T before it; behind others a minus may be a separator.
_ISO = re.compile(rf"(?<!\d){_DAY}T{_CLOCK}(?:[.,](?P<f>\d{{1,9}}))?(?P<z>Z|[+-]\d{{2}}:?\d{{2}})?(?!\d)")
_PLAIN = re.compile(rf"(?<!\d){_DAY}[_ $-]?{_CLOCK}(?P<z>Z)?(?!\d)")
_HEXADECIMAL = re.compile(r"[0-9A-F]{8}$")
# AudioMoths are sold since 2017.
_FIRST, _LAST = 2016, 2040

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "d": r"\d{1,2}",
    "j": r"\d{1,3}",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "p": r"[AaPp]\.?[Mm]\.?",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d{1,6}",
    "z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "b": r"[^\W\d_]{3,4}",
    "B": r"[^\W\d_]+",
    "%": "%",
}


def moment_in(stem: str) -> datetime | None:
    """The moment that the name of a file has, without its ending; None if it has none."""
    for pattern in (_ISO, _PLAIN):
        for found in pattern.finditer(stem):
            moment = of_match(found)
            if moment is not None:
                return moment
    if _HEXADECIMAL.match(stem):
        moment = datetime.fromtimestamp(int(stem, 16), UTC)
        if _FIRST <= moment.year <= _LAST:
            return moment
    return None


class NamePattern:
    """A pattern of somebody's own, in the words of ``strptime``: ``%d%m%y_%H%M``, for example.

    Args:
        pattern: The pattern; it is looked for anywhere in the name of a file or, with a ``/``, at the end of its path.

    Raises:
        InvalidOption: It has a word that is not known, or says no day.
    """

    def __init__(self, pattern: str) -> None:
        self._format = pattern
        self._of_path = "/" in pattern
        words = re.findall(r"%(.?)", pattern)
        for word in words:
            if word not in _DIRECTIVES:
                raise InvalidOption(
                    f"the pattern of times {pattern!r} has %{word}, which is none of "
                    f"{', '.join(f'%{name}' for name in _DIRECTIVES)}"
                )
        if not ({"d", "j"} & set(words) and {"Y", "y"} & set(words)):
            raise InvalidOption(
                f"the pattern of times {pattern!r} says no day: it needs a year and a day (%Y%m%d_%H%M%S, for example)"
            )
        pieces = re.split(r"%(.)", pattern)
        text = "".join(_DIRECTIVES[piece] if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
        self._expression = re.compile(rf"(?<!\d){text}(?!\d)")

    def moment_in(self, path: str, stem: str) -> datetime | None:
        """The moment that a path, or the name in it, has; None if it has none."""
        for found in self._expression.finditer(path.rsplit(".", 1)[0] if self._of_path else stem):
            try:
                return datetime.strptime(found[0], self._format)
            except ValueError:
                continue
        return None
