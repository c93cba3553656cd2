"""Pages on which a net with classes of its own says what is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.tags import uncertainty
from hear_edgel3.tagging.outputs import Outputs
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


@pytest.mark.parametrize(
    ("outputs", "probabilities", "expected"),
    [
        (Outputs("single"), [0.5, 0.375, 0.125], 0.875),
        (Outputs("several"), [0.0625, 0.75], 0.5),
        (Outputs("several", thresholds=(0.25, None)), [0.125, 0.875], 0.5),
    ],
)
def test_how_uncertain_a_net_is(outputs: Outputs, probabilities: list[float], expected: float) -> None:
    assert uncertainty(np.array(probabilities, np.float32), outputs) == expected


def test_the_least_certain_first(dataset: Path, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "mine")
    explore(dataset, "page.html", projection="pca", tagger=str(folder), order="uncertain")
    found = contents_of("page.html")
    uncertainties = decoded(found["uncertainties"], "<f4")
    margins = [np.sort(Tagger(folder).tag_file(name).probabilities[0])[-2:] for name in ("a.wav", "b.wav")]
    np.testing.assert_allclose(uncertainties, [1 - (p[1] - p[0]) for p in margins], atol=1e-6)
    assert decoded(found["order"], "<u4").tolist() == np.argsort(-uncertainties).tolist()
    explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert contents_of("page.html")["order"] is None


def test_an_order_that_cannot_be(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(dataset), "--output", "page.html", "--no-tags", "--order", "uncertain"]) == 2
    assert "the order 'uncertain' is of how certain a tagger is: leave --no-tags" in capsys.readouterr().err
    with pytest.raises(InvalidOption, match="order must be one of name, uncertain; got 'size'"):
        explore(dataset, "page.html", order="size")
    assert not Path("page.html").exists()


def test_numbers_are_no_classes(dataset: Path, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "n", targets="numbers")
    with pytest.raises(InvalidOption, match="guesses numbers, and a page shows classes"):
        explore(dataset, "page.html", projection="pca", tagger=str(folder))
    assert not Path("page.html").exists()
