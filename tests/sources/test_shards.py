"""Audio files in tar shards: links, names, hostile headers, and shards that change while a job is unfinished."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.errors import AudioFileError
from hear_edgel3.jobs.manifest import new_items
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items
from hear_edgel3.sources.shards import is_there
from support.files import write_clip
from support.jobs import rows, run_extract

ENDINGS = pytest.mark.parametrize("ending", ["tar", "tar.gz"])


@pytest.fixture(autouse=True)
def _here(seeded_weights: Path) -> None:
    pass


def tone(hz: float) -> bytes:
    """All of one size."""
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(8000) * 2 * np.pi * hz / 8000), 8000, format="WAV")
    return file.getvalue()


Member = tuple[str, bytes | None, dict[str, Any]]


def shard(path: str, *members: tuple[str, bytes] | Member, form: int = tarfile.PAX_FORMAT) -> str:
    with tarfile.open(path, "w:gz" if path.endswith("gz") else "w", format=form) as tar:
        for name, data, *more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data or b"")
            for key, value in (more[0] if more else {}).items():
                setattr(info, key, value)
            tar.addfile(info, None if data is None else io.BytesIO(data))
    return path


def found(path: str) -> dict[str, Item]:
    listing = list_items([path])
    assert listing.failures == []
    return {item.member: item for item in listing.items}


def embeddings(folder: str = "out") -> dict[str, Any]:
    return {row["file"]: row["embedding"] for row in rows(folder)}


def embeddings_alone(*tones: int) -> dict[int, Any]:
    """Of tones in files of their own."""
    for hz in tones:
        Path(f"tone{hz}.wav").write_bytes(tone(hz))
    hear_edgel3.extract([f"tone{hz}.wav" for hz in tones], "alone", workers=1)
    return {hz: embeddings("alone")[f"tone{hz}.wav"] for hz in tones}


def drop_parts() -> None:
    """As if the run had been killed before they were complete."""
    for part in Path("out").glob("*.parquet"):
        part.unlink()


@ENDINGS
def test_links_in_shards_are_embedded_or_named(ending: str) -> None:
    link, symbolic = {"type": tarfile.LNKTYPE}, {"type": tarfile.SYMTYPE}
    path = shard(
        f"s.{ending}",
        ("a/early.wav", None, {**symbolic, "linkname": "../blobs/2"}),
        ("a/x.wav", tone(300)),
        ("a/y.wav", None, {**link, "linkname": "a/x.wav"}),
        ("a/z.wav", None, {**symbolic, "linkname": "y.wav"}),
        ("a/gone.wav", None, {**symbolic, "linkname": "../../x.wav"}),
        ("a/round.wav", None, {**symbolic, "linkname": "round.wav"}),
        ("a/pipe.wav", None, {"type": tarfile.FIFOTYPE}),
        ("blobs/2", tone(500)),
        ("b/last.wav", tone(700)),
    )
    assert run_extract(path) == 1
    by_name = {row["file"].removeprefix(f"{path}/"): row for row in rows()}
    assert len(by_name) == 8
    alone = embeddings_alone(300, 500, 700)
    for name, hz in {"a/early": 500, "a/x": 300, "a/y": 300, "a/z": 300, "b/last": 700}.items():
        np.testing.assert_allclose(by_name[f"{name}.wav"]["embedding"], alone[hz], rtol=0, atol=1e-5)
    gone = by_name["a/gone.wav"]["error"]
    assert gone == f"AudioFileError: {path}/a/gone.wav is a link to a/../../x.wav, which is no file of the shard"
    assert "is a link to a/round.wav" in by_name["a/round.wav"]["error"]
    assert "is a pipe or a device" in by_name["a/pipe.wav"]["error"]


def test_a_sparse_member_is_named() -> None:
    with open("hole.wav", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"x" * 5000)
    subprocess.run(["tar", "--format=gnu", "-Scf", "s.tar", "hole.wav"], check=True)
    assert "is stored as a sparse file" in str(found("s.tar")["hole.wav"].error)


@ENDINGS
def test_names_in_a_shard_are_kept_apart_from_files_outside(ending: str) -> None:
    write_clip("real.wav")
    path = shard(f"s.{ending}", ("../real.wav", tone(300)), ("./a.wav", tone(500)), ("a.wav", tone(700)))
    summary = hear_edgel3.extract([path, "real.wav"], "out", workers=1)
    assert summary.all_well
    by_name = embeddings()
    assert list(by_name) == [f"{path}/../real.wav", f"{path}/./a.wav", f"{path}/a.wav", "real.wav"]
    alone = embeddings_alone(300, 500, 700)
    for name, hz in {"../real.wav": 300, "./a.wav": 500, "a.wav": 700}.items():
        np.testing.assert_allclose(by_name[f"{path}/{name}"], alone[hz], rtol=0, atol=1e-5)
    # A job that goes on knows both.
    assert hear_edgel3.extract([f"./{path}", "./real.wav"], "out", workers=1).files == 0


@ENDINGS
def test_of_members_of_one_name_the_last_is_taken(ending: str) -> None:
    path = shard(f"s.{ending}", ("a.wav", tone(300)), ("b.wav", tone(500)), ("a.wav", tone(700)))
    listing = list_items([path])
    assert [item.member for item in listing.items] == ["b.wav", "a.wav"]
    assert listing.notes == [f"{path} has several members called a.wav; the last of one name is taken, as tar does"]
    summary = hear_edgel3.extract(path, "out", workers=1)
    assert summary.notes == listing.notes
    np.testing.assert_allclose(embeddings()[f"{path}/a.wav"], embeddings_alone(700)[700], rtol=0, atol=1e-5)


@ENDINGS
@pytest.mark.parametrize("long", [False, True])
def test_a_shard_that_changes_while_a_job_is_unfinished(ending: str, long: bool) -> None:
    """Rows are of the files whose names they have, as the shard is now; or an error."""
    folder = "long/" * 60 if long else ""
    a, b, c, d = (f"{folder}{letter}.wav" for letter in "abcd")
    path = shard(f"s.{ending}", (a, tone(300)), (b, tone(500)), (c, tone(700)), (d, tone(900)))
    assert run_extract(path) == 0
    drop_parts()
    shard(path, (b, tone(500)), (a, tone(300)), (d, tone(1100)))  # all of one size
    assert run_extract(path) == 1
    by_name = {row["file"].removeprefix(f"{path}/"): row for row in rows()}
    alone = embeddings_alone(300, 500, 1100)
    for name, hz in {a: 300, b: 500, d: 1100}.items():
        np.testing.assert_allclose(by_name[name]["embedding"], alone[hz], rtol=0, atol=1e-5)
    assert by_name[c]["error"] == f"AudioFileError: {path} has changed since the job was begun: it has no {c} any more"


@ENDINGS
def test_a_link_in_a_shard_that_changes(ending: str) -> None:
    link = {"type": tarfile.LNKTYPE, "linkname": "a.wav"}
    path = shard(f"s.{ending}", ("a.wav", tone(300)), ("b.wav", tone(500)), ("l.wav", None, link))
    assert run_extract(path) == 0
    drop_parts()
    shard(path, ("b.wav", tone(500)), ("a.wav", tone(300)), ("l.wav", None, link))
    assert run_extract(path) == 0
    alone = embeddings_alone(300)
    np.testing.assert_allclose(embeddings()[f"{path}/l.wav"], alone[300], rtol=0, atol=1e-5)


def test_a_shard_that_is_as_it_was_is_not_gone_through_again() -> None:
    """Long names and names of other scripts have headers of their own before the member's."""
    names = ["a.wav", "long/" * 60 + "b.wav", "\u00e9.wav"]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = shard(f"s{form}.tar", *((name, tone(300)) for name in names), form=form)
        items = found(path)
        assert all(is_there(path, item) for item in items.values())
        assert not any(is_there(path, item._replace(file=f"{path}/other.wav")) for item in items.values())
        assert not any(is_there(path, item._replace(size=item.size - 1)) for item in items.values())
        assert not any(is_there(path, item._replace(header=item.header + 512)) for item in items.values())


