"""Where the weights of a checkpoint come from.

The first of these that has them wins; each step says what it did at log level INFO:

1. the path the caller gave;
2. for checkpoints that ``hear-edgel3 distill`` has made, the folder they live in, and nothing else; the built-in one's
   is inside the package;
3. the folder named by ``$HEAR_EDGEL3_WEIGHTS``;
4. the cache of converted files (``$HEAR_EDGEL3_CACHE``, else ``~/.cache/hear_edgel3``);
5. the Hugging Face Hub, at the revision and sha256 in the registry, where it has them;
6. the authors' file, from a Python package that has it if that is installed, else downloaded, verified, converted by
   ``weights_convert`` and put into the cache.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import DownloadError, InvalidOption, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats import KERAS_ENDINGS, PYTORCH_ENDINGS
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.weights.cache import FOLDER_VARIABLE, offline
from hear_edgel3.weights.hub import from_hub
from hear_edgel3.weights.packaged import installed
from hear_edgel3.weights.ways import ways_to_get

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A weights file.

    Attributes:
        path: where it is.
        sha256: what it must be, for whoever reads it to check; None if that is not known.
    """

    path: Path
    sha256: str | None = None


def origin(row: Checkpoint) -> str:
    """In words, where the weights of ``row`` would come from now, without a network request."""
    if isinstance(row, Local):
        return str(row.weights_path)
    assert isinstance(row, Published)
    for path, place, there in _looked_into(row):
        if there:
            return f"{path} ({place})"
    if row.hub.revision is not None:
        return f"the Hugging Face Hub: {row.hub.repo_id} at {row.hub.revision}"
    package = installed(row)
    if package is not None:
        return f"{package} (an installed package; converted on first use)"
    verified = "verified" if row.upstream.has_checksum else "checked by names and shapes only"
    return f"{row.upstream.url} (downloaded, {verified} and converted on first use; not on the Hub yet)"


def at_hand(row: Checkpoint) -> Path | None:
    """The weights file of a checkpoint that is on this machine and would be taken now; the Hub's cache left aside."""
    if isinstance(row, Local):
        return row.weights_path if _is_file(row.weights_path) else None
    assert isinstance(row, Published)
    return next((path for path, _, there in _looked_into(row) if there), None)


def is_here(row: Checkpoint) -> bool:
    """Whether the weights of a checkpoint are on this machine, in a place that is looked into without being asked."""
    if isinstance(row, Local):
        return _is_file(row.weights_path)
    assert isinstance(row, Published)
    return any(there for _, _, there in _looked_into(row)) or installed(row) is not None


def locate(row: Checkpoint, weights: str | os.PathLike[str] | None = None) -> Path:
    """Finds, and if need be fetches, the weights file of a checkpoint, and checks it where its checksum is known.

    Args:
        row: the checkpoint.
        weights: a safetensors file, or a folder that has one named after the checkpoint; None to look everywhere.

    Returns:
        Path of a safetensors file.

    Raises:
        As :func:`find`; WeightsCorrupt also if the file is not the one that belongs to the checkpoint.
    """
    found = find(row, weights)
    if found.sha256 is not None and (sha256 := sha256_of(found.path)) != found.sha256:
        raise WeightsCorrupt(
            f"{found.path} has the wrong checksum: expected sha256 {found.sha256}, found {sha256}; it was damaged or "
            f"replaced and was not loaded"
        )
    return found.path


def find(row: Checkpoint, weights: str | os.PathLike[str] | None = None) -> Found:
    """As :func:`locate`, but leaves it to the reader of the file to check its sha256, so that it is read but once.

    Raises:
        WeightsNotFound: none of the places has it; the message has a command for each way to get it.
        WeightsMismatch: the path given is an upstream file that has to be converted first.
        WeightsCorrupt: a downloaded file does not have the checksum in the registry.
        DownloadError: the Hub answered with an error.
        InvalidOption: ``weights`` is no path.
    """
    path = _given(row, weights)
    if path is not None:
        _log.info("weights of %s: %s (given)", row.name, path)
        return Found(path)
    if isinstance(row, Local):
        path = row.weights_path
        if not _is_file(path):
            raise WeightsNotFound(f"the folder {row.folder} has no {row.weights_file}, the weights of {row.name}")
        _log.info("weights of %s: %s (its folder)", row.name, path)
        return Found(path, row.weights_sha256)
    assert isinstance(row, Published)
    for path, place, there in _looked_into(row):
        if there:
            _log.info("weights of %s: %s (%s)", row.name, path, place)
            return Found(path)
        _log.info("weights of %s: not in %s (%s)", row.name, path.parent, place)
    if row.hub.revision is not None:
        path = from_hub(row)
        _log.info("weights of %s: %s (Hugging Face Hub, %s at %s)", row.name, path, row.hub.repo_id, row.hub.revision)
        return Found(path, row.hub.sha256)
    _log.info("weights of %s: not published on the Hub yet", row.name)
    return Found(_from_upstream(row))


