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

from hear_edgel3._version import __version__
from hear_edgel3.checkpoint_file import sha256_of
from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.registry import Checkpoint, Local, Published

FOLDER_VARIABLE = "HEAR_EDGEL3_WEIGHTS"
CACHE_VARIABLE = "HEAR_EDGEL3_CACHE"
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where converted files are kept: ``$HEAR_EDGEL3_CACHE``, else ``$XDG_CACHE_HOME`` or ``~/.cache``/hear_edgel3."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear_edgel3"


def offline() -> bool:
    """Whether the user has forbidden the network (``HF_HUB_OFFLINE`` or ``TRANSFORMERS_OFFLINE``)."""
    from huggingface_hub import constants  # its attributes are loaded lazily: `huggingface_hub.constants` may not exist

    return bool(constants.HF_HUB_OFFLINE)


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
        path = _from_hub(row)
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
    if path.suffix in (".h5", ".hdf5", ".gz", ".pt", ".pth", ".ckpt"):
        how = f"python -m weights_convert {row.name} --source {path} --output {row.filename}"
        raise WeightsMismatch(
            f"{path} is not a safetensors file"
            + (f"; convert it first: {how}" if isinstance(row, Published) else f", which {row.name} needs")
        )
    _log.info("weights of %s: %s (given)", row.name, path)
    return path


def ways_to_get(row: Checkpoint) -> str:
    """The commands that would provide the weights of ``row``."""
    if not isinstance(row, Published):
        return f"its own weights are in {row.folder}" if isinstance(row, Local) else ""
    return (
        "ways to get its weights:\n"
        f"  with a network:              python -m weights_convert {row.name}\n"
        f"  from the authors' file:      python -m weights_convert {row.name} --source {row.upstream.filename} "
        f"--output {row.filename}\n"
        f"                               (published at {row.upstream.url})\n"
        f"  from a file converted before: pass its path (weights=..., --weights, --model), or put {row.filename} "
        f"into a folder and set {FOLDER_VARIABLE} to it"
    )


def _from_hub(row: Published) -> Path:
    """Downloads (or finds in the Hub's own cache) the file at the pinned revision and checks its sha256."""
    path = _hub_download(row, force=False)
    if row.hub.sha256 is None:
        return path
    found = sha256_of(path)
    if found != row.hub.sha256 and not offline():
        # A cached file may have been damaged on disk: fetch it once more before giving up.
        try:
            path = _hub_download(row, force=True)
        except DownloadError as error:
            raise WeightsCorrupt(
                f"{path} is damaged (expected sha256 {row.hub.sha256}, found {found}) and was not loaded; fetching it "
                f"again failed: {error}"
            ) from error
        found = sha256_of(path)
    if found == row.hub.sha256:
        return path
    raise WeightsCorrupt(
        f"{row.hub.filename} of {row.hub.repo_id} at {row.hub.revision} has the wrong checksum: expected sha256 "
        f"{row.hub.sha256}, found {found} in {path}; the file was damaged or tampered with and was not loaded"
    )


def _hub_download(row: Published, force: bool) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    hub = row.hub
    what = f"{hub.filename} of {hub.repo_id} at revision {hub.revision}"
    if not force:
        # hf_hub_download would find it too, but may first ask the Hub which agents there are (huggingface_hub 2).
        cached = huggingface_hub.try_to_load_from_cache(hub.repo_id, hub.filename, revision=hub.revision)
        if isinstance(cached, str):
            return Path(cached)
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                hub.repo_id,
                hub.filename,
                revision=hub.revision,
                library_name="hear_edgel3",
                library_version=__version__,
                force_download=force and not offline(),
                etag_timeout=5,
                local_files_only=offline(),
            )
        )
    except errors.LocalEntryNotFoundError as error:
        if offline():
            raise WeightsNotFound(
                f"{what} is not in the Hub's cache and the network is switched off (HF_HUB_OFFLINE); {ways_to_get(row)}"
            ) from error
        raise DownloadError(f"{what} could not be downloaded and is not cached: {error}; {ways_to_get(row)}") from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"the repository {hub.repo_id} does not exist on the Hub or is private (log in with: hf auth login)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DownloadError(f"{hub.repo_id} has no revision {hub.revision}") from error
    except errors.EntryNotFoundError as error:
        raise DownloadError(f"{hub.repo_id} at {hub.revision} has no file {hub.filename}") from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise DownloadError(f"{what} could not be downloaded: {error}") from error
    except Exception as error:
        # The HTTP client's own classes differ between versions 1 and 2 of huggingface_hub.
        raise DownloadError(f"{what} could not be downloaded: {type(error).__name__}: {error}") from error


def _from_upstream(row: Published) -> Path:
    """Downloads and converts the authors' file into the cache: the one place where this package calls the converter."""
    if offline():
        raise WeightsNotFound(
            f"no weights for {row.name} on this machine, and the network is switched off (HF_HUB_OFFLINE); "
            f"{ways_to_get(row)}"
        )
    from weights_convert.convert import install
    from weights_convert.upstream import url_of

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
