"""Where weights come from: every place, every way it can fail, against servers on loopback."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hear_edgel3
from hear_edgel3.errors import (
    DownloadError,
    InvalidOption,
    MissingExtra,
    OutputError,
    WeightsCorrupt,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.weights import locate as weights
from support import synthetic
from support.loopback import (
    REVISION,
    SUBPROCESS,
    FakeHub,
    FileServer,
    from_upstream,
    no_waiting,
    on_hub,
    put_in_table,
    use_hub,
)

ROW = synthetic.row("sea_64")
RESOLVE = f"/{ROW.hub.repo_id}/resolve/{REVISION}/{ROW.hub.filename}"
FETCH = [("HEAD", RESOLVE), ("GET", RESOLVE)]


@pytest.fixture(scope="module")
def converted(weights_folder: Path) -> bytes:
    return (weights_folder / ROW.filename).read_bytes()


@pytest.fixture(scope="module")
def original() -> bytes:
    return synthetic.h5_bytes(ROW.name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    server = FakeHub()
    use_hub(monkeypatch, server.url, tmp_path / "hub")
    yield server
    server.close()


@pytest.fixture
def row(hub: FakeHub, converted: bytes) -> Checkpoint:
    """sea_64 as it will be once it is published, and published on the fake Hub."""
    hub.put(ROW.hub.repo_id, REVISION, ROW.hub.filename, converted)
    return on_hub(ROW, converted)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    server = FileServer()
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", server.url)
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "hub")  # the discard port: nobody asks it
    yield server
    server.close()


@pytest.fixture
def unpublished(upstream: FileServer, monkeypatch: pytest.MonkeyPatch, original: bytes) -> Checkpoint:
    """sea_64 as it is in the table, with a seeded file as its authors', which the mirror has."""
    upstream.files[ROW.upstream.filename] = original
    return put_in_table(monkeypatch, from_upstream(ROW, original))


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SUBPROCESS + code],
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- the order of places ---


def test_places_are_tried_in_order_and_each_says_so(
    hub: FakeHub,
    row: Checkpoint,
    converted: bytes,
    original: bytes,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hear_edgel3")
    mirror = FileServer()
    mirror.files[ROW.upstream.filename] = original
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", mirror.url)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path / "folder"))
    in_folder = tmp_path / "folder" / ROW.filename
    in_cache = weights.cache_folder() / ROW.filename
    given = tmp_path / "given" / "mine.safetensors"
    given_in_folder = tmp_path / "given" / ROW.filename
    for path in (in_folder, in_cache, given, given_in_folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(converted)

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
    assert path.read_bytes() == converted
    assert (tmp_path / "hub") in path.parents
    assert log[1] == f"weights of sea_64: not in {in_cache.parent} (cache of converted files)"
    assert log[2] == f"weights of sea_64: {path} (Hugging Face Hub, {ROW.hub.repo_id} at {REVISION})"
    assert hub.requests == FETCH
    assert mirror.requests == []
    row = from_upstream(ROW, original)
    put_in_table(monkeypatch, row)
    path, log = found()
    assert path == in_cache
    assert log[2] == "weights of sea_64: not published on the Hub yet"
    assert log[3] == f"weights of sea_64: {in_cache} (converted from {ROW.upstream.url})"
    assert mirror.requests == [("GET", f"/{ROW.upstream.filename}")]
    assert hub.requests == FETCH
    mirror.close()


def test_a_given_path_that_is_wrong_does_not_fall_back(row: Checkpoint, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"nowhere\.safetensors does not exist"):
        weights.locate(row, tmp_path / "nowhere.safetensors")
    with pytest.raises(WeightsNotFound, match=r"has no sea_64\.safetensors, which sea_64 needs"):
        weights.locate(row, tmp_path)
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
    hub: FakeHub, row: Checkpoint, converted: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert weights.origin(row) == f"the Hugging Face Hub: {ROW.hub.repo_id} at {REVISION}"
    assert weights.origin(ROW).startswith(ROW.upstream.url)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    (tmp_path / ROW.filename).write_bytes(converted)
    assert weights.origin(row) == f"{tmp_path / ROW.filename} ($HEAR_EDGEL3_WEIGHTS)"
    assert hub.requests == []


# --- files that are given ---


@pytest.mark.parametrize("filename", ["sea.h5", "sea.h5.gz", "sea.hdf5", "sea.pt"])
def test_a_file_to_convert_first_gets_the_command(filename: str, tmp_path: Path, original: bytes) -> None:
    path = tmp_path / filename
    path.write_bytes(original)
    with pytest.raises(WeightsMismatch) as caught:
        hear_edgel3.load("sea_64", path)
    assert f"python -m weights_convert sea_64 --source {path} --output sea_64.safetensors" in str(caught.value)


def test_a_file_of_another_configuration_is_refused(weights_folder: Path) -> None:
    with pytest.raises(WeightsMismatch, match="holds the weights of sea_128, not of sea_64"):
        hear_edgel3.load("sea_64", weights_folder / "sea_128.safetensors")


def test_the_name_in_the_file_counts_where_shapes_do_not_tell(tmp_path: Path, weights_folder: Path) -> None:
    # sixteen checkpoints have the shapes of sparse_95
    with pytest.raises(WeightsMismatch, match="holds the weights of sparse_95, not of sparse_53_kd"):
        hear_edgel3.load("sparse_53_kd", weights_folder / "sparse_95.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("convs.3.bias"), r"1 tensors are missing \(convs\.3\.bias\)"),
        (lambda s: s.update({"extra.weight": torch.zeros(2)}), r"1 are unknown \(extra\.weight\)"),
        (
            lambda s: s.update({"convs.0.bias": torch.zeros(31)}),
            r"convs\.0\.bias should have shape \(32,\) but has \(31,\)",
        ),
        (lambda s: s.clear() or s.update(a=torch.zeros(1)), r"52 tensors are missing \(convs\.0\.bias.*, \.\.\.\)"),
    ],
    ids=["missing", "unknown", "shape", "nothing right"],
)
def test_tensors_that_do_not_fit_are_refused(change, words: str, tmp_path: Path) -> None:
    state = synthetic.state("sea_64")
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsMismatch, match=words) as caught:
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    assert "does not fit sea_64" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["convs.5.weight", "norms.7.running_var", "input_norm.bias"])
def test_values_that_are_not_finite_are_refused(key: str, value: float, tmp_path: Path) -> None:
    state = synthetic.state("sea_64")
    changed = state[key].clone()
    changed.view(-1)[-1] = value
    save_file({**state, key: changed}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsCorrupt, match=f"{key} has values that are not finite"):
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")


