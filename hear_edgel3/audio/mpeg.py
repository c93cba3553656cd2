"""MPEG audio files (MP3, MP2): how many frames there are, and files that were joined.

A file's first frame may hold no sound, but a header of Xing's, LAME's or Fraunhofer's that counts the frames. A stream
that went into a pipe has none, and decoders then guess the length from the first frames' bit rate, which is wrong where
the rate varies. And decoders that do know the length stop there, though a second file may have been appended.

Source of the layout: ISO/IEC 11172-3 and 13818-3; Xing's "VBR header"; "Mp3 Info Tag rev 1" of LAME.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from hear_edgel3.audio.contents import Contents, Part
from hear_edgel3.audio.source import ReadAt

_AT_ONCE = 1 << 20
_LARGEST_FRAME = 4096
_SEARCHED = 1 << 16

_RATES = (44100, 48000, 32000)
_BIT_RATES = {  # kbit/s by version (1, or 2 for 2 and 2.5) and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_COUNTED, _SIZED = 1, 2
_NO_END = "it ends in the middle of a frame: its end is missing"


@dataclass
class _Stream:
    """One of the files that were joined, or the only one.

    Attributes:
        start: Where it begins.
        end: Where its last frame ends, as far as has been read.
        counted: How many frames its header says there are; None if it has no such header.
        frames: How many frames were found; None if they were not counted.
        samples: How many samples per channel a frame has.
    """

    start: int
    end: int
    counted: int | None
    frames: int | None
    samples: int


def frame_length(head: bytes) -> tuple[int, int]:
    """How long the frame is that begins with these four bytes, and how many samples per channel it has.

    Returns:
        Bytes and samples; (0, 0) if no frame begins like that.
    """
    if len(head) < 4 or head[0] != 0xFF:
        return 0, 0
    found = _lengths()[head[1] << 8 | head[2]]
    return found >> 12, found & 0xFFF


def inspect(read_at: ReadAt, start: int, size: int, decoded: int) -> Contents:
    """Finds out what is in MPEG audio.

    Args:
        read_at: reads the file.
        start: where in the file it begins.
        size: where it ends.
        decoded: how many samples per channel the decoder thinks there are.
    """
    streams = _streams(read_at, start, size)
    if not streams:
        return Contents(frames=decoded)
    whole = None if start == 0 else ((start, size - start),)
    first = streams[0]
    if len(streams) == 1:
        if first.counted is not None:
            slack = 2 * first.samples
            return Contents((Part(whole),), decoded, whole is not None, decoded, slack)
        frames = None if first.frames is None else first.frames * first.samples
        guessed_short = frames is None or decoded < frames
        notes: tuple[str, ...] = ()
        if first.end < size and frame_length(read_at(first.end, 4))[0]:
            # The decoder takes a part of a frame for damage, and what it had before is lost.
            whole, notes = ((start, first.end - start),), (_NO_END,)
        return Contents((Part(whole, guessed_short, frames),), frames=frames, notes=notes)
    bounds = [*(stream.start for stream in streams), size]
    parts = tuple(
        Part(
            ((a, b - a),),
            endless=stream.counted is None,
            frames=None if stream.counted is not None or stream.frames is None else stream.frames * stream.samples,
        )
        for stream, a, b in zip(streams, bounds[:-1], bounds[1:], strict=True)
    )
    counted = all(stream.counted is not None for stream in streams)
    return Contents(
        parts, counts_parts=counted, notes=(f"it is {len(parts)} streams, one after the other: all were read",)
    )


def _streams(read_at: ReadAt, start: int, size: int) -> list[_Stream]:
    streams: list[_Stream] = []
    at: int | None = start
    while at is not None and (at := _next_frame(read_at, at, size)) is not None:
        stream = _stream_at(read_at, start if not streams else at, at, size)
        streams.append(stream)
        at = _behind_labels(read_at, stream.end, size)
    return streams


def _next_frame(read_at: ReadAt, at: int, size: int) -> int | None:
    """The first place from ``at`` on where two frames follow each other; labels are passed over."""
    at = _behind_labels(read_at, at, size)
    data = read_at(at, min(size - at, _SEARCHED + _LARGEST_FRAME)) if at < size else b""
    found = data.find(b"\xff")
    while 0 <= found < _SEARCHED:
        length, _ = frame_length(data[found : found + 4])
        if length:
            following = data[found + length : found + length + 4]
            alike = len(following) == 4 and following[0] == 0xFF and (following[1] ^ data[found + 1]) & 0xFE == 0
            if (alike and frame_length(following)[0]) or at + found + length == size:
                return at + found
        found = data.find(b"\xff", found + 1)
    return None


def _stream_at(read_at: ReadAt, start: int, at: int, size: int) -> _Stream:
    head = read_at(at, _LARGEST_FRAME)
    length, samples = frame_length(head[:4])
    counted, in_all = _header(head[:length])
    if counted:
        # Where the header says how many bytes there are, and nothing follows them, frames need not be counted.
        end = at + in_all if in_all else size
        if not in_all or _next_frame(read_at, end, size) is not None:
            end = _walk(read_at, at, size, counted + 1)[1]
        return _Stream(start, max(end, at + length), counted, None, samples)
    frames, end = _walk(read_at, at, size)
    return _Stream(start, end, None, frames, samples)


def _walk(read_at: ReadAt, at: int, size: int, most: int = 1 << 62) -> tuple[int, int]:
    """Goes from frame to frame, past what is damaged, up to the header of another file.

    Returns:
        How many frames there are, and where the last of them ends.
    """
    table = _lengths()
    count, end = 0, at
    kind = read_at(at + 1, 1)[0] & 0xFE
    while at < size:
        base = at
        data = read_at(base, min(_AT_ONCE, size - base) + _LARGEST_FRAME)
        headers = _places_of_headers(data)
        i, limit = 0, min(_AT_ONCE, len(data) - 3)
        if limit <= 0:  # a byte to three behind the last frame, which begin nothing
            break
        while i < limit:
            if data[i] != 0xFF or not (found := table[data[i + 1] << 8 | data[i + 2]]):
                break
            following = i + (found >> 12)
            if (count and i in headers) or base + following > size:
                return count, base + i
            count, i = count + 1, following
            if count == most:
                return count, base + i
        end = at = base + i
        if i < limit:  # something that is no frame
            resumed = _next_frame(read_at, at, size)
            if resumed is None or read_at(resumed + 1, 1)[0] & 0xFE != kind:
                return count, end
            at = resumed
    return count, end


def _places_of_headers(data: bytes) -> set[int]:
    """Where frames may begin that are headers of Xing's. Its mark stands behind zeros, at one of three places."""
    places: set[int] = set()
    for mark in (b"Xing", b"Info"):
        at = data.find(mark)
        while at >= 0:
            places.update(at - before for before in (36, 21, 13))
            at = data.find(mark, at + 1)
    return places


