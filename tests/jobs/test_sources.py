"""Sources of a job: folders, globs, lists and shards, and those that give nothing."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError
from hear_edgel3.jobs.manifest import list_items
from support.files import write_clip
from support.jobs import clips, files, rows, run_extract, table


def test_folders_globs_and_files() -> None:
    for name in ("a/2.wav", "a/1.FLAC", "a/deep/er/3.ogg", "b.wav"):
        write_clip(name)
    Path("a/notes.md").write_text("no audio")
    assert run_extract("a", "b.wav", "a/*.wav", "./b.wav", "**/3.ogg", os.path.abspath("b.wav")) == 0
    assert files() == ["a/1.FLAC", "a/2.wav", "a/deep/er/3.ogg", "b.wav"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "txt"])
def test_lists_of_files(ending: str) -> None:
    inside = os.path.abspath(write_clip("deep/audio/a, b.wav"))
    write_clip("deep/c.wav")
    path = Path(f"deep/list.{ending}")
    names = ["c.wav", inside, "gone.wav"]
    if ending == "txt":
        path.write_text("\n".join(names) + "\n\n")
    elif ending == "parquet":
        pq.write_table(pa.table({"label": [1, 2, 3], "path": names}), path)
    else:
        comma = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text(f"label{comma}file\n" + "".join(f'1{comma}"{name}"\n' for name in names))
    assert run_extract(os.fspath(path)) == 1
    assert files() == ["deep/c.wav", inside, "deep/gone.wav"]
    gone = f"AudioFileError: {os.path.abspath('deep/gone.wav')} does not exist"
    assert [row["error"] for row in rows()] == [None, None, gone]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "clips.csv"])
def test_a_nul_in_the_name_of_a_folder_costs_its_row(ending: str) -> None:
    write_clip("a.wav")
    names = ["a.wav", "x\0y/b.wav", "\0/../a.wav", "/x\0/..", "x\0y/z"]
    path = f"list.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"path": names}), path)
    else:
        separator = "\t" if ending == "tsv" else ","
        head, more = (["file", "start", "end"], ["0", "0.1"]) if ending == "clips.csv" else (["file", "label"], ["a"])
        lines = (separator.join([f'"{name}"', *more]) for name in names)
        Path(path).write_text("\n".join([separator.join(head), *lines]))
    for _ in range(2):  # the second run goes on with the first one
        assert run_extract(path) == 1
        errors = {row["file"]: row["error"] for row in rows()}
        assert len(errors) == len(names)
        assert errors.pop("a.wav") is None
        assert all(error.endswith(" does not exist") for error in errors.values())


def test_a_nul_in_a_tar_files_or_a_patterns_folder() -> None:
    Path("list.csv").write_text("file,label\nx\0y/b.tar,a\n")
    found = list_items(["list.csv", "x\0y/*.wav"])
    assert [str(error).split(":")[0] for _, error in found.failures] == [
        "x\0y/b.tar cannot be read as a tar file",
        "nothing matches x\0y/*.wav",
    ]


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\0"])
def test_lists_as_windows_writes_them(coding: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``dir /b > list.txt`` of PowerShell is in UTF-16, as its pipes may be."""
    data = ("\ufeff" + end.join(["é.wav", "Ā.wav", ""])).encode(coding)
    Path("list.txt").write_bytes(data)
    assert [item.file for item in list_items(["list.txt"]).items] == ["é.wav", "Ā.wav"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [item.file for item in list_items(["-"]).items] == ["é.wav", "Ā.wav"]


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_a_list_on_stdin(separator: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [os.fspath(write_clip("a.wav")), os.fspath(write_clip("b.wav"))]
    if separator == b"\0":
        names.append(os.fspath(write_clip("new\nline.wav")))
    data = separator.join(os.fsencode(name) for name in names)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run_extract("-") == 0
    assert files() == names


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_shards(ending: str) -> None:
    sources = clips()
    with tarfile.open(f"s.{ending}", "w:gz" if ending == "tar.gz" else "w") as tar:
        for source in sources:
            tar.add(source, os.path.basename(source))
            tar.add(__file__, f"{source}.json")
        odd = tarfile.TarInfo(os.fsdecode(b"sub/\xe9.wav"))
        odd.size = os.path.getsize(sources[0])
        tar.addfile(odd, io.BytesIO(Path(sources[0]).read_bytes()))
    assert run_extract(f"s.{ending}", "--files-per-part", "4") == 0
    # A packed shard can be read from its beginning only, so it is one part.
    assert len(Dataset("out").parts) == (1 if ending == "tar.gz" else 2)
    found = rows()
    assert [row["file"] for row in found] == [f"s.{ending}/{i}.wav" for i in range(6)] + [rf"s.{ending}/sub/\xe9.wav"]
    hear_edgel3.extract(sources, "files", workers=1, files_per_part=4)
    expected = np.array([row["embedding"] for row in rows("files")])
    # Other files share their batches: 1.4e-6 observed, where the peak is 3.
    np.testing.assert_allclose(
        [row["embedding"] for row in found[:6]], expected, rtol=0, atol=1e-6 * np.abs(expected).max()
    )


def test_shards_that_are_damaged_or_change(capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("a.wav")
    with tarfile.open("s.tgz", "w:gz") as tar:
        tar.add("a.wav")
    with tarfile.open("t.tar", "w") as tar:
        tar.add("a.wav")
    Path("bad.tar").write_bytes(b"x" * 2000)
    Path("cut.tgz").write_bytes(Path("s.tgz").read_bytes()[:300])
    assert run_extract("s.tgz", "t.tar", "bad.tar", "cut.tgz") == 1
    err = capsys.readouterr().err
    assert "bad.tar cannot be read as a tar file" in err
    assert "cut.tgz cannot be read as a tar file" in err
    assert files()[:2] == ["s.tgz/a.wav", "t.tar/a.wav"]
    write_clip("b.wav", 0.7)
    with tarfile.open("s.tgz", "w:gz") as tar:
        tar.add("b.wav")
    Path("t.tar").unlink()
    for path in Path("out").glob("*.parquet"):
        path.unlink()
    assert run_extract() == 1
    errors = [row["error"] for row in rows()]
    assert "s.tgz has changed since the job was begun: it has no a.wav any more" in errors[0]
    assert "t.tar/a.wav cannot be read from its tar file" in errors[1]


def test_names_in_any_encoding() -> None:
    names = [
        b"in/\xff\xfe.wav",
        b"in/new\nline.wav",
        "in/\u00e9\u6f22.wav".encode(),
        rb"in/\xe9.wav",
        b"in/bad\xe9.wav",
    ]
    content = write_clip("a.wav").read_bytes()
    Path("in").mkdir()
    for name in names:
        Path(os.fsdecode(name)).write_bytes(b"no audio" if b"bad" in name else content)
    assert run_extract("in") == 1
    found = rows()
    assert {os.fsencode(path_of_text(row["file"])) for row in found} == set(names)
    [error] = [row for row in found if row["error"]]
    assert error["file"] == r"in/bad\xe9.wav"
    assert r"in/bad\xe9.wav cannot be read as audio" in error["error"]
    # The dataset's own names lead back to the files.
    pq.write_table(table().select(["file"]), "again.parquet")
    assert main(["extract", "again.parquet", "--output", "again", "--workers", "1", "--quiet"]) == 1
    assert files("again") == files("out")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.wav", "gone.wav does not exist"),
        ("empty", "the folder empty has no audio files"),
        ("*.nothing", "nothing matches *.nothing"),
        ("", "a source is empty"),
        ("none.txt", "the list none.txt names no files"),
        ("other.csv", "other.csv cannot be read as a list of files: it has no column that names files"),
        ("broken.parquet", "broken.parquet cannot be read as a list of files"),
        ("none.tar", "the shard none.tar has no audio files"),
    ],
)
def test_sources_that_give_nothing(source: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("none.txt").write_text("\n")
    Path("other.csv").write_text("label\nx\n")
    Path("broken.parquet").write_text("x")
    tarfile.open("none.tar", "w").close()
    with pytest.raises(AudioFileError, match=message.replace("*", r"\*").replace("(", r"\(")):
        hear_edgel3.extract(source, "out")
    assert not Path("out").exists()
    write_clip("a.wav")
    assert run_extract(source, "a.wav") == 1  # the rest goes on
    assert message in capsys.readouterr().err
    assert files() == ["a.wav"]
