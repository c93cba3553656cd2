"""From items to open audio files, also inside tar and HDF5 files; of a clip, what is opened is this stretch."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.find import is_audio
from hear_edgel3.audio.source import part_of_file
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError, OutputError
from hear_edgel3.sources.hdf5 import Hdf5Sounds, is_hdf5
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.shards import TAR_ERRORS, is_packed, is_same, is_there, items_in, open_tar

_IN_MEMORY = 32 << 20
_COPIED_AT_ONCE = 1 << 20


class ItemOpener:
    """Opens items, also those inside tar and HDF5 files.

    Args:
        folder: The folder that relative paths are relative to.
        channel: What of their channels: "mean" of all, or the number of one, from 0; an item that states a channel goes
            before it.
    """

    def __init__(self, folder: str, channel: int | str = MEAN) -> None:
        self._folder = folder
        self._channel = channel
        self._packed: tuple[str, tarfile.TarFile] | None = None
        self._hdf5: Hdf5Sounds | None = None
        self._asking = (
            threading.Lock()
        )  # several threads may open items, and an HDF5 file answers one question at a time
        self._copied: tuple[str, int | None, BinaryIO] | None = None  # the last member of a packed shard
        self._now: tuple[tuple[str, int, int], dict[str, Item]] | None = None  # what a shard has now
        self._changed: set[str] = set()  # packed shards that are not as they were

    @contextmanager
    def open(self, item: Item) -> Iterator[AudioFile]:
        """Opens an item.

        Raises:
            AudioFileError: it cannot be read, or its shard has changed and does not have it any more.
            OutputError: there is no room to unpack it.
        """
        if item.error is not None:
            raise AudioFileError(item.error)
        channel = self._channel if item.channel is None else item.channel
        if item.shard is None:
            with AudioFile(self._path(item.file), channel=channel, start=item.start, end=item.end) as file:
                if item.name != item.file:
                    file.name = item.name  # as its table calls it
                yield file
            return
        if is_hdf5(item.shard):
            sound = io.BytesIO(self._row(item))
            with AudioFile(item.file, sound, channel, start=item.start, end=item.end) as file:
                yield file
            return
        try:
            opened = self._unpacked(item) if is_packed(item.shard) else self._slice(item)
        except (AudioFileError, OutputError):
            raise
        except TAR_ERRORS as error:
            raise AudioFileError(f"{item.file} cannot be read from its tar file: {error}") from error
        with opened, AudioFile(item.file, opened, channel, start=item.start, end=item.end) as file:
            yield file

    def close(self) -> None:
        """Closes what is open, if anything is."""
        if self._packed is not None:
            self._packed[1].close()
            self._packed = None
        if self._copied is not None:
            self._copied[2].close()
            self._copied = None
        if self._hdf5 is not None:
            self._hdf5.close()
            self._hdf5 = None

    def _row(self, item: Item) -> bytes:
        assert item.shard is not None
        path = self._path(item.shard)
        with self._asking:
            if self._hdf5 is None or self._hdf5.path != path:
                if self._hdf5 is not None:
                    self._hdf5.close()
                    self._hdf5 = None
                self._hdf5 = Hdf5Sounds(path)
            return self._hdf5.sound(item)

    def _path(self, text: str) -> str:
        return os.fspath(path_of_text(os.path.join(self._folder, text)))

    def _as_now(self, item: Item) -> Item:
        """Where a member is in its shard as that is now.

        Raises:
            AudioFileError: it is not there, or cannot be read.
        """
        assert item.shard is not None
        path = self._path(item.shard)
        status = os.stat(path)
        version = (item.shard, status.st_mtime_ns, status.st_size)
        if self._now is None or self._now[0] != version:
            self._now = (version, {one.member: one for one in items_in(path, is_audio)})
        now = self._now[1].get(item.member)
        if now is None:
            raise AudioFileError(f"{item.shard} has changed since the job was begun: it has no {item.member} any more")
        if now.error is not None:
            raise AudioFileError(now.error)
        return now._replace(file=item.file, shard=item.shard)  # as the job names it, whatever the folder is

    def _slice(self, item: Item) -> BinaryIO:
        assert item.shard is not None
        path = self._path(item.shard)
        if not is_there(path, item):
            item = self._as_now(item)
        assert item.offset is not None
        return part_of_file(path, item.offset, item.size, _COPIED_AT_ONCE if item.size > _COPIED_AT_ONCE else 1 << 16)

    def _unpacked(self, item: Item) -> BinaryIO:
        """A copy of a member, because a packed tar file cannot be read backwards, as audio must be."""
        shard = item.shard
        assert shard is not None
        known = item.header is not None and shard not in self._changed
        if not known:
            item = self._as_now(item)
        if self._copied is not None and self._copied[:2] == (shard, item.offset) and (known or item.header is None):
            return cast(BinaryIO, _Borrowed(self._copied[2]))  # another clip of it, or a link right behind its member
        member = self._advance(item)
        if member is None and known:  # it is not where it was
            self._changed.add(shard)
            item = self._as_now(item)
            member = self._advance(item)
        if member is None or self._packed is None:
            raise AudioFileError(f"{shard} is changing while it is read: {item.file} is not where it was")
        source = self._packed[1].extractfile(member)
        assert source is not None
        copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
        try:
            shutil.copyfileobj(source, copy, _COPIED_AT_ONCE)
        except BaseException as error:
            copy.close()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(f"no room in {tempfile.gettempdir()} to unpack {item.file} (see TMPDIR)") from error
            raise
        if self._copied is not None:
            self._copied[2].close()
        self._copied = (shard, item.offset, copy)
        return cast(BinaryIO, _Borrowed(copy))

    def _advance(self, item: Item) -> tarfile.TarInfo | None:
        """Goes to a member of a packed shard; None if another one is in its place."""
        assert item.shard is not None
        assert item.offset is not None
        if self._packed is None or self._packed[0] != item.shard or self._packed[1].offset > item.offset:
            if self._packed is not None:
                self._packed[1].close()
            self._packed = (item.shard, open_tar(self._path(item.shard)))
        tar = self._packed[1]
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            if member.offset_data >= item.offset:
                break
        if member is None or not member.isreg() or (member.offset_data, member.size) != (item.offset, item.size):
            return None
        return member if item.header is None or is_same(member, item) else None


class _Borrowed(io.RawIOBase):
    """A file that stays open when this is closed; it is read from its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
