"""The HEAR 2021 common API: what hear-validator checks (PyPI's and its main branch's), and what it does not."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import oracle, resampy022, signals, synthetic


@pytest.fixture
def module() -> ModuleType:
    return importlib.import_module("hear_edgel3.sea_64")


def test_timestamp_embeddings_are_the_oracles(sea: Extractor, module: ModuleType) -> None:
    """The whole path - halving the rate, centring, front end, net - in float64 NumPy."""
    audio = signals.clip(1.35, 16000)
    framing_hop = 137.0  # no whole number of samples at 8000 Hz
    found, times = module.get_timestamp_embeddings(torch.from_numpy(audio)[None], sea, hop_ms=framing_hop)
    half = resampy022.resample(audio, 16000, 8000)
    padded = np.pad(half, 4000)
    starts = [round(k * framing_hop * 8) for k in range(10)]
    windows = np.stack([np.pad(padded[s : s + 8000], (0, max(0, s + 8000 - len(padded)))) for s in starts])
    expected = oracle.forward(synthetic.oracle_weights("sea_64"), windows)
    assert times.tolist() == [[k * framing_hop for k in range(10)]]
    # 2e-6 of a peak of 30, which is what the numba engine promises; torch stays below 4e-5.
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=6e-5)


def test_scene_is_the_mean_over_windows_a_quarter_second_apart(sea: Extractor, module: ModuleType) -> None:
    audio = torch.from_numpy(signals.clip(1.9, 16000)).float()[None]
    embeddings, times = module.get_timestamp_embeddings(audio, sea, hop_ms=250)
    assert times.shape == (1, 8)
    scene = module.get_scene_embeddings(audio, sea)
    assert scene.shape == (1, 64)
    assert torch.equal(scene, embeddings.double().mean(1).float())  # the same windows in the same groups


def test_native_rate_and_presented_rate(weights_folder: Path) -> None:
    """Fed at 8000 Hz nothing is resampled; fed at 16000 it is upstream's conversion first."""
    presented = hear_edgel3.load("sea_64", weights_folder)
    native = hear_edgel3.load("sea_64", weights_folder, sample_rate=8000)
    assert (presented.sample_rate, native.sample_rate) == (16000, 8000)
    audio = signals.clip(1.2, 16000)
    half = resampy022.resample(audio, 16000, 8000)
    a, _ = presented.timestamp_embeddings(audio[None])
    b, _ = native.timestamp_embeddings(half[None])
    # Both conversions compute in float64; 1e-7 apart, they are rounded to the same float32 or the next: observed 0.
    torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 192000])
def test_any_rate_can_be_fed(rate: int, weights_folder: Path) -> None:
    model = hear_edgel3.load("sea_64", weights_folder, sample_rate=rate)
    embeddings, times = model.timestamp_embeddings(signals.clip(0.3, rate)[None])
    assert embeddings.shape == (1, 7, 64)
    assert times[0, -1] == 300.0


@pytest.mark.parametrize("name", ["sea_64", "mn01_as"])
@pytest.mark.parametrize("rate", [0, 7999, 192_001, 16000.5, 32000.5, "16000", "32000", True])
def test_rates_that_cannot_be_fed(rate: object, name: str, load: Callable[..., Extractor]) -> None:
    with pytest.raises(InvalidOption, match="sample_rate"):
        load(name, sample_rate=rate)


def test_integers_and_wide_floats_mean_the_same(sea: Extractor) -> None:
    audio = signals.clip(0.5, 16000)[None]
    expected, _ = sea.timestamp_embeddings(audio)
    for same in ((audio * 32768).astype(np.int16), audio.astype(np.float32), torch.from_numpy(audio)):
        found, _ = sea.timestamp_embeddings(same)
        assert torch.equal(found, expected)  # float32 holds all 16 bits


def test_the_caller_may_scale(sea: Extractor) -> None:
    """SEA does not hear gain (while the peak of a window's mel amplitudes is above 0.01): decibels are relative."""
    audio = signals.clip(0.5, 16000)[None]
    quiet, _ = sea.timestamp_embeddings(audio)
    loud, _ = sea.timestamp_embeddings(audio * 1e3)
    # float32 rounding of the samples moves decibels by 2e-6; 3e-5 was observed on embeddings of 6
    torch.testing.assert_close(quiet, loud, rtol=0, atol=1e-4)


def test_contract_is_plain_and_complete(sea: Extractor) -> None:
    contract = sea.contract.to_dict()
    assert contract["window_ms"] == 1000.0
    assert contract["hop_ms"] == 50.0
    assert contract["centred"] is True
    assert contract["sample_rate"] == 16000
    assert contract["net_sample_rate"] == 8000


def test_hop_option(weights_folder: Path, module: ModuleType) -> None:
    model = module.load_model(str(weights_folder / "sea_64.safetensors"), hop_ms=100)
    assert model.contract.hop_ms == 100
    _, times = module.get_timestamp_embeddings(torch.zeros(1, 16000), model)
    assert times[0].tolist() == [100.0 * k for k in range(11)]


@pytest.mark.parametrize("hop", [np.float32(33.3), np.int64(40), 40])
def test_hops_of_numpys_types(hop: float, sea: Extractor) -> None:
    _, times = sea.timestamp_embeddings(torch.zeros(1, 16000), hop_ms=hop)
    assert times[0, 1] == np.float32(hop)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(weights_folder: Path) -> None:
    audio = signals.clip(1.0, 16000)[None]
    model = hear_edgel3.load("sea_64", weights_folder)
    expected, _ = model.timestamp_embeddings(audio)
    model.to("cuda")
    on_cpu, _ = model.timestamp_embeddings(torch.from_numpy(audio))
    assert on_cpu.device.type == "cpu"
    on_gpu, times = model.timestamp_embeddings(torch.from_numpy(audio).cuda())
    assert on_gpu.is_cuda
    assert times.is_cuda
    # TF32 is off by default for matrix products but on for convolutions: 1e-3 of the peak
    torch.testing.assert_close(on_gpu.cpu(), expected, rtol=0, atol=1e-3 * float(expected.max()))
