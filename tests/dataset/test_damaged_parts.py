"""Parts of datasets that are damaged, or were never written by us: each is named, with what is wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.dataset import Dataset, Description
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.errors import DatasetError
from hear_edgel3.explore.build import explore
from hear_edgel3.search import SoundSearch, find_duplicates
from support.datasets import DESCRIPTION, clustered, write_part

pa = pytest.importorskip("pyarrow", reason="datasets need the extra `extract`")
pq = pytest.importorskip("pyarrow.parquet")


def read_all(folder: Path) -> None:
    """Everything that reads datasets."""
    SoundSearch(folder).query(np.ones(16, np.float32))


def explored(folder: Path) -> None:
    explore(folder, "page.html", tags=False)


READERS: list[Callable[[Path], object]] = [
    read_all,
    find_duplicates,
    explored,
    lambda folder: list(Dataset(folder).batches()),
    lambda folder: SoundSearch(folder).neighbours_of_file("p/1.wav"),
]


@pytest.fixture
def folder(here: Path) -> Path:
    write_part(here / "d" / "p.parquet", clustered(6))
    return here / "d"


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    """Writes the part anew, changed; the metadata stay unless the change is of them."""
    path = folder / "p.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def described(**changes: object) -> bytes:
    return json.dumps({**asdict(DESCRIPTION), **changes}).encode()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("size", value) for value in (0, -1, 10, 10**12, 10**400, "224", [224], None, True, 16.0)),
        *(("hop_ms", value) for value in ([1], float("nan"), float("inf"), -50, 0, "50", False, {})),
        *(("dtype", value) for value in ("float64", 32, None, ["float32"])),
        *(("configuration", value) for value in (None, 1, ["tiny"])),
        *(("embedding_version", value) for value in ("1", 1.5, None, [1])),
        *(("weights_sha256", value) for value in (7, None)),
        ("package_version", 1),
        ("colour", "red"),
    ],
)
def test_descriptions_that_are_none(key: str, value: object, folder: Path) -> None:
    rewrite(folder, lambda table: table.replace_schema_metadata({b"hear_edgel3": described(**{key: value})}))
    for read in READERS:
        with pytest.raises(DatasetError, match=r"p\.parquet is damaged: its (description|columns)"):
            read(folder)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 5000, b'{"size": NaN}']
)
def test_metadata_that_are_no_description(text: bytes, folder: Path) -> None:
    rewrite(folder, lambda table: table.replace_schema_metadata({b"hear_edgel3": text}))
    for read in READERS:
        with pytest.raises(DatasetError, match=r"p\.parquet is damaged: its description"):
            read(folder)


def retyped(name: str, to: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        place = table.schema.get_field_index(name)
        nothing = pa.nulls(len(table), to)
        return table.set_column(place, pa.field(name, to), nothing)

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(lambda table, name=name: table.drop_columns([name]) for name in DESCRIPTION.schema().names),
        *(retyped(name, pa.int8()) for name in DESCRIPTION.schema().names),
        *(retyped("embedding", to) for to in (pa.list_(pa.float32()), pa.list_(pa.float64(), 16), pa.float32())),
        retyped("embedding", pa.list_(pa.float32(), 15)),
        retyped("file", pa.list_(pa.string())),
        retyped("file", pa.dictionary(pa.int32(), pa.string())),
        retyped("file", pa.struct({"a": pa.string()})),
        lambda table: table.append_column("file", table["file"]),
    ],
)
def test_columns_that_are_not_those_of_a_dataset(change: Callable[[Any], Any], folder: Path) -> None:
    rewrite(folder, change)
    for read in READERS:
        with pytest.raises(
            DatasetError, match=r"p\.parquet is damaged: its columns are not those of a dataset: \w+ is "
        ):
            read(folder)


def test_further_columns_are_welcome(folder: Path) -> None:
    rewrite(folder, lambda table: table.append_column("species", pa.array(["owl"] * 6)))
    assert len(Dataset(folder)) == 6
    assert SoundSearch(folder).query(clustered(6)[2], 1)[0].row == 2


def nameless(table: Any) -> Any:
    field = pa.field("file", pa.string())
    return table.set_column(0, field, pa.array(["a", None, "b", "c", "d", "e"]))


def not_utf8(table: Any) -> Any:
    raw = pa.array([b"a", b"\xff\xfe", b"b", b"c", b"d", b"e"])
    text = pa.Array.from_buffers(pa.string(), 6, raw.buffers())
    return table.set_column(0, pa.field("file", pa.string()), text)


@pytest.mark.parametrize("change", [nameless, not_utf8])
def test_rows_whose_file_has_no_name(change: Callable[[Any], Any], folder: Path) -> None:
    rewrite(folder, change)
    for read in (find_duplicates, explored, read_all, READERS[3], READERS[4]):
        with pytest.raises(DatasetError, match=r"p\.parquet is damaged"):
            read(folder)


def test_values_inside_of_embeddings_that_are_null_are_not_finite(folder: Path) -> None:
    def holes(table: Any) -> Any:
        values = pa.array([None if i == 20 else 1.0 + i for i in range(96)], pa.float32())
        place = table.schema.get_field_index("embedding")
        return table.set_column(place, table.schema.field(place), pa.FixedSizeListArray.from_arrays(values, 16))

    rewrite(folder, holes)
    means = read_file_means(Dataset(folder))
    assert (len(means.files), means.not_finite) == (5, 1)
    assert means.failed == [("p/1.wav", "its embedding is not finite")]


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "folder", "pipe", "zeros"])
def test_parts_that_are_no_parquet(kind: str, folder: Path) -> None:
    path = folder / "p.parquet"
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        data = {"empty": b"", "text": b"not data", "cut": whole[: len(whole) // 2], "zeros": bytes(len(whole))}[kind]
        path.write_bytes(data)
    for read in READERS:
        with pytest.raises(DatasetError, match=r"p\.parquet cannot be read"):
            read(folder)


def test_any_byte_that_is_wrong_is_an_error_or_harmless(folder: Path) -> None:
    """Whatever a damaged file does, it does not end in another kind of error."""
    path = folder / "p.parquet"
    whole = path.read_bytes()
    random = np.random.RandomState(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.randint(len(whole), size=3):
            damaged[place] = random.randint(256)
        path.write_bytes(damaged)
        for read in (read_all, find_duplicates):
            try:
                read(folder)
            except DatasetError as error:
                assert "p.parquet" in str(error) or "no embeddings" in str(error)  # noqa: PT017


def test_a_release_that_changed_no_numbers_made_some_of_it(folder: Path) -> None:
    write_part(folder / "q.parquet", clustered(3), package_version="99.0")
    dataset = Dataset(folder)
    assert len(dataset) == 9
    assert dataset.description == replace(dataset.description, package_version="99.0")
    write_part(folder / "r.parquet", clustered(3), embedding_version=2)
    with pytest.raises(DatasetError, match=r"p\.parquet and r\.parquet differ in embedding_version$"):
        Dataset(folder)


def test_a_folder_whose_name_is_not_utf8(folder: Path) -> None:
    other = folder.with_name(os.fsdecode(b"d\xff"))
    try:
        folder.rename(other)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert len(list(Dataset(other).batches())) == 1
    assert find_duplicates(other) == []
    assert SoundSearch(other).query(clustered(6)[2], 1)[0].row == 2
    explored(other)


def test_files_of_any_name(folder: Path) -> None:
    names = [r"caf\xe9.wav", "a\0b.wav", "x" * 5000, "\x1b[2J.wav", "", "\n</script>"]
    write_part(folder / "p.parquet", clustered(6), names)
    for read in READERS[:4]:
        read(folder)
    assert explore(folder, "page.html", tags=False, title=os.fsdecode(b"\xff")).n_clips == 6


def test_what_a_description_says_of_itself() -> None:
    assert Description.of_values(asdict(DESCRIPTION)) == DESCRIPTION
    with pytest.raises(DatasetError, match="lacks size, hop_ms"):
        Description.of_values({k: v for k, v in asdict(DESCRIPTION).items() if k not in ("size", "hop_ms")})
