"""Tar shards: the audio files in them, and where each one is."""

from __future__ import annotations

import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hear_edgel3.audio.find import check_ordinary
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import AudioFileError
from hear_edgel3.sources.item import Item

_PLAIN = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SHARDS = (_PLAIN, *_PACKED)
# Headers with a long name, or with more about a member, are read whole; real ones have some kilobytes.
_LONGEST_HEADER = 1 << 20
_LONG = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_MOST_LINKS = 40
# What tarfile takes for the end without a word, behind the first header.
_NO_END = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
# How far is looked for more behind the end of a shard: zeros fill up a record, of 10,240 bytes mostly.
_LOOKED_BEHIND = 1 << 20
# What tarfile and the decompressors raise on damaged and hostile files: headers nested without end (RecursionError),
# numbers that are none or too large (ValueError and its like).
TAR_ERRORS = (
    tarfile.TarError,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RecursionError,
    MemoryError,
    ValueError,
    ArithmeticError,
    LookupError,
)


class _Member(tarfile.TarInfo):
    """A member, whose header does not take all of the memory, and is not taken for the end if it is damaged or cut."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        """The next member of a tar file; :mod:`tarfile` would end there at what is none, and say nothing."""
        try:
            return super().fromtarfile(tar)
        except _NO_END as error:
            if tar.offset == 0:
                raise  # it is no tar file at all, and is told so
            raise tarfile.ReadError(f"the header at byte {tar.offset} is damaged or cut ({error})") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """A header, of 512 bytes."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _LONG and not 0 <= member.size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        if member.size < 0:
            raise tarfile.ReadError(f"a member of {member.size} bytes")
        return member


def open_tar(path: str) -> tarfile.TarFile:
    """A tar file, to be read from its beginning to its end if it is packed.

    Raises:
        AudioFileError: it is no ordinary file, such as a pipe.
        TAR_ERRORS: it cannot be read.
    """
    check_ordinary(path)
    # Not the modes for streams, "r|...": at a header that claims a huge member these skip it block by block, behind the
    # end of the file too.
    mode = "r:*" if is_packed(path) else "r:"
    return tarfile.open(path, mode, encoding="utf-8", errors="surrogateescape", tarinfo=_Member)  # type: ignore[call-overload,no-any-return]


def is_shard(path: str) -> bool:
    """Whether a path's ending is that of a tar file."""
    return path.lower().endswith(SHARDS)


def is_packed(shard: str) -> bool:
    """Whether a shard is compressed as a whole, so that it can only be read from its beginning."""
    return shard.lower().endswith(_PACKED)


@dataclass
class _Contents:
    """What a first look at a shard finds.

    Attributes:
        items: Its audio files, by name; of several of one name the last.
        links: The links among them, each with the name of the member that it leads to.
        repeated: The names that were there more than once.
    """

    items: dict[str, Item | None] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, None] = field(default_factory=dict)


