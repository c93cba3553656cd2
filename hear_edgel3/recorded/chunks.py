"""Metadata that recorders write into WAV files, as chunks beside the samples.

Sources of the layouts: GUANO 1.0 (https://github.com/riggsd/guano-spec); EBU Tech 3285 (bext); iXML 3.0
(http://www.gallery.co.uk/ixml); AudioMoth's firmware (the comment in the chunk LIST of INFO); of Wildlife Acoustics'
wamd what guano-py reads of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime

from hear_edgel3.audio.source import ReadAt
from hear_edgel3.recorded.moments import parsed
from hear_edgel3.recorded.zones import offset_of

_MOST_CHUNKS = 256
_LARGEST = 1 << 20
_NAMES = (b"guan", b"wamd", b"bext", b"iXML", b"LIST")
_WAMD_TIME = 5
_BEXT_DATE, _BEXT_TIME = slice(320, 330), slice(330, 338)
_AUDIOMOTH = re.compile(
    r"Recorded at (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))? (\d{2})/(\d{2})/(\d{4})(?: \(UTC([+-]\d{1,2}(?::\d{2})?)?\))?"
)
_IXML_DATE = re.compile(r"<BWF_ORIGINATION_DATE>\s*([^<]{8,12}?)\s*<")
_IXML_TIME = re.compile(r"<BWF_ORIGINATION_TIME>\s*([^<]{6,10}?)\s*<")


def chunks_of(read_at: ReadAt, size: int) -> dict[bytes, bytes]:
    """The chunks of metadata of a WAV file (RIFF, RF64, BW64); none of others.

    Args:
        read_at: Reads the file.
        size: How many bytes it has.
    """
    found: dict[bytes, bytes] = {}
    head = read_at(0, 12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return found
    at, of_data = 12, None
    for _ in range(_MOST_CHUNKS):
        begin = read_at(at, 8)
        if len(begin) < 8:
            break
        name, length = struct.unpack("<4sI", begin)
        if name == b"ds64":
            (of_data,) = struct.unpack("<Q", read_at(at + 16, 8).ljust(8, b"\0"))
        if name == b"data" and length == 2**32 - 1 and of_data is not None:
            length = of_data
        if name in _NAMES:
            contents = read_at(at + 8, min(length, _LARGEST))
            if name != b"LIST" or contents[:4] == b"INFO":
                found.setdefault(name, contents)
        at += 8 + length
        # After an odd number of bytes comes one that is not counted. guano-py leaves it out before what it writes.
        if length % 2 and read_at(at, 4) not in _NAMES:
            at += 1
        if at >= size:
            break
    return found


def moments_in(chunks: dict[bytes, bytes]) -> Iterator[tuple[str, datetime]]:
    """What the chunks say of when a recording begins, each with who says it; what says it best comes first."""
    readers = (
        ("GUANO", b"guan", _guano),
        ("wamd", b"wamd", _wamd),
        ("AudioMoth", b"LIST", _comment),
        ("bext", b"bext", _bext),
        ("iXML", b"iXML", _ixml),
    )
    for source, name, read in readers:
        moment = read(chunks[name]) if name in chunks else None
        if moment is not None:
            yield source, moment


def _guano(contents: bytes) -> datetime | None:
    for line in contents.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Timestamp":
            return parsed(value.strip("\0 "))
    return None


def _wamd(contents: bytes) -> datetime | None:
    at = 0
    while at + 6 <= len(contents):
        kind, length = struct.unpack_from("<HI", contents, at)
        if kind == _WAMD_TIME:
            return parsed(contents[at + 6 : at + 6 + length].decode("utf-8", "replace").strip("\0 "))
        at += 6 + length
    return None


def _comment(contents: bytes) -> datetime | None:
    found = _AUDIOMOTH.search(contents.decode("utf-8", "replace"))
    if found is None or "AudioMoth" not in contents.decode("utf-8", "replace"):
        return None
    hour, minute, second, part, day, month, year, offset = found.groups()
    # The first firmware says no zone; it knew UTC only, but others have imitated its words.
    zone = offset_of(offset or "Z") if "(UTC" in found[0] else None
    micro = int((part or "0").ljust(6, "0"))
    try:
        return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micro, zone)
    except ValueError:
        return None


def _bext(contents: bytes) -> datetime | None:
    date, time = (contents[place].decode("ascii", "replace") for place in (_BEXT_DATE, _BEXT_TIME))
    return _of_two(date, time)


def _ixml(contents: bytes) -> datetime | None:
    text = contents.decode("utf-8", "replace")
    date, time = _IXML_DATE.search(text), _IXML_TIME.search(text)
    return None if date is None or time is None else _of_two(date[1], time[1])


def _of_two(date: str, time: str) -> datetime | None:
    """EBU Tech 3285 allows several separators."""
    numbers = [re.split(r"[-_:./ ]", text.strip("\0 ")) for text in (date, time)]
    return parsed("T".join(["-".join(numbers[0]), ":".join(numbers[1])]))
