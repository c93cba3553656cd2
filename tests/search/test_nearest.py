"""Nearest neighbours, exact and by an index, and the space they are in."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption, MissingExtra
from hear_edgel3.search import neighbours
from hear_edgel3.search.neighbours import nearest, unit
from hear_edgel3.search.whitening import Whitening
from support.datasets import clustered
from support.neighbours import brute_force, without_usearch

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
    with pytest.raises(MissingExtra, match=r'pip install "\.\[search\]"'):
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
    with pytest.raises(InvalidOption, match="k must be a whole number from 1"):
        nearest(np.ones((2, 3)), 0)
    with pytest.raises(InvalidOption, match=r"matrix.*\(3,\)"):
        nearest(np.ones(3), 1)


def test_unit_of_extreme_values() -> None:
    vectors = np.array([[3e38, 3e38], [1e-44, 0], [0, 0], [np.nan, 1]], np.float32)
    expected = [[np.sqrt(0.5), np.sqrt(0.5)], [1, 0], [0, 0], [0, 0]]
    for given in (vectors, vectors.astype(np.float64)):
        assert unit(given).dtype == np.float32
        np.testing.assert_allclose(unit(given), expected, atol=1e-6)


# --- the space ---


def test_the_space_is_white() -> None:
    random = np.random.RandomState(0)
    vectors = random.randn(5000, 6) @ random.randn(6, 6) + 5
    whitening = Whitening.fit([vectors[:1000], vectors[1000:]], 6)
    assert whitening.rows == 5000
    centre = vectors.mean(0) * 5000 / 5003  # three rows at zero are assumed
    np.testing.assert_allclose(whitening.centre, centre, rtol=1e-5)
    variances, axes = np.linalg.eigh((vectors - centre).T @ (vectors - centre) / 5000)
    inverse = axes @ np.diag(1 / (variances + (1e-3 + 3 / 5000) * variances[-1])) @ axes.T
    np.testing.assert_allclose(whitening.axes @ whitening.axes.T, inverse, rtol=1e-4, atol=1e-6)
    whitened = np.cov(((vectors - whitening.centre) @ whitening.axes).T)
    np.testing.assert_allclose(whitened - np.diag(np.diag(whitened)), 0, atol=1e-3)
    assert np.diag(whitened).max() == pytest.approx(1, abs=0.01)
    placed = whitening.apply(vectors)
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-6)


def test_a_space_of_many_rows_is_fitted_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_edgel3.search.whitening._ROWS", 1000)
    vectors = clustered(10_000)
    some = Whitening.fit([vectors], 16, about_rows=10_000)
    np.testing.assert_array_equal(some.axes, Whitening.fit([vectors[::10]], 16).axes)
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
    placed = nearest(Whitening.fit([both], 8).apply(both), 1)[0][:20, 0]
    assert (placed == expected).mean() >= 0.9
    assert (plain == expected).mean() <= 0.6


def test_spaces_of_few_rows() -> None:
    pair = np.array([[1.0, 2, 3], [1, 2, 3]])
    assert Whitening.fit([pair], 3).apply(pair).sum(axis=0) == pytest.approx(
        2 * Whitening.fit([pair], 3).apply(pair)[0]
    )
    assert np.linalg.norm(Whitening.fit([pair[:1]], 3).apply(pair[:1])) == pytest.approx(1)
    different = np.array([[1.0, 2, 3], [3, 2, 1]])
    placed = Whitening.fit([different], 3).apply(different)
    assert placed[0] @ placed[1] < 0.9
    assert Whitening.fit([np.zeros((4, 3))], 3).apply(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
    assert Whitening.fit([], 3).rows == 0


def test_what_is_not_finite_is_nowhere() -> None:
    whitening = Whitening.fit([clustered(50)], 16)
    vectors = clustered(3)
    vectors[1, 4] = np.nan
    placed = whitening.apply(vectors)
    assert placed.any(axis=1).tolist() == [True, False, True]