def headers(kind: bytes, size: int, count: int) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type = kind
    info.size = 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (b"\x80" + size.to_bytes(11, "big")) if size >= 8**11 else b"%011o\0" % size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    return (bytes(header) + bytes(-(-size // 512) * 512 if size < 8**8 else 0)) * count


@ENDINGS
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, b"S"])
@pytest.mark.parametrize(("size", "count"), [(1, 3000), (2**40, 1), (2**70, 1), (2**33 - 1, 1)])
def test_headers_that_would_take_all_memory_are_an_error_of_the_shard(
    kind: bytes, size: int, count: int, ending: str
) -> None:
    data = headers(kind, size, count)
    Path(f"bad.{ending}").write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    good = shard("good.tar", ("a.wav", tone(300)))
    listing = list_items([f"bad.{ending}", good])
    assert [item.file for item in listing.items] == ["good.tar/a.wav"]
    [(source, error)] = listing.failures
    assert source == f"bad.{ending}"
    assert "cannot be read as a tar file" in str(error) or "has no audio files" in str(error)


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x.wav", "GNU.sparse.realsize": "x"},
        {"GNU.sparse.map": "1,x", "GNU.sparse.size": "9"},
        {"GNU.sparse.map": "1,2,3", "GNU.sparse.size": "9" * 5000},
        {"GNU.sparse.size": "x"},
        {"size": "-5"},
        {"size": "9" * 400},
        {"path": "a\0b.wav"},
    ],
)
def test_odd_pax_records_are_an_error_of_the_shard(records: dict[str, str]) -> None:
    path = shard("s.tar", ("a.wav", tone(300), {"pax_headers": records}), ("b.wav", tone(300)))
    listing = list_items([path, shard("good.tar", ("c.wav", tone(300)))])
    assert "good.tar/c.wav" in [item.file for item in listing.items]
    assert listing.failures or any(item.error or item.member != "b.wav" for item in listing.items)
    for failure in listing.failures:
        assert isinstance(failure[1], AudioFileError)


