"""Samples to pictures: against NumPy, and without the faults of the original."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dct

from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.image.frontend import ImageSpectrogram
from hear_edgel3.families.image.options import COLOR_MAPS, COMPAT, RECOMMENDED, PictureOptions, options_of
from hear_edgel3.families.image.picture import Picture, color_maps, normalised
from support.spectrogram_images import coloured, mel_power, sounds

SMALL = {"image_width": 40, "image_height": 48}


def spectrogram(windows: torch.Tensor, preset: str = "compat", **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return ImageSpectrogram(**options_of(preset, options).to_dict())(windows)


def picture(spectrograms: torch.Tensor, preset: str = "compat", **options: Any) -> torch.Tensor:
    return Picture(**options_of(preset, {**SMALL, **options}).to_dict())(spectrograms)


def test_compat_is_the_formulas() -> None:
    x = sounds(1, 2.0)[0]
    scaled = x.double().numpy() * 0.7079 / float(x.abs().max())
    expected = 10 * np.log10(np.maximum(1e-16, mel_power(scaled, 2048, 1024, 2048, 128, 0, 8000)))
    found = spectrogram(x[None], single_precision=False)[0].T
    assert found.shape == (30, 128)
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float64 throughout, rounded to float32 at the end
    # As the original: 1e-7 of the loudest bin is rounded, of which the quietest bands, 70 dB below, are 0.02 dB.
    np.testing.assert_allclose(spectrogram(x[None])[0].T, expected, atol=0.02)


@pytest.mark.parametrize(("window", "n_fft"), [(0.025, 0.032), (0.032, 0.025)])
def test_frames_are_filled_up_or_cut(window: float, n_fft: float) -> None:
    x = sounds(1, 1.0)[0]
    options = {"stft_window_size": window, "stft_hop_size": 0.01, "stft_fft_length": n_fft, "num_mel_bins": 40}
    options |= {"lower_edge_hertz": 125.0, "upper_edge_hertz": 7500.0, "normalize_audio": False}
    found = spectrogram(x[None], **options, single_precision=False)
    assert float((spectrogram(x[None], **options) - found).abs().max()) < 0.02
    samples = x.double().numpy()
    power = mel_power(samples, round(16000 * window), 160, round(16000 * n_fft), 40, 125, 7500)
    np.testing.assert_allclose(found[0].T, 10 * np.log10(np.maximum(1e-16, power)), atol=1e-4)


def test_recommended_keeps_eighty_decibels() -> None:
    x = sounds(2, 1.0)
    x[:, 8000:] = 0.0
    found = spectrogram(x, "recommended")
    assert found.shape == (2, 128, 122)
    np.testing.assert_allclose((found.amax(dim=(1, 2)) - found.amin(dim=(1, 2))), [80.0, 80.0], atol=1e-4)


@pytest.mark.parametrize("lifter", [0, 22])
@pytest.mark.parametrize("db_scale", [True, False])
def test_mfccs(lifter: int, db_scale: bool) -> None:
    x = sounds(1, 2.0)[0].double().numpy()
    power = mel_power(x * 0.7079 / np.abs(x).max(), 2048, 1024, 2048, 128, 0, 8000)
    logs = 10 * np.log10(power**2) - 10 * np.log10(power.max() ** 2) if db_scale else np.log(power + 1e-6)
    expected = dct(logs, type=2, norm=None)[:, :40] / np.sqrt(2 * 128)
    if lifter:
        expected = expected * (1 + lifter / 2 * np.sin(np.pi * np.arange(40) / lifter))
    options = {"num_mfccs": 40, "cep_lifter": lifter, "db_scale": db_scale}
    found = spectrogram(sounds(1, 2.0), **options, single_precision=False)
    np.testing.assert_allclose(found[0].T, expected, atol=2e-3)  # of values up to 1000, as float32


@pytest.mark.parametrize("options", [{}, {"num_mfccs": 40}, {"db_scale": False}])
def test_what_a_window_gives_does_not_depend_on_the_others(options: dict[str, Any]) -> None:
    """The original's MFCCs were relative to the loudest of the batch."""
    loud, quiet = sounds(1, 1.0), 0.01 * sounds(1, 1.0, seed=1)
    options = {**options, "normalize_audio": False}
    both = spectrogram(torch.cat([loud, quiet]), **options)
    torch.testing.assert_close(both[1:], spectrogram(quiet, **options), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("preset", ["compat", "recommended"])
@pytest.mark.parametrize("options", [{}, {"num_mfccs": 13}, {"db_scale": False}, {"normalize_audio": True}])
def test_silence_is_the_first_colour(preset: str, options: dict[str, Any]) -> None:
    """The original gave NaN for silence, and stopped at what is the same everywhere."""
    if options.get("num_mfccs"):
        silent = spectrogram(torch.zeros(1, 16000), preset, **options)
        assert bool(torch.isfinite(picture(silent, preset, **options)).all())
        return
    silent = spectrogram(torch.zeros(1, 16000), preset, **options)
    found = picture(silent, preset, **options)
    first = 255 * color_maps()["viridis"][0]
    torch.testing.assert_close(found, first.view(1, 3, 1, 1).expand_as(found), rtol=1e-6, atol=1e-4)


def test_windows_that_overlap_share_their_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is transformed once, and gives the same as alone."""
    frontend, clip = ImageSpectrogram(), sounds(1, 2.0)[0]
    windows = clip.unfold(0, 16000, 768)[:6].clone()
    with torch.no_grad():
        alone = torch.cat([frontend(window[None]) for window in windows])
        seen, power = [], frontend._power
        monkeypatch.setattr(frontend, "_power", lambda x: (seen.append(tuple(x.shape)), power(x))[1])
        assert torch.equal(frontend(windows), alone)
        assert seen == [(1, 16000 + 5 * 768)]
        silent = torch.zeros(4, 16000)  # which is itself, shifted by anything
        assert torch.equal(frontend(silent)[3], frontend(silent[:1])[0])
        unlike = torch.cat([windows[:2], windows[:1]])
        assert torch.equal(frontend(unlike), torch.cat([alone[:2], alone[:1]]))
    # With the same samples at another distance than whole hops nothing is shared, and nothing is wrong.
    odd = clip.unfold(0, 16000, 700)[:3].clone()
    with torch.no_grad():
        assert torch.equal(frontend(odd)[2], frontend(odd[2:])[0])


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_colour_maps_are_matplotlibs(name: str) -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    expected = np.asarray(colormaps[name].colors)
    np.testing.assert_array_equal(color_maps()[name], expected.astype(np.float32))
    values = np.random.RandomState(0).randn(30, 20)
    found = picture(torch.from_numpy(values.T.copy())[None], color_map=name, image_width=30, image_height=20)
    # Time from left to right; frequencies upwards, so that the lowest is the last row.
    colours = 255 * coloured(values, expected).transpose(1, 0, 2)[::-1]
    np.testing.assert_allclose(found[0].permute(1, 2, 0), colours, atol=1e-3)


def test_low_frequencies_are_at_the_bottom_and_time_goes_right() -> None:
    t = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 200 * t) * (t > 0.5)
    found = picture(spectrogram(tone[None], "recommended"), "recommended")[0].sum(dim=0)
    assert found[-8:, 24:].mean() > 1.5 * found[:-16].mean()
    assert found[-8:, 24:].mean() > 1.5 * found[-8:, :16].mean()


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        ("caffe", [30 - 103.939, 20 - 116.779, 10 - 123.68]),
        ("tf", [10 / 127.5 - 1, 20 / 127.5 - 1, 30 / 127.5 - 1]),
        ("torch", [(10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225]),
        ("lite", [(10 - 127) / 128, (20 - 127) / 128, (30 - 127) / 128]),
    ],
)
def test_colours_as_nets_take_them(colours: str, expected: list[float]) -> None:
    image = torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1)
    np.testing.assert_allclose(normalised(image, colours).flatten(), expected, rtol=1e-5)


@pytest.mark.parametrize("preset", ["compat", "recommended"])
def test_gradients_reach_the_samples(preset: str) -> None:
    options = options_of(preset, SMALL).to_dict()
    windows = sounds(2, 1.0).requires_grad_()
    Picture(**options)(ImageSpectrogram(**options)(windows)).sum().backward()
    assert windows.grad is not None
    assert bool(torch.isfinite(windows.grad).all())
    assert bool((windows.grad != 0).any(dim=1).all())
    silent = torch.zeros(1, 16000, requires_grad=True)
    Picture(**options)(ImageSpectrogram(**options)(silent)).sum().backward()
    assert silent.grad is not None
    assert bool(torch.isfinite(silent.grad).all())


def test_windows_shorter_than_a_frame() -> None:
    found = spectrogram(torch.ones(1, 100), "recommended")
    assert found.shape == (1, 128, 1)
    assert ImageSpectrogram().n_frames(100) == 1
    assert ImageSpectrogram().n_frames(512 + 128) == 2


def test_no_plotting_library_is_needed() -> None:
    code = """
import sys, torch
from hear_edgel3.families.image.frontend import ImageSpectrogram
from hear_edgel3.families.image.picture import Picture
Picture()(ImageSpectrogram()(torch.randn(1, 16000)))
assert not {"matplotlib", "PIL", "librosa", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color_map": "jet"}, "color_map must be one of viridis"),
        ({"resize_method": "cubic"}, "resize_method must be one of bilinear"),
        ({"upper_edge_hertz": 9000.0}, "at most half the sample_rate"),
        ({"lower_edge_hertz": 8000.0}, "must be below upper_edge_hertz"),
        ({"num_mfccs": 129}, "num_mfccs must be a whole number from 0 to 128"),
        ({"stft_hop_size": 1e-5}, "stft_hop_size of 1e-05 s is 0 samples"),
        ({"stft_hop_size": float("nan")}, "stft_hop_size must be a positive number"),
        ({"top_db": -80.0}, "top_db must be a positive number"),
        ({"anti_alias": 1}, "anti_alias must be true or false"),
        ({"image_width": 0}, "image_width must be a whole number from 1"),
        ({"colour_map": "magma"}, "there is no option 'colour_map'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        options_of("recommended", options)


def test_presets() -> None:
    assert PictureOptions() == RECOMMENDED
    assert (COMPAT.frame_length, COMPAT.hop_length, COMPAT.n_fft) == (2048, 1024, 2048)
    assert (RECOMMENDED.frame_length, RECOMMENDED.hop_length, RECOMMENDED.top_db) == (512, 128, 80.0)
    with pytest.raises(InvalidOption, match="preset must be one of recommended, compat"):
        options_of("best")
