"""Pictures against the outputs of DeepSpectrumLite 1.0.2 (TensorFlow 2.15.1), where they are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.families.image.frontend import ImageSpectrogram, mel_bank
from hear_edgel3.families.image.options import options_of
from hear_edgel3.families.image.picture import Picture, normalised

# Kept by both sides: chunks 0 and 4.
SHOWN = [0, 4]


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    folder = shared / "reference" / "spectrogram_image"
    if not folder.is_dir():
        pytest.skip(f"the outputs of DeepSpectrumLite are not at {folder}")
    with np.load(folder / "dsl_pipeline_reference.npz") as file:
        found: dict[str, Any] = dict(file)
    chunks = []
    for name, start in zip(found["chunk_file"], found["chunk_start"], strict=True):
        samples, rate = soundfile.read(folder / Path(str(name)).with_suffix(".wav").name, dtype="float32")
        assert rate == 16000
        chunks.append(samples[start : start + 32000])
    found["chunks"] = torch.from_numpy(np.stack(chunks))
    return found


def spectrogram(reference: dict[str, Any], **options: Any) -> np.ndarray:
    with torch.no_grad():
        made = ImageSpectrogram(**options_of("compat", options).to_dict())(reference["chunks"])
    return made.transpose(1, 2).numpy()


def picture(spectrograms: np.ndarray, **options: Any) -> np.ndarray:
    """(n, height, width, 3) of (n, T, F)."""
    made = Picture(**options_of("compat", options).to_dict())(torch.from_numpy(spectrograms).transpose(1, 2))
    return made.permute(0, 2, 3, 1).numpy()


def off(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


def test_mel_banks(reference: dict[str, Any]) -> None:
    # There in float32.
    assert off(mel_bank(16000, 2048, 128, 0.0, 8000.0).numpy(), reference["mel_matrix_128_1025"]) < 3e-5
    assert off(mel_bank(16000, 512, 64, 125.0, 7500.0).numpy(), reference["mel_matrix_64_257"]) < 3e-5


def test_decibels(reference: dict[str, Any]) -> None:
    # What is left is of the mel bank, which is in float32 there.
    assert off(spectrogram(reference), reference["ex_mel_db"]) < 1e-3
    assert off(spectrogram(reference, normalize_audio=False), reference["ci_mel_db"]) < 1e-3
    assert off(spectrogram(reference, single_precision=False), reference["ex_mel_db"]) < 0.02
    shorter = {"stft_window_size": 0.025, "stft_hop_size": 0.01, "stft_fft_length": 0.032, "num_mel_bins": 64}
    found = spectrogram(reference, **shorter, lower_edge_hertz=125.0, upper_edge_hertz=7500.0)
    assert off(found[SHOWN], reference["alt_mel_db"]) < 1e-3


def test_powers(reference: dict[str, Any]) -> None:
    found, expected = spectrogram(reference, db_scale=False), reference["rg_mel_power"]
    assert off(found, expected) < 3e-6 * expected.max()
    images = torch.from_numpy(picture(found[SHOWN])).permute(0, 3, 1, 2)
    assert off(normalised(images, "caffe").permute(0, 2, 3, 1).numpy(), reference["rg_img_squeezenet"]) < 0.05


def test_mfccs(reference: dict[str, Any]) -> None:
    for name, options in {"ex_mfcc40": {}, "ex_mfcc40_lift22": {"cep_lifter": 22}}.items():
        found, expected = spectrogram(reference, num_mfccs=40, **options), reference[name]
        # There relative to the louder of two chunks, which moves the first coefficient by a constant.
        moved = (found - expected)[:, :, :1].mean(axis=1, keepdims=True)
        assert np.abs(moved[::2]).min() < 0.02 or np.abs(moved[1::2]).min() < 0.02
        moved = np.concatenate([moved, np.zeros_like(found[:, :1, 1:])], axis=2)
        lifted = 12 if options else 1
        assert off(found - moved, expected) < 0.01 * lifted
    logarithms = spectrogram(reference, num_mfccs=40, db_scale=False)
    assert off(logarithms, reference["ex_mfcc40_ln"]) < 1e-3


def test_pictures_of_its_own_spectrograms(reference: dict[str, Any]) -> None:
    own = reference["ex_mel_db"]
    assert off(picture(own[SHOWN]), reference["ex_img_0_255"]) < 1e-3
    bilinear = picture(own[:1], resize_method="bilinear", anti_alias=True)
    assert off(bilinear, reference["ex_img_bilinear_aa_0_255"]) < 1e-3
    small = {"image_width": 64, "image_height": 96}
    for method in ("bicubic", "area", "lanczos3", "gaussian", "mitchellcubic"):
        found = picture(own[:1], resize_method=method, anti_alias=True, **small)
        assert off(found, reference[f"ex_img64_{method}_aa"]) < 1e-3, method
    for name in ("viridis", "cividis", "inferno", "magma", "plasma"):
        assert off(picture(own[:1], color_map=name, **small), reference[f"ex_img64_{name}"]) < 1e-3, name
    images = torch.from_numpy(reference["ex_img_0_255"]).permute(0, 3, 1, 2)
    assert off(normalised(images, "torch").permute(0, 2, 3, 1).numpy(), reference["ex_img_densenet121"]) < 1e-5


def test_pictures_of_sound(reference: dict[str, Any]) -> None:
    """What it rounds in float32, 0.01 dB in quiet bands, is rounded here as well."""
    made = spectrogram(reference)
    assert off(picture(made[SHOWN]), reference["ex_img_0_255"]) < 1e-3
    bilinear = {"resize_method": "bilinear", "anti_alias": True}
    assert off(picture(made[:1], **bilinear), reference["ex_img_bilinear_aa_0_255"]) < 1e-3
    exact = picture(spectrogram(reference, single_precision=False)[:1], **bilinear)
    assert off(exact, reference["ex_img_bilinear_aa_0_255"]) < 0.05
    plain = spectrogram(reference, normalize_audio=False)
    assert off(picture(plain[SHOWN], color_map="cividis"), reference["ci_img_0_255"]) < 0.1
