"""Which matches come, and in which order: equals by their numbers; and what is never found is said."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.errors import DatasetError, InvalidOption
from hear_edgel3.search import SoundSearch, build_index, find_duplicates, nearest
from hear_edgel3.search.index import open_index
from hear_edgel3.search.neighbours import top
from support.datasets import clustered, write_part
from support.neighbours import rows_of


def test_of_equals_at_the_cut_the_first_are_taken() -> None:
    assert top(np.ones((1, 10)), 3)[0].tolist() == [[0, 1, 2]]
    values = np.array([[0.1, 0.5, 0.9, 0.5, 0.5, np.nan, 0.5], [0.5] * 7, [np.nan] * 7, [0, 1, 2, 3, 4, 5, 6]])
    numbers, similarities = top(values, 3)
    assert numbers.tolist() == [[2, 1, 3], [0, 1, 2], [-1] * 3, [6, 5, 4]]
    np.testing.assert_array_equal(similarities[0], np.float32([0.9, 0.5, 0.5]))
    # More than the introsort of a partition would leave in order by chance.
    many = np.zeros((4, 3000))
    many[:, 7::11] = 1
    assert top(many, 50)[0].tolist() == [list(range(7, 3000, 11))[:50]] * 4
    # And of several values, that of candidates too.
    mixed = np.random.RandomState(0).randint(0, 3, (4, 3000)).astype(float)
    assert top(mixed, 1500)[0].tolist() == np.argsort(-mixed, axis=1, kind="stable")[:, :1500].tolist()


def test_equal_rows_come_by_their_numbers(tmp_path: Path) -> None:
    x = clustered(90, seed=2)
    x[20:80] = x[20]
    for part in range(3):
        write_part(tmp_path / f"{part}.parquet", x[30 * part : 30 * part + 30], row_group=7)
    assert [m.row for m in SoundSearch(tmp_path).query(x[20], 5)] == [20, 21, 22, 23, 24]
    assert [m.row for m in SoundSearch(tmp_path).query(x[20], 50)] == list(range(20, 70))
    numbers, _ = nearest(x, 4)
    assert numbers[20].tolist() == [21, 22, 23, 24]
    assert numbers[79].tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("kept", [True, False])
def test_equal_rows_come_by_their_numbers_wherever_they_lie(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only where all are as much alike to the question as can be."""
    if not kept:
        monkeypatch.setattr("hear_edgel3.search.scan._KEPT_VALUES", 0)
    for seed in range(5):
        folder = tmp_path / str(seed)
        x = clustered(90, 64, seed=seed)
        x[20:80] = x[20]
        for part in range(3):
            write_part(folder / f"{part}.parquet", x[30 * part : 30 * part + 30], row_group=7)
        search = SoundSearch(folder)
        for _ in range(2):
            near = x[20] + 0.05 * np.random.default_rng(seed).standard_normal(64).astype(np.float32)
            equal = [m for m in search.query(near, 90) if 20 <= m.row < 80]
            assert [m.row for m in equal] == list(range(20, 80))
            assert len({m.similarity for m in equal}) == 1


def test_rows_that_the_index_lacks_come_by_their_numbers_too(tmp_path: Path) -> None:
    x = np.tile(clustered(1), (6, 1))
    write_part(tmp_path / "b.parquet", [*x[:3], *clustered(20, seed=5)])
    build_index(rows_of(tmp_path), 1)
    write_part(tmp_path / "a.parquet", x[3:])  # its rows have the lower numbers
    assert [m.row for m in SoundSearch(tmp_path, exact=True).query(x[0], 4)] == [0, 1, 2, 3]
    search = SoundSearch(tmp_path)
    assert search._index is not None
    assert [m.row for m in search.query(x[0], 6)] != []
    # An index has 16-bit floats, so that its similarities would be equal to those of a scan by chance only.
    one = np.array([[0.9, 0.5, 0.5]], np.float32)
    search._index.search = lambda vectors, k: (np.array([[4, 9, 3]]), one)  # type: ignore[method-assign]
    search._scan.search = lambda vectors, k: (np.array([[1, 2, -1]]), np.float32([[0.5, 0.1, np.nan]]))  # type: ignore[method-assign]
    numbers, similarities = search._near(np.ones((1, 16), np.float32), 3)
    assert numbers.tolist() == [4, 1, 3]
    np.testing.assert_array_equal(similarities, one[0])


