"""FLAC files whose header gives no length, or a wrong one.

An encoder that writes into a pipe cannot go back and put the number of samples into the header, and some recorders put
in a wrong one. Each frame says where it lies, so the last one tells how many samples there are.

Source of the layout: RFC 9639, "Free Lossless Audio Codec".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from hear_edgel3.audio.contents import Contents, Part
from hear_edgel3.audio.source import Piece, ReadAt

_STREAMINFO = 34
_MOST_TAIL = 1 << 17
_USUAL_TAIL = 1 << 14
_ID3V1 = 128
_BEGINS = 8 + _STREAMINFO
_READ_AT_ONCE = 1 << 20
_MOST_STARTS = 4
# Bytes whose checksum is taken in all: enough for any sound file, and a second for one that is made to be slow.
_MOST_CHECKED = 1 << 21
_NO_END = "it ends in the middle of a frame: its end is missing"


class _Frame(NamedTuple):
    first: int  # its first sample
    samples: int
    fixed: bool  # whether all frames but the last have the same length


def inspect(read_at: ReadAt, size: int, rate: int) -> Contents:
    """Finds out how many samples a FLAC file has.

    Args:
        read_at: reads the file.
        size: how many bytes it has.
        rate: samples per second.
    """
    start = _start(read_at)
    if read_at(start, 4) != b"fLaC":  # FLAC in another container
        return Contents()
    info = read_at(start + 8, _STREAMINFO)
    if len(info) < _STREAMINFO:
        return Contents()
    said = int.from_bytes(info[13:18], "big") & (2**36 - 1)
    block = int.from_bytes(info[2:4], "big")
    largest_frame = int.from_bytes(info[7:10], "big")
    last, end = _last_frame(read_at, size, block, largest_frame, said)
    # Of several streams the last one may be as long as the first; but then the file has more bytes than that takes.
    if (last is None or last.first + last.samples != said or end - start > _most_bytes(read_at, start, info)) and (
        len(starts := _starts(read_at, start, size)) > 1
    ):
        return _all_of(starts, read_at, size, rate)
    if last is None:
        return Contents(counted=said or None, frames=said or None)
    there = last.first + last.samples
    if there == said:
        return Contents(counted=said, frames=said)
    # What is behind the last whole frame is left out: the decoder takes it for damage, and what it had before is lost.
    pieces: tuple[Piece, ...] | None = None if end == size else ((0, end),)
    if end < size - _labels(read_at, size):
        notes = () if said else (_NO_END,)
        return Contents((Part(pieces, frames=there),), counted=said or None, frames=said or there, notes=notes)
    if said == 0:
        return Contents((Part(pieces, frames=there),), frames=there)
    note = f"its header says {said / rate:.2f} s, but it has {there / rate:.2f} s: all that there is was read"
    if there > said:
        mended = bytearray(read_at(0, start + 8 + _STREAMINFO))
        at = start + 8 + 13
        mended[at : at + 5] = (int.from_bytes(mended[at : at + 5], "big") - said + there).to_bytes(5, "big")
        pieces = (bytes(mended), (len(mended), end - len(mended)))
        return Contents((Part(pieces, frames=there),), counted=there, frames=there, notes=(note,))
    # Of a file that was cut, the last frame is as long as the others; an encoder that came to its end makes a shorter
    # one. A header that says twice as much counts the samples of both channels.
    if said % there == 0 or (last.fixed and last.samples < block):
        return Contents((Part(pieces, frames=there),), frames=there, notes=(note,))
    return Contents((Part(pieces, frames=there),), counted=said, frames=said)


def _most_bytes(read_at: ReadAt, start: int, info: bytes) -> float:
    """How many bytes a stream may have, by the largest of its frames; infinity where that is not known."""
    said, block = int.from_bytes(info[13:18], "big") & (2**36 - 1), int.from_bytes(info[:2], "big")
    largest_frame = int.from_bytes(info[7:10], "big")
    if not said or not block or not largest_frame:
        return math.inf
    at, last = start + 4, False
    while not last and len(head := read_at(at, 4)) == 4:
        last = head[0] & 0x80 != 0
        at += 4 + int.from_bytes(head[1:], "big")
    return at - start + -(-said // block) * largest_frame + _ID3V1


def _starts(read_at: ReadAt, start: int, size: int) -> list[int]:
    """Where streams begin, one after the other; the first at ``start``. For that all of the file is read."""
    found, at = [start], start + 4
    while at < size:
        data = read_at(at, _READ_AT_ONCE + _BEGINS)
        place = -1
        while 0 <= (place := data.find(b"fLaC", place + 1)) < _READ_AT_ONCE:
            if _is_begin(data[place : place + _BEGINS]):
                found.append(at + place)
        at += _READ_AT_ONCE
    return found


def _is_begin(data: bytes) -> bool:
    """Whether a stream begins so: with its first metadata, whose numbers make sense."""
    if len(data) < _BEGINS or data[4] & 0x7F or int.from_bytes(data[5:8], "big") != _STREAMINFO:
        return False
    smallest, largest = int.from_bytes(data[8:10], "big"), int.from_bytes(data[10:12], "big")
    return 16 <= smallest <= largest and int.from_bytes(data[18:21], "big") >> 4 > 0


def _all_of(starts: Sequence[int], read_at: ReadAt, size: int, rate: int) -> Contents:
    """Streams that were put together, to be read one after the other."""
    parts, said, frames = [], 0, 0
    notes = [f"it is {len(starts)} streams, one after the other: all were read"]
    for begin, end in zip(starts, [*starts[1:], size], strict=True):
        found = inspect(lambda at, n, begin=begin: read_at(begin + at, n), end - begin, rate)  # type: ignore[misc]
        if found.frames is None:
            return Contents(
                tuple(Part(((a, b - a),)) for a, b in zip(starts, [*starts[1:], size], strict=True)), notes=tuple(notes)
            )
        pieces = found.parts[0].pieces or ((0, end - begin),)
        moved = tuple(piece if isinstance(piece, bytes) else (begin + piece[0], piece[1]) for piece in pieces)
        parts.append(Part(moved, frames=found.parts[0].frames or found.frames))
        said += found.counted or found.frames
        frames += found.frames
        notes += found.notes
    return Contents(tuple(parts), counted=said, frames=frames, notes=tuple(notes))


def _start(read_at: ReadAt) -> int:
    """Where the stream begins: behind labels in the form ID3v2."""
    at = 0
    while (head := read_at(at, 10))[:3] == b"ID3" and len(head) == 10:
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return at


def _last_frame(read_at: ReadAt, size: int, block: int, largest_frame: int, said: int) -> tuple[_Frame | None, int]:
    """The last whole frame, and where it ends: where the file does, or where a frame begins that is not all there."""
    labels = _labels(read_at, size)
    longest = largest_frame or _MOST_TAIL
    for tail in (largest_frame + labels or _USUAL_TAIL, 2 * longest + labels):
        data = read_at(max(0, size - tail), tail)
        before = size - len(data)
        ends = [len(data) - labels]  # where the frame may end that is looked for
        at, checked = len(data), 0
        while (at := data.rfind(b"\xff", 0, at)) >= 0:
            frame = _frame_at(data, at, block)
            if frame is None:
                continue
            # Where it is what the header says, nothing needs to be proved; and else the sum over the whole frame,
            # whose last two bytes are chosen so that it is zero, does.
            if frame.first + frame.samples == said:
                return frame, size
            for end in ends:
                if end - at > longest:
                    continue
                checked += end - at
                if checked > _MOST_CHECKED:
                    return None, size
                if _crc16(data[at:end]) == 0:
                    return frame, before + end
            ends = [ends[0], *ends[1:][-_MOST_STARTS:], at]
    return None, size


def _labels(read_at: ReadAt, size: int) -> int:
    """How many bytes labels in the form ID3v1 take at the end."""
    return _ID3V1 if read_at(max(0, size - _ID3V1), 3) == b"TAG" else 0


def _frame_at(data: bytes, at: int, block: int) -> _Frame | None:
    """The frame whose header is at this place; None if there is none."""
    head = data[at : at + 16]
    if len(head) < 6 or head[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15 or head[3] >> 4 > 10 or head[3] & 1 or (head[3] >> 1) & 7 == 3:
        return None
    # The number is written as UTF-8 writes a character, but may have up to 36 bits.
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    length = max(1, ones)
    if ones in (1, 8) or any(byte & 0xC0 != 0x80 for byte in head[5 : 4 + length]):
        return None
    number = head[4] & (0x7F if ones == 0 else (1 << (7 - ones)) - 1)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    end = 4 + length
    extra = {6: 1, 7: 2}.get(size_code, 0)
    if size_code == 1:
        samples = 192
    elif size_code < 6:
        samples = 576 << (size_code - 2)
    elif extra:
        samples = int.from_bytes(head[end : end + extra], "big") + 1
    else:
        samples = 256 << (size_code - 8)
    end += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= end or _crc8(head[:end]) != head[end]:
        return None
    fixed = head[1] & 1 == 0
    return _Frame(number * block if fixed else number, samples, fixed)


def _crc8(data: bytes) -> int:
    crc, table = 0, _table(0x07, 8)
    for byte in data:
        crc = table[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    crc, table = 0, _table(0x8005, 16)
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc


@cache
def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << (bits - 8)
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc >> (bits - 1) & 1 else 0)) & ((1 << bits) - 1)
        table.append(crc)
    return tuple(table)
