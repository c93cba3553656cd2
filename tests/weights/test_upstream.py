"""Weights from the authors' own files, and every way that can fail, against a server on loopback."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import hear_edgel3
from hear_edgel3.errors import DownloadError, InvalidOption, MissingExtra, OutputError, WeightsCorrupt, WeightsNotFound
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.weights import locate as weights
from support import synthetic
from support.files import files_under
from support.l3_files import SEA
from support.loopback import FileServer, from_upstream, put_in_table, use_hub
from support.loopback_rows import python_with_rows


def test_load_fetches_converts_and_caches_the_authors_file(
    unpublished: Checkpoint, upstream: FileServer, packed: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = hear_edgel3.load("sea_64")
    captured = capsys.readouterr()
    assert "fetching and converting the weights of sea_64, once" in captured.err
    assert f"{upstream.url}/{SEA.upstream.filename}" in captured.err
    assert captured.out == ""
    cached = weights.cache_folder() / SEA.filename
    assert extractor.weights.path == str(cached)
    assert files_under(weights.cache_folder()) == [SEA.filename]
    expected = synthetic.state("sea_64")
    found = load_file(cached)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert upstream.requests == [("GET", f"/{SEA.upstream.filename}")]
    upstream.close()
    again = hear_edgel3.load("sea_64")
    assert again.weights == extractor.weights
    assert capsys.readouterr().err == ""
    assert len(upstream.requests) == 1


def test_a_mirror_address_may_end_in_a_slash(unpublished: Checkpoint, upstream: FileServer, monkeypatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", upstream.url + "/")
    weights.locate(unpublished)
    assert upstream.requests == [("GET", f"/{SEA.upstream.filename}")]


def test_without_a_mirror_the_authors_address_is_asked(
    unpublished: Checkpoint, upstream: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_MIRROR")
    changed = dataclasses.replace(unpublished.upstream, url=f"{upstream.url}/{SEA.upstream.filename}")
    weights.locate(put_in_table(monkeypatch, dataclasses.replace(unpublished, upstream=changed)))
    assert upstream.requests == [("GET", f"/{SEA.upstream.filename}")]


def test_wrong_bytes_from_upstream(unpublished: Checkpoint, upstream: FileServer, packed: bytes) -> None:
    upstream.files[SEA.upstream.filename] = packed[:-1] + bytes([packed[-1] ^ 1])
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
    fault: str | int, words: str, unpublished: Checkpoint, upstream: FileServer, packed: bytes
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
    upstream.files[SEA.upstream.filename] = data
    put_in_table(monkeypatch, from_upstream(SEA, data))
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
    with pytest.raises(MissingExtra, match=r'pip install "\.\[convert\]"'):
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
    with pytest.raises(OutputError, match=r"cannot make the cache folder .* in \$HEAR_EDGEL3_CACHE"):
        hear_edgel3.load("sea_64")
    assert upstream.requests == []


def test_upstream_from_processes_of_their_own(unpublished: Checkpoint, upstream: FileServer) -> None:
    change = f"change('sea_64', 'upstream', git_blob={unpublished.upstream.git_blob!r})\n"
    load = change + "import hear_edgel3; print(hear_edgel3.load('sea_64').weights.path)"
    offline = python_with_rows(load, HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert "WeightsNotFound: no weights for sea_64 on this machine" in offline.stderr
    assert upstream.requests == []
    cached = str(weights.cache_folder() / SEA.filename)
    first = python_with_rows(load)
    assert (first.returncode, first.stdout.strip()) == (0, cached), first.stderr
    assert "fetching and converting the weights of sea_64, once" in first.stderr
    assert upstream.requests == [("GET", f"/{SEA.upstream.filename}")]
    upstream.close()
    second = python_with_rows(load, HF_HUB_OFFLINE="1")
    assert (second.returncode, second.stdout.strip(), second.stderr) == (0, cached, "")
