"""Downloads end: bounded in size and time, and they go on where they were cut off. Against servers on loopback."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.errors import DownloadError
from hear_edgel3.weights import download
from hear_edgel3.weights.download import fetch

DATA = os.urandom(300_000)
Handle = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Handle], str]]:
    """`serve(handle)` answers every GET by it, and returns the address of a file."""
    servers = []

    def start(handle: Handle) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    handle(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/file.pt"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)


def begin(to: BaseHTTPRequestHandler, status: int = 200, **headers: object) -> None:
    to.send_response(status)
    for key, value in headers.items():
        to.send_header(key.replace("_", "-"), str(value))
    to.end_headers()


class Flaky:
    """Has the file, and breaks off each answer after so many bytes; knows ranges if it has an ETag to go by."""

    def __init__(self, after: int, etag: str | None = '"1"', ranges: bool = True) -> None:
        self.after, self.etag, self.ranges = after, etag, ranges
        self.asked: list[tuple[str | None, str | None]] = []
        self.data = DATA

    def __call__(self, to: BaseHTTPRequestHandler) -> None:
        wanted, condition = to.headers.get("Range"), to.headers.get("If-Range")
        self.asked.append((wanted, condition))
        start = 0
        version = {} if self.etag is None else {"ETag": self.etag}
        if self.ranges and wanted is not None and condition == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            rest = {"Content_Range": f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"}
            begin(to, 206, Content_Length=len(self.data) - start, **rest, **version)
        else:
            begin(to, Content_Length=len(self.data), **version)
        to.wfile.write(self.data[start : start + self.after])


def test_a_whole_file(serve) -> None:
    assert fetch(serve(Flaky(10**9, etag=None))) == DATA


def test_what_is_kept_of_it_may_be_cleaned_away_meanwhile(serve, tmp_path: Path) -> None:
    kept = tmp_path / "x.part"
    server = Flaky(80_000)

    def handle(to: BaseHTTPRequestHandler) -> None:
        kept.unlink(missing_ok=True)
        server(to)

    assert fetch(serve(handle), kept) == DATA
    assert not kept.exists()


def test_it_goes_on_where_it_broke_off(serve) -> None:
    server = Flaky(80_000)
    assert fetch(serve(server)) == DATA
    assert server.asked == [(None, None), *((f"bytes={n}-", '"1"') for n in (80_000, 160_000, 240_000))]


def test_a_server_that_knows_no_ranges_sends_all_again(serve) -> None:
    server = Flaky(80_000, ranges=False)
    address = serve(server)
    with pytest.raises(DownloadError, match="broke off after 80000 bytes; try again"):
        fetch(address)
    server.after = 10**9
    assert fetch(address) == DATA


def test_without_a_version_nothing_is_put_together(serve, tmp_path: Path) -> None:
    """The rest might be another file's."""
    server = Flaky(80_000, etag=None)
    with pytest.raises(DownloadError, match="broke off after 80000 bytes; try again"):
        fetch(serve(server), tmp_path / "x.part")
    assert server.asked == [(None, None)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("etag", ['W/"1"', ""])
def test_a_weak_version_is_none(etag: str, serve) -> None:
    server = Flaky(80_000, etag=etag)
    with pytest.raises(DownloadError, match="broke off"):
        fetch(serve(server))
    assert len(server.asked) == 1


def test_the_next_run_goes_on(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, kept = Flaky(80_000), tmp_path / "cache" / "x.part"
    address = serve(server)
    monkeypatch.setattr(download, "_TRIES", 1)
    with pytest.raises(DownloadError, match="broke off after 80000 bytes"):
        fetch(address, kept)
    assert kept.stat().st_size > 80_000
    server.after = 10**9
    assert fetch(address, kept) == DATA
    assert server.asked == [(None, None), ("bytes=80000-", '"1"')]
    assert not kept.exists()


@pytest.mark.parametrize("change", ["version", "address", "damaged", "longer"])
def test_what_is_kept_of_another_file_is_not_used(change: str, serve, tmp_path: Path, monkeypatch) -> None:
    server, kept = Flaky(80_000), tmp_path / "x.part"
    address = serve(server)
    monkeypatch.setattr(download, "_TRIES", 1)
    with pytest.raises(DownloadError):
        fetch(address, kept)
    server.after = 10**9
    if change == "version":
        server.etag, server.data = '"2"', DATA[::-1]
    elif change == "address":
        address = serve(server) + "?other"
    elif change == "damaged":
        kept.write_bytes(b"[" * 5000)
    else:
        kept.write_bytes(kept.read_bytes() + DATA)
        ranged = server.__call__

        def refusing(to: BaseHTTPRequestHandler) -> None:
            if to.headers.get("Range") is not None:
                begin(to, 416, Content_Length=0)
            else:
                ranged(to)

        again = serve(refusing)
        kept.write_bytes(kept.read_bytes().replace(address.encode(), again.encode(), 1))
        address = again
    assert fetch(address, kept) == server.data
    assert not kept.exists()


def test_two_at_once_do_not_write_into_one_file(serve, tmp_path: Path) -> None:
    kept = tmp_path / "x.part"
    address = serve(Flaky(10**9))
    with download._kept(kept, address) as (_, file):
        assert file is not None
        assert fetch(address, kept) == DATA
        assert kept.exists()  # it is the first one's


def test_one_that_does_not_stop(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(to: BaseHTTPRequestHandler) -> None:
        begin(to)
        for _ in range(400):  # 25 MB
            to.wfile.write(bytes(1 << 16))

    monkeypatch.setattr(download, "MOST_BYTES", 5 << 20)
    with pytest.raises(DownloadError, match=r"file\.pt sends more than 5 MB, more than any checkpoint has"):
        fetch(serve(endless))


@pytest.mark.parametrize("length", [1 << 62, (1 << 30) + 1])
def test_one_that_announces_too_much(length: int, serve) -> None:
    with pytest.raises(DownloadError, match=rf"announces {length} bytes, and no checkpoint has more than 1024 MB"):
        fetch(serve(lambda to: begin(to, Content_Length=length)))


@pytest.mark.parametrize("where", ["before the answer", "in the head", "in the file"])
def test_one_that_hardly_sends(where: str, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def trickle(to: BaseHTTPRequestHandler) -> None:
        if where == "in the file":
            begin(to, Content_Length=len(DATA))
        elif where == "in the head":
            to.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not done.wait(0.05):
            if where != "before the answer":
                to.wfile.write(b"x")

    monkeypatch.setattr(download, "STALLED_S", 0.4)
    begun = time.monotonic()
    try:
        with pytest.raises(DownloadError, match=r"sends too slowly \(\d bytes in 0 s\)"):
            fetch(serve(trickle))
    finally:
        done.set()
    assert time.monotonic() - begun < 5


def test_one_that_takes_too_long_altogether(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def steady(to: BaseHTTPRequestHandler) -> None:
        begin(to)
        while True:
            to.wfile.write(bytes(100_000))
            time.sleep(0.02)

    monkeypatch.setattr(download, "TOTAL_S", 0.5)
    with pytest.raises(DownloadError, match=r"took more than 0 minutes \(\d+ bytes came\)"):
        fetch(serve(steady))


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x"])
def test_redirects_to_no_http_address(target: str, serve) -> None:
    with pytest.raises(DownloadError, match=r"could not be fetched: |answered 302"):
        fetch(serve(lambda to: begin(to, 302, Location=target, Content_Length=0)))


def test_redirects_between_http_addresses(serve) -> None:
    target = serve(Flaky(10**9))
    assert fetch(serve(lambda to: begin(to, 302, Location=target, Content_Length=0))) == DATA


def test_from_https_to_https_only() -> None:
    asked = urllib.request.Request("https://example.org/a")
    follow = download._Redirects().redirect_request
    with pytest.raises(urllib.error.URLError, match=r"leads to http://example\.org/b, which is not followed"):
        follow(asked, io.BytesIO(), 302, "Found", {}, "http://example.org/b")
    found = follow(asked, io.BytesIO(), 302, "Found", {}, "https://example.org/b")
    assert found is not None
    assert found.full_url == "https://example.org/b"
