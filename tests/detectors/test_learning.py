"""What one split gives: that the head that stays and the one that its logits are read by are of one kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hear_edgel3.detectors.frozen import logits_of
from hear_edgel3.detectors.learning import Examples, learn_frozen
from hear_edgel3.detectors.linear import fit_linear
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.labels import Kind, Labelled, Split
from hear_edgel3.scores import fit_temperature
from hear_edgel3.sources.item import Item


def examples(kind: Kind) -> Examples:
    """Few sounds that can hardly be told apart, so that other penalties are chosen when there are some more."""
    rng = np.random.default_rng(8)
    classes = rng.integers(3, size=90)
    shown = 0.5 * np.eye(3)[classes] @ rng.standard_normal((3, 20)) + rng.standard_normal((90, 20))
    targets = classes if kind is Kind.SINGLE else np.eye(3, dtype=np.uint8)[classes]
    items = tuple(Item(f"{i}.wav", 0) for i in range(90))
    return Examples(Labelled("some", kind, ("a", "b", "c"), items, targets), shown.astype(np.float32), np.arange(90))


SPLIT = Split("some", np.arange(40), np.arange(40, 65), np.arange(65, 90))


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.SEVERAL])
def test_the_temperature_is_fitted_with_the_penalty_of_the_head_that_stays(kind: Kind) -> None:
    sounds = examples(kind)
    seen, alone = (fit_linear(sounds.part(rows)) for rows in (np.arange(65), SPLIT.train))
    assert seen.penalty != alone.penalty  # or this would say nothing
    learned = learn_frozen(sounds, SPLIT, options=TrainOptions(head="linear"))
    assert learned.fitted is not None
    assert torch.equal(learned.fitted.head.output.weight, seen.head.output.weight)
    assert learned.about == {**seen.about, "fitted_again": True}
    first = fit_linear(sounds.part(SPLIT.train), seen.penalty)
    heard = logits_of(first.head, sounds.vectors[SPLIT.validation])
    assert (learned.validation == heard).all()
    wanted = fit_temperature(heard, sounds.part(SPLIT.validation).targets, None, 0.35)
    assert learned.reading.temperature == wanted
    assert wanted != fit_temperature(
        logits_of(alone.head, sounds.vectors[SPLIT.validation]), sounds.part(SPLIT.validation).targets, None, 0.35
    )


def test_without_a_validation_part_a_head_is_fitted_once() -> None:
    sounds, nothing = examples(Kind.SINGLE), np.zeros(0, np.int64)
    learned = learn_frozen(
        sounds, Split("some", np.arange(65), nothing, SPLIT.test), options=TrainOptions(head="linear")
    )
    assert learned.about == fit_linear(sounds.part(np.arange(65))).about
    assert learned.validation.shape == (0, 3)
