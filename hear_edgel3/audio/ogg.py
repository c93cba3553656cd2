"""Ogg files: chains of several streams, one after the other, and files that end early.

Source of the layout: RFC 3533, "The Ogg Encapsulation Format".
"""

from __future__ import annotations

from functools import cache

from hear_edgel3.audio.contents import Contents, Part
from hear_edgel3.audio.source import ReadAt

_AT_ONCE = 1 << 20
_FIRST_PAGE = b"OggS\x00\x02"
_HEADER = 27
_LARGEST_PAGE = 65307
_LAST = 4


def inspect(read_at: ReadAt, size: int, decoded: int) -> Contents:
    """Finds the streams of an Ogg file.

    Args:
        read_at: reads the file.
        size: how many bytes it has.
        decoded: how many samples per channel the decoder sees in its first stream.
    """
    starts = _starts(read_at, size)
    notes = () if _has_end(read_at, size) else ("it has no mark of its end, which may be missing",)
    if len(starts) == 1:
        return Contents(counted=decoded, frames=decoded, notes=notes)
    parts = tuple(Part(((a, b - a),)) for a, b in zip(starts, [*starts[1:], size], strict=True))
    return Contents(
        parts, counts_parts=True, notes=(f"it is {len(parts)} streams, one after the other: all were read", *notes)
    )


def _starts(read_at: ReadAt, size: int) -> list[int]:
    """Where chains' links begin; the first is at 0.

    A link begins with one page or several that are the first ones of their streams, and then come others.
    """
    starts, behind = [0], 0  # behind the first pages of the link
    at = 0
    while at < size:
        data = read_at(at, _AT_ONCE + len(_FIRST_PAGE) - 1)
        found = data.find(_FIRST_PAGE)
        while found >= 0:
            place = at + found
            page = read_at(place, _HEADER + 255 + 255 * 255) if place > 0 else b""
            length = _page_length(page)
            if place == 0:
                behind = _page_length(read_at(0, _HEADER + 255))
            elif length and _is_sound(page[:length]):
                if place != behind:
                    starts.append(place)
                behind = place + length
            found = data.find(_FIRST_PAGE, found + 1)
        at += _AT_ONCE
    return starts


def _page_length(page: bytes) -> int:
    """How many bytes a page has; 0 if it is none."""
    if len(page) < _HEADER or len(page) < _HEADER + page[26]:
        return 0
    length = _HEADER + page[26] + sum(page[_HEADER : _HEADER + page[26]])
    return length


def _is_sound(page: bytes) -> bool:
    """Whether a page's checksum is right."""
    crc, table = 0, _table()
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    return crc == int.from_bytes(page[22:26], "little")


def _has_end(read_at: ReadAt, size: int) -> bool:
    """Whether the last page says that it is the last, and is all there."""
    data = read_at(max(0, size - _LARGEST_PAGE), _LARGEST_PAGE)
    at = data.rfind(b"OggS\x00")
    if at < 0:
        return False
    length = _page_length(data[at:])
    return bool(length and at + length <= len(data) and data[at + 5] & _LAST)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
        table.append(crc)
    return tuple(table)
