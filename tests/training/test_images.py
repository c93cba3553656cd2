"""CutMix, SpecAugment and SapAugment."""

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.images import SapAugment, cut_mix, spec_augment, strengths


def test_low_losses_are_augmented_the_most() -> None:
    """With s (1 - a) = s a = 1 the beta function is a line: 1 - r / n."""
    losses = torch.tensor([0.3, 9.0, 0.1, 2.0])
    np.testing.assert_allclose(strengths(losses, 0.5, 2.0), [0.5, 0.0, 0.75, 0.25], atol=1e-12)
    # s = 4, a = 0.5: I_x(2, 2) = 3 x^2 - 2 x^3
    x = np.array([0.5, 1.0, 0.25, 0.75])
    np.testing.assert_allclose(strengths(losses, 0.5, 4.0), 1 - 3 * x**2 + 2 * x**3, atol=1e-12)
    # s = 3, a = 1/3: I_x(2, 1) = x^2; and the other way round I_x(1, 2) = 1 - (1 - x)^2
    np.testing.assert_allclose(strengths(losses, 1 / 3, 3.0), 1 - x**2, atol=1e-12)
    np.testing.assert_allclose(strengths(losses, 2 / 3, 3.0), (1 - x) ** 2, atol=1e-12)


def test_the_ends_of_a() -> None:
    losses = torch.tensor([2.0, 1.0, 3.0])
    assert strengths(losses, 0.0, 10.0).tolist() == [1.0, 1.0, 0.0]
    assert strengths(losses, 1.0, 10.0).tolist() == [0.0, 0.0, 0.0]
    assert strengths(torch.tensor([1.0, 1.0]), 0.5, 2.0).tolist() == [0.5, 0.0]
    with pytest.raises(InvalidOption, match="diverged"):
        strengths(torch.tensor([1.0, float("nan")]), 0.5, 2.0)


def test_cut_mix_takes_a_frame_of_another() -> None:
    """Each image is a number, so that what comes from where can be seen; the targets are mixed by the area."""
    n = 6
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, 10, 20).clone()
    mixed, targets = cut_mix(images, torch.eye(n), torch.full((n,), 0.3), Draws.seeded(0))
    partners = set()
    for i in range(n):
        assert torch.equal(mixed[i, 0], mixed[i, 2])
        other = mixed[i, 0] != i
        assert int(other.sum()) == 3 * 6
        assert int(other.any(dim=1).sum()) == 3  # one rectangle of 3 by 6
        assert int(other.any(dim=0).sum()) == 6
        (partner,) = set(mixed[i, 0][other].tolist())
        assert targets[i, int(partner)] == pytest.approx(18 / 200)
        assert targets[i, i] == pytest.approx(182 / 200)
        partners.add(partner)
    assert len(partners) > 1


def test_cut_mix_of_nothing() -> None:
    images, targets = torch.rand(2, 4, 4), torch.eye(2)
    same, same_targets = cut_mix(images, targets, torch.zeros(2), Draws.seeded(0))
    assert torch.equal(same, images)
    assert torch.equal(same_targets, targets)
    alone, _ = cut_mix(images[:1], targets[:1], torch.ones(1), Draws.seeded(0))
    assert torch.equal(alone, images[:1])


def test_masks_take_their_part_of_the_whole() -> None:
    images = torch.ones(200, 20, 10)
    masked = spec_augment(images, -2, 4, torch.full((200,), 0.4), Draws.seeded(0))
    assert torch.equal(masked, masked[:, :, :1].expand(-1, -1, 10))
    rows = (masked[:, :, 0] == 0).sum(dim=1)
    assert int(rows.max()) == 8  # four masks of 0.4 * 20 / 4 rows, where none overlap
    assert int(rows.min()) >= 2
    assert bool((masked[:, :, 0] == 0).any(dim=0).all())
    columns = spec_augment(images, -1, 1, torch.full((200,), 0.3), Draws.seeded(0), value=7.0)
    assert bool(((columns == 7.0).sum(dim=2) == 3).all())


def test_sap_augment_follows_the_losses() -> None:
    """With probability 1 for the strongest alone, the example of the highest loss stays."""
    n = 8
    generator = torch.Generator().manual_seed(0)
    images, targets = torch.rand(n, 3, 16, 16, generator=generator) + 0.1, torch.eye(n)
    losses = torch.arange(n, dtype=torch.float32)
    augment = SapAugment(a=0.0, probability=(0.0, 1.0))  # strengths 1, ..., 1, 0
    got, got_targets = augment(images, targets, losses, Draws.seeded(0))
    changed = [not torch.equal(a, b) for a, b in zip(got, images, strict=True)]
    assert changed == [True] * 7 + [False]
    assert torch.equal(got_targets[7], targets[7])
    torch.testing.assert_close(got_targets.sum(dim=1), torch.ones(n))
    assert float(got_targets[0, 0]) == pytest.approx(1 - 16 / 256)  # the largest frame: a quarter of each side


def test_probabilities() -> None:
    strength = torch.tensor([0.0, 0.5, 1.0])
    assert SapAugment().probabilities(strength).tolist() == pytest.approx([0.1, 0.35, 0.6])
    assert SapAugment(probability=(0.8, 0.9)).probabilities(strength).tolist() == pytest.approx([0.8, 1.0, 1.0])


def test_what_is_off_stays_off() -> None:
    images, targets, losses = torch.rand(4, 8, 8), torch.eye(4), torch.arange(4.0)
    off = SapAugment(cutmix=None, freq=None, time=None, probability=(1.0, 1.0))
    got, got_targets = off(images, targets, losses, Draws.seeded(0))
    assert torch.equal(got, images)
    assert torch.equal(got_targets, targets)
    one, same = (SapAugment()(images, targets, losses, Draws.at(1, 2))[0] for _ in range(2))
    assert torch.equal(one, same)


@pytest.mark.parametrize(
    "wrong",
    [{"a": 1.5}, {"s": 0.0}, {"probability": (0.0, 1.5)}, {"cutmix": (0.5, 0.1)}, {"freq": (0.0, 2.0)}, {"n_freq": -1}],
)
def test_options_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InvalidOption):
        SapAugment(**wrong)
