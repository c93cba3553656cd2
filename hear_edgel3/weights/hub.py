"""Converted weights from the Hugging Face Hub, at the revision that the registry has pinned.

A revision is a commit, so the same row gives the same bytes for ever, and their sha256 is checked besides: the Hub, a
mirror (``$HF_ENDPOINT``) or a cache on a broken disk need not be trusted. Imports neither torch nor, before it is
needed, huggingface_hub.
"""

from __future__ import annotations

import inspect
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hear_edgel3._version import __version__
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsNotFound
from hear_edgel3.families.schema import Published
from hear_edgel3.weights.cache import offline
from hear_edgel3.weights.download import MOST_BYTES, TOTAL_S
from hear_edgel3.weights.ways import ways_to_get


def from_hub(row: Published) -> Path:
    """Downloads, or finds in the Hub's own cache, the file at the pinned revision and checks its sha256.

    Args:
        row: a checkpoint that has a revision.

    Returns:
        The file in the Hub's cache.

    Raises:
        WeightsNotFound: it is not in the cache, and the network is switched off.
        WeightsCorrupt: it has another sha256, also when it is fetched again.
        DownloadError: it could not be fetched; the message says why.
    """
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


def cached(row: Published) -> Path | None:
    """The file of a checkpoint in the Hub's own cache, or None; asks nobody."""
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(row.hub.repo_id, row.hub.filename, revision=row.hub.revision)
    return Path(found) if isinstance(found, str) else None


def _bounded(what: str, download: Callable[[dict[str, Any]], str]) -> Path:
    """Has something downloaded by huggingface_hub, which bounds neither how much comes nor how long that takes.

    Its progress bar is told of every piece, and can refuse the next one. A thread does it, because a server that sends
    a byte now and then completes no piece.

    Args:
        what: What to call it in errors.
        download: Does it, given further options of ``hf_hub_download``.

    Raises:
        DownloadError: It is larger than any checkpoint, or takes too long; what ``download`` raises is raised too.
    """
    import huggingface_hub
    from huggingface_hub.utils.tqdm import tqdm

    usual: Any = tqdm
    too_much = f"{what} has more than {MOST_BYTES >> 20} MB, and no checkpoint has"
    given_up = threading.Event()

    class Bar(usual):  # type: ignore[misc]
        def __init__(self, *given: Any, **settings: Any) -> None:
            if (settings.get("total") or 0) > MOST_BYTES:
                raise DownloadError(too_much)
            super().__init__(*given, **settings)
            self._come = settings.get("initial") or 0

        def update(self, n: float | None = 1) -> bool | None:
            self._come += n or 0
            if self._come > MOST_BYTES:
                raise DownloadError(too_much)
            if given_up.is_set():
                raise DownloadError(f"{what} is not waited for any more")
            return bool(super().update(n))

    takes_bar = "tqdm_class" in inspect.signature(huggingface_hub.hf_hub_download).parameters
    found: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put(download({"tqdm_class": Bar} if takes_bar else {}))
        except BaseException as error:
            found.put(error)

    threading.Thread(target=run, name="hear-edgel3-hub", daemon=True).start()
    try:
        result = found.get(timeout=TOTAL_S)
    except queue.Empty:
        raise DownloadError(
            f"{what} took more than {TOTAL_S / 60:.0f} minutes; try again, and it goes on where it was"
        ) from None
    finally:
        given_up.set()
    if isinstance(result, BaseException):
        raise result
    return Path(result)


def _hub_download(row: Published, force: bool) -> Path:
    """Asks the Hub, and puts its answers into words of our own."""
    import huggingface_hub
    from huggingface_hub import errors

    hub = row.hub
    what = f"{hub.filename} of {hub.repo_id} at revision {hub.revision}"
    if not force:
        # hf_hub_download would find it too, but may first ask the Hub which agents there are (huggingface_hub 2).
        found = cached(row)
        if found is not None:
            return found
    try:
        return _bounded(
            what,
            lambda bar: huggingface_hub.hf_hub_download(
                hub.repo_id,
                hub.filename,
                revision=hub.revision,
                library_name="hear_edgel3",
                library_version=__version__,
                force_download=force and not offline(),
                etag_timeout=5,
                local_files_only=offline(),
                **bar,
            ),
        )
    except DownloadError:
        raise
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
