"""Where weights come from: every place in its order, and the commands in messages."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.errors import WeightsNotFound
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.weights import locate as weights
from support.l3_files import SEA
from support.loopback import REVISION, FakeHub, FileServer, from_upstream, put_in_table
from support.loopback_rows import FETCH

# --- the order of places ---


def test_places_are_tried_in_order_and_each_says_so(
    hub: FakeHub,
    on_the_hub: Checkpoint,
    sea_bytes: bytes,
    packed: bytes,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hear_edgel3")
    row = on_the_hub
    mirror = FileServer()
    mirror.files[SEA.upstream.filename] = packed
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", mirror.url)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path / "folder"))
    in_folder = tmp_path / "folder" / SEA.filename
    in_cache = weights.cache_folder() / SEA.filename
    given = tmp_path / "given" / "mine.safetensors"
    given_in_folder = tmp_path / "given" / SEA.filename
    for path in (in_folder, in_cache, given, given_in_folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sea_bytes)

    def found(argument: Path | None = None) -> tuple[Path, list[str]]:
        caplog.clear()
        path = weights.locate(row, argument)
        return path, [r.getMessage() for r in caplog.records if r.name == "hear_edgel3.weights.locate"]

    path, log = found(given)
    assert path == given
    assert log == [f"weights of sea_64: {given} (given)"]
    assert found(given.parent)[0] == given_in_folder
    path, log = found()
    assert path == in_folder
    assert log == [f"weights of sea_64: {in_folder} ($HEAR_EDGEL3_WEIGHTS)"]
    in_folder.unlink()
    path, log = found()
    assert path == in_cache
    assert log == [
        f"weights of sea_64: not in {in_folder.parent} ($HEAR_EDGEL3_WEIGHTS)",
        f"weights of sea_64: {in_cache} (cache of converted files)",
    ]
    assert hub.requests == []
    in_cache.unlink()
    path, log = found()
    assert path.read_bytes() == sea_bytes
    assert (tmp_path / "hub") in path.parents
    assert log[1] == f"weights of sea_64: not in {in_cache.parent} (cache of converted files)"
    assert log[2] == f"weights of sea_64: {path} (Hugging Face Hub, {SEA.hub.repo_id} at {REVISION})"
    assert hub.requests == FETCH
    assert mirror.requests == []
    row = from_upstream(SEA, packed)
    put_in_table(monkeypatch, row)
    path, log = found()
    assert path == in_cache
    assert log[2] == "weights of sea_64: not published on the Hub yet"
    assert log[3] == f"weights of sea_64: {in_cache} (converted from {SEA.upstream.url})"
    assert mirror.requests == [("GET", f"/{SEA.upstream.filename}")]
    assert hub.requests == FETCH
    mirror.close()


def test_a_given_path_that_is_wrong_does_not_fall_back(on_the_hub: Checkpoint, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"nowhere\.safetensors does not exist"):
        weights.locate(on_the_hub, tmp_path / "nowhere.safetensors")
    with pytest.raises(WeightsNotFound, match=r"has no sea_64\.safetensors, which sea_64 needs"):
        weights.locate(on_the_hub, tmp_path)
    assert hub.requests == []


def test_the_default_cache_is_under_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / ".cache" / "hear_edgel3"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights.cache_folder() == tmp_path / "xdg" / "hear_edgel3"
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", "~/mine")
    assert weights.cache_folder() == tmp_path / "mine"


def test_origin_tells_the_place_without_a_request(
    hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert weights.origin(on_the_hub) == f"the Hugging Face Hub: {SEA.hub.repo_id} at {REVISION}"
    assert weights.origin(SEA).startswith(SEA.upstream.url)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    (tmp_path / SEA.filename).write_bytes(sea_bytes)
    assert weights.origin(on_the_hub) == f"{tmp_path / SEA.filename} ($HEAR_EDGEL3_WEIGHTS)"
    assert hub.requests == []


# --- the commands in messages ---


def test_the_ways_to_get_weights_are_commands_that_work(
    unpublished: Checkpoint, upstream: FileServer, packed: bytes, sea_bytes: bytes, tmp_path: Path, monkeypatch
) -> None:
    from weights_convert.__main__ import main

    text = weights.ways_to_get(unpublished)
    assert SEA.upstream.url in text
    commands = [
        line.split("python -m weights_convert ", 1)[1].split() for line in text.splitlines() if "python" in line
    ]
    assert commands == [
        ["sea_64"],
        ["sea_64", "--source", SEA.upstream.filename, "--output", "sea_64.safetensors"],
    ]
    monkeypatch.chdir(tmp_path)
    Path(SEA.upstream.filename).write_bytes(packed)
    assert main(commands[1]) == 0
    assert upstream.requests == []
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    assert "set HEAR_EDGEL3_WEIGHTS to it" in text
    assert hear_edgel3.load("sea_64").weights.path == str(tmp_path / "sea_64.safetensors")
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    assert main(commands[0]) == 0
    assert len(upstream.requests) == 1
    assert hear_edgel3.load("sea_64").weights.path == str(weights.cache_folder() / "sea_64.safetensors")
    assert len(upstream.requests) == 1
