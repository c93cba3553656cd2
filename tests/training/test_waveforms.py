"""What is done to sounds: exactly what EfficientAT does, draw by draw."""

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.waveforms import (
    WaveformAugmentation,
    draw_crop,
    draw_gains,
    draw_partner,
    draw_rolls,
    fit,
    gain,
    mix_known_targets,
    mix_targets,
    mix_waveforms,
    roll,
)

_GAINS_OF_0 = [8, 3, -7, -12, 7, -9, 7, -5, -11, -9, -7, -10, 0, 3, 10, -4, -12, 0, -10, -3]
_ROLLS = {0: [-1268, -1393, -2347, -736, 931], 1: [1157, -3765, -20, 1192, 3935], 2: [3336, -1425, 2637, 1704, -394]}


def test_draws_are_efficientats() -> None:
    assert draw_gains(20, 12, Draws.seeded(0)).tolist() == _GAINS_OF_0
    for seed, wanted in _ROLLS.items():
        assert draw_rolls(5, 4000, Draws.seeded(seed)).tolist() == wanted


def test_one_by_one_or_together_is_the_same() -> None:
    one, together = Draws.seeded(3), Draws.seeded(3)
    assert [int(draw_gains(1, 12, one)) for _ in range(9)] == draw_gains(9, 12, together).tolist()
    assert [int(draw_rolls(1, 9, one)) for _ in range(9)] == draw_rolls(9, 9, together).tolist()


def test_both_ends_are_drawn_of_rolls_and_one_of_gains() -> None:
    assert set(draw_rolls(200, 2, Draws.seeded(1)).tolist()) == {-2, -1, 0, 1, 2}
    assert set(draw_gains(200, 2, Draws.seeded(1)).tolist()) == {-2, -1, 0, 1}


def test_places_have_streams_of_their_own() -> None:
    def first(*place: int) -> tuple[int, int]:
        draws = Draws.at(*place)
        return int(torch.randint(1 << 30, (1,), generator=draws.torch)), int(draws.numpy.randint(1 << 30))

    places = [(0,), (0, 0), (0, 0, 0), (0, 1), (1, 0), (0, 1, 0), (0, 0, 1), (0, 2, 3), (0, 3, 2)]
    assert len({first(*place) for place in places}) == len(places)
    assert all(first(*place) == first(*place) for place in places)


def test_nothing_global_is_used() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    draws = Draws.at(5, 1)
    draw_gains(3, 12, draws), draw_rolls(3, 40, draws), draw_crop(9, 3, draws), draw_partner(5, 1.0, 2.0, draws)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("wrong", [-1, 1 << 32, 1.0, True])
def test_seeds_that_cannot_be(wrong: int) -> None:
    with pytest.raises(InvalidOption):
        Draws.seeded(wrong)


def test_negative_places_cannot_be() -> None:
    with pytest.raises(InvalidOption):
        Draws.at(0, -1)


def test_gain_roll_crop_and_zeros(published) -> None:
    x = torch.from_numpy(published["wave__x"])[None]
    draws = Draws.seeded(0)
    louder = gain(x, draw_gains(1, 12, draws))[0]
    np.testing.assert_allclose(louder, published["wave__gain_s0_g12"], rtol=0, atol=1e-6)
    for seed in (0, 1, 2):
        rolled = roll(x, draw_rolls(1, 20, Draws.seeded(seed)))
        assert np.array_equal(rolled, published[f"wave__roll_s{seed}_r20"])
    start = draw_crop(x.shape[1], 30, Draws.seeded(3))
    assert np.array_equal(fit(x[0], 30, start), published["wave__randomcrop_s3_30"])
    assert np.array_equal(fit(x[0], 30), published["wave__truncate_30"])
    assert np.array_equal(fit(x[0], 60), published["wave__pad_60"])


def test_waveforms_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert roll(x, torch.tensor([1, -1])).tolist() == [[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]]
    torch.testing.assert_close(gain(x, torch.tensor([20, -20])), torch.tensor([[10.0, 20, 30], [0.4, 0.5, 0.6]]))
    assert fit(x, 2, 1).tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert fit(x, 4).tolist() == [[1.0, 2.0, 3.0, 0.0], [4.0, 5.0, 6.0, 0.0]]
    # means 2 and 5; deviations (-1, 0, 1) in both
    torch.testing.assert_close(mix_waveforms(x[:1], x[1:], torch.tensor([0.75])), torch.tensor([[-1.0, 0.0, 1.0]]))
    far = torch.tensor([[2.0, 2.0, 8.0]])  # mean 4
    mixed = mix_waveforms(x[:1], far, torch.tensor([0.75]))
    torch.testing.assert_close(mixed, torch.tensor([[-1.25, -0.5, 1.75]]))
    torch.testing.assert_close(
        mix_targets(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([0.75])),
        torch.tensor([[0.75, 0.25]]),
    )


