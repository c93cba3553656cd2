"""Searches in datasets made of plain numbers: by embedding, row, file and moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.errors import DatasetError, InvalidOption
from hear_edgel3.search import SoundSearch, build_index, find_duplicates
from hear_edgel3.search.index import FILE
from hear_edgel3.search.whitening import Whitening
from support.datasets import clustered, write_part
from support.neighbours import dataset, expected_rows, moments, rows_of


def test_rows_over_parts_groups_and_errors(tmp_path: Path) -> None:
    x = clustered(10)
    x[7, 3] = np.nan
    write_part(tmp_path / "b.parquet", [*x[:3], None, *x[3:6]], row_group=2)
    write_part(tmp_path / "a.parquet", x[6:], row_group=3, timestamps_ms=[0.0, 50.0, 100.0, 150.0])
    (tmp_path / "_c.parquet").write_text("not data")
    rows = rows_of(tmp_path)
    assert len(rows) == 11
    assert rows.starts == {"a.parquet": 0, "b.parquet": 4}
    numbers = np.concatenate([n for n, _ in rows.vectors()])
    vectors = np.concatenate([v for _, v in rows.vectors()])
    assert numbers.tolist() == [0, 2, 3, 4, 5, 6, 8, 9, 10]
    np.testing.assert_array_equal(vectors, x[[6, 8, 9, 0, 1, 2, 3, 4, 5]])
    places = rows.moments(np.array([10, 3, 4]))
    assert [p.file for p in places] == ["b/6.wav", "a/3.wav", "b/0.wav"]
    assert [p.timestamp_ms for p in places] == [None, 150.0, None]
    np.testing.assert_array_equal(rows.vector(9), x[4])
    np.testing.assert_array_equal(rows.mean_of_file("a/2.wav"), x[8])
    for wrong in (-1, 11):
        with pytest.raises(DatasetError, match=f"no row {wrong}; its rows are 0 to 10"):
            rows.vector(wrong)
    with pytest.raises(DatasetError, match=r"row 7 .* no embedding"):
        rows.vector(7)
    for wrong in ("b/3.wav", "a/1.wav", "nothing.wav"):  # failed, not finite, not there
        with pytest.raises(DatasetError, match=f"no embedding of the file {wrong}"):
            rows.mean_of_file(wrong)


def test_clips_are_means_over_their_rows(tmp_path: Path) -> None:
    x = clustered(9)
    x[8, 0] = np.inf
    files = ["u", "u", "v", "w", "v", "u", "x", "x", "y"]
    write_part(tmp_path / "a.parquet", x[:4], files[:4], [0.0] * 4, hop_ms=50.0)
    write_part(tmp_path / "b.parquet", [*x[4:], None], [*files[4:], "z"], [0.0] * 6, hop_ms=50.0)
    clips = read_file_means(Dataset(tmp_path))
    names, means = clips.files, clips.vectors
    assert names == ["u", "v", "w", "x"]
    assert [file for file, _ in clips.failed] == ["z", "y"]
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, [x[[0, 1, 5]].mean(0), x[[2, 4]].mean(0), x[3], x[6:8].mean(0)], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("indexed", [False, True])
def test_search_by_embedding(dtype: str, indexed: bool, tmp_path: Path) -> None:
    x = dataset(tmp_path, dtype=dtype).astype(dtype)
    if indexed:
        build_index(rows_of(tmp_path), 1)
    search = SoundSearch(tmp_path)
    assert search.indexed == indexed
    assert search.note is None
    for i in (0, 149, 299):
        matches = search.query(x[i], 5)
        assert [m.row for m in matches] == expected_rows(x, x[i], 5)
        assert matches[0].file == (f"a/{i}.wav" if i < 150 else f"b/{i - 150}.wav")
        assert matches[0].similarity == pytest.approx(1, abs=1e-3)
        assert matches[0].timestamp_ms is None
        assert [m.similarity for m in matches] == sorted((m.similarity for m in matches), reverse=True)
    assert len(search.query(x[0], 1000)) == 300


def test_neighbours_of_a_row_and_of_a_file(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    search = SoundSearch(tmp_path)
    with_self = search.query(x[200], 4)
    assert with_self[0].row == 201
    assert search.neighbours_of(201, 3) == with_self[1:]
    assert search.neighbours_of_file("b/50.wav", 4) == with_self
    assert search.neighbours_of_file("b/50.wav", 3, without=["b/50.wav"]) == with_self[1:]
    assert search.neighbours_of(201, 2, without=[with_self[1].file]) == with_self[2:]


def test_a_large_dataset_is_read_again_for_every_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dataset(tmp_path)
    kept = SoundSearch(tmp_path).query(x[3], 5)
    monkeypatch.setattr("hear_edgel3.search.scan._KEPT_VALUES", 2400)
    search = SoundSearch(tmp_path)
    assert search.query(x[3], 5) == kept
    assert search.query(x[3], 5) == kept
    assert search._scan._kept is None
    monkeypatch.setattr("hear_edgel3.search.scan._KEPT_VALUES", x.size)  # as many as there are
    search = SoundSearch(tmp_path)
    assert search.query(x[3], 5) == kept
    assert search._scan._kept is not None


def test_rows_of_a_large_dataset_are_whitened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dataset(tmp_path)
    monkeypatch.setattr("hear_edgel3.search.scan._KEPT_VALUES", 0)
    search = SoundSearch(tmp_path)
    whitened: list[int] = []
    for name in ("apply", "lengths"):
        before = getattr(Whitening, name)

        def counted(self: Whitening, vectors: np.ndarray, before: Any = before) -> np.ndarray:
            whitened.append(len(vectors))
            return np.asarray(before(self, vectors))

        monkeypatch.setattr(Whitening, name, counted)
    found = search.query(x[3], 5)
    assert sum(whitened) == len(x) + 1
    assert search.query(x[3], 5) == found
    assert sum(whitened) == len(x) + 2


def test_a_part_that_is_replaced_while_it_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of its rows is not taken for that of others."""
    x = dataset(tmp_path)
    monkeypatch.setattr("hear_edgel3.search.scan._KEPT_VALUES", 0)
    search = SoundSearch(tmp_path)
    search.query(x[0], 1)
    part = search.dataset.parts[1]
    other = np.concatenate([x[151:] * 3 + 1, x[:1] * 5])
    write_part(part, other)
    os.utime(part, ns=(0, 0))
    match = search.query(other[7], 1)[0]
    assert match.row == 151 + 7
    assert match.similarity == pytest.approx(1, abs=1e-6)


