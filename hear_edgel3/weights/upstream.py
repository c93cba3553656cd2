"""Fetches the authors' files and verifies them by git's own object id."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass

from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import DownloadError, WeightsCorrupt
from hear_edgel3.families.schema import Published
from hear_edgel3.weights.download import fetch
from hear_edgel3.weights.packaged import unpacked

# A mirror that holds files of the upstream names; they are verified all the same.
MIRROR_VARIABLE = "HEAR_EDGEL3_MIRROR"

_WORDS = {"git_blob": "git blob", "sha256": "sha256", "md5": "md5"}
_log = logging.getLogger(__name__)


def git_blob_id(data: bytes) -> str:
    """The id git gives to these bytes: sha1 of "blob", the size, a zero byte and the bytes (Pro Git, section 10.2)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Checksums:
    """What tells a file.

    Attributes:
        git_blob: git's id of its bytes.
        sha256: of its bytes.
        md5: of its bytes, which only tells a damaged or other file, not a forged one.
    """

    git_blob: str
    sha256: str
    md5: str


def checksums(data: bytes) -> Checksums:
    """All checksums of a file's bytes."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Checksums(git_blob_id(data), hashlib.sha256(data).hexdigest(), md5)


def is_published(row: Published, found: Checksums) -> bool | None:
    """Whether a file is the published one of a checkpoint; None if no checksum of that is known."""
    known = row.upstream.checksums
    return all(getattr(found, name) == value for name, value in known.items()) if known else None


def expected_checksum(row: Published) -> str:
    """The published file's checksum, in words."""
    for name, value in row.upstream.checksums.items():
        return f"{_WORDS[name]} {value}"
    return "no checksum known"


def url_of(row: Published) -> str:
    """Where the file is fetched from: the authors' address, or the mirror in ``$HEAR_EDGEL3_MIRROR``."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    return f"{mirror.rstrip('/')}/{row.upstream.filename}" if mirror else row.upstream.url


def download(row: Published) -> bytes:
    """Downloads the upstream file of a checkpoint into memory and verifies it, where a checksum of it is known.

    Raises:
        DownloadError: it could not be fetched, is too large or came too slowly.
        WeightsCorrupt: what came is not the published file.
    """
    url = url_of(row)
    _log.info("downloading %s", url)
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url} is not an http address; check ${MIRROR_VARIABLE}")
    data = unpacked(row, fetch(url, cache_folder() / f"{row.filename}.download.part"), url)
    found = checksums(data)
    if is_published(row, found) is False:
        md5 = f", md5 {found.md5}" if row.upstream.md5 is not None else ""
        raise WeightsCorrupt(
            f"{url} is not the published file of {row.name}: expected {expected_checksum(row)}, found git blob "
            f"{found.git_blob}, sha256 {found.sha256}{md5} ({len(data)} bytes); nothing was written"
        )
    return data
