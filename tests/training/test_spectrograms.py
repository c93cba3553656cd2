"""What is done to spectrograms: exactly what EfficientAT does."""

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.mixing import Mix, draw_mix
from hear_edgel3.training.spectrograms import (
    SpectrogramAugmentation,
    draw_mel_range,
    draw_mixstyle,
    mask,
    mix_style,
)


@pytest.fixture(scope="module")
def frontend() -> MobileNetV3MelSpectrogram:
    return MobileNetV3MelSpectrogram().eval()


@pytest.mark.parametrize(("seed", "n", "alpha", "key"), [(7, 6, 0.3, "0p3"), (8, 120, 0.3, "0p3"), (9, 6, 1.0, "1p0")])
def test_mixup_is_drawn_as_by_efficientat(seed: int, n: int, alpha: float, key: str, published) -> None:
    mix = draw_mix(n, alpha, Draws.seeded(seed))
    assert np.array_equal(mix.partner, published[f"mixup_s{seed}_n{n}_a{key}__perm"])
    assert np.array_equal(mix.share, published[f"mixup_s{seed}_n{n}_a{key}__lam"])


def test_mixup_is_efficientats(published) -> None:
    mix = Mix(torch.from_numpy(published["mix__perm"]), torch.from_numpy(published["mix__lam"]))
    for name in "xy":
        got = mix.of(torch.from_numpy(published[f"mix__{name}"]))
        np.testing.assert_allclose(got, published[f"mix__{name}_mixed"], rtol=0, atol=1e-6)


def test_mixup_by_hand() -> None:
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    assert mix.of(torch.tensor([[[4.0]], [[8.0]]])).flatten().tolist() == [5.0, 6.0]
    drawn = draw_mix(500, 0.3, Draws.seeded(1))
    assert sorted(drawn.partner.tolist()) == list(range(500))
    assert float(drawn.share.min()) >= 0.5
    assert float(drawn.share.max()) <= 1.0
    assert drawn.share.dtype == torch.float32


@pytest.mark.parametrize(("key", "seed", "dim", "most"), [("freq8", 33, 1, 8), ("time12", 34, 2, 12)])
def test_masks_are_efficientats(key: str, seed: int, dim: int, most: int, published) -> None:
    got = mask(torch.ones(4, 20, 30), dim, most, Draws.seeded(seed), value=0.0)
    assert np.array_equal(got, published[f"mask__{key}_s{seed}"])


def test_masks_are_short_and_move() -> None:
    masked = mask(torch.zeros(300, 10, 12), 1, 4, Draws.seeded(1))
    assert torch.equal(masked == 0.9, (masked == 0.9)[:, :, :1].expand(-1, -1, 12))
    rows = masked[:, :, 0] == torch.tensor(0.9)
    assert set(rows.sum(dim=1).tolist()) == {0, 1, 2, 3}  # fractions are cut off: 4 itself never comes
    # Both fractions are cut off, so that hardly any mask reaches the last band.
    assert bool(rows[:, :9].any(dim=0).all())
    assert all(int((row[1:] != row[:-1]).sum()) <= 2 for row in rows)  # in one piece


@pytest.mark.parametrize(
    ("tag", "options"),
    [
        ("default_finetune", {}),
        ("masks_48_192", {"freq_mask": 48, "time_mask": 192}),
        ("masks_8_5", {"freq_mask": 8, "time_mask": 5}),
    ],
)
def test_spectrograms_are_those_of_efficientats_front_end(
    tag: str, options: dict, frontend, published, published_clip
) -> None:
    """The tolerance is that of torchaudio's float32 mel bank and of the logarithm of a power near its floor."""
    augmentation, draws = SpectrogramAugmentation(mixup=0.0, **options), Draws.seeded(31)
    samples = torch.from_numpy(published_clip).repeat(3, 1)
    mel = augmentation.spectrograms(frontend, samples, draws)
    got, mix = augmentation(mel, draws)
    assert mix is None
    np.testing.assert_allclose(got, published[f"melaug__{tag}_s31"], rtol=0, atol=2e-4)


