"""Sound search: neighbours, the space, the stored index, searches and duplicates, in datasets made of plain numbers."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_clips
from hear_edgel3.errors import DatasetError, InvalidOption, MissingExtra, OutputError
from hear_edgel3.search import SoundSearch, build_index, duplicates, find_duplicates, neighbours
from hear_edgel3.search import index as index_module
from hear_edgel3.search.index import FILE, open_index
from hear_edgel3.search.neighbours import nearest, unit
from hear_edgel3.search.rows import Rows
from hear_edgel3.search.scan import Scan
from hear_edgel3.search.space import Space
from support.datasets import clustered, write_part


def rows_of(folder: Path) -> Rows:
    return Rows(Dataset(folder))


def without_usearch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    similarities = wide @ wide.T
    np.fill_diagonal(similarities, -np.inf)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(similarities, order, axis=1)


# --- neighbours ---


@pytest.mark.parametrize("at_once", [1 << 24, 1000])
def test_nearest_is_exact(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", at_once)
    vectors = clustered(150)
    numbers, similarities = nearest(vectors, 7)
    expected, values = brute_force(vectors, 7)
    assert numbers.dtype == np.int64
    assert similarities.dtype == np.float32
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_allclose(similarities, values, atol=1e-6)


def test_nearest_by_an_index() -> None:
    vectors = clustered(1000)
    numbers, similarities = nearest(vectors, 10, exact=False, threads=1)
    expected, values = brute_force(vectors, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(numbers.tolist(), expected.tolist(), strict=True)]
    assert sum(shared) / 10_000 > 0.99
    np.testing.assert_allclose(similarities[:, 0], values[:, 0], atol=1e-4)
    assert (numbers != np.arange(1000)[:, None]).all()
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_nearest_goes_by_an_index_when_there_are_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 99)
    used: list[int] = []
    by_index = neighbours._by_index
    monkeypatch.setattr(neighbours, "_by_index", lambda rows, *rest: used.append(len(rows)) or by_index(rows, *rest))
    nearest(clustered(99), 3)
    assert used == []
    nearest(clustered(100), 3)
    assert used == [100]
    without_usearch(monkeypatch)
    expected, _ = brute_force(clustered(100), 3)
    np.testing.assert_array_equal(nearest(clustered(100), 3)[0], expected)
    with pytest.raises(MissingExtra, match=r"hear-edgel3\[search\]"):
        nearest(clustered(100), 3, exact=False)


@pytest.mark.parametrize("exact", [True, False])
def test_rows_without_a_direction_have_no_neighbours(exact: bool) -> None:
    vectors = clustered(6)
    vectors[1] = 0
    vectors[3, 2] = np.nan
    vectors[4, 0] = np.inf
    numbers, similarities = nearest(vectors, 4, exact=exact, threads=1)
    for row in (1, 3, 4):
        assert (numbers[row] == -1).all()
        assert np.isnan(similarities[row]).all()
    for row in (0, 2, 5):
        assert set(numbers[row].tolist()) == {0, 2, 5, -1} - {row}
        assert np.isfinite(similarities[row]).tolist() == [True, True, False, False]


@pytest.mark.parametrize("exact", [True, False])
def test_equal_rows_are_each_others_neighbours(exact: bool) -> None:
    numbers, similarities = nearest(np.ones((30, 4)), 3, exact=exact, threads=1)
    assert (numbers >= 0).all()
    assert (numbers != np.arange(30)[:, None]).all()
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("n", [0, 1])
def test_nearest_of_hardly_any_rows(n: int, exact: bool) -> None:
    numbers, similarities = nearest(np.ones((n, 3)), 2, exact=exact, threads=1)
    assert numbers.tolist() == [[-1, -1]] * n
    assert np.isnan(similarities).all()


def test_nearest_refuses() -> None:
    with pytest.raises(InvalidOption, match="k must be at least 1"):
        nearest(np.ones((2, 3)), 0)
    with pytest.raises(InvalidOption, match=r"matrix.*\(3,\)"):
        nearest(np.ones(3), 1)


def test_unit_of_extreme_values() -> None:
    vectors = np.array([[3e38, 3e38], [1e-44, 0], [0, 0], [np.nan, 1]], np.float32)
    expected = [[np.sqrt(0.5), np.sqrt(0.5)], [1, 0], [0, 0], [0, 0]]
    np.testing.assert_allclose(unit(vectors), expected, atol=1e-6)


# --- the space ---


def test_the_space_is_white() -> None:
    random = np.random.RandomState(0)
    vectors = random.randn(5000, 6) @ random.randn(6, 6) + 5
    space = Space.fit([vectors[:1000], vectors[1000:]], 6)
    assert space.rows == 5000
    centre = vectors.mean(0) * 5000 / 5003  # three rows at zero are assumed
    np.testing.assert_allclose(space.centre, centre, rtol=1e-5)
    variances, axes = np.linalg.eigh((vectors - centre).T @ (vectors - centre) / 5000)
    inverse = axes @ np.diag(1 / (variances + (1e-3 + 3 / 5000) * variances[-1])) @ axes.T
    np.testing.assert_allclose(space.axes @ space.axes.T, inverse, rtol=1e-4, atol=1e-6)
    whitened = np.cov(((vectors - space.centre) @ space.axes).T)
    np.testing.assert_allclose(whitened - np.diag(np.diag(whitened)), 0, atol=1e-3)
    assert np.diag(whitened).max() == pytest.approx(1, abs=0.01)
    placed = space.place(vectors)
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-6)


def test_a_space_of_many_rows_is_fitted_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_edgel3.search.space._ROWS", 1000)
    vectors = clustered(10_000)
    some = Space.fit([vectors], 16, rows=10_000)
    np.testing.assert_array_equal(some.axes, Space.fit([vectors[::10]], 16).axes)
    assert some.rows == 10_000


def test_copies_stand_out_in_the_space_and_not_before_it() -> None:
    """Loudness, which moves an embedding far along one direction, hides what differs else."""
    random = np.random.RandomState(0)
    louder = random.rand(8) * 3
    sounds = random.randn(200, 8) * 0.3 + 5 + 2 * random.randn(200, 1) * louder
    copies = sounds[:20] + 0.5 * louder
    both = np.concatenate([sounds, copies])
    expected = np.arange(200, 220)
    plain = nearest(both, 1)[0][:20, 0]
    placed = nearest(Space.fit([both], 8).place(both), 1)[0][:20, 0]
    assert (placed == expected).mean() >= 0.9
    assert (plain == expected).mean() <= 0.6


def test_spaces_of_few_rows() -> None:
    pair = np.array([[1.0, 2, 3], [1, 2, 3]])
    assert Space.fit([pair], 3).place(pair).sum(axis=0) == pytest.approx(2 * Space.fit([pair], 3).place(pair)[0])
    assert np.linalg.norm(Space.fit([pair[:1]], 3).place(pair[:1])) == pytest.approx(1)
    different = np.array([[1.0, 2, 3], [3, 2, 1]])
    placed = Space.fit([different], 3).place(different)
    assert placed[0] @ placed[1] < 0.9
    assert Space.fit([np.zeros((4, 3))], 3).place(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
    assert Space.fit([], 3).rows == 0


def test_what_is_not_finite_is_nowhere() -> None:
    space = Space.fit([clustered(50)], 16)
    vectors = clustered(3)
    vectors[1, 4] = np.nan
    placed = space.place(vectors)
    assert placed.any(axis=1).tolist() == [True, False, True]


# --- rows ---


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
    places = rows.places(np.array([10, 3, 4]))
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
    clips = read_clips(Dataset(tmp_path))
    names, means = clips.files, clips.vectors
    assert names == ["u", "v", "w", "x"]
    assert [file for file, _ in clips.failed] == ["z", "y"]
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, [x[[0, 1, 5]].mean(0), x[[2, 4]].mean(0), x[3], x[6:8].mean(0)], rtol=1e-6)


# --- searches ---


def dataset(folder: Path, n: int = 300, **description: Any) -> np.ndarray:
    x = clustered(n)
    write_part(folder / "a.parquet", [*x[: n // 2], None], **description)
    write_part(folder / "b.parquet", x[n // 2 :], **description)
    return x


def expected_rows(x: np.ndarray, query: np.ndarray, top: int) -> list[int]:
    space = Space.fit([x], x.shape[1])
    order = np.argsort(-(space.place(x) @ space.place(query[None])[0]), kind="stable")[:top]
    return [int(i) + (i >= len(x) // 2) for i in order]  # the row that failed lies between


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


def moments(folder: Path) -> np.ndarray:
    """Three files of 40 moments; that at 500 ms is the same in all."""
    x = clustered(120, clusters=60)
    x[[10, 50, 90]] = x[10] + np.arange(3)[:, None] * 0.01
    files = [f"{name}.wav" for name in "uvw" for _ in range(40)]
    write_part(folder / "a.parquet", x, files, [50.0 * i for _ in range(3) for i in range(40)], hop_ms=50.0)
    return x


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
    monkeypatch.setattr("hear_edgel3.search.sound_search._MORE", 1)
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


@pytest.mark.parametrize(
    "query",
    [np.ones(15, np.float32), np.ones((1, 16), np.float32), np.ones(16, int), np.full(16, np.nan)],
)
def test_queries_that_are_none(query: np.ndarray, tmp_path: Path) -> None:
    dataset(tmp_path)
    with pytest.raises(InvalidOption, match="a query must be an embedding of 16 finite floats"):
        SoundSearch(tmp_path).query(query)


def test_top_must_be_positive(tmp_path: Path) -> None:
    x = dataset(tmp_path)
    with pytest.raises(InvalidOption, match="top must be at least 1, got 0"):
        SoundSearch(tmp_path).query(x[0], 0)


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


# --- the stored index ---


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
    assert index.space.rows == 300


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
    assert "pip install 'hear-edgel3[search]'" in search.note
    assert [m.row for m in search.query(x[0], 5)] == expected_rows(x, x[0], 5)
    with pytest.raises(MissingExtra, match=r"hear-edgel3\[search\]"):
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
    queries = index.space.place(clustered(100, 32, clusters=100, seed=1))
    numbers, similarities = index.search(queries, 10)
    exact, values = Scan(rows, index.space).search(queries, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(numbers.tolist(), exact.tolist(), strict=True)]
    assert sum(shared) / 1000 >= 0.95
    np.testing.assert_allclose(similarities[:, 0], values[:, 0], atol=2e-3)


# --- duplicates ---


def brute_force_groups(x: np.ndarray, threshold: float) -> list[tuple[int, ...]]:
    placed = Space.fit([x], x.shape[1]).place(x).astype(np.float64)
    alike = placed @ placed.T >= threshold
    groups: list[tuple[int, ...]] = []
    left = set(range(len(x)))
    while left:
        group, grown = set(), {min(left)}
        while grown - group:
            group |= grown
            grown = {int(j) for i in group for j in np.flatnonzero(alike[i])} | group
        left -= group
        if len(group) > 1:
            groups.append(tuple(sorted(group)))
    return groups


@pytest.mark.parametrize("exact", [None, True, False])
@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_duplicates_are_joined_in_chains(exact: bool | None, threshold: float, tmp_path: Path) -> None:
    x = clustered(200, spread=0.9)
    x[20:40] = x[:20] + np.random.RandomState(1).randn(20, 16).astype(np.float32) * 0.03
    x[40] = x[0]
    write_part(tmp_path / "a.parquet", x)
    groups = find_duplicates(tmp_path, threshold, exact, 1)
    found = [tuple(int(f.split("/")[1][:-4]) for f in g.files) for g in groups]
    assert found == brute_force_groups(x, threshold)
    assert any({0, 20, 40} <= set(group) for group in found)
    placed = Space.fit([x], 16).place(x)
    for group, members in zip(groups, found, strict=True):
        inside = placed[list(members)] @ placed[list(members)].T
        np.fill_diagonal(inside, -1)
        assert group.similarity == pytest.approx(inside.max(axis=1).min(), abs=1e-4)


def test_blocks_of_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_part(tmp_path / "a.parquet", clustered(200))
    whole = find_duplicates(tmp_path, 0.7)
    assert len(whole) > 1
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", 200 * 7)
    assert [g.files for g in find_duplicates(tmp_path, 0.7)] == [g.files for g in whole]


def test_many_equal_files_are_one_group_for_an_index_too(tmp_path: Path) -> None:
    x = clustered(400, spread=0.9)
    x[100:300] = x[0]
    write_part(tmp_path / "a.parquet", x)
    groups = find_duplicates(tmp_path, 0.9999, exact=False, threads=1)
    assert [len(g.files) for g in groups] == [201]
    assert groups[0].similarity == 1
    assert groups[0].files[:2] == ("a/0.wav", "a/100.wav")


def test_duplicates_of_many_files_go_by_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_part(tmp_path / "a.parquet", clustered(100))
    monkeypatch.setattr(duplicates, "_EXACT_FILES", 99)
    monkeypatch.setattr(duplicates, "_all_pairs", lambda *a: pytest.fail("all pairs were compared"))
    assert find_duplicates(tmp_path, 0.5)
    monkeypatch.undo()
    monkeypatch.setattr(duplicates, "_EXACT_FILES", 99)
    without_usearch(monkeypatch)
    assert find_duplicates(tmp_path, 0.5)


def test_duplicates_among_files_of_many_moments(tmp_path: Path) -> None:
    x = clustered(300, clusters=100)
    x[30:40] = x[10:20][::-1]  # file 3 has the moments of file 1, in another order
    files = [f"{i // 10}.wav" for i in range(300)]
    write_part(tmp_path / "a.parquet", x, files, [0.0] * 300, hop_ms=50.0)
    assert [g.files for g in find_duplicates(tmp_path)] == [("1.wav", "3.wav")]


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan")])
def test_thresholds_out_of_range(threshold: float, tmp_path: Path) -> None:
    dataset(tmp_path)
    with pytest.raises(InvalidOption, match="threshold must be above 0 and at most 1"):
        find_duplicates(tmp_path, threshold)
