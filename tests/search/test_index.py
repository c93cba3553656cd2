"""The stored index: kept, added to, built anew, and what is not used."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.errors import MissingExtra, OutputError
from hear_edgel3.search import SoundSearch, build_index
from hear_edgel3.search import index as index_module
from hear_edgel3.search.index import FILE, open_index
from hear_edgel3.search.scan import Scan
from support.datasets import clustered, write_part
from support.neighbours import dataset, expected_rows, rows_of, without_usearch


def test_an_index_that_is_up_to_date_is_kept(tmp_path: Path) -> None:
    dataset(tmp_path)
    build_index(rows_of(tmp_path), 1)
    before = (tmp_path / FILE).stat()
    added: list[int] = []
    assert len(build_index(rows_of(tmp_path), 1, progress=added.append)) == 300
    assert added == []
    assert (tmp_path / FILE).stat().st_ino == before.st_ino
    build_index(rows_of(tmp_path), 1, anew=True, progress=added.append)
    assert sum(added) == 300
    assert (tmp_path / FILE).stat().st_ino != before.st_ino
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE, "a.parquet", "b.parquet"]


def test_parts_are_added_to_an_index(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    build_index(rows_of(tmp_path), 1)
    more = clustered(40, seed=1)
    write_part(tmp_path / "aa.parquet", more)  # between the others
    search = SoundSearch(tmp_path)
    assert search.indexed
    assert search.note is not None
    assert "40 rows are not in the index yet" in search.note
    before = [search.query(v, 3) for v in (x[0], x[299], more[7])]
    assert [found[0].file for found in before] == ["a/0.wav", "b/149.wav", "aa/7.wav"]
    assert [found[0].row for found in before] == [0, 340, 158]
    added: list[int] = []
    build_index(rows_of(tmp_path), 1, progress=added.append)
    assert sum(added) == 40
    search = SoundSearch(tmp_path)
    assert search.note is None
    assert [[m.row for m in search.query(v, 3)] for v in (x[0], x[299], more[7])] == [
        [m.row for m in found] for found in before
    ]


def test_parts_without_rows(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    for name in ("0", "aa", "z"):
        write_part(tmp_path / f"{name}.parquet", [])
    build_index(rows_of(tmp_path), 1)
    search = SoundSearch(tmp_path)
    assert search.indexed
    assert search.note is None
    for i in (0, 149, 150, 299):
        assert [m.row for m in search.query(x[i], 5)] == expected_rows(x, x[i], 5)
    write_part(tmp_path / "zz.parquet", x[:2])
    note = SoundSearch(tmp_path).note
    assert note is not None
    assert note.startswith("2 rows are not in the index yet")


def test_an_index_of_a_much_smaller_dataset_is_built_anew(tmp_path: Path) -> None:
    dataset(tmp_path, 100)
    build_index(rows_of(tmp_path), 1)
    write_part(tmp_path / "c.parquet", 10 + 5 * clustered(200, seed=1))
    added: list[int] = []
    build_index(rows_of(tmp_path), 1, progress=added.append)
    assert sum(added) == 300
    index = open_index(rows_of(tmp_path))
    assert index is not None
    assert index.whitening.rows == 300


@pytest.mark.parametrize("change", ["other numbers", "deleted", "another net"])
def test_an_index_of_other_parts_is_not_used(change: str, tmp_path: Path) -> None:
    x = dataset(tmp_path)
    build_index(rows_of(tmp_path), 1)
    if change == "other numbers":  # of the same size and names
        write_part(tmp_path / "b.parquet", x[150:][::-1])
    elif change == "deleted":
        (tmp_path / "b.parquet").unlink()
    else:
        dataset(tmp_path, weights_sha256="1" * 64)
    search = SoundSearch(tmp_path)
    assert not search.indexed
    assert search.note is not None
    assert ("another making" if change == "another net" else "b.parquet was changed or deleted") in search.note
    assert f"`hear-edgel3 index {tmp_path}`" in search.note
    assert search.query(x[0], 1)[0].row == 0
    build_index(rows_of(tmp_path), 1)
    search = SoundSearch(tmp_path)
    assert search.indexed
    assert search.note is None


@pytest.mark.parametrize("damage", ["cut", "no archive", "empty", "other format", "wrong inside"])
def test_a_damaged_index_is_not_used_but_built_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = dataset(tmp_path)
    if damage == "other format":
        monkeypatch.setattr(index_module, "_FORMAT", 99)
    build_index(rows_of(tmp_path), 1)
    monkeypatch.undo()
    path = tmp_path / FILE
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "no archive":
        path.write_bytes(whole[: whole.index(b"PK\x03\x04")])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "wrong inside":
        path.write_bytes(bytes(200) + whole[200:])
    search = SoundSearch(tmp_path)
    assert not search.indexed
    assert search.note is not None
    assert "damaged" in search.note
    assert search.query(x[0], 1)[0].row == 0
    build_index(rows_of(tmp_path), 1)
    assert SoundSearch(tmp_path).indexed


def test_an_index_without_usearch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dataset(tmp_path)
    build_index(rows_of(tmp_path), 1)
    without_usearch(monkeypatch)
    search = SoundSearch(tmp_path)
    assert not search.indexed
    assert search.note is not None
    assert 'pip install ".[search]"' in search.note
    assert [m.row for m in search.query(x[0], 5)] == expected_rows(x, x[0], 5)
    with pytest.raises(MissingExtra, match=r'pip install "\.\[search\]"'):
        build_index(rows_of(tmp_path), 1, anew=True)


def test_an_index_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dataset(tmp_path)

    def refuses(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hear_edgel3.disk.atomic.os.replace", refuses)
    with pytest.raises(OutputError, match=r"cannot write .*_index\.usearch: Permission denied"):
        build_index(rows_of(tmp_path), 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]
    assert SoundSearch(tmp_path).query(x[0], 1)[0].row == 0


def test_two_builds_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dataset(tmp_path)
    meeting = threading.Barrier(2)
    save = index_module._save

    def together(*arguments: Any) -> None:
        meeting.wait(60)
        save(*arguments)

    monkeypatch.setattr(index_module, "_save", together)
    failed: list[BaseException] = []

    def builds() -> None:
        try:
            build_index(rows_of(tmp_path), 1)
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=builds) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert failed == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE, "a.parquet", "b.parquet"]
    search = SoundSearch(tmp_path)
    assert search.indexed
    assert search.query(x[0], 1)[0].row == 0


def test_the_index_agrees_with_the_scan(tmp_path: Path) -> None:
    x = clustered(3000, 32, clusters=100)
    for part in range(3):
        write_part(tmp_path / f"{part}.parquet", x[part * 1000 : part * 1000 + 1000])
    rows = rows_of(tmp_path)
    build_index(rows, 1)
    index = open_index(rows)
    assert index is not None
    queries = index.whitening.apply(clustered(100, 32, clusters=100, seed=1))
    numbers, similarities = index.search(queries, 10)
    exact, values = Scan(rows, index.whitening).search(queries, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(numbers.tolist(), exact.tolist(), strict=True)]
    assert sum(shared) / 1000 >= 0.95
    np.testing.assert_allclose(similarities[:, 0], values[:, 0], atol=2e-3)
