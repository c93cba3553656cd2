"""Which examples an epoch has."""

import h5py
import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.sampling import ShuffledEpochs, WeightedEpochs, audioset_weights, draw_weighted, share_of

_TARGETS = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])  # counts 3, 1, 1, 0


def test_weights_by_hand() -> None:
    common, rare = 1000 / 103, 1000 / 101
    np.testing.assert_allclose(audioset_weights(_TARGETS), [common, common + rare, common + rare, 0])
    np.testing.assert_allclose(audioset_weights(_TARGETS, combine="max"), [common, rare, rare, 0])
    # The class without examples would make every weight NaN.
    np.testing.assert_allclose(audioset_weights(_TARGETS, 0.0), [1000 / 3, 4000 / 3, 4000 / 3, 0])


def test_weights_are_efficientats(shared, published) -> None:
    folder = shared / "reference" / "training" / "fixtures"
    targets = []
    for name in ("balanced_train_segments_mp3.hdf", "unbalanced_train_segments_mp3.hdf"):
        with h5py.File(folder / name) as file:
            targets.append(np.unpackbits(file["target"][:], axis=1, count=527))
    both = np.concatenate(targets)
    for key, combine in (("", "sum"), ("_max", "max")):
        wanted = published[f"sampler__weights_fixture{key}"]
        np.testing.assert_allclose(audioset_weights(both, combine=combine), wanted, rtol=0, atol=2e-5)


def test_the_draw_is_efficientats(published) -> None:
    weights = torch.from_numpy(published["sampler__weights_fixture"]).double()
    assert np.array_equal(draw_weighted(weights, 4, Draws.seeded(5)), published["sampler__draw4_s5"])


def test_a_weighted_epoch_has_each_example_once() -> None:
    epochs = WeightedEpochs(np.array([1.0, 0.0, 8.0, 1.0, 1.0]), 3, seed=1)
    orders = [epochs.order(e).tolist() for e in range(300)]
    assert len(epochs) == 3
    assert all(len(set(order)) == 3 and 1 not in order for order in orders)
    assert sum(order[0] == 2 for order in orders) / 300 == pytest.approx(8 / 11, abs=0.08)
    assert epochs.order(7).tolist() == orders[7]
    assert WeightedEpochs(np.array([1.0, 0.0, 8.0, 1.0, 1.0]), 3, seed=2).order(0).tolist() != orders[0] or (
        WeightedEpochs(np.array([1.0, 0.0, 8.0, 1.0, 1.0]), 3, seed=2).order(1).tolist() != orders[1]
    )


def test_an_epoch_of_fewer_than_were_wanted_has_them_all() -> None:
    epochs = WeightedEpochs(np.array([1.0, 0.0, 2.0]), 100_000, seed=0)
    assert len(epochs) == 2
    assert sorted(epochs.order(0).tolist()) == [0, 2]


@pytest.mark.parametrize(
    ("weights", "n"), [([0.0, 0.0], 1), ([1.0, float("nan")], 1), ([1.0, -1.0], 1), ([1.0], 0), ([], 1)]
)
def test_weights_that_cannot_be(weights: list, n: int) -> None:
    with pytest.raises(InvalidOption):
        WeightedEpochs(np.array(weights, dtype=float), n, seed=0)


@pytest.mark.parametrize("wrong", [{"combine": "mean"}, {"offset": -1.0}])
def test_options_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InvalidOption, match=next(iter(wrong))):
        audioset_weights(_TARGETS, **wrong)


def test_shuffled_epochs() -> None:
    epochs = ShuffledEpochs(50, seed=3)
    first, second = epochs.order(0), epochs.order(1)
    assert sorted(first.tolist()) == list(range(50))
    assert not torch.equal(first, second)
    assert torch.equal(ShuffledEpochs(50, seed=3).order(1), second)
    with pytest.raises(InvalidOption):
        ShuffledEpochs(0, seed=3)


def test_processes_share_an_epoch() -> None:
    parts = [share_of(torch.arange(11), p, 3).tolist() for p in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
