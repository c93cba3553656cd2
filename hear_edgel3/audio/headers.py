"""Headers of files whose samples lie in one chunk of a given length: WAV, RF64, BW64, W64, AIFF, AU, CAF, NIST.

libsndfile reads what is there of a file that is cut short, and says nothing; and it reads nothing of a recording whose
recorder lost its power before it could write the length. Here is what the header says, to be compared with the file.

Sources of the layouts: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); EBU
Tech 3306 (RF64); ITU-R BS.2088 (BW64); Sonic Foundry, "Wave 64"; Apple, "Audio Interchange File Format 1.3" and "Core
Audio Format Specification"; the manual page of audio(7) (AU).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hear_edgel3.audio.contents import Contents, Part
from hear_edgel3.audio.source import Piece, ReadAt

_HEAD = 1 << 12
_MOST_CHUNKS = 4096
_MOST_JOINED = 4096
_SOUND = (b"data", b"SSND")  # chunks of samples, of which decoders read the first
_AU_HEAD = 24  # bytes that an AU header has at least; libsndfile takes less for that
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
# Writers that cannot go back put in such lengths: all ones, or about 2 GiB (sox, arecord).
_NEAR = 1 << 16
# Fewer bytes behind the sound are some program's labels.
_MUCH = 1 << 13
_NO_LENGTH = "its header gives no length, as when a recorder loses its power: all that follows it was read as sound"


@dataclass(frozen=True)
class DataField:
    """The field of a header that gives the length of the sound.

    Attributes:
        at: Where the field is.
        form: How it is written, in the words of :mod:`struct`.
        others: How many bytes it counts that are no sound.
        start: Where the sound begins.
        said: How many bytes of sound it says there are; None for a length that was not known when it was written.
    """

    at: int
    form: str
    others: int
    start: int
    said: int | None


def data_field(read_at: ReadAt, size: int) -> DataField | None:
    """The field that gives the length of the sound; None where there is none, or the format is another one.

    Args:
        read_at: reads the file.
        size: how many bytes it has.
    """
    head = read_at(0, _HEAD)

    def read(at: int, n: int) -> bytes:
        return head[at : at + n] if at + n <= len(head) else read_at(at, n)

    try:
        found = None
        if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
            found = _riff(read, size, ">" if head[:4] == b"RIFX" else "<")
        elif head[:4] in (b"RF64", b"BW64") and head[8:12] == b"WAVE":
            found = _rf64(read, size)
        elif head[:16] == _W64_RIFF:
            found = _w64(read, size)
        elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            found = _aiff(read, size)
        elif head[:4] == b".snd":
            found = _au(read)
        elif head[:4] == b"caff":
            found = _caf(read, size)
    except struct.error:  # the file ends within its header
        return None
    if found is None or not found.at + struct.calcsize(found.form) <= found.start <= size:
        return None
    if found.said == 0 and size > found.start + 8 and _are_chunks(read, found, found.start, size):
        return None  # a file without samples, and labels behind them
    return found


def share_there(read_at: ReadAt, size: int) -> float:
    """How much of the sound that the header gives is there, without decoding it; 1.0 where none is known to be missing.

    Args:
        read_at: reads the file.
        size: how many bytes it has.
    """
    found = data_field(read_at, size)
    return min(1.0, (size - found.start) / found.said) if found is not None and found.said else 1.0


def inspect(read_at: ReadAt, size: int, decoded: int, rate: int) -> Contents:
    """Compares a header with its file.

    Args:
        read_at: reads the file.
        size: how many bytes it has.
        decoded: how many samples per channel the decoder sees; of :func:`first_of_several` in this alone.
        rate: samples per second.
    """
    if read_at(0, 4) == b"NIST":
        counted = max(decoded, _nist_count(read_at))
        return Contents(counted=counted, frames=counted)
    found = data_field(read_at, size)
    there = 0 if found is None else size - found.start
    if found is None or there == 0:
        return Contents(counted=decoded, frames=decoded)
    if len(joined := _joined(read_at, size)) > 1:
        return _all_of(joined, read_at, size, decoded)
    if found.said:
        if found.said <= there:
            rest = there - found.said
            if rest < _MUCH or _are_chunks(read_at, found, found.start + found.said, size):
                return Contents(counted=decoded, frames=decoded)
            seconds = rest / found.said * decoded / rate
            note = f"its header gives {decoded / rate:.2f} s, and {rest} bytes more follow that are no part of it: "
            note += f"if they are sound, {seconds:.2f} s were left out"
            return Contents(counted=decoded, frames=decoded, notes=(note,))
        if decoded > 0:
            counted = round(decoded * found.said / there)
            return Contents(counted=counted, frames=counted)
    if found.said is None and decoded > 0:  # the decoder has taken all that is there
        return Contents(frames=decoded)
    notes = () if found.said is None else (_NO_LENGTH,)  # zero is what is there until the length is put in
    return Contents((Part(mended(read_at, size, found)),), notes=notes)


def first_of_several(read_at: ReadAt, size: int) -> Part | None:
    """The first of files that were put together; None where there is but one."""
    joined = _joined(read_at, size)
    return Part(((0, joined[1][0]),)) if len(joined) > 1 else None


def _joined(read_at: ReadAt, size: int) -> list[tuple[int, DataField]]:
    """Where files begin that were put together, each with its field; one if there is but one."""
    found: list[tuple[int, DataField]] = []
    at: int | None = 0
    while at is not None and len(found) < _MOST_JOINED:
        read = _from(read_at, at)
        field = data_field(read, size - at)
        if field is None:
            break
        found.append((at, field))
        behind = _next_file(read, field, size - at) if field.said else None
        at = None if behind is None else at + behind
    return found


def _from(read_at: ReadAt, begin: int) -> ReadAt:
    return lambda at, n: read_at(begin + at, n)


def _next_file(read: ReadAt, field: DataField, size: int) -> int | None:
    """Where another file begins behind the samples of a first one and its other chunks; None if nowhere."""
    order, wide = field.form[0], field.form[1] == "Q"
    at = field.start + (field.said or 0)
    for _ in range(_MOST_CHUNKS):
        if not wide:
            at += (at - field.start) % 2
        head = read(at, 16)
        if len(head) < 16 or at >= size:
            return None
        if _is_head(head):
            return at
        if wide or not all(32 <= byte < 127 for byte in head[:4]):  # W64, RF64 and CAF are not looked into
            return None
        at += 8 + int(struct.unpack(f"{order}I", head[4:8])[0])
    return None


def _is_head(head: bytes) -> bool:
    """Whether a sound file of these formats begins so."""
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return form == b"WAVE"
    if kind == b"FORM":
        return form in (b"AIFF", b"AIFC")
    return head[:16] == _W64_RIFF or kind in (b"caff", b".snd")


def _all_of(joined: Sequence[tuple[int, DataField]], read_at: ReadAt, size: int, decoded: int) -> Contents:
    """Files that were put together, to be read one after the other."""
    ends = [*(at for at, _ in joined[1:]), size]
    parts = [Part(((at, end - at),)) for (at, _), end in zip(joined, ends, strict=True)]
    note = f"it is {len(parts)} files, one after the other: all were read"
    at, last = joined[-1]
    there = size - at - last.start
    if last.said == 0 and there > 0:
        pieces = mended(_from(read_at, at), size - at, last)
        parts[-1] = Part((pieces[0], (at + last.start, there)))
        return Contents(tuple(parts), counts_parts=True, notes=(note, f"of the last of them, {_NO_LENGTH}"))
    first = joined[0][1].said
    if last.said and last.said > there and first and decoded > 0:  # the end of the last one is missing
        counted = round(decoded / first * sum(field.said or 0 for _, field in joined))
        return Contents(tuple(parts), counted=counted, frames=counted, notes=(note,))
    return Contents(tuple(parts), counts_parts=True, notes=(note,))


def mended(read_at: ReadAt, size: int, found: DataField) -> tuple[Piece, ...]:
    """The file with a header whose length is that of what is there."""
    head = bytearray(read_at(0, found.start))
    most = 2 ** (8 * struct.calcsize(found.form)) - 1
    struct.pack_into(found.form, head, found.at, min(most, size - found.start + found.others))
    return (bytes(head), (found.start, size - found.start))


def readable_form(read_at: ReadAt, size: int) -> tuple[Piece, ...] | None:
    """A form of the file that libsndfile may open where it did not open the file itself; None if there is none.

    BW64 is RF64 under another name. CAF files that end early, or whose length is not given, are refused for that. Of
    WAV and AIFF files that were put together it is the first; of others, what ends with the samples.
    """
    head = read_at(0, 4)
    if (first := first_of_several(read_at, size)) is not None and head != b"BW64":
        return first.pieces
    if head == b"BW64":
        return (b"RF64", (4, size - 4))
    found = data_field(read_at, size)
    if head in (b"RIFF", b"RIFX", b"FORM") and found is not None and found.said and found.said < size - found.start:
        return ((0, found.start + found.said),)
    if head == b"caff" and found is not None and found.said != size - found.start:
        return mended(read_at, size, found)
    return None


def _nist_count(read_at: ReadAt) -> int:
    """How many samples per channel the words of a NIST SPHERE header say; 0 if they do not."""
    found = re.search(rb"^sample_count -i (\d{1,18})\s", read_at(0, _HEAD), re.MULTILINE)
    return int(found[1]) if found else 0


def _length(value: int, others: int, bits: int) -> int | None:
    """What a length field says; None for what is put in where it is not known."""
    if value >= 2**bits - _NEAR or (bits == 32 and abs(value - 2**31) <= _NEAR):
        return None
    return max(0, value - others)


def _riff(read: ReadAt, size: int, order: str) -> DataField | None:
    at = 12
    for _ in range(_MOST_CHUNKS):
        name, length = struct.unpack(f"{order}4sI", read(at, 8))
        if name == b"data":
            return DataField(at + 4, f"{order}I", 0, at + 8, _length(length, 0, 32))
        at += 8 + length + length % 2
        if at >= size:
            break
    return None


def _rf64(read: ReadAt, size: int) -> DataField | None:
    at, field = 12, 0
    for _ in range(_MOST_CHUNKS):
        name, length = struct.unpack("<4sI", read(at, 8))
        if name == b"ds64":
            field = at + 16
        if name == b"data":
            if length < 2**32 - 1 and field == 0:
                return DataField(at + 4, "<I", 0, at + 8, _length(length, 0, 32))
            if field == 0:
                return None
            (wide,) = struct.unpack("<Q", read(field, 8))
            return DataField(field, "<Q", 0, at + 8, _length(wide, 0, 64))
        at += 8 + length + length % 2
        if at >= size:
            break
    return None


def _w64(read: ReadAt, size: int) -> DataField | None:
    at = 40
    for _ in range(_MOST_CHUNKS):
        name, length = struct.unpack("<16sQ", read(at, 24))
        if name == _W64_DATA:
            return DataField(at + 16, "<Q", 24, at + 24, _length(length, 24, 64))
        at += max(24, length) + -length % 8
        if at >= size:
            break
    return None


def _aiff(read: ReadAt, size: int) -> DataField | None:
    at = 12
    for _ in range(_MOST_CHUNKS):
        name, length = struct.unpack(">4sI", read(at, 8))
        if name == b"SSND":
            (offset,) = struct.unpack(">I", read(at + 8, 4))
            others = 8 + offset
            return DataField(at + 4, ">I", others, at + 8 + others, _length(length, others, 32))
        at += 8 + length + length % 2
        if at >= size:
            break
    return None


def _au(read: ReadAt) -> DataField:
    start, length = struct.unpack(">II", read(4, 8))
    return DataField(8, ">I", 0, max(_AU_HEAD, start), _length(length, 0, 32))


def _caf(read: ReadAt, size: int) -> DataField | None:
    at = 8
    for _ in range(_MOST_CHUNKS):
        name, length = struct.unpack(">4sQ", read(at, 12))
        if name == b"data":
            return DataField(at + 4, ">Q", 4, at + 16, _length(length, 4, 64))
        at += 12 + length
        if at >= size:
            break
    return None


def _are_chunks(read: ReadAt, found: DataField, at: int, size: int) -> bool:
    """Whether what is there from a place on, up to the end of the file, are other chunks than that of the samples."""
    order, wide = found.form[0], found.form[1] == "Q"
    if wide:  # W64, RF64 and CAF are not looked into
        return found.said != 0
    at += (at - found.start) % 2
    for _ in range(_MOST_CHUNKS):
        if at >= size - 1:
            return True
        head = read(at, 8)
        if len(head) < 8 or not all(32 <= byte < 127 for byte in head[:4]) or head[:4] in _SOUND:
            return False
        (length,) = struct.unpack(f"{order}I", head[4:])
        at += 8 + length + length % 2
        if at > size + 1:
            return False
    return False
