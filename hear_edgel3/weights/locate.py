"""Where the weights of a checkpoint come from.

The first of these that has them wins; each step says what it did at log level INFO:

1. the path the caller gave;
2. for checkpoints that ``hear-edgel3 distill`` has made, the folder they live in, and nothing else; the built-in one's
   is inside the package;
3. the folder named by ``$HEAR_EDGEL3_WEIGHTS``;
4. the cache of converted files (``$HEAR_EDGEL3_CACHE``, else ``~/.cache/hear_edgel3``);
5. the Hugging Face Hub, at the revision and sha256 in the registry, where it has them;
6. the authors' file, downloaded, verified, converted by ``weights_convert`` and put into the cache.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats import KERAS_ENDINGS, PYTORCH_ENDINGS
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.weights.cache import FOLDER_VARIABLE, cache_folder, offline
from hear_edgel3.weights.file import sha256_of
from hear_edgel3.weights.hub import from_hub
from hear_edgel3.weights.ways import ways_to_get

_log = logging.getLogger(__name__)


def origin(row: Checkpoint) -> str:
    """In words, where the weights of ``row`` would come from now, without a network request."""
    if isinstance(row, Local):
        return str(row.weights_path)
    assert isinstance(row, Published)
    for path, place in _local_places(row):
        if path.is_file():
            return f"{path} ({place})"
    if row.hub.revision is not None:
        return f"the Hugging Face Hub: {row.hub.repo_id} at {row.hub.revision}"
    verified = "verified" if row.upstream.has_checksum else "checked by names and shapes only"
    return f"{row.upstream.url} (downloaded, {verified} and converted on first use; not on the Hub yet)"


def locate(row: Checkpoint, weights: str | os.PathLike[str] | None = None) -> Path:
    """Finds, and if need be fetches, the weights file of a checkpoint.

    Args:
        row: the checkpoint.
        weights: a safetensors file, or a folder that has one named after the checkpoint; None to look everywhere.

    Returns:
        Path of a safetensors file.

    Raises:
        WeightsNotFound: none of the places has it; the message has a command for each way to get it.
        WeightsMismatch: the path given is an upstream file that has to be converted first.
        WeightsCorrupt: a downloaded file does not have the checksum in the registry.
        DownloadError: the Hub answered with an error.
    """
    if weights is not None and os.fspath(weights) != "":
        return _explicit(row, Path(weights).expanduser())
    if isinstance(row, Local):
        return _in_its_folder(row)
    assert isinstance(row, Published)
    for path, place in _local_places(row):
        if path.is_file():
            _log.info("weights of %s: %s (%s)", row.name, path, place)
            return path
        _log.info("weights of %s: not in %s (%s)", row.name, path.parent, place)
    if row.hub.revision is not None:
        path = from_hub(row)
        _log.info("weights of %s: %s (Hugging Face Hub, %s at %s)", row.name, path, row.hub.repo_id, row.hub.revision)
        return path
    _log.info("weights of %s: not published on the Hub yet", row.name)
    return _from_upstream(row)


def _in_its_folder(row: Local) -> Path:
    path = row.weights_path
    if not path.is_file():
        raise WeightsNotFound(f"the folder {row.folder} has no {row.weights_file}, the weights of {row.name}")
    found = sha256_of(path)
    if found != row.weights_sha256:
        raise WeightsCorrupt(
            f"{path} has the wrong checksum: expected sha256 {row.weights_sha256}, found {found}; it was damaged or "
            f"replaced and was not loaded"
        )
    _log.info("weights of %s: %s (its folder)", row.name, path)
    return path


def _local_places(row: Published) -> list[tuple[Path, str]]:
    places = []
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        places.append((Path(folder).expanduser() / row.filename, f"${FOLDER_VARIABLE}"))
    places.append((cache_folder() / row.filename, "cache of converted files"))
    return places


def _explicit(row: Checkpoint, path: Path) -> Path:
    if path.is_dir():
        inside = path / row.filename
        if isinstance(row, Local) and not inside.is_file():
            inside = path / row.weights_file
        if not inside.is_file():
            raise WeightsNotFound(f"the folder {path} has no {row.filename}, which {row.name} needs")
        path = inside
    if not path.is_file():
        raise WeightsNotFound(f"the weights file {path} does not exist; {ways_to_get(row)}")
    if path.name.endswith((*KERAS_ENDINGS, *PYTORCH_ENDINGS, ".gz")):
        how = f"python -m weights_convert {row.name} --source {path} --output {row.filename}"
        raise WeightsMismatch(
            f"{path} is not a safetensors file"
            + (f"; convert it first: {how}" if isinstance(row, Published) else f", which {row.name} needs")
        )
    _log.info("weights of %s: %s (given)", row.name, path)
    return path


def _from_upstream(row: Published) -> Path:
    """Downloads and converts the authors' file into the cache: the one place where this package calls the converter."""
    if offline():
        raise WeightsNotFound(
            f"no weights for {row.name} on this machine, and the network is switched off (HF_HUB_OFFLINE); "
            f"{ways_to_get(row)}"
        )
    from hear_edgel3.weights.convert import install
    from hear_edgel3.weights.upstream import url_of

    unknown = "" if row.upstream.has_checksum else "; no checksum of this file is known"
    print(
        f"hear_edgel3: fetching and converting the weights of {row.name}, once ({url_of(row)}{unknown})",
        file=sys.stderr,
    )
    try:
        path = install(row)
    except DownloadError as error:
        raise WeightsNotFound(f"no weights for {row.name} on this machine, and {error}; {ways_to_get(row)}") from error
    _log.info("weights of %s: %s (converted from %s)", row.name, path, row.upstream.url)
    return path
