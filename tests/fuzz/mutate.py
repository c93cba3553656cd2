"""Changes to bytes, at random and the same for the same seed."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

# What numbers in headers are changed to: ends of ranges, and what is just beside them.
_EXTREME = (
    0,
    1,
    2,
    3,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
_NUMBERS = (
    b"0 1 -1 2 3 255 65536 1e9 1e18 1e308 1e309 -0 0.1 NaN Infinity 9007199254740993 99999999999999999999 null true "
    b'"" "x" [] [[1]] {} {"a":1} 007 1_0'
).split()
_WORDS = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\r",
    b",",
    b"\t",
    b'"',
    b"\\",
    b"/",
    b"../",
    b" ",
    b"\xff",
    b"\xef\xbb\xbf",
    b"#",
    b"-",
    b"*",
    b"[",
)
_HEAD = 512


def mutate(data: bytes, source: random.Random, others: list[bytes], text: bool) -> bytes:
    """A changed copy.

    Args:
        data: What to change.
        source: Where the changes come from.
        others: Further files, of which pieces may be put in.
        text: Whether it is text, in which numbers and words are changed rather than bytes.
    """
    changes = (*_BYTES, *_TEXT, *_TEXT) if text else _BYTES
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 5, 10))):
        if not data:
            break
        data = source.choice(changes)(data, source, others)
    return data


def _place(data: bytes, source: random.Random) -> int:
    """Rather at the beginning, where headers are, or at the end."""
    which = source.random()
    if which < 0.5:
        return source.randrange(min(_HEAD, len(data)))
    return len(data) - 1 - source.randrange(min(_HEAD, len(data))) if which < 0.65 else source.randrange(len(data))


def _byte(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place = _place(data, source)
    return data[:place] + bytes([source.randrange(256)]) + data[place + 1 :]


def _bit(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place = _place(data, source)
    return data[:place] + bytes([data[place] ^ (1 << source.randrange(8))]) + data[place + 1 :]


def _number(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place, width = _place(data, source), source.choice((1, 2, 4, 8))
    value = source.choice(_EXTREME) & ((1 << 8 * width) - 1)
    return data[:place] + value.to_bytes(width, source.choice(("little", "big"))) + data[place + width :]


def _odd_float(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place = _place(data, source)
    value = source.choice((float("nan"), float("inf"), -1e30, 1e38, 1e-40))
    return data[:place] + struct.pack("<f", value) + data[place + 4 :]


def _cut(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    return data[: _place(data, source)]


def _without(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place = _place(data, source)
    return data[:place] + data[place + source.choice((1, 2, 4, 16, 100, 1000)) :]


def _repeated(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place, width = _place(data, source), source.choice((1, 4, 16, 100, 1000))
    return data[:place] + data[place : place + width] * source.choice((2, 2, 3, 20)) + data[place + width :]


def _filled(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place, width = _place(data, source), source.choice((4, 16, 100, 1000))
    return data[:place] + bytes([source.choice((0, 255, source.randrange(256)))]) * width + data[place + width :]


def _exchanged(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    first, second = sorted((_place(data, source), _place(data, source)))
    width = min(source.choice((1, 4, 16, 100)), second - first)
    a, b = data[first : first + width], data[second : second + width]
    return data[:first] + b + data[first + width : second] + a + data[second + width :]


def _spliced(data: bytes, source: random.Random, others: list[bytes]) -> bytes:
    other = source.choice(others) or b"\0"
    begin = _place(other, source)
    piece = other[begin : begin + source.choice((4, 32, 500, 5000))]
    place = _place(data, source)
    return data[:place] + piece + (data[place:] if source.random() < 0.5 else data[place + len(piece) :])


def _joined(data: bytes, source: random.Random, others: list[bytes]) -> bytes:
    return data + source.choice(others)


def _text_number(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    found = list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?|true|false|null", data))
    if not found:
        return data
    match = source.choice(found)
    return data[: match.start()] + source.choice(_NUMBERS) + data[match.end() :]


def _text_value(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    found = list(re.finditer(rb'"[^"]*"', data))
    if not found:
        return data
    match = source.choice(found)
    return (
        data[: match.start()]
        + source.choice((*_NUMBERS, match.group() * 2, match.group() + b":0,"))
        + data[match.end() :]
    )


def _word(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    place = source.randrange(len(data) + 1)
    return data[:place] + source.choice(_WORDS) * source.choice((1, 1, 1, 2, 300)) + data[place:]


def _line(data: bytes, source: random.Random, _: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    first, second = source.randrange(len(lines)), source.randrange(len(lines))
    change = source.randrange(3)
    if change == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif change == 1:
        lines.insert(first, lines[second])
    else:
        del lines[first]
    return b"\n".join(lines)


Change = Callable[[bytes, random.Random, list[bytes]], bytes]
_BYTES: tuple[Change, ...] = (
    _byte, _byte, _bit, _bit, _number, _number, _odd_float, _cut, _without, _repeated, _filled, _exchanged, _spliced,
    _joined,
)  # fmt: skip
_TEXT: tuple[Change, ...] = (_text_number, _text_number, _text_value, _word, _line)