def test_similarities_are_those_of_64_bits(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    search = SoundSearch(tmp_path)
    wide = (x.astype(float) - search._whitening.centre) @ search._whitening.axes.astype(float)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    of_row = {m.row: m.similarity for m in search.query(x[5], 1000)}
    numbers = np.concatenate([numbers for numbers, _ in search._rows.vectors()])
    np.testing.assert_allclose([of_row[i] for i in numbers.tolist()], wide @ wide[5], rtol=0, atol=2e-7)


def test_a_large_dataset_without_an_index_is_searched_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = dataset(tmp_path)
    monkeypatch.setattr("hear_edgel3.search.sound_search.FEW_ROWS", 300)
    search = SoundSearch(tmp_path)
    assert search.note == f"searching 301 rows one by one; `hear-edgel3 index {tmp_path}` makes this fast"
    assert search.query(x[0], 1)[0].row == 0
    build_index(rows_of(tmp_path), 1)
    assert SoundSearch(tmp_path).note is None
    exact = SoundSearch(tmp_path, exact=True)
    assert not exact.indexed
    assert exact.note is None


@pytest.mark.parametrize("indexed", [False, True])
def test_the_best_moment_of_each_file(indexed: bool, tmp_path: Path) -> None:
    x = moments(tmp_path)
    if indexed:
        build_index(rows_of(tmp_path), 1)
    search = SoundSearch(tmp_path)
    matches = search.query(x[10], 5)
    assert [(m.file, m.timestamp_ms) for m in matches] == [("u.wav", 500.0), ("v.wav", 500.0), ("w.wav", 500.0)]
    every = search.query(x[10], 200, all_moments=True)
    assert len(every) == 120
    assert [m.row for m in every[:3]] == [10, 50, 90]
    others = search.query(x[10], 5, without=["v.wav"])
    assert [m.file for m in others] == ["u.wav", "w.wav"]


def test_a_file_behind_many_moments_of_others_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_edgel3.search.sound_search._CANDIDATES", 1)
    x = np.concatenate([np.tile(clustered(1), (400, 1)), clustered(5, seed=3)])
    files = ["long.wav"] * 400 + [f"{i}.wav" for i in range(5)]
    write_part(tmp_path / "a.parquet", x, files, [0.0] * 405, hop_ms=50.0)
    assert {m.file for m in SoundSearch(tmp_path).query(x[0], 3)} > {"long.wav"}
    assert len(SoundSearch(tmp_path).query(x[0], 3)) == 3


def test_the_query_is_left_out_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = clustered(5)
    write_part(tmp_path / "d" / "a.parquet", x, [f"audio/{i}.wav" for i in range(5)])
    matches = SoundSearch("d").query(x[2], 5, without=[tmp_path / "audio" / ".." / "audio" / "2.wav"])
    assert [m.file for m in matches] != []
    assert "audio/2.wav" not in [m.file for m in matches]
    assert len(matches) == 4
    for one in ("audio/2.wav", Path("audio/2.wav")):  # a name is one file, and not as many as it has letters
        assert SoundSearch("d").query(x[2], 5, without=one) == matches


def test_an_embedding_may_be_a_tensor(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    search = SoundSearch(tmp_path)
    expected = search.query(x[3], 2)
    for query in (torch.tensor(x[3]), torch.tensor(x[3], requires_grad=True), x[3].tolist()):
        assert search.query(query, 2) == expected
    assert search.query(torch.tensor(x[3]).bfloat16(), 1)[0].row == 3
    for none in (torch.zeros(16, device="meta"), torch.zeros(16).to_sparse(), [x[3], x[3][:2]]):
        with pytest.raises(InvalidOption, match="a query must be an embedding"):
            search.query(none)


@pytest.mark.parametrize(
    "query",
    [np.ones(15, np.float32), np.ones((1, 16), np.float32), np.ones(16, int), np.full(16, np.nan), np.full(16, 1e39)],
)
def test_queries_that_are_none(query: np.ndarray, tmp_path: Path) -> None:
    dataset(tmp_path)
    with pytest.raises(InvalidOption, match="a query must be an embedding of 16 finite floats"):
        SoundSearch(tmp_path).query(query)


@pytest.mark.parametrize("number", [0, -1, 1.5, "3", None, True])
def test_top_must_be_a_number(number: Any, tmp_path: Path) -> None:
    x = dataset(tmp_path)
    search = SoundSearch(tmp_path)
    with pytest.raises(InvalidOption, match=rf"top must be a whole number from 1, got {number!r}"):
        search.query(x[0], number)
    if not isinstance(number, int) or number is True:
        with pytest.raises(InvalidOption, match=rf"row must be the number of a row, from 0, got {number!r}"):
            search.neighbours_of(number)
    assert len(search.query(x[0], np.int64(2))) == 2


def test_odd_datasets(tmp_path: Path) -> None:
    write_part(tmp_path / "failed" / "a.parquet", [None, None])
    write_part(tmp_path / "empty" / "a.parquet", [])
    for folder in ("failed", "empty"):
        with pytest.raises(DatasetError, match="no embeddings"):
            SoundSearch(tmp_path / folder)
        with pytest.raises(DatasetError, match="no embeddings"):
            build_index(rows_of(tmp_path / folder), 1)
        assert find_duplicates(tmp_path / folder) == []
        assert not (tmp_path / folder / FILE).exists()
    x = clustered(1)
    write_part(tmp_path / "one" / "a.parquet", x)
    (match,) = SoundSearch(tmp_path / "one").query(x[0])
    assert (match.row, match.similarity) == (0, pytest.approx(1))
    assert SoundSearch(tmp_path / "one").neighbours_of(0) == []
    assert find_duplicates(tmp_path / "one") == []


@pytest.mark.parametrize("indexed", [False, True])
def test_zeros_and_values_that_are_not_finite(indexed: bool, tmp_path: Path) -> None:
    x = clustered(50)
    x[[5, 6]] = 0
    x[7, 3] = np.nan
    x[8, 3] = -np.inf
    write_part(tmp_path / "a.parquet", x)
    if indexed:
        build_index(rows_of(tmp_path), 1)
    search = SoundSearch(tmp_path)
    rows = [m.row for m in search.query(x[0], 100)]
    assert sorted(rows) == [i for i in range(50) if i not in (7, 8)]
    silent = search.query(x[5], 2)
    assert {m.row for m in silent} == {5, 6}
    assert silent[1].similarity == pytest.approx(1, abs=1e-3)
    assert [g.files for g in find_duplicates(tmp_path, 0.999)] == [("a/5.wav", "a/6.wav")]


def test_a_damaged_part(tmp_path: Path) -> None:
    dataset(tmp_path)
    part = tmp_path / "b.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:50] + bytes(len(whole) // 2) + whole[50 + len(whole) // 2 :])
    for action in (SoundSearch, find_duplicates, lambda folder: build_index(rows_of(folder), 1)):
        with pytest.raises(DatasetError, match=r"b\.parquet is damaged"):
            action(tmp_path)
    assert not (tmp_path / FILE).exists()
    part.write_bytes(whole[:100])
    with pytest.raises(DatasetError, match=r"b\.parquet cannot be read"):
        SoundSearch(tmp_path)
