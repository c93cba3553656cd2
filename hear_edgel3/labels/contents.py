"""Digests of sounds by their bytes, so that a sound is known wherever it lies and whatever it is called."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO

from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError
from hear_edgel3.sources.hdf5 import Hdf5Sounds, is_hdf5
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.shards import TAR_ERRORS, open_tar

_AT_ONCE = 1 << 20


def digests_of(items: Sequence[Item]) -> list[str]:
    """For each sound 32 hexadecimal digits, equal for equal bytes, equal starts and ends, and equal channels.

    Args:
        items: As for :func:`contents_of`.
    """
    return digests_by(items, contents_of(items))


def digests_by(items: Sequence[Item], contents: Sequence[str]) -> list[str]:
    """What :func:`digests_of` gives, where :func:`contents_of` these sounds is known."""
    return [_of_clip(item, digest) for item, digest in zip(items, contents, strict=True)]


def contents_of(items: Sequence[Item]) -> list[str]:
    """For each sound 32 hexadecimal digits of its whole file, equal for equal bytes.

    Args:
        items: What can be read. Each file is read once, and each tar file from its beginning to its end.

    Raises:
        AudioFileError: A file cannot be read any more.
    """
    files: dict[str, str] = {}
    for name, found in _each(items):
        if isinstance(found, AudioFileError):
            raise found
        files[name] = found
    return [files[item.file] for item in items]


def readable_contents_of(items: Sequence[Item]) -> dict[str, str]:
    """As :func:`contents_of`, by the names of files; what cannot be read is left out, for decoding it will say why."""
    return {name: found for name, found in _each(items) if isinstance(found, str)}


def _each(items: Sequence[Item]) -> Iterator[tuple[str, str | AudioFileError]]:
    """The digest of each file, or why it has none."""
    done: set[str] = set()
    shards: dict[str, dict[str, Item]] = {}
    for item in items:
        if item.shard is not None:
            shards.setdefault(item.shard, {}).setdefault(item.file, item)
        elif item.file not in done:
            done.add(item.file)
            yield item.file, _of_file(item.file)
    for shard, wanted in shards.items():
        yield from _of_rows(shard, list(wanted.values())) if is_hdf5(shard) else _of_members(shard, set(wanted))


def _of_clip(item: Item, digest: str) -> str:
    if not item.is_clip and item.channel is None:
        return digest
    channel = "" if item.channel is None else f" channel {item.channel}"
    return hashlib.blake2b(f"{digest} {item.start} {item.end}{channel}".encode(), digest_size=16).hexdigest()


def _of_stream(opened: IO[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    while block := opened.read(_AT_ONCE):
        digest.update(block)
    return digest.hexdigest()


def _of_file(file: str) -> str | AudioFileError:
    try:
        with open(path_of_text(file), "rb") as opened:
            return _of_stream(opened)
    except OSError as error:
        return AudioFileError(f"{file} cannot be read: {error.strerror or error}")


def _of_rows(shard: str, items: Sequence[Item]) -> Iterator[tuple[str, str | AudioFileError]]:
    try:
        opened = Hdf5Sounds(str(path_of_text(shard)))
    except AudioFileError as error:
        yield from ((item.file, error) for item in items)
        return
    with closing(opened):
        for item in items:
            try:
                yield item.file, hashlib.blake2b(opened.sound(item), digest_size=16).hexdigest()
            except AudioFileError as error:
                yield item.file, error


def _of_members(shard: str, wanted: set[str]) -> Iterator[tuple[str, str | AudioFileError]]:
    found: set[str] = set()
    why: AudioFileError | None = None
    try:
        with open_tar(str(path_of_text(shard))) as tar:
            while (member := tar.next()) is not None:
                name = f"{shard}/{member.name}"
                source = tar.extractfile(member) if name in wanted and _is_file(member) else None
                if source is not None:
                    with source:
                        digest = _of_stream(source)
                    found.add(name)
                    yield name, digest
    except TAR_ERRORS as error:
        why = AudioFileError(f"{shard} cannot be read: {error}")
    for name in sorted(wanted - found):
        yield name, why or AudioFileError(f"{name} is not in its tar file any more")


def _is_file(member: tarfile.TarInfo) -> bool:
    return member.isreg() or member.islnk()
