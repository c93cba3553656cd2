"""Weights from the Hub, and every way that can fail, against a server on loopback."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsNotFound
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.weights import hub as from_the_hub
from hear_edgel3.weights import locate as weights
from support import synthetic
from support.l3_files import SEA
from support.loopback import REVISION, FakeHub, no_waiting, put_in_table, use_hub
from support.loopback_rows import FETCH, RESOLVE, python_with_rows


def test_a_fresh_download_then_no_more_requests(
    hub: FakeHub, on_the_hub: Checkpoint, monkeypatch, sea_bytes: bytes
) -> None:
    put_in_table(monkeypatch, on_the_hub)
    first = hear_edgel3.load("sea_64")
    assert hub.requests == FETCH
    assert first.weights.sha256 == on_the_hub.hub.sha256
    second = hear_edgel3.load("sea_64")
    hub.close()
    started = time.monotonic()
    third = hear_edgel3.load("sea_64")
    assert time.monotonic() - started < 2
    assert hub.requests == FETCH
    assert first.weights == second.weights == third.weights
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(third.net.state_dict()[key], value), key


def test_wrong_bytes_of_the_right_size_are_refused(hub: FakeHub, on_the_hub: Checkpoint) -> None:
    hub.fault = "wrong bytes"
    with pytest.raises(WeightsCorrupt) as caught:
        weights.locate(on_the_hub)
    message = str(caught.value)
    assert f"model.safetensors of {SEA.hub.repo_id} at {REVISION} has the wrong checksum" in message
    assert f"expected sha256 {on_the_hub.hub.sha256}, found " in message
    assert [method for method, _ in hub.requests].count("GET") == 2  # once more, then it gives up
    hub.fault = None
    assert weights.sha256_of(weights.locate(on_the_hub)) == on_the_hub.hub.sha256


def test_a_cache_damaged_on_disk_is_healed_by_one_download(
    hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes
) -> None:
    path = weights.locate(on_the_hub)
    hub.requests.clear()
    for damage in (sea_bytes[:-7], sea_bytes[:-1] + b"!", b""):
        path.resolve().write_bytes(damage)
        assert weights.locate(on_the_hub).read_bytes() == sea_bytes
        assert hub.requests == FETCH
        hub.requests.clear()
    assert weights.locate(on_the_hub) == path
    assert hub.requests == []


def test_a_damaged_cache_that_cannot_be_healed_says_both(
    hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_waiting(monkeypatch)
    path = weights.locate(on_the_hub)
    path.resolve().write_bytes(sea_bytes[:-7])
    hub.close()
    with pytest.raises(WeightsCorrupt, match=r"is damaged .*fetching it again failed") as caught:
        weights.locate(on_the_hub)
    assert str(path) in str(caught.value)
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    with pytest.raises(WeightsCorrupt, match="wrong checksum"):
        weights.locate(on_the_hub)


def test_a_download_that_breaks_off_is_resumed(
    hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    hub.fault = "connection lost"
    assert weights.locate(on_the_hub).read_bytes() == sea_bytes
    assert [method for method, _ in hub.requests] == ["HEAD", "GET", "GET"]


def test_a_file_shorter_than_announced_is_refused(hub: FakeHub, on_the_hub: Checkpoint) -> None:
    hub.fault = "short file"
    with pytest.raises(DownloadError, match="could not be downloaded") as caught:
        weights.locate(on_the_hub)
    assert str(on_the_hub.hub.size) in str(caught.value)
    hub.fault = None
    assert weights.sha256_of(weights.locate(on_the_hub)) == on_the_hub.hub.sha256


def test_a_truncated_file_on_the_hub_is_refused(hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes) -> None:
    hub.put(SEA.hub.repo_id, REVISION, SEA.hub.filename, sea_bytes[: len(sea_bytes) // 2])
    with pytest.raises(WeightsCorrupt, match="wrong checksum"):
        weights.locate(on_the_hub)


@pytest.mark.parametrize("fault", ["no such repository", "no token"])
def test_a_repository_that_is_not_there(fault: str, hub: FakeHub, on_the_hub: Checkpoint) -> None:
    hub.fault = fault
    with pytest.raises(DownloadError, match=rf"repository {SEA.hub.repo_id} does not exist .* or is private .*hf auth"):
        weights.locate(on_the_hub)
    assert hub.requests == [("HEAD", RESOLVE)]


def test_a_revision_that_is_not_there(hub: FakeHub, on_the_hub: Checkpoint) -> None:
    other = dataclasses.replace(on_the_hub, hub=dataclasses.replace(on_the_hub.hub, revision="9" * 40))
    with pytest.raises(DownloadError, match=f"{SEA.hub.repo_id} has no revision {'9' * 40}"):
        weights.locate(other)


def test_a_file_that_is_not_there(hub: FakeHub, on_the_hub: Checkpoint) -> None:
    other = dataclasses.replace(on_the_hub, hub=dataclasses.replace(on_the_hub.hub, filename="other.safetensors"))
    with pytest.raises(DownloadError, match=rf"{SEA.hub.repo_id} at {REVISION} has no file other\.safetensors"):
        weights.locate(other)


@pytest.mark.parametrize("fault", ["private", 401, 403, 500, 503])
def test_other_answers_of_the_hub(fault: str | int, hub: FakeHub, on_the_hub: Checkpoint, monkeypatch) -> None:
    no_waiting(monkeypatch)
    hub.fault = fault
    with pytest.raises(DownloadError) as caught:
        weights.locate(on_the_hub)
    assert SEA.hub.repo_id in str(caught.value)
    assert REVISION in str(caught.value)
    assert all(method == "HEAD" for method, _ in hub.requests)


def test_a_dead_hub_gives_the_ways_to_get_weights(
    hub: FakeHub, on_the_hub: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    hub.close()
    with pytest.raises(DownloadError, match="could not be downloaded and is not cached") as caught:
        weights.locate(on_the_hub)
    assert weights.ways_to_get(on_the_hub) in str(caught.value)
    assert hub.requests == []


def test_offline_is_fast_and_clear_without_a_cache_and_works_with_one(
    hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    started = time.monotonic()
    with pytest.raises(WeightsNotFound, match=r"network is switched off \(HF_HUB_OFFLINE\)") as caught:
        weights.locate(on_the_hub)
    assert time.monotonic() - started < 2
    assert weights.ways_to_get(on_the_hub) in str(caught.value)
    assert hub.requests == []
    use_hub(monkeypatch, hub.url, tmp_path / "hub")
    weights.locate(on_the_hub)
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    assert weights.locate(on_the_hub).read_bytes() == sea_bytes
    assert hub.requests == FETCH


def test_the_hub_from_processes_of_their_own(hub: FakeHub, on_the_hub: Checkpoint) -> None:
    """The settings that huggingface_hub reads once: HF_ENDPOINT, HF_HOME (from conftest.py), HF_HUB_OFFLINE."""
    known = on_the_hub.hub
    change = f"change('sea_64', 'hub', revision={REVISION!r}, sha256={known.sha256!r}, size={known.size})\n"
    load = change + "import hear_edgel3; print(hear_edgel3.load('sea_64').weights.sha256)"
    missing = python_with_rows(load, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert missing.returncode == 1
    assert f"WeightsNotFound: {SEA.hub.filename} of {SEA.hub.repo_id}" in missing.stderr
    assert hub.requests == []
    fresh = python_with_rows(load, HF_ENDPOINT=hub.url)
    assert (fresh.returncode, fresh.stdout.strip()) == (0, on_the_hub.hub.sha256), fresh.stderr
    assert hub.requests == FETCH
    hub.chatter.clear()
    Path(os.environ["HF_HOME"], ".agent_harnesses.json").unlink(missing_ok=True)
    cached = python_with_rows(load, HF_ENDPOINT=hub.url)
    assert (cached.returncode, cached.stdout.strip()) == (0, on_the_hub.hub.sha256), cached.stderr
    assert hub.requests == FETCH
    assert hub.chatter == []
    hub.close()
    offline = python_with_rows(load, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout.strip()) == (0, on_the_hub.hub.sha256), offline.stderr


@pytest.mark.parametrize("said", [True, False])
def test_more_than_any_checkpoint_has_is_not_downloaded(
    said: bool, hub: FakeHub, on_the_hub: Checkpoint, sea_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the Hub says how large it is, or sends more than it has said."""
    monkeypatch.setattr(from_the_hub, "MOST_BYTES", len(sea_bytes) - 1)
    if not said:
        bar = from_the_hub._bounded

        def untold(what: str, download: Callable[[dict[str, Any]], str]) -> Path:
            def silent(options: dict[str, Any]) -> str:
                kind = options["tqdm_class"]
                return download({"tqdm_class": lambda *given, **more: kind(*given, **{**more, "total": None})})

            return bar(what, silent)

        monkeypatch.setattr(from_the_hub, "_bounded", untold)
    with pytest.raises(DownloadError, match=r"model\.safetensors of .* has more than \d+ MB, and no checkpoint has"):
        weights.locate(on_the_hub)


def test_a_server_that_sends_a_byte_now_and_then(
    hub: FakeHub, on_the_hub: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_the_hub, "TOTAL_S", 1.5)
    answer = hub.answer

    def slowly(method: str, *given: Any) -> Any:
        if method == "GET":
            time.sleep(8)
        return answer(method, *given)

    monkeypatch.setattr(hub, "answer", slowly)
    begun = time.monotonic()
    with pytest.raises(DownloadError, match="took more than 0 minutes; try again, and it goes on where it was"):
        weights.locate(on_the_hub)
    assert time.monotonic() - begun < 5
