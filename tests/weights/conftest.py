"""Servers on loopback, and what they serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hear_edgel3.families.schema import Checkpoint
from support.l3_files import SEA
from support.loopback import REVISION, FakeHub, FileServer, from_upstream, no_waiting, on_hub, put_in_table, use_hub


@pytest.fixture(scope="session")
def sea_bytes(weights_folder: Path) -> bytes:
    """sea_64 as .safetensors."""
    return (weights_folder / SEA.filename).read_bytes()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub of our own."""
    server = FakeHub()
    use_hub(monkeypatch, server.url, tmp_path / "hub")
    yield server
    server.close()


@pytest.fixture
def patient_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The same, asked again without waiting."""
    no_waiting(monkeypatch)
    return hub


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """A mirror of the authors' server, and no Hub."""
    server = FileServer()
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", server.url)
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "hub")  # the discard port: nobody asks it
    yield server
    server.close()


@pytest.fixture
def on_the_hub(hub: FakeHub, sea_bytes: bytes) -> Checkpoint:
    """sea_64 as it will be once it is published, and published on the fake Hub."""
    hub.put(SEA.hub.repo_id, REVISION, SEA.hub.filename, sea_bytes)
    return on_hub(SEA, sea_bytes)


@pytest.fixture
def unpublished(upstream: FileServer, monkeypatch: pytest.MonkeyPatch, packed: bytes) -> Checkpoint:
    """sea_64 as it is in the table, with a seeded file as its authors', which the mirror has."""
    upstream.files[SEA.upstream.filename] = packed
    return put_in_table(monkeypatch, from_upstream(SEA, packed))
