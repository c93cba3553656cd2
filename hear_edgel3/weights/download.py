"""Downloads that end: bounded in size and time, and that go on where an earlier one was cut off.

A thread of its own reads, because nothing else bounds the time that a name server, a handshake or a header may take.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from hear_edgel3._version import __version__
from hear_edgel3.errors import DownloadError

try:
    import fcntl
except ImportError:  # not POSIX: nothing is kept there of a download that was cut off
    fcntl = None  # type: ignore[assignment]

# The largest published file, NASNet-large-no-top.h5, has about 340 MB.
MOST_BYTES = 1 << 30
# All of a download, and the least that must come in any half minute of it.
TOTAL_S = 3600.0
STALLED_S, STALLED_BYTES = 30.0, 30_000
_TRIES = 5
_PAUSE_S = 0.5
_CHUNK = 1 << 16
_SOCKET_TIMEOUT_S = 30
_PARTIAL_CONTENT, _OUT_OF_RANGE = 206, 416
_SCHEMES = ("https://", "http://")


class _BrokenOff(Exception):
    """The connection ended before the file did."""


@dataclass
class _Begun:
    """What has come of a file.

    Attributes:
        data: its first bytes.
        version: what the server calls this version of the file; empty if it does not say, and then a download cannot
            go on.
    """

    data: bytearray
    version: str = ""


def fetch(url: str, partial: Path | None = None) -> bytes:
    """Downloads a file into memory.

    Args:
        url: https or http.
        partial: where to keep what has come, for the next call to go on with; None not to.

    Raises:
        DownloadError: it could not be fetched; or it is too large, or comes too slowly.
    """
    if not url.startswith(_SCHEMES):
        raise DownloadError(f"{url} is not an http address")
    deadline = time.monotonic() + TOTAL_S
    with _kept(partial, url) as (begun, file):
        for attempt in range(1, _TRIES + 1):
            before = len(begun.data)
            try:
                _receive(url, begun, file, deadline)
            except _BrokenOff as error:
                if not begun.version or attempt == _TRIES or len(begun.data) == before:
                    raise DownloadError(f"{url} broke off after {len(begun.data)} bytes; try again") from error
                time.sleep(_PAUSE_S)
            else:
                break
        if partial is not None and file is not None:
            partial.unlink(missing_ok=True)
    return bytes(begun.data)


def _receive(url: str, begun: _Begun, file: BinaryIO | None, deadline: float) -> None:
    """One request, for all that has not come yet."""
    arrived: queue.Queue[bytes | Exception | _Head] = queue.Queue(maxsize=16)
    given_up = threading.Event()
    threading.Thread(target=_read, args=(url, begun.version, len(begun.data), arrived, given_up), daemon=True).start()
    window, in_window = time.monotonic() + STALLED_S, 0
    try:
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise DownloadError(f"{url} took more than {TOTAL_S / 60:.0f} minutes ({len(begun.data)} bytes came)")
            if now >= window:
                if in_window < STALLED_BYTES:
                    raise DownloadError(
                        f"{url} sends too slowly ({in_window} bytes in {STALLED_S:.0f} s); try again, or another mirror"
                    )
                window, in_window = now + STALLED_S, 0
            try:
                what = arrived.get(timeout=max(0.001, min(window, deadline) - now))
            except queue.Empty:
                continue
            if isinstance(what, Exception):
                raise what
            if isinstance(what, _Head):
                _begin(what, begun, file, url)
            elif what:
                begun.data += what
                in_window += len(what)
                if file is not None:
                    file.write(what)
                if len(begun.data) > MOST_BYTES:
                    raise DownloadError(f"{url} sends more than {MOST_BYTES >> 20} MB, more than any checkpoint has")
            else:
                return
    finally:
        given_up.set()


@dataclass(frozen=True)
class _Head:
    """What an answer says before its bytes.

    Attributes:
        goes_on: whether these are the rest of the file.
        version: what the server calls this version of the file, or nothing.
        length: how many bytes are announced, or None.
    """

    goes_on: bool
    version: str
    length: int | None


def _begin(head: _Head, begun: _Begun, file: BinaryIO | None, url: str) -> None:
    """Takes note of an answer, which may not be the rest of what has come."""
    if not head.goes_on:
        begun.data.clear()
        begun.version = head.version
        if file is not None:
            file.seek(0)
            file.truncate()
            if head.version:
                file.write(json.dumps({"url": url, "version": head.version}).encode() + b"\n")
    if head.length is not None and len(begun.data) + head.length > MOST_BYTES:
        raise DownloadError(
            f"{url} announces {head.length} bytes, and no checkpoint has more than {MOST_BYTES >> 20} MB"
        )


def _read(url: str, version: str, start: int, arrived: queue.Queue[Any], given_up: threading.Event) -> None:
    """Puts a head, chunks and at last no bytes into the queue, or the error that was met."""

    def put(what: bytes | Exception | _Head) -> None:
        while not given_up.is_set():
            with contextlib.suppress(queue.Full):
                arrived.put(what, timeout=1)
                return

    try:
        for what in _answer(url, version, start):
            put(what)
            if given_up.is_set():
                return
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        put(DownloadError(f"{url} answered {error.code} {error.reason}"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        put(DownloadError(f"{url} could not be fetched: {getattr(error, 'reason', error)}"))
    except _BrokenOff as error:
        put(error)


def _answer(url: str, version: str, start: int) -> Iterator[_Head | bytes]:
    headers = {"User-Agent": f"hear_edgel3/{__version__}"}
    if start and version:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    opener = urllib.request.build_opener(_Redirects())
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        opened = opener.open(request, timeout=_SOCKET_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != _OUT_OF_RANGE or not start:
            raise
        error.close()  # there is no more than what has come: not the file that it was begun as
        yield from _answer(url, "", 0)
        return
    with opened as response:
        rest = response.status == _PARTIAL_CONTENT and _starts_at(response.headers, start)
        if response.status == _PARTIAL_CONTENT and not rest:
            raise ValueError("it sent another part of the file than was asked for")
        yield _Head(rest, _version_of(response.headers), response.length)
        try:
            while chunk := response.read1(_CHUNK):
                yield chunk
        except (http.client.IncompleteRead, OSError) as error:
            raise _BrokenOff from error
        if response.length:  # of what was announced
            raise _BrokenOff
    yield b""


def _starts_at(headers: Any, start: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _version_of(headers: Any) -> str:
    """What can be given back in If-Range (RFC 9110, 13.1.5): a strong ETag, else the time of the last change."""
    etag = str(headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http addresses only, and from https to https only: of many files the transport is all there is."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(_SCHEMES[:1] if req.full_url.startswith(_SCHEMES[0]) else _SCHEMES):
            fp.close()
            raise urllib.error.URLError(f"it leads to {newurl}, which is not followed from {req.full_url}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _kept(partial: Path | None, url: str) -> Iterator[tuple[_Begun, BinaryIO | None]]:
    """What an earlier download has left, and the file that is to take more; None if another process has it."""
    begun = _Begun(bytearray())
    with contextlib.ExitStack() as stack:
        file: BinaryIO | None = None
        if partial is not None and fcntl is not None:
            with contextlib.suppress(OSError):
                partial.parent.mkdir(parents=True, exist_ok=True)
                opened = stack.enter_context(partial.open("a+b"))
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                begun, file = _left(opened, url), opened
        try:
            yield begun, file
        finally:
            if file is not None and partial is not None and not (begun.version and begun.data):
                partial.unlink(missing_ok=True)


def _left(file: BinaryIO, url: str) -> _Begun:
    """What a partial file holds, if it is of this address and can be gone on with."""
    file.seek(0)
    try:
        head = json.loads(file.readline(1 << 12))
        if head["url"] == url and isinstance(head["version"], str) and head["version"].isprintable():
            return _Begun(bytearray(file.read(MOST_BYTES)), head["version"])
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    file.seek(0)
    file.truncate()
    return _Begun(bytearray())
