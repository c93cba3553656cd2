"""Nets with int8 weights: how far they are from the float ones, and that every engine runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption, MissingExtra
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode, encode_quantized, read_weights
from support import signals, synthetic
from support.engines import ENGINES, EXPORTED_TOLERANCE, check_embeddings

Quantize = Callable[[Path, str], Path]


@pytest.fixture
def quantize(tmp_path: Path) -> Quantize:
    """Writes the int8 weights of a file."""

    def write(path: Path, name: str) -> Path:
        file = read_weights(path)
        target = tmp_path / f"{name}.int8.safetensors"
        target.write_bytes(encode_quantized(file.tensors, {"configuration": name}))
        return target

    return write


def weights_of(name: str, weights_folder: Path, mobilenetv3_folder: Path) -> Path:
    if name == "tiny":
        return Path(hear_edgel3.__file__).parent / "checkpoints" / "tiny" / "model.safetensors"
    return (mobilenetv3_folder if name.startswith("mn") else weights_folder) / f"{name}.safetensors"


def windows(extractor: Extractor, n_sounds: int = 3) -> torch.Tensor:
    """(n, D) embeddings of a few windows of some sounds."""
    rate = extractor.sample_rate
    clips = torch.from_numpy(np.stack([signals.clip(1.0, rate, seed=seed) for seed in range(n_sounds)]))
    return extractor.timestamp_embeddings(clips, 500.0)[0].flatten(0, 1)


def differences(small: Extractor, plain: Extractor) -> tuple[float, float]:
    """The largest difference of embeddings as a fraction of the largest value, and the smallest cosine."""
    found, expected = (windows(each).double() for each in (small, plain))
    cosine = torch.nn.functional.cosine_similarity(found, expected, dim=1)
    return float((found - expected).abs().max() / expected.abs().max()), float(cosine.min())


# What was observed, and a sixth more.
@pytest.mark.parametrize(
    ("name", "error", "cosine"),
    [
        ("sea_64", 0.049, 0.9989),
        ("sparse_95", 0.025, 0.9997),
        ("mn01_as", 0.0026, 0.999999),
        ("mn04_as", 0.0085, 0.999987),
    ],
)
def test_how_far_from_float(
    name: str, error: float, cosine: float, quantize: Quantize, weights_folder: Path, mobilenetv3_folder: Path
) -> None:
    path = weights_of(name, weights_folder, mobilenetv3_folder)
    small = hear_edgel3.load(name, quantize(path, name))
    found, least = differences(small, hear_edgel3.load(name, path))
    assert 0 < found <= error
    assert least >= cosine


@pytest.mark.parametrize("name", ["sea_64", "sparse_95", "mn01_as", "tiny"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_runs_them(
    name: str, engine: str, quantize: Quantize, weights_folder: Path, mobilenetv3_folder: Path, tmp_path: Path
) -> None:
    """As it runs float weights of the same values, bit by bit, and as torch does."""
    path = weights_of(name, weights_folder, mobilenetv3_folder)
    small = quantize(path, name)
    same = tmp_path / "same.safetensors"
    same.write_bytes(encode(read_weights(small).tensors, {"configuration": name}))
    try:
        found, expected = (hear_edgel3.load(name, each, engine=engine) for each in (small, same))
        embeddings = windows(found, 1)
    except (InvalidOption, MissingExtra) as error:
        pytest.skip(str(error))
    assert torch.equal(embeddings, windows(expected, 1))
    plain = windows(hear_edgel3.load(name, small, engine="torch"), 1)
    check_embeddings(embeddings.numpy(), plain.numpy(), EXPORTED_TOLERANCE)


def test_zeros_of_pruned_nets_stay_zero(quantize: Quantize, weights_folder: Path) -> None:
    path = weights_folder / "sparse_95.safetensors"
    found, expected = read_weights(quantize(path, "sparse_95")).tensors, synthetic.state("sparse_95")
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            continue
        assert ((value == 0) <= (found[name] == 0)).all()
    small = hear_edgel3.load("sparse_95", quantize(path, "sparse_95"))
    assert small.engine == hear_edgel3.load("sparse_95", path).engine


# --- the authors' ---


@pytest.fixture
def real_sea(shared: Path, tmp_path: Path) -> Path:
    """The published checkpoint of sea_64, converted."""
    source = shared / "checkpoints" / "edgel3_sea_ust_audio_emb_64.h5.gz"
    if not source.is_file():
        pytest.skip(f"the published checkpoint of sea_64 is not at {source}")
    convert(synthetic.row("sea_64"), source).write(tmp_path / "sea_64.safetensors")
    return tmp_path / "sea_64.safetensors"


def test_the_real_sea_64(real_sea: Path, quantize: Quantize) -> None:
    small = quantize(real_sea, "sea_64")
    assert small.stat().st_size < 0.26 * real_sea.stat().st_size
    error, cosine = differences(hear_edgel3.load("sea_64", small), hear_edgel3.load("sea_64", real_sea))
    assert error <= 0.009
    assert cosine >= 0.9992


def test_the_real_mn04_as(published_mn04_as: Path, quantize: Quantize) -> None:
    small = quantize(published_mn04_as, "mn04_as")
    assert small.stat().st_size < 0.27 * published_mn04_as.stat().st_size
    error, cosine = differences(hear_edgel3.load("mn04_as", small), hear_edgel3.load("mn04_as", published_mn04_as))
    assert error <= 0.021
    assert cosine >= 0.9999


def test_real_recordings(published_mn04_as: Path, quantize: Quantize, shared: Path) -> None:
    """The same classes, and probabilities almost as they were; the page about the format has the figures."""
    files = sorted((shared / "reference" / "real_world").glob("*.flac"))
    if not files:
        pytest.skip("there are no real recordings")
    small = hear_edgel3.Tagger("mn04_as", quantize(published_mn04_as, "mn04_as"))
    plain = hear_edgel3.Tagger("mn04_as", published_mn04_as)
    found, expected = (
        np.stack([tagger.tag_file(file).probabilities.reshape(-1) for file in files]) for tagger in (small, plain)
    )
    assert (found.argmax(1) == expected.argmax(1)).all()
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.mean() >= 0.9997
    assert cosine.min() >= 0.998