def test_an_index_finds_more_matches_than_it_looks_at_by_default(tmp_path: Path) -> None:
    """It keeps 128 candidates on the way, or as many as are asked for."""
    x = clustered(1500, 32, clusters=3)
    write_part(tmp_path / "a.parquet", x)
    build_index(rows_of(tmp_path), 1)
    rows = rows_of(tmp_path)
    index = open_index(rows)
    assert index is not None
    queries = index.whitening.apply(clustered(5, 32, clusters=3, seed=1))
    numbers, _ = index.search(queries, 600)
    exact = np.argsort(-(queries @ index.whitening.apply(x).T), axis=1, kind="stable")[:, :600]
    for found, expected in zip(numbers.tolist(), exact.tolist(), strict=True):
        assert len(set(found) & set(expected)) >= 0.97 * 600


def test_the_query_is_left_out_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("audio").mkdir()
    Path("audio/2.wav").touch()
    os.symlink("audio/2.wav", "another_name.wav")
    x = clustered(5)
    write_part(tmp_path / "d" / "a.parquet", x, [f"audio/{i}.wav" for i in range(5)])
    matches = SoundSearch("d").query(x[2], 5, without=["another_name.wav"])
    assert sorted(m.file for m in matches) == [f"audio/{i}.wav" for i in (0, 1, 3, 4)]


def test_files_of_any_name_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = clustered(6)
    names = ["a\0b.wav", r"caf\xe9.wav", "x" * 5000, "\x1b[2J.wav", "", "plain.wav"]
    write_part(tmp_path / "d" / "a.parquet", x, names)
    search = SoundSearch("d")
    assert len(search.query(x[0], 9)) == 6
    for i, name in enumerate(["a\0b.wav", os.fsdecode(b"caf\xe9.wav"), "x" * 5000, "\x1b[2J.wav"]):
        found = [m.file for m in search.query(x[i], 9, without=[name])]
        assert sorted(found) == sorted(names[:i] + names[i + 1 :])


def with_bad_rows(folder: Path) -> np.ndarray:
    x = clustered(30)
    x[3, 2], x[17, 0] = np.nan, np.inf
    files = [f"{i // 2}.wav" for i in range(30)]
    write_part(folder / "a.parquet", x, files, [50.0 * (i % 2) for i in range(30)], hop_ms=50.0)
    return x


def test_rows_that_are_not_finite_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with_bad_rows(tmp_path)
    said = "2 rows have embeddings that are not finite, and are never found"
    assert SoundSearch(tmp_path).note == said
    build_index(rows_of(tmp_path), 1)
    assert SoundSearch(tmp_path).note == said
    write_part(tmp_path / "b.parquet", np.full((1, 16), np.nan), ["n.wav"], [0.0], hop_ms=50.0)
    note = SoundSearch(tmp_path).note
    assert note is not None
    assert note.startswith("1 rows are not in the index yet")
    assert note.endswith("; 3 rows have embeddings that are not finite, and are never found")
    build_index(rows_of(tmp_path), 1)
    assert SoundSearch(tmp_path).note == said.replace("2", "3")
    with caplog.at_level(logging.WARNING):
        find_duplicates(tmp_path)
        SoundSearch(tmp_path).neighbours_of_file("1.wav")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 3 embeddings are not finite, and do not count",
        "1 embeddings of 1.wav are not finite, and left out of its mean",
    ]


def test_queries_that_are_not_finite_are_said(tmp_path: Path) -> None:
    x = with_bad_rows(tmp_path)
    search = SoundSearch(tmp_path)
    with pytest.raises(InvalidOption, match=r"16 finite floats, and 1 of this one's values are not finite"):
        search.query(x[3])
    with pytest.raises(DatasetError, match=r"row 17 of .* not finite"):
        search.neighbours_of(17)
    write_part(tmp_path / "b.parquet", np.full((1, 16), np.nan), ["n.wav"], [0.0], hop_ms=50.0)
    with pytest.raises(DatasetError, match=r"no embedding of the file n\.wav that is finite"):
        SoundSearch(tmp_path).neighbours_of_file("n.wav")
