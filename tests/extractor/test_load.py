"""Loading a configuration: its options, and a model that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption, WeightsNotFound
from hear_edgel3.extractor.clip import embed_file
from hear_edgel3.extractor.extractor import Extractor

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"sample_rate": 0}, "sample_rate must be between 8000 and 192000 Hz, got 0"),
    ({"sample_rate": 7999}, "sample_rate must be between 8000 and 192000 Hz, got 7999"),
    ({"sample_rate": 192001}, "sample_rate must be between 8000 and 192000 Hz, got 192001"),
    ({"sample_rate": "16000"}, "sample_rate must be a whole number of Hz, got '16000'"),
    ({"sample_rate": 16000.5}, "sample_rate must be a whole number of Hz, got 16000.5"),
    ({"sample_rate": True}, "sample_rate must be a whole number of Hz, got True"),
    ({"hop_ms": 0}, "hop_ms must be a positive number of milliseconds, got 0"),
    ({"hop_ms": -50}, "hop_ms must be a positive number"),
    ({"hop_ms": float("nan")}, "hop_ms must be a positive number"),
    ({"hop_ms": float("inf")}, "hop_ms must be a positive number"),
    ({"hop_ms": "50"}, "hop_ms must be a positive number of milliseconds, got '50'"),
    ({"hop_ms": 0.1}, "hop_ms=0.1 is less than one sample at 8000 Hz; use at least 0.125"),
    ({"engine": "jax"}, "engine must be one of auto, numba, torch, onnxruntime, openvino, eager; got 'jax'"),
    ({"engine": None}, "engine must be one of auto, numba, torch, onnxruntime, openvino, eager; got None"),
    ({"features": ["logits"]}, "sea_64 has one kind of embedding"),
    ({"features": []}, "features is empty"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=str)
def test_options_are_checked_before_weights_are_looked_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        hear_edgel3.load("sea_64", weights="nowhere.safetensors", **options)
    assert message in str(caught.value)
    with pytest.raises(InvalidOption):
        hear_edgel3.sea_64.load_model("nowhere.safetensors", **options)


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hop_size'"):
        hear_edgel3.load("sea_64", hop_size=0.1)


@pytest.mark.parametrize("weights", [3, b"tiny.safetensors", ["tiny.safetensors"]])
def test_weights_that_are_no_path(weights: Any) -> None:
    with pytest.raises(InvalidOption, match="weights must be the path of a file or folder, as a str or a Path; got"):
        hear_edgel3.load("tiny", weights=weights)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"nowhere.safetensors does not exist"):
        hear_edgel3.load("sea_64", tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match=r"has no sea_64.safetensors"):
        hear_edgel3.load("sea_64", tmp_path)


@pytest.mark.parametrize("rate", [8000, 16000.0, np.int64(44100), 192000])
def test_rates_that_can_be_fed(rate: Any, weights_folder: Path) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, sample_rate=rate)
    assert extractor.sample_rate == rate
    assert type(extractor.sample_rate) is int


def test_a_loaded_model_is_ready_to_run(own_sea: Extractor, weights_folder: Path) -> None:
    assert isinstance(own_sea, torch.nn.Module)
    assert not any(module.training for module in own_sea.modules())
    assert {p.device.type for p in own_sea.parameters()} == {"cpu"}
    assert all(p.dtype == torch.float32 and p.requires_grad for p in own_sea.parameters())
    assert own_sea.weights is not None
    assert own_sea.weights.path == str(weights_folder / "sea_64.safetensors")
    assert (own_sea.sample_rate, own_sea.net_sample_rate, own_sea.window) == (16000, 8000, 8000)
    assert (own_sea.scene_embedding_size, own_sea.timestamp_embedding_size) == (64, 64)
    assert own_sea.engine == "numba"


def test_nets_that_clips_cannot_be_embedded_with(sea: Extractor) -> None:
    begin = "^extractor must be a configuration's name or a loaded extractor, "
    with pytest.raises(InvalidOption, match=begin + "and `weights` goes with a name only$"):
        embed_file("nowhere.wav", sea, weights="w.safetensors")
    with pytest.raises(InvalidOption, match=begin + "got int$"):
        embed_file("nowhere.wav", 5)  # type: ignore[arg-type]
