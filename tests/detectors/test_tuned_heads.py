"""The head that is fitted on a trained net, how far the net goes, and that scores are those of the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.detectors import run
from hear_edgel3.detectors.answering import logits_of_folder
from hear_edgel3.detectors.learning import Examples, Learned
from hear_edgel3.detectors.targets import Targets, losses_of
from hear_edgel3.detectors.tuned import Candidate, choose, learn_tuned
from hear_edgel3.detectors.work import Work
from hear_edgel3.labels import Dividing, Kind
from hear_edgel3.labels.splits import How
from hear_edgel3.weights.file import read_weights
from support.detector_sounds import LABELS, write_sounds


def losses(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def candidate(share: float, found: torch.Tensor) -> Candidate:
    return Candidate(share, None, found)  # type: ignore[arg-type]


def test_the_usual_share_is_left_with_reason_only() -> None:
    usual = candidate(0.6, losses(1.0, 2.0, 3.0, 4.0))
    surely = candidate(1.0, usual.losses - losses(0.5, 0.6, 0.4, 0.5))
    by_chance = candidate(1.0, usual.losses - losses(4.0, -1.0, -1.0, 1.0))
    worse, as_good = candidate(0.0, usual.losses + 0.1), candidate(0.0, usual.losses)
    assert choose(usual, by_chance, worse) is usual
    assert choose(usual, by_chance, as_good) is usual
    assert choose(usual, surely, worse) is surely


def test_the_net_stays_as_it_was_where_that_is_better() -> None:
    """By however little, and than what counts otherwise."""
    usual = candidate(0.6, losses(1.0, 2.0, 3.0, 4.0))
    surely = candidate(1.0, usual.losses - losses(0.5, 0.6, 0.4, 0.5))
    by_little = candidate(0.0, usual.losses - losses(4.0, -1.0, -1.0, -1.0))
    assert choose(usual, usual, by_little) is by_little
    assert choose(usual, surely, by_little) is surely
    assert choose(usual, surely, candidate(0.0, usual.losses - 0.7)).share == 0.0


def test_how_sure_a_head_is_does_not_matter() -> None:
    """Logits times 16 are as good; their opposites no better than chance. Of numbers it is the squared error."""
    one = torch.ones(3)
    right = torch.tensor([0, 1, 2, 1])
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 0])] + torch.tensor([[0.1, 0.3, 0.2]])  # the last one is wrong
    targets = Targets(Kind.SINGLE, right, None, one, one)
    found = losses_of(targets, logits)
    assert losses_of(targets, 16 * logits).tolist() == pytest.approx(found.tolist())
    assert found.mean() < 0.7 < np.log(3) - 0.1 < losses_of(targets, -logits).mean()
    known = torch.tensor([[True, False, True]] * 4)
    several = Targets(Kind.SEVERAL, torch.eye(3)[right], known, one, one)
    changed = logits.clone()
    changed[:, 1] = 100.0
    assert torch.equal(losses_of(several, logits), losses_of(several, changed))
    numbers = Targets(Kind.NUMBERS, torch.zeros(2, 3), None, one, torch.tensor([1.0, 2.0, 4.0]))
    assert losses_of(numbers, torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "options",
    [{"head": "linear"}, {"head": "mlp", "units": 8}, {"head": "own"}],
    ids=["linear", "mlp", "own"],
)
def test_what_was_scored_is_what_the_folder_says(
    options: dict[str, Any], sounds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the test part, sound for sound; embeddings for the head were made once, in the same process."""
    kept: list[tuple[Examples, Learned]] = []

    def learn(examples: Examples, *arguments: Any, **options: Any) -> Learned:
        kept.append((examples, learn_tuned(examples, *arguments, **options)))
        return kept[-1][1]

    monkeypatch.setattr(run, "learn_tuned", learn)
    folder = hear_edgel3.train(
        sounds, tmp_path / "d", cache=cache, fine_tune=True, epochs=1, lr=0.01, device="cpu", **options
    )
    [(examples, learned)] = kept
    items = [examples.labelled.items[row] for row in learned.split.test]
    found, failed = logits_of_folder(folder, items, Work(tmp_path / "cache", workers=1))
    assert not failed
    assert np.ptp(found) > 0
    np.testing.assert_allclose(learned.test, found, rtol=1e-4, atol=1e-4 * np.abs(found).max())
    values = json.loads((folder / "configuration.json").read_text())
    layout = values["head"] and values["head"]["layout"]["kind"]
    assert layout == (None if options["head"] == "own" else options["head"])
    assert values["default_features"] == ("" if options["head"] == "own" else "avg_time_pool")
    if layout is not None:
        learning = values["made"]["learning"]
        assert learning["share"] in (0.0, 0.6, 1.0)
        assert learning["epoch"] == 1
        assert learning["head"]["fitted_by"] != "fine-tuning"


@pytest.mark.parametrize("kind", ["several", "numbers"])
def test_several_labels_and_numbers(kind: str, tmp_path: Path, cache: Path) -> None:
    """They are learnt from a table, the head by what fits their kind."""
    sounds = write_sounds(tmp_path / "sounds")
    lines = ["file,labels,group" if kind == "several" else "file,number,group"]
    for i, path in enumerate(sorted(sounds.glob("*/*/*.wav"))):
        label, group = path.parts[-3:-1]
        target = f"{label};odd" if i % 2 else label
        lines.append(f"{path},{target if kind == 'several' else 100 * LABELS.index(label) + i % 3},{group}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    folder = hear_edgel3.train(table, tmp_path / "d", cache=cache, fine_tune=True, epochs=1, device="cpu")
    values = json.loads((folder / "configuration.json").read_text())
    assert values["targets"] == kind
    assert read_weights(folder / "model.safetensors").provenance["targets"] == kind
    by = {"several": "logistic regression", "numbers": "ridge regression"}
    assert values["made"]["learning"]["head"]["fitted_by"] == by[kind]
    assert values["made"]["learning"]["epochs"] == 1


def test_five_sounds_per_class(tmp_path: Path, cache: Path) -> None:
    """Too few to choose by: the net goes the usual part of its way, also without a validation part, and once more."""
    sounds = write_sounds(tmp_path / "five", groups=5, each=1)
    how: dict[str, Any] = {"cache": cache, "fine_tune": True, "epochs": 1, "device": "cpu"}
    first = hear_edgel3.train(sounds, tmp_path / "first", **how)
    split = Dividing(How.RANDOM, test=0.2, validation=0.0)
    second = hear_edgel3.train(sounds, tmp_path / "second", first, split=split, **how)
    values = json.loads((second / "configuration.json").read_text())
    assert values["made"]["learning"]["share"] == 0.6
    assert "went 0.6 of the way" in (second / "README.md").read_text()
    before, after = (hear_edgel3.load(folder).net.net.state_dict() for folder in (first, second))  # type: ignore[union-attr]
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