def test_what_is_off_draws_nothing() -> None:
    draws, fresh = Draws.seeded(4), Draws.seeded(4)
    assert draw_gains(2, 0, draws).tolist() == draw_rolls(2, 0, draws).tolist() == [0, 0]
    assert draw_partner(5, 0.0, 2.0, draws) is None
    assert draw_crop(30, 30, draws) == 0
    assert torch.equal(draws.torch.get_state(), fresh.torch.get_state())
    assert draws.numpy.randint(1000) == fresh.numpy.randint(1000)


def test_waveform_mixing_item_by_item(published) -> None:
    draws = Draws.seeded(11)
    sounds, targets = (torch.from_numpy(published[f"wavemix__{k}"]) for k in "xy")
    for i, item in enumerate(published["wavemix__s11_order"]):
        sound, target = sounds[item], targets[item : item + 1]
        partner = draw_partner(len(sounds), 0.5, 2.0, draws)
        assert (partner is not None) == published["wavemix__s11_was_mixed"][i]
        if partner is not None:
            assert partner.number == published["wavemix__s11_partner"][i]
            assert partner.share == published["wavemix__s11_lambda"][i]
            share = torch.tensor([partner.share])
            sound = mix_waveforms(sound, sounds[partner.number], share)
            target = mix_targets(target, targets[partner.number][None], share)
        np.testing.assert_allclose(sound, published["wavemix__s11_x"][i], rtol=0, atol=1e-6)
        np.testing.assert_allclose(target[0], published["wavemix__s11_y"][i], rtol=0, atol=1e-6)


def test_mixing_of_labels_that_are_not_all_known(published) -> None:
    draws = Draws.seeded(12)
    sounds, both = torch.from_numpy(published["wavemix__x"]), torch.from_numpy(published["openmicmix__y"])
    relevances, known = both[:, :20], both[:, 20:] > 0.5
    for i in range(10):
        item = i % 5
        sound, relevance, knows = sounds[item], relevances[item][None], known[item][None]
        partner = draw_partner(len(sounds), 0.5, 2.0, draws)
        if partner is not None:
            j, share = partner.number, torch.tensor([partner.share])
            sound = mix_waveforms(sound, sounds[j], share)
            relevance, knows = mix_known_targets(relevance, knows, relevances[j][None], known[j][None], share)
        got = torch.cat([relevance, knows.float()], dim=1)[0]
        np.testing.assert_allclose(sound, published["openmicmix__s12_x"][i], rtol=0, atol=1e-6)
        np.testing.assert_allclose(got, published["openmicmix__s12_y"][i], rtol=0, atol=1e-6)


def test_unknown_relevances_count_as_zero() -> None:
    first, second = torch.tensor([[0.8, 0.5]]), torch.tensor([[0.4, 0.9]])
    mixed, known = mix_known_targets(
        first, torch.tensor([[True, False]]), second, torch.tensor([[False, False]]), torch.tensor([0.75])
    )
    torch.testing.assert_close(mixed, torch.tensor([[0.6, 0.0]]))
    assert known.tolist() == [[True, False]]


@pytest.mark.parametrize("roll_first", [False, True])
def test_a_clip_is_what_its_parts_make(roll_first: bool) -> None:
    """Of a partner too, which is augmented by draws of its own; the order of draws is fixed."""
    sounds = [torch.rand(n, generator=torch.Generator().manual_seed(n)) for n in (50, 20, 35)]
    augment = WaveformAugmentation(gain=6, roll=4, mixup=1.0, roll_first=roll_first)
    got, partner = augment(0, 3, sounds.__getitem__, 30, True, Draws.at(1, 2, 3))
    draws = Draws.at(1, 2, 3)
    wanted_partner = draw_partner(3, 1.0, 2.0, draws)
    assert partner == wanted_partner
    assert partner is not None
    both = []
    for number in (0, partner.number):
        x = sounds[number][None]
        if roll_first:
            x = roll(x, draw_rolls(1, 4, draws))
        x = gain(x, draw_gains(1, 6, draws))
        x = fit(x, 30, draw_crop(x.shape[1], 30, draws))
        both.append(x if roll_first else roll(x, draw_rolls(1, 4, draws)))
    assert torch.equal(got, mix_waveforms(*both, torch.tensor([partner.share]))[0])


def test_a_clip_alone() -> None:
    sound = torch.arange(1.0, 7.0)
    off = WaveformAugmentation()
    whole, partner = off(0, 1, lambda number: sound, None, False, Draws.seeded(0))
    assert torch.equal(whole, sound)
    assert partner is None
    assert off(0, 1, lambda number: sound, 4, False, Draws.seeded(0))[0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [{"gain": -1}, {"roll": 0.5}, {"mixup": 2.0}, {"mixup_alpha": 0.0}])
def test_augmentation_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InvalidOption, match=next(iter(wrong))):
        WaveformAugmentation(**wrong)
