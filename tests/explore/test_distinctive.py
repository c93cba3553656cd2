"""A clip's colour is of the class that sets it apart."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.explore import spectrograms
from hear_edgel3.explore.distinctive import distinctive


def test_what_nearly_all_have_tells_little() -> None:
    classes = np.array([[0, 1], [0, 2], [0, 3], [0, 3], [-1, -1]])
    probabilities = np.array([[0.9, 0.5], [0.9, 0.4], [0.9, 0.01], [0.1, 0.05], [0, 0]])
    found = distinctive(classes, probabilities)
    assert found.tolist() == [1, 2, 0, 3, -1]
    # By the definition, for the first clip.
    means = {0: (0.9 * 3 + 0.1) / 5, 1: 0.5 / 5}
    tells = [p * np.log(p / means[c]) for c, p in zip(classes[0], probabilities[0], strict=True)]
    assert tells[1] > tells[0] > 0


def test_of_nearly_equal_classes_the_larger_group_is_taken() -> None:
    classes = np.array([[0, 1], [0, 2], [0, 3], [9, 9], [9, 9], [9, 9], [9, 9], [9, 9]])
    probabilities = np.array([[0.5, 0.31], [0.5, 0.31], [0.5, 0.31]] + [[0.1, 0.1]] * 5)
    # By itself each of the first three would be told by what it has alone.
    means = {0: 1.5 / 8, 1: 0.31 / 8}
    tells = [p * np.log(p / means[c]) for c, p in zip(classes[0], probabilities[0], strict=True)]
    assert 0.7 * tells[1] < tells[0] < tells[1]
    assert distinctive(classes, probabilities)[:3].tolist() == [0, 0, 0]


def test_no_more_than_on_average_is_the_most_probable() -> None:
    assert distinctive(np.array([[4, 2], [4, 2]]), np.array([[0.5, 0.2], [0.5, 0.2]])).tolist() == [4, 4]
    assert distinctive(np.full((3, 5), -1), np.zeros((3, 5))).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("hz", [200, 1000, 4000, 10000])
def test_marks_of_hertz_are_where_tones_are(hz: int) -> None:
    import torch

    tone = 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(64000) / spectrograms.RATE)
    levels = spectrograms.thumbnail(tone).astype(int).mean(axis=1)
    brightest = (levels.argmax() + 0.5) / spectrograms.BANDS
    assert spectrograms.height_of(hz) == pytest.approx(brightest, abs=1 / spectrograms.BANDS)