def items_in(path: str, is_audio: Callable[[str], bool], note: Callable[[str], object] = lambda _: None) -> list[Item]:
    """The audio files in a shard, links to members included.

    Of members of one name the last is taken, as tar does when it unpacks. A member that cannot be read (a sparse file,
    a device, a link to what the shard does not have) is an item with an error.

    Args:
        path: The tar file.
        is_audio: Whether a name is that of an audio file.
        note: Is called with what the user should know.

    Returns:
        The items in the order of the shard; of a packed one in the order of their bytes.

    Raises:
        AudioFileError: it cannot be read as a tar file.
    """
    shard = text_of_path(path)
    try:
        found = _first_look(path, shard, is_audio, note)
        if found.links:
            _follow_links(path, shard, found)
    except AudioFileError:
        raise
    except TAR_ERRORS as error:
        reason = (
            "its headers are nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        )
        raise AudioFileError(f"{path} cannot be read as a tar file: {reason or type(error).__name__}") from error
    if found.repeated:
        first = next(iter(found.repeated))
        more = f", and {len(found.repeated) - 1} others too" if len(found.repeated) > 1 else ""
        note(f"{shard} has several members called {first}{more}; the last of one name is taken, as tar does")
    items = [item for item in found.items.values() if item is not None]
    if is_packed(path) and found.links:
        items.sort(key=lambda item: item.offset or 0)  # a link right behind its member, whose copy is then at hand
    return items


def _members(path: str, note: Callable[[str], object] = lambda _: None) -> Iterator[tarfile.TarInfo]:
    """All headers; of a plain shard nothing else is read. What is odd about its end is noted, without its name."""
    with open_tar(path) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # they would add up
            yield member
        assert tar.fileobj is not None
        if tar.fileobj.tell() == tar.offset:
            note("has no mark of its end; if it was cut off there, as a download that broke off, the rest is missing")
        elif tar.fileobj.read(_LOOKED_BEHIND).strip(b"\0"):
            note(
                "goes on behind the mark of its end, and what is there is left out, as tar does; if several tar files "
                "were put together, unpack all of it with `tar -xi`"
            )


def _first_look(path: str, shard: str, is_audio: Callable[[str], bool], note: Callable[[str], object]) -> _Contents:
    found = _Contents()
    for member in _members(path, lambda text: note(f"{shard} {text}")):
        name = member.name
        if member.isdir() or not is_audio(name):
            continue
        file = f"{shard}/{text_of_path(name)}"
        if name in found.items:
            found.repeated[name] = None
            found.items.pop(name)  # so that the last one has its own place in the order
            found.links.pop(name, None)
        item: Item | None = None
        if member.islnk():
            found.links[name] = member.linkname
        elif member.issym():
            found.links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
        elif member.issparse():
            item = Item(file, 0, shard, error=f"{file} is stored as a sparse file, which is not read; unpack the shard")
        elif member.isreg():
            item = Item(file, member.size, shard, member.offset_data, member.offset)
        else:
            item = Item(file, 0, shard, error=f"{file} is a pipe or a device, no ordinary file")
        found.items[name] = item
    return found


def _follow_links(path: str, shard: str, found: _Contents) -> None:
    """Puts items in the place of links; for that all headers are read once more, since a link may lead anywhere."""
    steps: dict[str, str] = {}  # of all links of the shard that may be on the way
    places: dict[str, tuple[int, int]] = {}
    wanted = {posixpath.normpath(target) for target in found.links.values()}
    for _ in range(_MOST_LINKS):
        if not wanted:
            break
        for member in _members(path):
            name = posixpath.normpath(member.name)
            if name not in wanted:
                continue
            steps.pop(name, None)
            places.pop(name, None)
            if member.isreg() and not member.issparse():
                places[name] = (member.size, member.offset_data)
            elif member.islnk() or member.issym():
                beside = "" if member.islnk() else posixpath.dirname(member.name)
                steps[name] = posixpath.normpath(posixpath.join(beside, member.linkname))
        reached = {steps[name] for name in wanted if name in steps}
        wanted = reached - steps.keys() - places.keys()
    for link, target in found.links.items():
        file = f"{shard}/{text_of_path(link)}"
        name = posixpath.normpath(target)
        for _ in range(_MOST_LINKS):
            if name not in steps:
                break
            name = steps[name]
        if name in places:
            size, offset = places[name]
            found.items[link] = Item(file, size, shard, offset)
        else:
            gone = f"{file} is a link to {text_of_path(target)}, which is no file of the shard"
            found.items[link] = Item(file, 0, shard, error=gone)


def is_there(path: str, item: Item) -> bool:
    """Whether a plain shard has an item just where it was listed: the header there has its name, place and size."""
    if item.header is None:
        return False
    try:
        check_ordinary(path)
        with open(path, "rb") as file:
            file.seek(item.header)
            with tarfile.open(
                fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape", tarinfo=_Member
            ) as tar:
                member = tar.next()
        return member is not None and is_same(member, item)
    except OSError:
        raise
    except TAR_ERRORS:
        return False


def is_same(member: tarfile.TarInfo, item: Item) -> bool:
    """Whether a member is the one that was listed."""
    return (
        member.isreg()
        and text_of_path(member.name) == item.member
        and (member.offset_data, member.size) == (item.offset, item.size)
    )
