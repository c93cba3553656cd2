"""Where the weights of a checkpoint come from, and how they are read.

The first of these that has them wins; each step says what it did at log level INFO:

1. the path the caller gave;
2. a file shipped inside the package;
3. the folder named by ``$HEAR_EDGEL3_WEIGHTS``;
4. the cache of converted files (``$HEAR_EDGEL3_CACHE``, else ``~/.cache/hear_edgel3``);
5. the Hugging Face Hub, at the revision and sha256 in the registry, where it has them;
6. the authors' file, downloaded, verified, converted by ``weights_convert`` and put into the cache.

Only safetensors files are read: nothing in them is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from hear_edgel3._version import __version__
from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.registry import Checkpoint

FOLDER_VARIABLE = "HEAR_EDGEL3_WEIGHTS"
CACHE_VARIABLE = "HEAR_EDGEL3_CACHE"
# The one metadata key our files carry; its value is JSON, so that the file's bytes are reproducible.
METADATA_KEY = "hear_edgel3"

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
    import huggingface_hub

    return bool(huggingface_hub.constants.HF_HUB_OFFLINE)


def origin(row: Checkpoint) -> str:
    """In words, where the weights of ``row`` would come from now, without a network request."""
    for path, place in _local_places(row):
        if path.is_file():
            return f"{path} ({place})"
    if row.hub.revision is not None:
        return f"the Hugging Face Hub: {row.hub.repo_id} at {row.hub.revision}"
    return f"{row.upstream.url} (downloaded, verified and converted on first use; not on the Hub yet)"


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


def _local_places(row: Checkpoint) -> list[tuple[Path, str]]:
    places = [(Path(str(resources.files("hear_edgel3"))) / "checkpoints" / row.filename, "shipped with the package")]
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        places.append((Path(folder).expanduser() / row.filename, f"${FOLDER_VARIABLE}"))
    places.append((cache_folder() / row.filename, "cache of converted files"))
    return places


def _explicit(row: Checkpoint, path: Path) -> Path:
    if path.is_dir():
        inside = path / row.filename
        if not inside.is_file():
            raise WeightsNotFound(f"the folder {path} has no {row.filename}, which {row.name} needs")
        path = inside
    if not path.is_file():
        raise WeightsNotFound(f"the weights file {path} does not exist; {ways_to_get(row)}")
    if path.suffix in (".h5", ".hdf5", ".gz", ".pt", ".pth", ".ckpt"):
        raise WeightsMismatch(
            f"{path} is not a safetensors file; convert it first: "
            f"python -m weights_convert {row.name} --source {path} --output {row.filename}"
        )
    _log.info("weights of %s: %s (given)", row.name, path)
    return path


def ways_to_get(row: Checkpoint) -> str:
    """The commands that would provide the weights of ``row``."""
    return (
        "ways to get its weights:\n"
        f"  with a network:              python -m weights_convert {row.name}\n"
        f"  from the authors' file:      python -m weights_convert {row.name} --source {row.upstream.filename} "
        f"--output {row.filename}\n"
        f"                               (published at {row.upstream.url})\n"
        f"  from a file converted before: pass its path (weights=..., --weights, --model), or put {row.filename} "
        f"into a folder and set {FOLDER_VARIABLE} to it"
    )


def _from_hub(row: Checkpoint) -> Path:
    """Downloads (or finds in the Hub's own cache) the file at the pinned revision and checks its sha256."""
    for attempt in (1, 2):
        path = _hub_download(row, force=attempt == 2)
        if row.hub.sha256 is None:
            return path
        found = sha256_of(path)
        if found == row.hub.sha256:
            return path
        # A cached file may have been damaged on disk: fetch it once more before giving up.
        if offline():
            break
    raise WeightsCorrupt(
        f"{row.hub.filename} of {row.hub.repo_id} at {row.hub.revision} has the wrong checksum: expected sha256 "
        f"{row.hub.sha256}, found {found} in {path}; the file was damaged or tampered with and was not loaded"
    )


def _hub_download(row: Checkpoint, force: bool) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    hub = row.hub
    what = f"{hub.filename} of {hub.repo_id} at revision {hub.revision}"
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


def _from_upstream(row: Checkpoint) -> Path:
    """Downloads and converts the authors' file into the cache: the one place where this package calls the converter."""
    if offline():
        raise WeightsNotFound(
            f"no weights for {row.name} on this machine, and the network is switched off (HF_HUB_OFFLINE); "
            f"{ways_to_get(row)}"
        )
    from weights_convert.convert import install

    print(f"hear_edgel3: fetching and converting the weights of {row.name}, once", file=sys.stderr)
    try:
        path = install(row)
    except DownloadError as error:
        raise WeightsNotFound(f"no weights for {row.name} on this machine, and {error}; {ways_to_get(row)}") from error
    _log.info("weights of %s: %s (converted from %s)", row.name, path, row.upstream.url)
    return path


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        WeightsCorrupt: the file is not readable as safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # clone: the file may be replaced while the model lives
            return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsCorrupt(
            f"{path} is not a sound safetensors file ({error}); if it came from a download or a copy, delete it and "
            f"fetch it again"
        ) from error


def load_into(net: nn.Module, row: Checkpoint, path: Path) -> None:
    """Reads ``path`` and puts its tensors into ``net``, all or nothing.

    Raises:
        WeightsCorrupt: not a sound safetensors file, or a value is not finite.
        WeightsMismatch: made for another checkpoint, or names or shapes differ from the net's.
    """
    tensors, metadata = read_tensors(path)
    made_for = _configuration_in(metadata)
    if made_for is not None and made_for != row.name:
        raise WeightsMismatch(f"{path} holds the weights of {made_for}, not of {row.name}")
    check_tensors(tensors, net, row.name, str(path))
    net.load_state_dict(tensors, strict=False)  # names were compared above; batch counters may be absent


def _configuration_in(metadata: dict[str, str]) -> str | None:
    try:
        value = json.loads(metadata.get(METADATA_KEY, "{}")).get("configuration")
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def check_tensors(tensors: dict[str, torch.Tensor], net: nn.Module, name: str, source: str) -> None:
    """Compares names and shapes with the net's, and refuses values that are not finite.

    Raises:
        WeightsMismatch: a name is missing or unknown, or a shape differs.
        WeightsCorrupt: a value is NaN or infinite.
    """
    expected = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    found = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors are missing ({_some(missing)})")
    if unknown:
        problems.append(f"{len(unknown)} are unknown ({_some(unknown)})")
    problems += [
        f"{key} should have shape {tuple(expected[key].shape)} but has {tuple(found[key].shape)}"
        for key in sorted(expected.keys() & found.keys())
        if expected[key].shape != found[key].shape
    ][:3]
    if problems:
        raise WeightsMismatch(f"{source} does not fit {name}: {'; '.join(problems)}")
    for key, value in found.items():
        if not bool(torch.isfinite(value).all()):
            raise WeightsCorrupt(f"{source}: {key} has values that are not finite")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
