"""What both validators of the HEAR 2021 common API check (PyPI's hear-validator and its main branch's)."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from hear_edgel3.registry.names import resolve
from support import synthetic
from support.write_weights import MOBILENETV3


def noise(n_sounds: int, seconds: float, sample_rate: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n_sounds, int(seconds * sample_rate), generator=generator) * 2 - 1


@pytest.fixture
def seeded_folder(name: str, weights_folder: Path, mobilenetv3_folder: Path) -> Path:
    """Where the weights of a name are."""
    return mobilenetv3_folder if name.startswith("mn") else weights_folder


# Lengths of the two validators: 2.0 and 3.74 s (PyPI), 1.07, 1.98, 4.0 and 2.74 s (main branch).
@pytest.mark.parametrize("seconds", [2.0, 1.07, 1.98, 4.0])
@pytest.mark.parametrize("name", ["sea_64", "sea_512", "mn04_as", "mn01_as_e1_l", "mn01_as_mel_avgs_ts640"])
def test_timestamps_obey_both_validators(name: str, seconds: float, seeded_folder: Path) -> None:
    hear = importlib.import_module(f"hear_edgel3.{name}")
    model = hear.load_model(str(seeded_folder / resolve(name).checkpoint.filename))
    audio = noise(2, seconds, model.sample_rate)
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert embeddings.shape == (2, timestamps.shape[1], model.timestamp_embedding_size)
    steps = torch.diff(timestamps)
    assert (steps - steps.mean()).abs().max() < 1e-3
    assert timestamps[:, 0].eq(0).all()
    assert timestamps.max() <= 1000 * seconds
    assert timestamps.max() > 1000 * seconds - 50
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("seconds", [3.74, 2.74])
@pytest.mark.parametrize("name", ["sea_64", "mn04_as_all_b_mel_avgs"])
def test_scenes_obey_both_validators(name: str, seconds: float, seeded_folder: Path) -> None:
    hear = importlib.import_module(f"hear_edgel3.{name}")
    model = hear.load_model(str(seeded_folder))
    scenes = hear.get_scene_embeddings(noise(2, seconds, model.sample_rate), model)
    assert scenes.dtype == torch.float32
    assert scenes.shape == (2, model.scene_embedding_size)
    assert scenes.isfinite().all()


@pytest.mark.parametrize("name", [*synthetic.NAMES, *MOBILENETV3])
def test_model_attributes(name: str, seeded_folder: Path) -> None:
    model = importlib.import_module(f"hear_edgel3.{name}").load_model(str(seeded_folder))
    assert model.sample_rate == resolve(name).checkpoint.sample_rate
    assert model.sample_rate in (16000, 22050, 44100, 48000)
    for size in (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size):
        assert type(size) is int
    assert isinstance(model, torch.nn.Module)
    assert not any(module.training for module in model.modules())
    assert next(model.parameters()).device.type == "cpu"
