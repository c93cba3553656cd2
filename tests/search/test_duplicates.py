"""Duplicates: groups of files that sound alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption
from hear_edgel3.search import duplicates, find_duplicates, neighbours
from hear_edgel3.search.whitening import Whitening
from support.datasets import clustered, write_part
from support.neighbours import brute_force_groups, dataset, without_usearch


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
    placed = Whitening.fit([x], 16).apply(x)
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


def test_the_default_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what `python -m tests.benchmarks.same_sounds` suggests for the built-in net."""
    write_part(tmp_path / "a.parquet", clustered(40, clusters=20), [f"{i}.wav" for i in range(40)])
    assert main(["duplicates", str(tmp_path)]) == 0
    assert "(similarity 0.9 or more)" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan")])
def test_thresholds_out_of_range(threshold: float, tmp_path: Path) -> None:
    dataset(tmp_path)
    with pytest.raises(InvalidOption, match="threshold must be a number above 0 and at most 1"):
        find_duplicates(tmp_path, threshold)
