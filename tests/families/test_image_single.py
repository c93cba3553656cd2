"""What is computed in float32 as TensorFlow and pocketfft compute it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.image.frontend import ImageSpectrogram
from hear_edgel3.families.image.options import COMPAT, options_of
from hear_edgel3.families.image.picture import Picture
from hear_edgel3.families.image.single_precision import hann_window, is_power_of_two, power_spectrum
from support.spectrogram_images import sounds


@pytest.mark.parametrize(("n", "crc"), [(400, 3170853421), (512, 1649403545), (2048, 2348490410), (4096, 2443124401)])
def test_hann_windows_are_tensorflows(n: int, crc: int) -> None:
    """Bit for bit those of tf.signal.hann_window (2.21.0, x86-64)."""
    made = hann_window(n).numpy()
    assert zlib.crc32(made.tobytes()) == crc
    np.testing.assert_allclose(made, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n), atol=3e-7)


@pytest.mark.parametrize("n", [2, 4, 8, 16, 32, 128, 512, 1024, 2048, 4096])
def test_power_spectra_are_those_of_pocketfft(n: int) -> None:
    fft = pytest.importorskip("scipy.fft")
    frames = np.random.RandomState(n).randn(3, 5, n).astype(np.float32)
    expected = fft.rfft(frames)
    assert expected.dtype == np.complex64
    found = power_spectrum(torch.from_numpy(frames)).numpy()
    np.testing.assert_array_equal(found, expected.real * expected.real + expected.imag * expected.imag)
    exact = np.abs(np.fft.rfft(frames.astype(np.float64))) ** 2
    assert np.abs(found - exact).max() < 1e-6 * exact.max()


def test_which_lengths_it_is_for() -> None:
    assert [n for n in range(70) if is_power_of_two(n)] == [2, 4, 8, 16, 32, 64]


def test_other_lengths_are_in_float64() -> None:
    """As there is one way of rounding for powers of two alone."""
    options = {"stft_fft_length": 0.1, "stft_window_size": 0.1, "normalize_audio": True}
    x = sounds(2, 1.0)
    with torch.no_grad():
        single, double = (
            ImageSpectrogram(**options_of("compat", {**options, "single_precision": flag}).to_dict())(x)
            for flag in (True, False)
        )
    assert torch.equal(single, double)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_windows_of_one_call_do_not_depend_on_each_other(dtype: torch.dtype) -> None:
    frontend = ImageSpectrogram(**COMPAT.to_dict())
    windows = sounds(1, 2.0)[0].unfold(0, 16000, 1024).clone()
    windows[3, 5000] = 2.0  # a peak of its own
    with torch.no_grad():
        both = frontend(windows.to(dtype))
        assert both.dtype == torch.float32
        for i, window in enumerate(windows):
            assert torch.equal(both[i], frontend(window[None])[0])


def test_it_must_be_true_or_false() -> None:
    with pytest.raises(InvalidOption, match="single_precision must be true or false, got 1"):
        options_of("compat", {"single_precision": 1})


def test_no_loudness_is_too_much_or_too_little() -> None:
    """Subnormal samples, whose factor overflows, and such as have squares that do."""
    x = sounds(1, 1.0)
    normalising, plain = (
        ImageSpectrogram(**options_of("compat", {"normalize_audio": flag}).to_dict()) for flag in (True, False)
    )
    with torch.no_grad():
        expected = normalising(x)
        # 2 ** -135 is so small that samples have some 11 bits left.
        faint = normalising(x * 2.0**-135)
        assert float((faint - expected).abs().median()) < 0.1
        torch.testing.assert_close(normalising(x * 2.0**-110), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(plain(x * 2.0**80), plain(x) + 1600 * np.log10(2.0), rtol=0, atol=1e-3)
        assert bool(torch.isfinite(normalising(torch.full((1, 16000), 1e-45))).all())


def test_not_a_number_reaches_the_check_behind_the_net() -> None:
    picture = Picture(**options_of("compat").to_dict())
    images = picture(torch.full((1, 128, 14), float("nan")))
    assert bool(images.isnan().all())
