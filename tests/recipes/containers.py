"""Audio inside the containers games keep their data in: zip by any name, Qt's resources, Doom's WAD, OpenTTD's cat."""

from __future__ import annotations

import dataclasses
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from .debian import RecipeError

# What libsndfile reads by itself; headerless .raw and the trackers' formats it does not.
AUDIO = frozenset(".wav .ogg .oga .flac .mp3 .opus .aif .aiff .au .voc".split())
MIDI = frozenset([".mid", ".midi"])
CONTAINERS = frozenset(".zip .pk3 .wz .rcc .wad .cat".split())


@dataclasses.dataclass(frozen=True)
class Member:
    """A file in a container: its name, as a path that stays below a folder, and a function that reads it."""

    name: PurePosixPath
    read: Callable[[], bytes]


def members(path: Path) -> Iterator[Member]:
    """The audio and MIDI files in a container, by name; a file that only has a container's name gives none.

    Members are to be read before the next is asked for.

    Raises:
        RecipeError: it is damaged, or a name in it leads out of it.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    try:
        if magic == b"qres":
            yield from _qt(path.read_bytes(), path)
        elif magic in (b"IWAD", b"PWAD"):
            yield from _wad(path.read_bytes(), path)
        elif path.suffix.lower() == ".cat":
            yield from _cat(path.read_bytes(), path)
        elif zipfile.is_zipfile(path):
            yield from _zip(path)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is damaged: {error}. Delete the folder of its package and try again") from error


def _safe(name: str, path: Path) -> PurePosixPath:
    result = PurePosixPath(name.replace("\\", "/"))
    if result.is_absolute() or ".." in result.parts or ":" in name or "\0" in name:
        raise RecipeError(f"{path} holds a file named {name!r}, which leads out of it: it is not what it should be")
    return result


def _wanted(name: str) -> bool:
    return PurePosixPath(name.lower()).suffix in AUDIO | MIDI


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(set(archive.namelist())):
            if _wanted(name):
                yield Member(_safe(name, path), lambda name=name: archive.read(name))


def _qt(data: bytes, path: Path) -> Iterator[Member]:
    """Qt's .rcc, versions 1 to 3: a tree of nodes, their names in UTF-16, and the contents."""
    version, tree, contents, names = struct.unpack_from(">4i", data, 4)
    node_size = 14 if version == 1 else 22

    def walk(index: int, parent: str) -> Iterator[tuple[str, int, int]]:
        name_at, flags, count, first = struct.unpack_from(">IHII", data, tree + index * node_size)
        name = ""
        if index:
            (length,) = struct.unpack_from(">H", data, names + name_at)
            start = names + name_at + 6  # behind the length and a hash
            name = f"{parent}/{data[start : start + 2 * length].decode('utf-16-be')}".lstrip("/")
        if flags & 2:
            for child in range(first, first + count):
                yield from walk(child, name)
        else:
            yield name, flags, contents + first

    def read(flags: int, start: int) -> bytes:
        (size,) = struct.unpack_from(">I", data, start)
        content = data[start + 4 : start + 4 + size]
        if flags & 4:
            raise RecipeError(f"{path} is compressed with Zstandard, which is not read: leave its package out")
        return zlib.decompress(content[4:]) if flags & 1 else content

    for name, flags, start in sorted(walk(0, "")):
        if _wanted(name):
            yield Member(_safe(name, path), lambda flags=flags, start=start: read(flags, start))


def _wad(data: bytes, path: Path) -> Iterator[Member]:
    """Doom's: sounds of 8 bits are DS*, music in MIDI is D_*."""
    count, directory = struct.unpack_from("<ii", data, 4)
    for index in range(count):
        start, size, raw = struct.unpack_from("<ii8s", data, directory + 16 * index)
        name = raw.rstrip(b"\0").decode("ascii", "replace").lower()
        lump = data[start : start + size]
        if name.startswith("ds") and lump[:2] == b"\x03\x00":
            yield Member(_safe(f"{name}.wav", path), lambda lump=lump: _doom_sound(lump))
        elif name.startswith("d_") and lump[:4] == b"MThd":
            yield Member(_safe(f"{name}.mid", path), lambda lump=lump: lump)


def _cat(data: bytes, path: Path) -> Iterator[Member]:
    """OpenTTD's: a place and a size per sound, at the place a name and a RIFF WAVE of that size.

    Names are sentences, so members are called by their number.
    """
    (first,) = struct.unpack_from("<I", data)
    for index in range((first & 0x7FFFFFFF) // 8):
        place, size = struct.unpack_from("<II", data, 8 * index)
        place &= 0x7FFFFFFF
        if place >= len(data):
            raise EOFError(f"sound {index} lies behind its end")
        start = place + 1 + data[place]
        if data[start : start + 4] == b"RIFF":
            content = data[start : start + size]
            if len(content) < size:
                raise EOFError(f"sound {index} is cut off")
            yield Member(_safe(f"{index:03}.wav", path), lambda content=content: content)


def _doom_sound(lump: bytes) -> bytes:
    rate, count = struct.unpack_from("<HI", lump, 2)
    samples = np.frombuffer(lump, np.uint8, offset=8)[:count]
    samples = samples[16:-16] if len(samples) > 32 else samples  # padded with copies of the first and last
    wav = io.BytesIO()
    soundfile.write(wav, (samples.astype(np.int16) - 128) << 8, rate, format="WAV", subtype="PCM_16")
    return wav.getvalue()