def _header(frame: bytes) -> tuple[int | None, int]:
    """What the first frame says, if it is a header: how many frames follow, and how many bytes there are with itself.

    Returns:
        The number of frames, or None; the number of bytes, or 0.
    """
    for at in (36, 21, 13):
        if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + 16:
            flags = int.from_bytes(frame[at + 4 : at + 8], "big")
            numbers: Iterator[int] = (int.from_bytes(frame[at + k : at + k + 4], "big") for k in (8, 12))
            count = next(numbers) if flags & _COUNTED else 0
            in_all = next(numbers) if flags & _SIZED else 0
            return count or None, in_all
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return int.from_bytes(frame[50:54], "big") or None, int.from_bytes(frame[46:50], "big")
    return None, 0


def _behind_labels(read_at: ReadAt, at: int, size: int) -> int:
    """The first place from ``at`` on that is behind labels: ID3v2, APEv2, ID3v1, Lyrics3."""
    while at < size:
        head = read_at(at, 32)
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
            at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            at += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG":
            at += 128
        elif head[:11] == b"LYRICSBEGIN":
            end = read_at(at, _AT_ONCE).find(b"LYRICS200")
            at = at + end + 9 if end >= 0 else size
        else:
            return at
    return size


@cache
def _lengths() -> array[int]:
    """By the second and third byte of a frame's head: its length in bytes times 4096, plus its samples; 0 if invalid.

    Frames of a free bit rate, whose length is written nowhere, count as invalid.
    """
    table = array("l", [0]) * 65536
    for second in range(0xE0, 0x100):
        version_code, layer_code = (second >> 3) & 3, (second >> 1) & 3
        if version_code == 1 or layer_code == 0:
            continue
        layer, version = 4 - layer_code, 1 if version_code == 3 else 2
        samples = 384 if layer == 1 else 576 if layer == 3 and version == 2 else 1152
        for third in range(256):
            bit_rate, rate_code = third >> 4, (third >> 2) & 3
            if bit_rate in (0, 15) or rate_code == 3:
                continue
            rate = _RATES[rate_code] >> {3: 0, 2: 1, 0: 2}[version_code]
            bits = 1000 * _BIT_RATES[version, layer][bit_rate]
            padding = (third >> 1) & 1
            length = (12 * bits // rate + padding) * 4 if layer == 1 else samples // 8 * bits // rate + padding
            table[second << 8 | third] = length << 12 | samples
    return table
