"""The converter: what it writes, what it knows of published files, and the command."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3._version import __version__
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import DownloadError, OutputError, WeightsMismatch
from hear_edgel3.registry.names import checkpoints
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import read_weights
from hear_edgel3.weights.upstream import git_blob_id
from support import synthetic
from support.conversion import read
from support.files import files_under
from support.l3_files import SEA, SPARSE, assert_is_seeded
from support.loopback import FileServer, from_upstream, put_in_table
from weights_convert.__main__ import main

# --- what is written ---


def test_the_same_source_gives_the_same_bytes_in_every_process(sea_file: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for path in paths[:2]:
        convert(SEA, sea_file).write(path)
    for seed, path in enumerate(paths[2:]):
        done = subprocess.run(
            [sys.executable, "-m", "weights_convert", "sea_64", "--source", str(sea_file), "--output", str(path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{path}  sha256={hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        assert "is not, byte for byte, the file published as sea_64" in done.stderr
    assert len({path.read_bytes() for path in paths}) == 1
    assert len(files_under(tmp_path)) == 4


def test_the_file_says_where_it_came_from(sea_file: Path, tmp_path: Path) -> None:
    sha256 = convert(SEA, sea_file).write(tmp_path / "x.safetensors")
    data = sea_file.read_bytes()
    assert sha256 == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    metadata = read(tmp_path / "x.safetensors")[1]
    assert list(metadata) == ["hear_edgel3"]  # several keys would come in any order
    provenance = json.loads(metadata["hear_edgel3"])
    assert len(provenance.pop("tensors_sha256")) == 64
    assert provenance == {
        "format": 1,
        "configuration": "sea_64",
        "source_file": "edgel3_sea_ust_audio_emb_64.h5.gz",
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "source_git_blob": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "upstream_url": SEA.upstream.url,
        "licence": "MIT",
        "copyright": "(c) 2019 Sangeeta Kumari",
        "citation": SEA.citation,
        "converter": f"hear_edgel3 {__version__}",
    }
    assert str(tmp_path) not in metadata["hear_edgel3"]
    assert sorted(json.loads(metadata["hear_edgel3"])) == list(json.loads(metadata["hear_edgel3"]))


def test_the_git_blob_id_is_gits() -> None:
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_published_tells_the_authors_file_from_others(sea_file: Path) -> None:
    assert not convert(SEA, sea_file).published
    assert convert(from_upstream(SEA, sea_file.read_bytes()), sea_file).published


def test_the_published_sea_64(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared / "checkpoints" / SEA.upstream.filename
    assert main(["sea_64", "--source", str(source.parent), "--output", str(tmp_path / "x.safetensors")]) == 0
    assert capsys.readouterr().err == ""  # byte for byte the published file: no note
    provenance = json.loads(read(tmp_path / "x.safetensors")[1]["hear_edgel3"])
    assert provenance["source_git_blob"] == SEA.upstream.git_blob == "f3535405c91fe8da71f6456adb8a061213324239"
    renamed = tmp_path / "mine.h5.gz"
    renamed.write_bytes(source.read_bytes())
    with pytest.raises(WeightsMismatch, match="is the published file of sea_64, not of sea_128"):
        convert(synthetic.row("sea_128"), renamed)


def test_a_file_with_the_name_of_another_checkpoint_is_refused(l3_downloads: Path) -> None:
    with pytest.raises(WeightsMismatch, match=r"is the name of the published file of sparse_95, not of sparse_53_kd"):
        convert(synthetic.row("sparse_53_kd"), l3_downloads / SPARSE.upstream.filename)


def test_a_file_of_the_same_shape_is_converted_with_a_note(
    l3_downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mine.h5.gz"
    source.write_bytes((l3_downloads / SPARSE.upstream.filename).read_bytes())
    assert main(["sparse_53_kd", "--source", str(source), "--output", str(tmp_path / "x.safetensors")]) == 0
    captured = capsys.readouterr()
    row = synthetic.row("sparse_53_kd")
    assert f"note: {source.name} is not, byte for byte, the file published as sparse_53_kd" in captured.err
    assert row.upstream.git_blob in captured.err


def test_a_file_that_is_published_as_another_checkpoint_is_refused(
    l3_downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = l3_downloads / SPARSE.upstream.filename
    put_in_table(monkeypatch, from_upstream(SPARSE, source.read_bytes()))
    renamed = tmp_path / "mine.h5.gz"
    renamed.write_bytes(source.read_bytes())
    target = tmp_path / "x.safetensors"
    with pytest.raises(WeightsMismatch, match=r"mine\.h5\.gz is the published file of sparse_95, not of sparse_53_kd"):
        convert(synthetic.row("sparse_53_kd"), renamed)
    assert main(["sparse_53_kd", "--source", str(renamed), "--output", str(target)]) == 1
    assert not target.exists()
    assert convert(synthetic.row("sparse_95"), renamed).published


def test_no_two_rows_claim_the_same_file() -> None:
    assert len({row.upstream.url for row in checkpoints()}) == len(checkpoints()) == 83
    known = [row.upstream.git_blob for row in checkpoints() if row.upstream.git_blob is not None]
    assert len(set(known)) == len(known) == 26


# --- the command ---


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["sea_64", "--all"], ["sea_64", "--no-such-option"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "give the names of checkpoints, or --all" in capsys.readouterr().err


def test_an_unknown_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sea_65", "--output", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no configuration 'sea_65'; did you mean ")
    assert "sea_64" in error
    assert files_under(tmp_path) == []


def test_without_an_output_load_finds_the_result(sea_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sea_64", "--source", str(sea_file)]) == 0
    target = cache_folder() / "sea_64.safetensors"
    sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
    assert capsys.readouterr().out == f"{target}  sha256={sha256}\n"
    extractor = hear_edgel3.load("sea_64")
    assert (extractor.weights.path, extractor.weights.sha256) == (str(target), sha256)
    assert_is_seeded({k: v for k, v in extractor.net.state_dict().items() if "batches" not in k}, "sea_64")


def test_all_converts_what_is_there(l3_downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--all", "--source", str(l3_downloads), "--output", str(tmp_path / "new" / "folder")]) == 0
    out = tmp_path / "new" / "folder"
    assert files_under(out) == ["sea_128.safetensors", "sea_64.safetensors", "sparse_95.safetensors"]
    for name in ("sea_64", "sea_128", "sparse_95"):
        assert_is_seeded(read_weights(out / f"{name}.safetensors").tensors, name)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  sha256=")[0] for line in lines] == [
        str(out / f"{name}.safetensors") for name in ("sparse_95", "sea_64", "sea_128")
    ]
    (tmp_path / "empty").mkdir()
    assert main(["--all", "--source", str(tmp_path / "empty")]) == 2
    assert "has none of the published files" in capsys.readouterr().err


def test_one_that_fails_does_not_stop_the_others(l3_downloads: Path, tmp_path: Path, capsys, packed: bytes) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / SEA.upstream.filename).write_bytes(packed[:-20])
    unpacked = synthetic.row("sea_128").upstream.filename.removesuffix(".gz")
    (folder / unpacked).write_bytes((l3_downloads / unpacked).read_bytes())
    assert main(["sea_64", "sea_128", "--source", str(folder), "--output", str(out)]) == 1
    assert files_under(out) == ["sea_128.safetensors"]
    error = capsys.readouterr().err
    assert "error: sea_64: " in error
    assert "1 of 2 checkpoints were not converted" in error


def test_a_download_is_verified_and_converted(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = FileServer()
    monkeypatch.setenv("HEAR_EDGEL3_MIRROR", server.url)
    server.files[SEA.upstream.filename] = packed
    assert main(["sea_64", "--output", str(tmp_path / "x.safetensors")]) == 1  # not the file of the table
    assert f"expected git blob {SEA.upstream.git_blob}" in capsys.readouterr().err
    assert files_under(tmp_path) == []
    row = put_in_table(monkeypatch, from_upstream(SEA, packed))
    assert main(["sea_64", "--output", str(tmp_path)]) == 0  # a folder: the file gets the name that load() looks for
    assert_is_seeded(read(tmp_path / "sea_64.safetensors")[0], "sea_64")
    assert "note:" not in capsys.readouterr().err
    server.close()
    with pytest.raises(DownloadError, match="could not be fetched"):
        convert(row)
    assert server.requests == [("GET", f"/{SEA.upstream.filename}")] * 2


def test_outputs_that_cannot_be_written(sea_file: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "file").write_text("mine")
    for target, words in (
        (tmp_path / "no" / "folder" / "x.safetensors", "does not exist"),
        (tmp_path / "file" / "x.safetensors", "cannot write"),
    ):
        assert main(["sea_64", "--source", str(sea_file), "--output", str(target)]) == 1
        assert words in capsys.readouterr().err
        with pytest.raises(OutputError, match=words):
            convert(SEA, sea_file).write(target)
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["sea_64", "--source", str(sea_file)]) == 1
    assert "cannot make the folder" in capsys.readouterr().err

    opened = Path.open

    def refused(self: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if "x" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr("pathlib.Path.open", refused)
    assert main(["sea_64", "--source", str(sea_file), "--output", str(tmp_path / "x.safetensors")]) == 1
    assert "Permission denied" in capsys.readouterr().err
    assert files_under(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_file_and_no_other(sea_file: Path, tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        convert(SEA, sea_file).write(target)
    assert target.read_bytes() == b"old"
    assert files_under(tmp_path) == ["x.safetensors"]
