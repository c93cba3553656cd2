"""MobileNetV3 checkpoints that are downloaded, with a checksum that is known and without one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import DownloadError, HearEdgeL3Error, WeightsCorrupt
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import download, expected_checksum
from support.files import files_under
from support.loopback import FileServer, from_upstream, put_in_table
from support.mobilenetv3_files import assert_same, pt, read, state, with_upstream
from support.synthetic import row
from support.types import Captured
from weights_convert.__main__ import main

pytestmark = pytest.mark.usefixtures("without_checksums")


@pytest.mark.parametrize("checksum", ["sha256", "git_blob"])
def test_a_download_with_a_known_checksum(
    checksum: str, upstream: FileServer, smallest: bytes, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    known = from_upstream(row("mn01_as"), smallest)
    if checksum == "sha256":
        known = with_upstream("mn01_as", sha256=hashlib.sha256(smallest).hexdigest())
    put_in_table(monkeypatch, known)
    upstream.files["mn01_as_mAP_298.pt"] = wrong = pt(state("mn01_as"), zipped=False)  # the same values, other bytes
    assert main(["mn01_as"]) == 1
    captured = capsys.readouterr()
    url = f"{upstream.url}/mn01_as_mAP_298.pt"
    assert captured.err.splitlines()[-1] == (
        f"error: mn01_as: {url} is not the published file of mn01_as: expected {expected_checksum(known)}, found git "
        f"blob {hashlib.sha1(b'blob %d' % len(wrong) + bytes(1) + wrong).hexdigest()}, sha256 "
        f"{hashlib.sha256(wrong).hexdigest()} ({len(wrong)} bytes); nothing was written"
    )
    with pytest.raises(WeightsCorrupt, match="is not the published file of mn01_as"):
        hear_edgel3.load("mn01_as")
    assert files_under(cache_folder()) == []
    upstream.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as"]) == 0
    assert "note:" not in capsys.readouterr().err
    assert_same(read(cache_folder() / "mn01_as.safetensors")[0], state("mn01_as"))
    assert upstream.requests == [("GET", "/mn01_as_mAP_298.pt")] * 3


def test_the_real_table_refuses_a_seeded_mn04_as(
    upstream: FileServer, mobilenetv3_downloads: Path, tmp_path: Path, capsys
) -> None:
    filename = row("mn04_as").upstream.filename
    upstream.files[filename] = (mobilenetv3_downloads / filename).read_bytes()
    assert main(["mn04_as", "--output", str(tmp_path / "x.safetensors")]) == 1
    assert "expected git blob 1c675af80a401a1d54cbd01530b7411372f32601, found git blob" in capsys.readouterr().err
    assert files_under(tmp_path) == []


def test_a_download_without_a_known_checksum(upstream: FileServer, smallest: bytes, tmp_path: Path, capsys) -> None:
    upstream.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as", "--output", str(tmp_path / "x.safetensors")]) == 0
    assert "note: no checksum of the file published as mn01_as is known" in capsys.readouterr().err
    tensors, provenance = read(tmp_path / "x.safetensors")
    assert_same(tensors, state("mn01_as"))
    assert provenance["source_file"] == "mn01_as_mAP_298.pt"


def test_load_downloads_and_converts_once(upstream: FileServer, smallest: bytes, capsys: Captured) -> None:
    upstream.files["mn01_as_mAP_298.pt"] = smallest
    extractor = hear_edgel3.load("mn01_as_all_b")
    assert_same(extractor.net.state_dict(), state("mn01_as"))
    assert files_under(cache_folder()) == ["mn01_as.safetensors"]
    assert (
        f"fetching and converting the weights of mn01_as, once ({upstream.url}/mn01_as_mAP" in capsys.readouterr().err
    )
    other = hear_edgel3.load("mn01_as", features=["e1", "l"])  # other features, the same weights
    assert other.weights == extractor.weights
    assert upstream.requests == [("GET", "/mn01_as_mAP_298.pt")]


@pytest.mark.parametrize(
    ("fault", "body", "error", "words"),
    [
        (None, b"<!DOCTYPE html><html>rate limit</html>", WeightsCorrupt, "mn01_as_mAP_298.pt"),
        (None, b"", WeightsCorrupt, "mn01_as_mAP_298.pt is not a PyTorch checkpoint"),
        ("truncated", None, DownloadError, "mn01_as_mAP_298.pt broke off after .* bytes; try again"),
        (404, None, DownloadError, "mn01_as_mAP_298.pt answered 404"),
        (500, None, DownloadError, "mn01_as_mAP_298.pt answered 500"),
    ],
)
def test_downloads_that_fail(
    fault: str | int | None,
    body: bytes | None,
    error: type[HearEdgeL3Error],
    words: str,
    upstream: FileServer,
    smallest: bytes,
    capsys: Captured,
) -> None:
    upstream.fault = fault
    upstream.files["mn01_as_mAP_298.pt"] = smallest if body is None else body
    with pytest.raises(error, match=words):
        convert(row("mn01_as"))
    assert main(["mn01_as"]) == 1
    assert re.search(f"error: mn01_as: .*{words}", capsys.readouterr().err)
    with pytest.raises(HearEdgeL3Error, match=words):
        hear_edgel3.load("mn01_as")
    assert files_under(cache_folder()) == []


def test_a_download_that_is_another_published_file(upstream: FileServer, smallest: bytes, monkeypatch, capsys) -> None:
    put_in_table(monkeypatch, from_upstream(row("mn05_as"), smallest))
    upstream.files["mn01_as_mAP_298.pt"] = smallest
    assert main(["mn01_as"]) == 1
    words = "error: mn01_as: mn01_as_mAP_298.pt is the published file of mn05_as, not of mn01_as"
    assert words in capsys.readouterr().err
    assert files_under(cache_folder()) == []


def test_a_file_with_brackets_in_its_name(upstream: FileServer) -> None:
    upstream.files["mn40_as_mAP_483(2).pt"] = b"whatever"
    assert download(row("mn40_as(3)")) == b"whatever"
    assert upstream.requests == [("GET", "/mn40_as_mAP_483(2).pt")]