def check_given(row: Checkpoint, weights: str | os.PathLike[str] | None) -> None:
    """Finds out, before anything is loaded, that a path for the weights of a checkpoint cannot be.

    Raises:
        WeightsNotFound: there is no such file, or the folder does not have it.
        WeightsMismatch: it is an upstream file that has to be converted first.
        InvalidOption: ``weights`` is no path.
    """
    _given(row, weights)


def folders() -> list[tuple[Path, str]]:
    """The folders of converted files on this machine, in the order in which they are looked into, and what they are."""
    given = os.environ.get(FOLDER_VARIABLE)
    first = [(Path(given).expanduser(), f"${FOLDER_VARIABLE}")] if given else []
    return [*first, (cache_folder(), "cache of converted files")]


def _looked_into(row: Published) -> Iterator[tuple[Path, str, bool]]:
    """Where the weights may be on this machine, what that place is, and whether they are there."""
    for folder, place in folders():
        path = folder / row.filename
        yield path, place, _is_file(path)


def _is_file(path: Path) -> bool:
    """Whether there is a file; of a path that no file can have, there is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _given(row: Checkpoint, weights: str | os.PathLike[str] | None) -> Path | None:
    """The weights file that the user's path means; None if there is no such path, or an empty one."""
    if weights is None:
        return None
    if not isinstance(os.fspath(weights) if isinstance(weights, os.PathLike) else weights, str):
        raise InvalidOption(f"weights must be the path of a file or folder, as a str or a Path; got {weights!r}")
    if not os.fspath(weights):
        return None
    path = Path(weights).expanduser()
    try:
        if path.is_dir():
            inside = path / row.filename
            if isinstance(row, Local) and not inside.is_file():
                inside = path / row.weights_file
            if not inside.is_file():
                raise WeightsNotFound(f"the folder {path} has no {row.filename}, which {row.name} needs")
            path = inside
        there = path.is_file()
    except OSError as error:
        if isinstance(error, WeightsNotFound):
            raise
        raise WeightsNotFound(f"the weights file {path} cannot be opened: {error.strerror or error}") from error
    if not there:
        raise WeightsNotFound(f"the weights file {path} does not exist; {ways_to_get(row)}")
    if path.name.endswith((*KERAS_ENDINGS, *PYTORCH_ENDINGS, ".gz")):
        how = f"python -m weights_convert {row.name} --source {path} --output {row.filename}"
        raise WeightsMismatch(
            f"{path} is not a safetensors file"
            + (f"; convert it first: {how}" if isinstance(row, Published) else f", which {row.name} needs")
        )
    return path


def _from_upstream(row: Published) -> Path:
    """Fetches and converts the authors' file into the cache: the one place where this package calls the converter."""
    package = installed(row)
    if package is None and offline():
        raise WeightsNotFound(
            f"no weights for {row.name} on this machine, and the network is switched off (HF_HUB_OFFLINE); "
            f"{ways_to_get(row)}"
        )
    from hear_edgel3.weights.convert import install
    from hear_edgel3.weights.upstream import url_of

    unknown = "" if row.upstream.has_checksum else "; no checksum of this file is known"
    if package is None:
        say(f"hear_edgel3: fetching and converting the weights of {row.name}, once ({url_of(row)}{unknown})")
    else:
        say(f"hear_edgel3: converting the weights of {row.name}, once ({package})")
    try:
        path = install(row)
    except DownloadError as error:
        raise WeightsNotFound(f"no weights for {row.name} on this machine, and {error}; {ways_to_get(row)}") from error
    _log.info("weights of %s: %s (converted from %s)", row.name, path, package or row.upstream.url)
    return path
