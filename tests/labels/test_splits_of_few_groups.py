"""Where each class has few sounds or groups, the parts of a split still have about the sizes that were asked for."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.labels import Dividing, Kind, Labelled, divide
from hear_edgel3.labels.splits import Split
from hear_edgel3.sources.item import Item


def grouped(groups_of_class: list[int], each: int = 6) -> Labelled:
    targets = np.repeat(np.arange(len(groups_of_class)), np.array(groups_of_class) * each)
    groups = tuple(f"g{i // each}" for i in range(len(targets)))
    items = tuple(Item(f"{i}.wav", 0) for i in range(len(targets)))
    classes = tuple(f"c{i}" for i in range(len(groups_of_class)))
    return Labelled("set", Kind.SINGLE, classes, items, targets, groups=groups)


def sizes(split: Split) -> list[int]:
    return [len(split.train), len(split.validation), len(split.test)]


@pytest.mark.parametrize("seed", range(5))
def test_of_few_groups_some_validate(seed: int) -> None:
    labelled = grouped([3, 3, 4, 2, 4])
    (split,) = divide(labelled, Dividing(seed=seed))
    train, validation, test = sizes(split)
    assert (test, validation) == (24, 12)  # of 96: a fifth is 19, and 15 % of the others are 11, in groups of 6
    assert train + validation + test == 96
    assert (labelled.subset(split.train).positives() > 0).all()
    of = [{(labelled.groups or ())[row] for row in part} for part in (split.train, split.validation, split.test)]
    assert not of[0] & of[1]
    assert not of[1] & of[2]


def test_of_many_classes_with_four_sounds_each_some_validate() -> None:
    labelled = grouped([4] * 300, each=1)
    (split,) = divide(labelled)
    train, validation, test = sizes(split)
    assert 200 <= test <= 300
    assert 0.1 <= validation / (train + validation) <= 0.16
    assert (labelled.subset(split.train).positives() > 0).all()


def test_of_few_numbers_not_too_many_are_tested() -> None:
    values = np.arange(30, dtype=np.float32)[:, None]
    labelled = Labelled("set", Kind.NUMBERS, ("x",), tuple(Item(f"{i}.wav", 0) for i in range(30)), values)
    (split,) = divide(labelled)
    train, validation, test = sizes(split)
    assert 5 <= test <= 7
    assert 3 <= validation <= 5
    assert train >= 18


def test_nothing_is_taken_from_the_last_group_of_a_class() -> None:
    labelled = grouped([1, 1, 1])
    (split,) = divide(labelled, Dividing(test=0))
    assert sizes(split) == [18, 0, 0]