@pytest.mark.parametrize("length", [0, 4, 100, 20_000, -1])
def test_truncated_files_are_refused(length: int, converted: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(converted[:length])
    with pytest.raises(WeightsCorrupt, match=r"w\.safetensors is not a sound safetensors file"):
        hear_edgel3.load("sea_64", path)


def test_random_bytes_and_pickles_are_refused_and_never_executed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(WeightsCorrupt):
        hear_edgel3.load("sea_64", path)

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save(Bomb(), path)
    with pytest.raises(WeightsCorrupt):
        hear_edgel3.load("sea_64", path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("metadata", [{}, {"hear_edgel3": "not json"}, {"hear_edgel3": "[1]"}, {"format": "pt"}])
def test_a_file_without_our_metadata_is_judged_by_its_tensors(metadata: dict[str, str], tmp_path: Path) -> None:
    save_file(synthetic.state("sea_64"), tmp_path / "w.safetensors", metadata or None)
    extractor = hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(extractor.net.state_dict()[key], value), key


def test_the_model_survives_the_removal_of_its_file(tmp_path: Path, converted: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(converted)
    extractor = hear_edgel3.load("sea_64", path)
    path.write_bytes(bytes(len(converted)))  # in place: a memory map would see it
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(extractor.net.state_dict()[key], value), key


def test_a_flipped_bit_is_noticed(converted: bytes, tmp_path: Path) -> None:
    """Still finite, still the right shapes; only the digest in the file can tell."""
    damaged = bytearray(converted)
    damaged[-3] ^= 0x10
    (tmp_path / "sea_64.safetensors").write_bytes(damaged)
    with pytest.raises(WeightsCorrupt, match="its values are not the ones that were written"):
        hear_edgel3.load("sea_64", tmp_path)


def test_a_damaged_file_in_our_cache_names_itself(converted: bytes, hub: FakeHub) -> None:
    path = weights.cache_folder() / ROW.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(converted[:-100])
    with pytest.raises(WeightsCorrupt, match="delete it and fetch it again") as caught:
        hear_edgel3.load("sea_64")
    assert str(path) in str(caught.value)


# --- the Hub ---


def test_a_fresh_download_then_no_more_requests(hub: FakeHub, row: Checkpoint, monkeypatch, converted: bytes) -> None:
    put_in_table(monkeypatch, row)
    first = hear_edgel3.load("sea_64")
    assert hub.requests == FETCH
    assert first.weights.sha256 == row.hub.sha256
    second = hear_edgel3.load("sea_64")
    hub.close()
    started = time.monotonic()
    third = hear_edgel3.load("sea_64")
    assert time.monotonic() - started < 2
    assert hub.requests == FETCH
    assert first.weights == second.weights == third.weights
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(third.net.state_dict()[key], value), key


def test_wrong_bytes_of_the_right_size_are_refused(hub: FakeHub, row: Checkpoint) -> None:
    hub.fault = "wrong bytes"
    with pytest.raises(WeightsCorrupt) as caught:
        weights.locate(row)
    message = str(caught.value)
    assert f"model.safetensors of {ROW.hub.repo_id} at {REVISION} has the wrong checksum" in message
    assert f"expected sha256 {row.hub.sha256}, found " in message
    assert [method for method, _ in hub.requests].count("GET") == 2  # once more, then it gives up
    hub.fault = None
    assert weights.sha256_of(weights.locate(row)) == row.hub.sha256


def test_a_cache_damaged_on_disk_is_healed_by_one_download(hub: FakeHub, row: Checkpoint, converted: bytes) -> None:
    path = weights.locate(row)
    hub.requests.clear()
    for damage in (converted[:-7], converted[:-1] + b"!", b""):
        path.resolve().write_bytes(damage)
        assert weights.locate(row).read_bytes() == converted
        assert hub.requests == FETCH
        hub.requests.clear()
    assert weights.locate(row) == path
    assert hub.requests == []


def test_a_damaged_cache_that_cannot_be_healed_says_both(
    hub: FakeHub, row: Checkpoint, converted: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_waiting(monkeypatch)
    path = weights.locate(row)
    path.resolve().write_bytes(converted[:-7])
    hub.close()
    with pytest.raises(WeightsCorrupt, match=r"is damaged .*fetching it again failed") as caught:
        weights.locate(row)
    assert str(path) in str(caught.value)
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    with pytest.raises(WeightsCorrupt, match="wrong checksum"):
        weights.locate(row)


def test_a_download_that_breaks_off_is_resumed(
    hub: FakeHub, row: Checkpoint, converted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    hub.fault = "connection lost"
    assert weights.locate(row).read_bytes() == converted
    assert [method for method, _ in hub.requests] == ["HEAD", "GET", "GET"]


def test_a_file_shorter_than_announced_is_refused(hub: FakeHub, row: Checkpoint) -> None:
    hub.fault = "short file"
    with pytest.raises(DownloadError, match="could not be downloaded") as caught:
        weights.locate(row)
    assert str(row.hub.size) in str(caught.value)
    hub.fault = None
    assert weights.sha256_of(weights.locate(row)) == row.hub.sha256


def test_a_truncated_file_on_the_hub_is_refused(hub: FakeHub, row: Checkpoint, converted: bytes) -> None:
    hub.put(ROW.hub.repo_id, REVISION, ROW.hub.filename, converted[: len(converted) // 2])
    with pytest.raises(WeightsCorrupt, match="wrong checksum"):
        weights.locate(row)


@pytest.mark.parametrize("fault", ["no such repository", "no token"])
def test_a_repository_that_is_not_there(fault: str, hub: FakeHub, row: Checkpoint) -> None:
    hub.fault = fault
    with pytest.raises(DownloadError, match=rf"repository {ROW.hub.repo_id} does not exist .* or is private .*hf auth"):
        weights.locate(row)
    assert hub.requests == [("HEAD", RESOLVE)]


def test_a_revision_that_is_not_there(hub: FakeHub, row: Checkpoint) -> None:
    other = dataclasses.replace(row, hub=dataclasses.replace(row.hub, revision="9" * 40))
    with pytest.raises(DownloadError, match=f"{ROW.hub.repo_id} has no revision {'9' * 40}"):
        weights.locate(other)


def test_a_file_that_is_not_there(hub: FakeHub, row: Checkpoint) -> None:
    other = dataclasses.replace(row, hub=dataclasses.replace(row.hub, filename="other.safetensors"))
    with pytest.raises(DownloadError, match=rf"{ROW.hub.repo_id} at {REVISION} has no file other\.safetensors"):
        weights.locate(other)


@pytest.mark.parametrize("fault", ["private", 401, 403, 500, 503])
def test_other_answers_of_the_hub(fault: str | int, hub: FakeHub, row: Checkpoint, monkeypatch) -> None:
    no_waiting(monkeypatch)
    hub.fault = fault
    with pytest.raises(DownloadError) as caught:
        weights.locate(row)
    assert ROW.hub.repo_id in str(caught.value)
    assert REVISION in str(caught.value)
    assert all(method == "HEAD" for method, _ in hub.requests)


def test_a_dead_hub_gives_the_ways_to_get_weights(
    hub: FakeHub, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    hub.close()
    with pytest.raises(DownloadError, match="could not be downloaded and is not cached") as caught:
        weights.locate(row)
    assert weights.ways_to_get(row) in str(caught.value)
    assert hub.requests == []


def test_offline_is_fast_and_clear_without_a_cache_and_works_with_one(
    hub: FakeHub, row: Checkpoint, converted: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    started = time.monotonic()
    with pytest.raises(WeightsNotFound, match=r"network is switched off \(HF_HUB_OFFLINE\)") as caught:
        weights.locate(row)
    assert time.monotonic() - started < 2
    assert weights.ways_to_get(row) in str(caught.value)
    assert hub.requests == []
    use_hub(monkeypatch, hub.url, tmp_path / "hub")
    weights.locate(row)
    use_hub(monkeypatch, hub.url, tmp_path / "hub", offline=True)
    assert weights.locate(row).read_bytes() == converted
    assert hub.requests == FETCH


def test_the_hub_from_processes_of_their_own(hub: FakeHub, row: Checkpoint) -> None:
    """The settings that huggingface_hub reads once: HF_ENDPOINT, HF_HOME (from conftest.py), HF_HUB_OFFLINE."""
    change = f"change('sea_64', 'hub', revision={REVISION!r}, sha256={row.hub.sha256!r}, size={row.hub.size})\n"
    load = change + "import hear_edgel3; print(hear_edgel3.load('sea_64').weights.sha256)"
    missing = run_python(load, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert missing.returncode == 1
    assert f"WeightsNotFound: {ROW.hub.filename} of {ROW.hub.repo_id}" in missing.stderr
    assert hub.requests == []
    fresh = run_python(load, HF_ENDPOINT=hub.url)
    assert (fresh.returncode, fresh.stdout.strip()) == (0, row.hub.sha256), fresh.stderr
    assert hub.requests == FETCH
    hub.chatter.clear()
    Path(os.environ["HF_HOME"], ".agent_harnesses.json").unlink(missing_ok=True)
    cached = run_python(load, HF_ENDPOINT=hub.url)
    assert (cached.returncode, cached.stdout.strip()) == (0, row.hub.sha256), cached.stderr
    assert hub.requests == FETCH
    assert hub.chatter == []
    hub.close()
    offline = run_python(load, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout.strip()) == (0, row.hub.sha256), offline.stderr


# --- the authors' file ---


def test_load_fetches_converts_and_caches_the_authors_file(
    unpublished: Checkpoint, upstream: FileServer, original: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = hear_edgel3.load("sea_64")
    captured = capsys.readouterr()
    assert "fetching and converting the weights of sea_64, once" in captured.err
    assert f"{upstream.url}/{ROW.upstream.filename}" in captured.err
    assert captured.out == ""
    cached = weights.cache_folder() / ROW.filename
    assert extractor.weights.path == str(cached)
    assert files_under(weights.cache_folder()) == [ROW.filename]
    expected = synthetic.state("sea_64")
    found = load_file(cached)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert upstream.requests == [("GET", f"/{ROW.upstream.filename}")]
    upstream.close()
    again = hear_edgel3.load("sea_64")
    assert again.weights == extractor.weights
    assert capsys.readouterr().err == ""
    assert len(upstream.requests) == 1


def test_a_mirror_address_may_end_in_a_slash(unpublished: Checkpoint, upstream: FileServer, monkeypatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", upstream.url + "/")
    weights.locate(unpublished)
    assert upstream.requests == [("GET", f"/{ROW.upstream.filename}")]


def test_without_a_mirror_the_authors_address_is_asked(
    unpublished: Checkpoint, upstream: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_MIRROR")
    changed = dataclasses.replace(unpublished.upstream, url=f"{upstream.url}/{ROW.upstream.filename}")
    weights.locate(put_in_table(monkeypatch, dataclasses.replace(unpublished, upstream=changed)))
    assert upstream.requests == [("GET", f"/{ROW.upstream.filename}")]


def test_wrong_bytes_from_upstream(unpublished: Checkpoint, upstream: FileServer, original: bytes) -> None:
    upstream.files[ROW.upstream.filename] = original[:-1] + bytes([original[-1] ^ 1])
    with pytest.raises(WeightsCorrupt) as caught:
        hear_edgel3.load("sea_64")
    assert "is not the published file of sea_64" in str(caught.value)
    assert f"expected git blob {unpublished.upstream.git_blob}, found " in str(caught.value)
    assert files_under(weights.cache_folder()) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("truncated", r"broke off after \d+ bytes"),
        (404, "answered 404"),
        (500, "answered 500"),
        ("refused", "could not be fetched: .*refused"),
    ],
)
def test_an_upstream_that_fails(
    fault: str | int, words: str, unpublished: Checkpoint, upstream: FileServer, original: bytes
) -> None:
    if fault == "refused":
        upstream.close()
    else:
        upstream.fault = fault
    with pytest.raises(WeightsNotFound, match=words) as caught:
        hear_edgel3.load("sea_64")
    assert isinstance(caught.value.__cause__, DownloadError)
    assert weights.ways_to_get(unpublished) in str(caught.value)
    assert files_under(weights.cache_folder()) == []


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://127.0.0.1", "somewhere"])
def test_a_mirror_that_is_no_http_address(mirror: str, unpublished: Checkpoint, monkeypatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", mirror)
    with pytest.raises(WeightsNotFound, match=r"is not an http address; check \$HEAR_EDGEL3_MIRROR"):
        weights.locate(unpublished)


def test_an_upstream_file_that_cannot_be_converted_leaves_nothing(
    upstream: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\x89HDF\r\n\x1a\n but no more"
    upstream.files[ROW.upstream.filename] = data
    put_in_table(monkeypatch, from_upstream(ROW, data))
    with pytest.raises(WeightsCorrupt, match="damaged or truncated HDF5"):
        hear_edgel3.load("sea_64")
    assert files_under(weights.cache_folder()) == []


def test_offline_asks_nobody(
    unpublished: Checkpoint,
    upstream: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "hub", offline=True)
    with pytest.raises(WeightsNotFound, match=r"network is switched off \(HF_HUB_OFFLINE\)") as caught:
        hear_edgel3.load("sea_64")
    assert weights.ways_to_get(unpublished) in str(caught.value)
    assert upstream.requests == []
    assert capsys.readouterr().err == ""


def test_without_h5py_it_says_so_before_any_request(unpublished: Checkpoint, upstream: FileServer, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)  # what makes `import h5py` raise ImportError
    with pytest.raises(MissingExtra, match=r"pip install 'hear-edgel3\[convert\]'"):
        hear_edgel3.load("sea_64")
    assert upstream.requests == []
    assert files_under(weights.cache_folder()) == []


def test_options_are_checked_before_anything_is_fetched(unpublished: Checkpoint, upstream: FileServer) -> None:
    with pytest.raises(InvalidOption):
        hear_edgel3.load("sea_64", engine="no such engine")
    assert upstream.requests == []


def test_a_cache_that_cannot_be_written(unpublished: Checkpoint, upstream: FileServer, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="cannot make the cache folder"):
        hear_edgel3.load("sea_64")
    assert upstream.requests == []


def test_upstream_from_processes_of_their_own(unpublished: Checkpoint, upstream: FileServer) -> None:
    change = f"change('sea_64', 'upstream', git_blob={unpublished.upstream.git_blob!r})\n"
    load = change + "import hear_edgel3; print(hear_edgel3.load('sea_64').weights.path)"
    offline = run_python(load, HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert "WeightsNotFound: no weights for sea_64 on this machine" in offline.stderr
    assert upstream.requests == []
    cached = str(weights.cache_folder() / ROW.filename)
    first = run_python(load)
    assert (first.returncode, first.stdout.strip()) == (0, cached), first.stderr
    assert "fetching and converting the weights of sea_64, once" in first.stderr
    assert upstream.requests == [("GET", f"/{ROW.upstream.filename}")]
    upstream.close()
    second = run_python(load, HF_HUB_OFFLINE="1")
    assert (second.returncode, second.stdout.strip(), second.stderr) == (0, cached, "")


# --- the commands in messages ---


def test_the_ways_to_get_weights_are_commands_that_work(
    unpublished: Checkpoint, upstream: FileServer, original: bytes, converted: bytes, tmp_path: Path, monkeypatch
) -> None:
    from weights_convert.__main__ import main

    text = weights.ways_to_get(unpublished)
    assert ROW.upstream.url in text
    commands = [
        line.split("python -m weights_convert ", 1)[1].split() for line in text.splitlines() if "python" in line
    ]
    assert commands == [
        ["sea_64"],
        ["sea_64", "--source", ROW.upstream.filename, "--output", "sea_64.safetensors"],
    ]
    monkeypatch.chdir(tmp_path)
    Path(ROW.upstream.filename).write_bytes(original)
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