def test_shards_by_several_names_are_one() -> None:
    Path("d").mkdir()
    shard("d/s.tar", ("a.wav", tone(300)))
    os.symlink("d", "e")
    os.symlink("d/s.tar", "t.tar")
    folder = os.getcwd()
    items = new_items(list_items(["e/s.tar", "d", "t.tar"]).items, folder, folder, set())
    assert [item.file for item in items] == ["e/s.tar/a.wav"]


@ENDINGS
@pytest.mark.parametrize("lost", ["half a header", "a damaged header"])
def test_a_shard_whose_headers_end_too_early_is_an_error_of_the_shard(lost: str, ending: str) -> None:
    whole = Path(shard("whole.tar", *((f"{i}.wav", tone(200 + i)) for i in range(3)))).read_bytes()
    at = whole.index(b"1.wav\0")
    data = whole[: at + 300] if lost == "half a header" else whole[:at] + b"\xaa" * 512 + whole[at + 512 :]
    Path(f"s.{ending}").write_bytes(gzip.compress(data) if ending == "tar.gz" else data)
    listing = list_items([f"s.{ending}"])
    assert listing.items == []
    ((_, error),) = listing.failures
    assert f"s.{ending} cannot be read as a tar file: the header at byte {at} is damaged or cut" in str(error)


@ENDINGS
def test_what_is_odd_at_the_end_of_a_shard_is_said(ending: str) -> None:
    whole = Path(shard("whole.tar", ("a.wav", tone(200)), ("b.wav", tone(300)))).read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    other = Path(shard("other.tar", ("c.wav", tone(400)))).read_bytes()
    for data, said in {
        whole: "",
        whole + b"\0" * 99999: "",
        whole[:end]: "has no mark of its end; if it was cut off there",
        whole + other: "goes on behind the mark of its end, and what is there is left out",
    }.items():
        Path(f"s.{ending}").write_bytes(gzip.compress(data) if ending == "tar.gz" else data)
        listing = list_items([f"s.{ending}"])
        assert [item.member for item in listing.items] == ["a.wav", "b.wav"]
        assert listing.failures == []
        assert len(listing.notes) == (1 if said else 0)
        assert all(note.startswith(f"s.{ending} {said}") for note in listing.notes)


@ENDINGS
def test_names_in_a_shard_that_begin_with_a_dot_are_no_data_unless_they_are_named(ending: str) -> None:
    """As in folders: a Mac puts a shadow beside each file, also into tar files."""
    name = shard(
        f"s.{ending}", ("._a.wav", b"shadow"), ("a.wav", tone(200)), ("./d/.b.wav", tone(300)), ("./c.wav", tone(400))
    )
    assert list(found(name)) == ["a.wav", "./c.wav"]
    listing = list_items([f"{name}/._a.wav", f"{name}/d/.b.wav"])
    assert [item.member for item in listing.items] == ["._a.wav", "./d/.b.wav"]
    shard("all.tar", (".a.wav", tone(200)))
    ((_, error),) = list_items(["all.tar"]).failures
    assert "the shard all.tar has no audio files" in str(error)
