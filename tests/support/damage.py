"""Damage to files: cut off, changed at random, or something else altogether."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hear_edgel3.errors import WeightsCorrupt


def truncated(where: float | int, data: bytes) -> bytes:
    """Its beginning: a number of bytes, all but some where that is negative, or a fraction."""
    return data[: int(len(data) * where)] if isinstance(where, float) else data[:where]


def scrambled(data: bytes, head: int, tail: int, times: int) -> Iterator[bytes]:
    """The file with three bytes changed at random, each of them within its first or its last ones: its structure."""
    places = [*range(head), *range(len(data) - tail, len(data))]
    source = random.Random(1)
    for _ in range(times):
        damaged = bytearray(data)
        for place in source.sample(places, 3):
            damaged[place] = source.randrange(256)
        yield bytes(damaged)


def assert_damage_is_said(read: Callable[[bytes], object], damaged: Iterable[bytes]) -> int:
    """That each is read or raises WeightsCorrupt, and no other error; gives the number of those that are refused."""
    refused = 0
    for data in damaged:
        try:
            read(data)
        except WeightsCorrupt:
            refused += 1
    return refused


def random_bytes(n: int) -> bytes:
    """The same every time."""
    return random.Random(0).randbytes(n)


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


# Files that are no checkpoint of anything.
SOMETHING_ELSE: dict[str, bytes] = {
    "empty": b"",
    "text": b"Not Found\n",
    "html": b"<!DOCTYPE html><html>rate limit</html>",
    "json": b'{"message": "Not Found"}',
    "zeros": bytes(1000),
    "random": random_bytes(5000),
}
