"""Impulse responses of devices."""

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.responses import convolve, draw_responses


def test_a_sound_is_convolved_and_cut() -> None:
    rng = np.random.default_rng(0)
    samples, responses = rng.normal(size=(3, 50)), rng.normal(size=(2, 80))
    got = convolve(torch.from_numpy(samples), torch.from_numpy(responses), torch.tensor([1, -1, 0]))
    np.testing.assert_allclose(got[0], np.convolve(samples[0], responses[1])[:50], atol=1e-12)
    assert np.array_equal(got[1], samples[1])
    np.testing.assert_allclose(got[2], np.convolve(samples[2], responses[0])[:50], atol=1e-12)


def test_by_hand() -> None:
    got = convolve(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([0]))
    torch.testing.assert_close(got, torch.tensor([[0.0, 2.0, 4.0]]))  # later, and twice as loud: no level is kept


def test_only_some_of_the_eligible_get_one() -> None:
    eligible = torch.arange(1000) < 500
    which = draw_responses(eligible, 4, Draws.seeded(1))
    assert bool((which[500:] == -1).all())
    assert float((which[:500] >= 0).float().mean()) == pytest.approx(0.6, abs=0.06)
    assert set(which.tolist()) == {-1, 0, 1, 2, 3}
    with pytest.raises(InvalidOption):
        draw_responses(eligible, 0, Draws.seeded(1))
