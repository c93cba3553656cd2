"""The bugs of edgel3 0.2.1 that the drop-in does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import save_file

from hear_edgel3 import edgel3
from hear_edgel3.edgel3.models import configuration_name
from hear_edgel3.errors import InvalidOption, WeightsNotFound
from hear_edgel3.extractor.extractor import Extractor
from support import oracle, signals, synthetic
from support.edgel3_oracle import by_the_oracle


def test_the_rate_follows_the_model(sea: Extractor, sparse: Extractor) -> None:
    clip = signals.clip(1.0, 48000)
    default = edgel3.get_embedding(clip, 48000, sea, hop_size=0.5)[0]
    for model_type in ("sparse", "sea"):
        again = edgel3.get_embedding(clip, 48000, sea, model_type=model_type, hop_size=0.5)[0]
        np.testing.assert_array_equal(again, default)
    np.testing.assert_allclose(default, by_the_oracle(clip, 48000, 0.5)[0], rtol=0, atol=1e-4)
    embedding, _ = edgel3.get_embedding(clip, 48000, sparse, model_type="sea", center=False)
    assert embedding.shape == (1, 512)


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "sea"},
        {"model_type": "openl3"},
        {"model_type": None},
        {"emb_dim": 512},
        {"emb_dim": 50},
        {"emb_dim": None},
        {"retrain_type": "kd"},
        {"retrain_type": 1},
        {"sparsity": 53.5},
        {"sparsity": 40},
        {"sparsity": None},
        {"sparsity": float("nan")},
        {"weights": "nowhere.safetensors"},
    ],
    ids=str,
)
def test_options_that_choose_a_model_are_ignored_when_one_is_passed(
    options: dict[str, Any], sea: Extractor, noise: np.ndarray, reference: np.ndarray, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(edgel3.get_embedding(noise, 8000, sea, hop_size=0.5, **options)[0], reference)
    soundfile.write(tmp_path / "clip.wav", noise, 8000)
    edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=0.5, **options)
    with np.load(tmp_path / "clip.npz") as found:
        np.testing.assert_array_equal(found["embedding"], reference)


SPARSITIES = [
    (53.5, "sparse_53"),
    (63.5, "sparse_63"),
    (72.3, "sparse_72"),
    (73.5, "sparse_73"),
    (81.0, "sparse_81"),
    (81, "sparse_81"),
    (87.0, "sparse_87"),
    (87, "sparse_87"),
    (90.5, "sparse_90"),
    (95.45, "sparse_95"),
    (np.float32(95.45), "sparse_95"),
    (np.float64(72.3), "sparse_72"),
    (np.int64(87), "sparse_87"),
]


@pytest.mark.parametrize(("sparsity", "name"), SPARSITIES)
def test_every_published_sparsity(sparsity: Any, name: str, tmp_path: Path) -> None:
    assert configuration_name(sparsity=sparsity) == name
    assert configuration_name("sparse", None, "kd", sparsity) == f"{name}_kd"
    # ... and that is the checkpoint which is then looked for
    for retrain_type, wanted in (("ft", name), ("kd", f"{name}_kd")):
        with pytest.raises(WeightsNotFound, match=rf"has no {wanted}\.safetensors"):
            edgel3.models.load_embedding_model("sparse", 128, retrain_type, sparsity, weights=tmp_path)
        with pytest.raises(WeightsNotFound, match=rf"has no {wanted}\.safetensors"):
            edgel3.get_embedding(
                np.ones(48000), 48000, retrain_type=retrain_type, sparsity=sparsity, weights=tmp_path, verbose=0
            )


def test_a_second_checkpoint_is_really_another_model(sparse: Extractor, tmp_path: Path) -> None:
    state = synthetic.state("sparse_95")
    state["convs.7.bias"] = state["convs.7.bias"] + 1
    save_file(state, tmp_path / "sparse_87.safetensors", {"hear_edgel3": json.dumps({"configuration": "sparse_87"})})
    clip = signals.windows(48000)[0]
    found = edgel3.get_embedding(clip, 48000, sparsity=87, weights=tmp_path, center=False)[0]
    expected = edgel3.get_embedding(clip, 48000, sparse, center=False)[0] + 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_process_file_honours_retrain_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 48000), 48000)
    with pytest.raises(WeightsNotFound, match="has no sparse_95_kd"):
        edgel3.process_file(tmp_path / "clip.wav", retrain_type="kd", weights=tmp_path)
    metadata = {"hear_edgel3": json.dumps({"configuration": "sparse_95_kd"})}
    save_file(synthetic.state("sparse_95"), tmp_path / "sparse_95_kd.safetensors", metadata)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    edgel3.process_file(tmp_path / "clip.wav", retrain_type="kd", center=False)
    with np.load(tmp_path / "clip.npz") as found:
        assert found["configuration"] == "sparse_95_kd"
        assert found["embedding"].shape == (1, 512)


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_every_sea_model(size: int, weights_folder: Path) -> None:
    clip = signals.clip(1.0, 8000)
    embedding, _ = edgel3.get_embedding(
        clip, 8000, model_type="sea", emb_dim=size, weights=weights_folder, center=False
    )
    expected = oracle.forward(synthetic.oracle_weights(f"sea_{size}"), clip[None])
    np.testing.assert_allclose(embedding, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [64.0, np.int64(64), np.float32(64)])
def test_sizes_that_equal_a_whole_number(size: Any, weights_folder: Path) -> None:
    model = edgel3.models.load_embedding_model("sea", size, "zzz", "zzz", weights=weights_folder)  # as upstream: unread
    assert model.configuration.name == "sea_64"


def test_load_embedding_model_path(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    assert edgel3.models.load_embedding_model_path("sea", 64, "ft", 95.45) == str(weights_folder / "sea_64.safetensors")
    with pytest.raises(InvalidOption, match="invalid model_type 'bogus'"):
        edgel3.models.load_embedding_model_path("bogus", 64, "ft", 95.45)


def test_pcm_means_the_same_at_every_rate(sea: Extractor) -> None:
    for rate in (8000, 16000):
        clip = signals.clip(1.0, rate, 2)
        expected = edgel3.get_embedding(clip, rate, sea, hop_size=0.5)[0]
        found = edgel3.get_embedding((clip * 32768).astype(np.int16), rate, sea, hop_size=0.5)[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_views_are_read_right(sea: Extractor) -> None:
    clip = signals.clip(1.0, 16000)
    for view in (clip[::2], clip[::-2]):
        assert view.strides[0] not in (8, 0)
        expected = edgel3.get_embedding(view.copy(), 8000, sea, center=False)[0]
        np.testing.assert_array_equal(edgel3.get_embedding(view, 8000, sea, center=False)[0], expected)
        np.testing.assert_allclose(expected, by_the_oracle(view, 8000, center=False)[0], rtol=0, atol=1e-4)
