"""Pages on which a net with classes of its own says what is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption
from hear_edgel3.explore.build import explore
from hear_edgel3.tagging.tagger import Tagger
from support.detectors import CLASSES, write_detector
from support.folders import change
from support.pages import contents_of, decoded, write_dataset, write_odd_clip


@pytest.fixture
def dataset() -> Path:
    for i, name in enumerate(("a.wav", "b.wav")):
        write_odd_clip(name, 0.5 + i, seed=i)
    return write_dataset(["a.wav", "b.wav"])


def tags_of(page: str) -> list[list[tuple[str, float]]]:
    """What is said of each clip."""
    found = contents_of(page)
    n = found["n_tags"]
    classes = decoded(found["tags"], "<i4").reshape(-1, n)
    probabilities = decoded(found["probabilities"], "<f4").reshape(-1, n)
    return [
        [(found["labels"][k], float(p)) for k, p in zip(row, some, strict=True) if k >= 0]
        for row, some in zip(classes, probabilities, strict=True)
    ]


@pytest.mark.parametrize("targets", ["single", "several"])
def test_classes_of_its_own(targets: str, dataset: Path, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "mine", targets=targets, temperature=1.5)
    built = explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert built.notes == {}
    assert contents_of("page.html")["tagged_by"] == "mine"
    tagger = Tagger(folder)
    for name, said in zip(("a.wav", "b.wav"), tags_of("page.html"), strict=True):
        top = tagger.tag_file(name).top(5)
        assert [label for label, _ in said] == [tag.label for tag in top]
        assert len(said) == len(CLASSES)
        np.testing.assert_allclose([p for _, p in said], [tag.probability for tag in top], rtol=1e-6)


def test_classes_below_their_thresholds_are_not_said(dataset: Path, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "mine", temperature=100.0, thresholds=[0.999, 0.001, 0.999])  # some third each
    explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert [[label for label, _ in said] for said in tags_of("page.html")] == [["cat"], ["cat"]]
    change(folder, thresholds=[0.999999] * 3)
    explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert tags_of("page.html") == [[], []]


def test_numbers_are_no_classes(dataset: Path, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "n", targets="numbers")
    with pytest.raises(InvalidOption, match="guesses numbers, and a page shows classes"):
        explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert not Path("page.html").exists()
