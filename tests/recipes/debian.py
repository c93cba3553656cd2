"""Debian packages as sources of audio: a pinned table, and a fetcher that works on any system.

    python -m tests.recipes.debian PACKAGE ... [--cache DIR]

unpacks packages of the table and prints their folders. `debian_packages.json` names each by version, place in the pool
and SHA-256, so that what is fetched is the same bytes for as long as deb.debian.org or snapshot.debian.org has them.

Recipes make what the package hear_edgel3 holds, so they do without it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import http.client
import json
import os
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from debian.arfile import ArError
from debian.debfile import DebError, DebFile

# The archive of today holds bookworm until it is retired; the snapshot keeps it for good.
MIRRORS = ("https://deb.debian.org/debian", "https://snapshot.debian.org/archive/debian/20250520T000000Z")
DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hear_edgel3" / "debian"
_TABLE = Path(__file__).with_name("debian_packages.json")
_TIMEOUT_S = 60
_CHUNK = 1 << 20


class RecipeError(Exception):
    """A step of a recipe cannot be done; the message says what to do."""


class _Missed(Exception):
    """A mirror has not given the file."""


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A temporary name beside ``target``, renamed to it when the block ends well, so that it is there whole or not.

    The name keeps the ending, which many programs go by. What the block leaves there is removed if it raises.

    Args:
        target: the file or folder to make; its own folder must exist.

    Raises:
        RecipeError: it cannot be written, or the disk is full.
    """
    temporary = target.with_name(f".{uuid.uuid4().hex}.part{target.suffix}")
    try:
        yield temporary
        try:
            os.replace(temporary, target)
        except OSError:
            # Another process may have made the same folder meanwhile, which is as good.
            if not target.is_dir():
                raise
    except OSError as error:
        raise RecipeError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Package:
    """A row of the table.

    Attributes:
        name: of the binary package.
        version: Debian's, with the epoch.
        path: in the pool, below a mirror's root.
        size: of the .deb, in bytes.
        sha256: of the .deb.
        role: "train"; "hold_out" for what nets are validated with while they are trained, but learn nothing from; or
            "evaluate" for what no training may see at all.
        licences: short names of those that cover its sound.
        homepage: of the work, where Debian names one.
    """

    name: str
    version: str
    path: str
    size: int
    sha256: str
    role: Literal["train", "hold_out", "evaluate"]
    licences: tuple[str, ...]
    homepage: str | None = None

    @property
    def filename(self) -> str:
        """Of the .deb in the cache: as `apt-get download` writes it, so that files from there are taken as they are."""
        return f"{self.name}_{self.version}_{self.path.rsplit('_', 1)[1]}".replace(":", "%3a")

    @property
    def folder(self) -> str:
        """Of the unpacked package in the cache."""
        return f"{self.name}-{self.version}".replace(":", "%3a")


@functools.cache
def table() -> dict[str, Package]:
    """All packages by name."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))["packages"]
    return {
        name: Package(name=name, **{**row, "licences": tuple(row["licences"])}) for name, row in sorted(rows.items())
    }


def lookup(package: str) -> Package:
    """The row of a package.

    Raises:
        RecipeError: there is none.
    """
    try:
        return table()[package]
    except KeyError:
        raise RecipeError(
            f"{package} is not in {_TABLE.name}: name one of its packages, or add a row with what "
            f"`apt-cache show {package}` says on Debian bookworm"
        ) from None


def unpacked(package: str, cache: Path) -> Path:
    """The folder with the files of a package; downloads and unpacks it if need be.

    Symbolic links that lead out of the package are left out; nothing else is.

    Args:
        package: its name in the table.
        cache: folder to keep the .deb and the files in; made if need be. It may be shared by several processes.

    Raises:
        RecipeError: the package is unknown, cannot be had, or is not what the table says; the cache cannot be written,
            or the disk is full.
    """
    row = lookup(package)
    folder = cache / row.folder
    if folder.is_dir():
        return folder
    deb = downloaded(row, cache)
    with whole(folder) as temporary:
        try:
            _unpack(deb, temporary)
        except (DebError, ArError, tarfile.TarError, EOFError) as error:
            raise RecipeError(f"{deb} cannot be unpacked: {error}. Delete it and try again") from error
    return folder


def downloaded(row: Package, cache: Path) -> Path:
    """The .deb of a package, from the cache or a mirror; its checksum is right."""
    deb = cache / row.filename
    if deb.is_file():
        with deb.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != row.sha256:
            raise RecipeError(
                f"{deb} has SHA-256 {found}, not {row.sha256} as {_TABLE.name} says: delete it and try again"
            )
        return deb
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"cannot make the folder {cache}: {error.strerror or error}. Name another cache") from error
    failures = []
    for mirror in MIRRORS:
        url = f"{mirror}/{row.path}"
        print(f"downloading {url} ({row.size / 1e6:.1f} MB)", file=sys.stderr, flush=True)
        try:
            with whole(deb) as temporary, temporary.open("xb") as file:
                _fetch(url, row, file)
        except _Missed as error:
            failures.append(f"{url} {error}")
        else:
            return deb
    raise RecipeError(
        f"{row.name} {row.version} cannot be downloaded: {'; '.join(failures)}. Check the network, or put the file "
        f"there as {deb}"
    )


def _fetch(url: str, row: Package, file: BinaryIO) -> None:
    """Writes what the URL holds, if it is what the table says."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            # One byte more than the table says is enough to know that it is something else.
            while size <= row.size and (chunk := response.read(min(_CHUNK, row.size + 1 - size))):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Missed(f"answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Missed(f"cannot be reached: {getattr(error, 'reason', None) or error!r}") from error
    if size != row.size:
        raise _Missed(f"has {'more' if size > row.size else size} bytes, not the {row.size} of {_TABLE.name}")
    if digest.hexdigest() != row.sha256:
        raise _Missed(f"has SHA-256 {digest.hexdigest()}, not {row.sha256} as {_TABLE.name} says")


def _unpack(deb: Path, folder: Path) -> None:
    """Writes the files of a .deb below a new folder, none of them outside it, none a device."""
    if not hasattr(tarfile, "data_filter"):
        raise RecipeError("unpacking safely needs tarfile.data_filter: use Python 3.11.4 or newer")

    def safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        try:
            return tarfile.data_filter(member, path)
        except tarfile.FilterError:
            # Links to other packages' files (/etc/..., ../../doc/...) are usual; whatever else leads out is not.
            if member.issym():
                return None
            raise

    folder.mkdir()
    with DebFile(deb) as package:
        package.data.tgz().extractall(folder, filter=safe)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    arguments = parser.parse_args()
    try:
        for package in arguments.packages:
            print(unpacked(package, arguments.cache))
    except RecipeError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