def test_without_jitter_evaluation_stays_where_it_is(frontend, published, published_clip) -> None:
    """EfficientAT moves the upper edge to 16000 Hz with the jitter of 1; a front end that says so does the same."""
    assert draw_mel_range(frontend, 1, 1, Draws.seeded(0)) == (0, 15000)
    wide = MobileNetV3MelSpectrogram(fmax=16000).eval()
    augmentation = SpectrogramAugmentation(mixup=0.0, freq_mask=8, time_mask=5, fmin_jitter=1, fmax_jitter=1)
    draws = Draws.seeded(31)
    samples = torch.from_numpy(published_clip).repeat(3, 1)
    got, _ = augmentation(augmentation.spectrograms(wide, samples, draws), draws)
    np.testing.assert_allclose(got, published["melaug__no_jitter_masks_8_5_s31"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(wide(samples), published["melaug__eval_of_no_jitter"], rtol=0, atol=2e-4)


def test_the_front_end_in_train_mode_masks_as_efficientats(published, published_clip) -> None:
    """Also where the longest mask is longer than the clip, and begins before it."""
    frontend = MobileNetV3MelSpectrogram(freq_mask=48, time_mask=192).train()
    with torch.random.fork_rng():
        torch.manual_seed(31)
        got = frontend(torch.from_numpy(published_clip).repeat(3, 1))
    np.testing.assert_allclose(got, published["melaug__masks_48_192_s31"], rtol=0, atol=2e-4)


def test_the_mel_range_jitters_once_per_batch(frontend) -> None:
    """The values are EfficientAT's, with the seeds 31 and 32."""
    assert draw_mel_range(frontend, 10, 2000, Draws.seeded(31)) == (6, 14025)
    draws = Draws.seeded(32)
    ranges = [draw_mel_range(frontend, 10, 2000, draws) for _ in range(5)]
    assert ranges == [(5, 15237), (3, 15626), (4, 14114), (4, 14909), (6, 15593)]
    with pytest.raises(InvalidOption, match="fmin_jitter"):
        draw_mel_range(frontend, 0, 1, Draws.seeded(0))


def test_the_usual_range_gives_the_usual_spectrogram(frontend) -> None:
    samples = torch.rand(2, 3200, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.equal(frontend.in_range(samples, 0.0, 15000.0), frontend(samples))
    assert not torch.equal(frontend.in_range(samples, 9.0, 14001.0), frontend(samples))


def test_mixstyle_is_efficientats(published) -> None:
    x = torch.from_numpy(published["mixstyle__x"])
    mix = Mix(
        torch.from_numpy(published["mixstyle__s1_perm"]), torch.from_numpy(published["mixstyle__s1_lambda"]).flatten()
    )
    for form in (x, x[:, 0]):
        got = mix_style(form, mix).view(x.shape)
        np.testing.assert_allclose(got, published["mixstyle__s1_p1p0_a0p4"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("key", ["s2_p1p0_a0p1", "s3_p0p4_a0p4", "s9_p0p4_a0p4", "s5_p0p0_a0p4"])
def test_mixstyle_with_efficientats_draws(key: str, published) -> None:
    """Its shares come from torch's global stream, and are drawn so here; whether it mixes at all is ours."""
    seed, p, alpha = (float(part[1:].replace("p", ".")) for part in key.split("_"))
    x = torch.from_numpy(published["mixstyle__x"])
    wanted = published[f"mixstyle__{key}"]
    drawn = draw_mixstyle(len(x), p, alpha, Draws.seeded(int(seed)))
    assert (drawn is None) == np.array_equal(wanted, x)
    if drawn is None:
        return
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        share = torch.distributions.Beta(alpha, alpha).sample((len(x),))
        partner = torch.randperm(len(x))
    np.testing.assert_allclose(mix_style(x, Mix(partner, share)), wanted, rtol=0, atol=5e-6)


def test_mixstyle_swaps_statistics() -> None:
    """With a share of 0 each band gets the partner's mean and deviation; no gradient goes through them."""
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.rand(2, 3, 50, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 5.0])[:, None, None]
    ).clone()
    swapped = mix_style(x, Mix(torch.tensor([1, 0]), torch.zeros(2)))
    torch.testing.assert_close(swapped.mean(dim=2), x.mean(dim=2).flip(0))
    torch.testing.assert_close(swapped.var(dim=2), x.var(dim=2).flip(0), rtol=1e-3, atol=0)
    x.requires_grad_()
    mix_style(x, Mix(torch.tensor([0, 1]), torch.ones(2))).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_mixstyle_shares_are_not_folded() -> None:
    draws = Draws.seeded(3)
    mix = draw_mixstyle(500, 1.0, 0.4, draws)
    assert mix is not None
    assert float(mix.share.min()) < 0.1 < 0.9 < float(mix.share.max())


def test_mixstyle_takes_the_place_of_mixup() -> None:
    x = torch.rand(4, 6, 9, generator=torch.Generator().manual_seed(0))
    some = SpectrogramAugmentation(mixstyle=0.5)
    results = [some(x, Draws.at(1, batch)) for batch in range(20)]
    assert all(mix is None for _, mix in results)
    assert 0 < sum(torch.equal(got, x) for got, _ in results) < 20
    _, mix = SpectrogramAugmentation()(x, Draws.seeded(0))
    assert mix is not None


def test_the_same_draws_give_the_same_batch() -> None:
    x = torch.rand(4, 30, 40, generator=torch.Generator().manual_seed(0))
    augmentation = SpectrogramAugmentation(freq_mask=8, time_mask=10)
    (one, _), (same, _), (other, _) = (augmentation(x, Draws.at(1, batch)) for batch in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"freq_mask": -1},
        {"time_mask": 0.5},
        {"mixup": -1.0},
        {"mixstyle": 1.1},
        {"mixstyle_alpha": 0},
        {"fmax_jitter": 0},
    ],
)
def test_augmentation_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InvalidOption, match=next(iter(wrong))):
        SpectrogramAugmentation(**wrong)
