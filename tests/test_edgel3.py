"""The drop-in for edgel3 0.2.1: the same signatures and arrays, and none of its bugs.

What the original did with each bad input was recorded by running it; the tables below have every one of those cases.
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

import hear_edgel3
from hear_edgel3 import edgel3
from hear_edgel3.edgel3.models import configuration_name
from hear_edgel3.errors import (
    AudioFileError,
    InvalidAudio,
    InvalidOption,
    OutputError,
    WeightsNotFound,
)
from hear_edgel3.extractor.extractor import Extractor
from support import oracle, resampy022, signals, synthetic


@pytest.fixture(scope="module")
def sea(weights_folder: Path) -> Extractor:
    return edgel3.models.load_embedding_model("sea", 64, weights=weights_folder)


@pytest.fixture(scope="module")
def sparse(weights_folder: Path) -> Extractor:
    return edgel3.models.load_embedding_model(weights=weights_folder)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return signals.clip(1.5, 8000)


@pytest.fixture(scope="module")
def reference(sea: Extractor, noise: np.ndarray) -> np.ndarray:
    """Embedding of ``noise`` every half second."""
    return edgel3.get_embedding(noise, 8000, sea, hop_size=0.5)[0]


def by_the_oracle(clip: np.ndarray, rate: int, hop: float = 0.1, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """What edgel3 computes with the seeded SEA-64, in float64 and without any code of this package."""
    samples = clip if clip.ndim == 1 else clip.mean(axis=1)
    samples = samples if rate == 8000 else resampy022.resample(samples, rate, 8000)
    frames, times = oracle.get_frames(samples, 8000, center, hop)
    return oracle.forward(synthetic.oracle_weights("sea_64"), frames), times


# --- signatures ---


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_signatures_and_defaults_are_the_old_ones() -> None:
    required = inspect.Parameter.empty
    old_embedding = {
        "audio": required,
        "sr": required,
        "model": None,
        "model_type": "sparse",
        "emb_dim": 128,
        "retrain_type": "ft",
        "sparsity": 95.45,
        "center": True,
        "hop_size": 0.1,
        "verbose": 1,
    }
    old_process = {
        "filepath": required,
        "output_dir": None,
        "suffix": None,
        "model": None,
        "model_type": "sparse",
        "emb_dim": 128,
        "sparsity": 95.45,
        "center": True,
        "hop_size": 0.1,
        "verbose": True,
    }
    # New options come after the old ones, so that positional calls mean what they meant.
    assert list(parameters(edgel3.get_embedding).items())[:10] == list(old_embedding.items())
    assert parameters(edgel3.get_embedding) == old_embedding | {"weights": None}
    assert list(parameters(edgel3.process_file).items())[:10] == list(old_process.items())
    assert parameters(edgel3.process_file) == old_process | {"retrain_type": "ft", "weights": None}
    assert parameters(edgel3.get_output_path) == {"filepath": required, "suffix": required, "output_dir": None}
    four = ["model_type", "emb_dim", "retrain_type", "sparsity"]
    assert list(parameters(edgel3.models.load_embedding_model))[:4] == four
    assert list(parameters(edgel3.models.load_embedding_model_path))[:4] == four


def test_old_except_clauses_catch_everything() -> None:
    for error in (InvalidAudio, InvalidOption, AudioFileError, OutputError, WeightsNotFound):
        assert issubclass(error, edgel3.EdgeL3Error)
    assert issubclass(edgel3.EdgeL3Warning, UserWarning)


# --- the same arrays ---


def test_kinds_of_results(sea: Extractor, noise: np.ndarray) -> None:
    embedding, timestamps = edgel3.get_embedding(noise, 8000, sea)
    assert isinstance(embedding, np.ndarray)
    assert isinstance(timestamps, np.ndarray)
    assert (embedding.shape, embedding.dtype) == ((11, 64), np.float32)
    assert (timestamps.shape, timestamps.dtype) == ((11,), np.float64)
    assert embedding.flags.writeable


@pytest.mark.parametrize(
    ("rate", "channels", "hop", "center"),
    [
        (8000, 1, 0.1, True),
        (44100, 2, 0.1, True),
        (44100, 2, 0.33, False),
        (16000, 5, 0.33, True),
        (22050, 1, 0.5, False),
    ],
)
def test_embeddings_are_the_oracles(rate: int, channels: int, hop: float, center: bool, sea: Extractor) -> None:
    clip = signals.clip(1.2, rate, channels, seed=rate)
    expected, times = by_the_oracle(clip, rate, hop, center)
    embedding, timestamps = edgel3.get_embedding(clip, rate, sea, hop_size=hop, center=center)
    np.testing.assert_array_equal(timestamps, times)
    np.testing.assert_allclose(embedding, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("seconds", "hop", "center", "count"),
    [
        (1.0, 0.1, True, 6),
        (2.0, 0.1, True, 16),
        (1.0, 0.1, False, 1),
        (2.0, 0.1, False, 11),
        (1.05, 0.1, False, 2),
        (0.9, 0.1, True, 5),
        (0.4, 0.1, True, 1),
        (1.5, 2.0, True, 2),
        (2.0, 0.5, False, 3),
    ],
)
@pytest.mark.filterwarnings("ignore:Duration of provided audio is shorter:hear_edgel3.edgel3.EdgeL3Warning")
def test_number_of_windows(seconds: float, hop: float, center: bool, count: int, sea: Extractor) -> None:
    clip = signals.clip(seconds, 8000)
    embedding, timestamps = edgel3.get_embedding(clip, 8000, sea, hop_size=hop, center=center)
    assert len(embedding) == count
    np.testing.assert_array_equal(timestamps, np.arange(count) * hop)


def test_the_sparse_model_at_its_own_rate(sparse: Extractor) -> None:
    window = signals.windows(48000)[:1]
    embedding, timestamps = edgel3.get_embedding(window[0], 48000, sparse, center=False)
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.testing.assert_allclose(embedding, golden["emb__sparse_95"][:1], rtol=0, atol=1e-4)
    assert timestamps.tolist() == [0.0]


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_arrays_and_files_give_the_same(rate: int, sea: Extractor, tmp_path: Path) -> None:
    clip = signals.clip(9.2, rate, 2, seed=3)  # more than one block of a file, more than one piece of an array
    soundfile.write(tmp_path / "clip.flac", clip, rate)
    embedding, timestamps = edgel3.get_embedding(clip, rate, sea, hop_size=0.7)
    from_file = hear_edgel3.embed_file(tmp_path / "clip.flac", sea, hop_size=0.7)
    np.testing.assert_array_equal(timestamps, from_file.timestamps)
    # The blocks differ, so float64 sums of the resampler may; after rounding to float32 hardly anything is left.
    np.testing.assert_allclose(embedding, from_file.embedding, rtol=0, atol=2e-5)
    assert from_file.configuration == "sea_64"


def test_process_file_writes_the_arrays_of_embed_file(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.2, 11025), 11025)
    assert edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=0.25, center=False) is None
    expected = hear_edgel3.embed_file(tmp_path / "clip.wav", sea, hop_size=0.25, center=False)
    with np.load(tmp_path / "clip.npz") as found:
        np.testing.assert_array_equal(found["embedding"], expected.embedding)
        np.testing.assert_array_equal(found["timestamps"], expected.timestamps)
        assert (found["embedding"].dtype, found["timestamps"].dtype) == (np.float32, np.float64)


# --- its bugs, fixed ---


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


# --- every bad input that was tried on the original ---

ZEROS = np.zeros(12000)
BAD_AUDIO: dict[str, tuple[Any, int, str]] = {
    "empty (0,)": (np.zeros(0), 8000, "is empty"),
    "empty (0,2)": (np.zeros((0, 2)), 8000, "is empty"),
    "1 sample @48k": (np.ones(1), 48000, "audio of 1 samples at 48000 Hz is too short; sea_64 needs at least 6"),
    "5 samples @48k": (np.ones(5), 48000, "audio of 5 samples at 48000 Hz is too short; sea_64 needs at least 6"),
    "one NaN @8k": (np.where(np.arange(12000) == 777, np.nan, 0.1), 8000, "sample 777 is NaN"),
    "one NaN @16k": (np.where(np.arange(24000) == 777, np.nan, 0.1), 16000, "sample 777 is NaN"),
    "one inf @8k": (np.where(np.arange(12000) == 777, np.inf, 0.1), 8000, "sample 777 is infinite"),
    "3-D": (np.ones((100, 2, 2)), 8000, "got 3 dimensions"),
    "3-D empty": (np.ones((0, 2, 2)), 8000, "got 3 dimensions"),
    "0-D": (np.array(0.5), 8000, "got 0 dimensions"),
    "number": (0.5, 8000, "got 0 dimensions"),
    "None": (None, 8000, "must be an array of samples, got None"),
    "(2,N)": (np.ones((2, 12000)), 8000, "looks like .channels, n_samples."),
    "(1,N) @48k": (np.ones((1, 48000)), 48000, "looks like .channels, n_samples."),
    "bool": (np.ones(12000, bool), 8000, "has type bool"),
    "complex": (np.ones(12000, complex), 8000, "has type complex128"),
    "object": (np.ones(12000, object), 8000, "has type object"),
    "strings": (np.array(["a", "b"]), 8000, "has type <U1"),
    "int64": (np.ones(12000, np.int64), 8000, "has type int64"),
}


@pytest.mark.parametrize("case", BAD_AUDIO)
@pytest.mark.filterwarnings("ignore::hear_edgel3.edgel3.EdgeL3Warning")
def test_audio_that_cannot_be_used(case: str, sea: Extractor) -> None:
    audio, rate, message = BAD_AUDIO[case]
    with pytest.raises(edgel3.EdgeL3Error, match=message) as caught:
        edgel3.get_embedding(audio, rate, sea)
    assert isinstance(caught.value, InvalidAudio)


GOOD_AUDIO: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda x: x.tolist(),
    "tuple": tuple,
    "tensor": torch.from_numpy,
    "(N,1)": lambda x: x[:, None],
    "(N,2)": lambda x: np.stack([x, x], axis=1),
    "float32": lambda x: x.astype(np.float32),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "int16": lambda x: (x * 32768).astype(np.int16),
    "int32": lambda x: (x * 2.0**31).astype(np.int32),
    "x1e6": lambda x: x * 1e6,  # SEA does not hear the gain
}


@pytest.mark.parametrize("case", GOOD_AUDIO)
def test_audio_that_can_be_used(case: str, sea: Extractor, noise: np.ndarray, reference: np.ndarray) -> None:
    found = edgel3.get_embedding(GOOD_AUDIO[case](noise), 8000, sea, hop_size=0.5)[0]
    # Another gain is another rounding: each is within 2e-6 of a peak of 30 (the numba engine's promise).
    np.testing.assert_allclose(found, reference, rtol=0, atol=1.2e-4 if case == "x1e6" else 0)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_float16(rate: int, sea: Extractor) -> None:
    clip = signals.clip(1.0, rate).astype(np.float16)
    expected = edgel3.get_embedding(clip.astype(np.float64), rate, sea)[0]
    np.testing.assert_allclose(edgel3.get_embedding(clip, rate, sea)[0], expected, rtol=0, atol=1e-5)


# Options: (value, expected). A text is the error, a tuple the shape of the embedding of 1.5 s, every 0.5 s by default.
OPTIONS: list[tuple[str, Any, Any]] = [
    ("sr", 0, "sr must be between 1000 and 768000 Hz, got 0"),
    ("sr", -8000, "sr must be between 1000"),
    ("sr", 44100.5, "sr must be a whole number of Hz, got 44100.5"),
    ("sr", "8000", "sr must be a whole number of Hz, got '8000'"),
    ("sr", None, "sr must be a whole number of Hz, got None"),
    ("sr", True, "sr must be a whole number of Hz, got True"),
    ("sr", 10_000_000, "sr must be between 1000 and 768000 Hz"),
    ("sr", float("nan"), "sr must be a whole number"),
    ("sr", float("inf"), "sr must be a whole number"),
    ("sr", 8000, (3, 64)),
    ("sr", 8000.0, (3, 64)),
    ("sr", np.int32(8000), (3, 64)),
    ("hop_size", 0, "hop_size must be a positive number of seconds, got 0"),
    ("hop_size", 0.0, "hop_size must be a positive number of seconds, got 0.0"),
    ("hop_size", -1, "hop_size must be a positive number"),
    ("hop_size", "a", "hop_size must be a positive number of seconds, got 'a'"),
    ("hop_size", None, "hop_size must be a positive number"),
    ("hop_size", True, "hop_size must be a positive number"),
    ("hop_size", False, "hop_size must be a positive number"),
    ("hop_size", float("nan"), "hop_size must be a positive number"),
    ("hop_size", float("inf"), "hop_size must be a positive number"),
    ("hop_size", 1e-5, "hop_size=1e-05 is less than one sample at 8000 Hz; use at least 0.000125"),
    ("hop_size", 0.00012499, "hop_size=0.00012499 is less than one sample"),
    ("hop_size", np.array(0.1), "hop_size must be a positive number"),
    ("hop_size", np.array([0.1]), "hop_size must be a positive number"),
    ("hop_size", 1e308, "hop_size must be at most 1e+09 seconds, got 1e+308"),
    ("hop_size", Decimal("0.1"), "hop_size must be a positive number"),
    ("hop_size", 2.0, (2, 64)),
    ("hop_size", 5, (2, 64)),
    ("hop_size", np.float32(0.1), (11, 64)),
    ("hop_size", np.float64(0.1), (11, 64)),
    ("hop_size", Fraction(1, 10), (11, 64)),
    ("hop_size", 0.33, (5, 64)),
    ("hop_size", 0.29, (5, 64)),
    ("center", 1, (3, 64)),
    ("center", 0, (2, 64)),
    ("center", 1.0, (3, 64)),
    ("center", np.True_, (3, 64)),
    ("center", np.int64(0), (2, 64)),
    ("center", "invalid", "center must be True or False, got 'invalid'"),
    ("center", None, "center must be True or False, got None"),
    ("center", [True], "center must be True or False"),
    ("center", 2, "center must be True or False, got 2"),
    ("center", float("nan"), "center must be True or False"),
    ("verbose", True, (3, 64)),
    ("verbose", 0, (3, 64)),
    ("verbose", 2, "verbose must be True or False, got 2"),
    ("verbose", -1, "verbose must be True or False, got -1"),
    ("verbose", None, "verbose must be True or False, got None"),
    ("verbose", "0", "verbose must be True or False, got '0'"),
    ("model", "invalid", "model must come from models.load_embedding_model, got str"),
    ("model", torch.nn.Linear(2, 2), "model must come from models.load_embedding_model, got Linear"),
    ("model", Extractor, "model must come from models.load_embedding_model, got type"),
]


@pytest.mark.parametrize(("option", "value", "expected"), OPTIONS, ids=lambda x: str(x)[:40])
def test_options(option: str, value: Any, expected: Any, sea: Extractor, noise: np.ndarray) -> None:
    arguments = {"audio": noise, "sr": 8000, "model": sea, "hop_size": 0.5} | {option: value}
    if isinstance(expected, str):
        with pytest.raises(edgel3.EdgeL3Error) as caught:
            edgel3.get_embedding(**arguments)
        assert expected in str(caught.value)
        assert isinstance(caught.value, InvalidOption)
    else:
        embedding, timestamps = edgel3.get_embedding(**arguments)
        assert embedding.shape == expected
        assert timestamps.dtype == np.float64


# Options that choose a model, with no model given: the configuration, or the error.
CHOICES: list[tuple[dict[str, Any], str]] = [
    ({"model_type": None}, "invalid model_type None; it must be 'sparse' or 'sea'"),
    ({"model_type": "SEA"}, "invalid model_type 'SEA'"),
    ({"model_type": "openl3"}, "invalid model_type 'openl3'"),
    ({"model_type": 1}, "invalid model_type 1"),
    ({"model_type": "sea", "emb_dim": 50}, "invalid emb_dim 50; it must be one of 64, 128, 256, 512"),
    ({"model_type": "sea", "emb_dim": "64"}, "invalid emb_dim '64'"),
    ({"model_type": "sea", "emb_dim": None}, "invalid emb_dim None"),
    ({"model_type": "sea", "emb_dim": True}, "invalid emb_dim True"),
    ({"model_type": "sea", "emb_dim": 6144}, "invalid emb_dim 6144"),
    ({"model_type": "sea", "emb_dim": 64.5}, "invalid emb_dim 64.5"),
    ({"retrain_type": 1}, "invalid retrain_type 1; it must be 'ft' or 'kd'"),
    ({"retrain_type": None}, "invalid retrain_type None"),
    ({"retrain_type": "FT"}, "invalid retrain_type 'FT'"),
    ({"sparsity": 40}, "invalid sparsity 40; it must be one of 53.5, 63.5, 72.3, 73.5, 81.0, 87.0, 90.5, 95.45"),
    ({"sparsity": -95.45}, "invalid sparsity -95.45"),
    ({"sparsity": 0}, "invalid sparsity 0"),
    ({"sparsity": "invalid"}, "invalid sparsity 'invalid'"),
    ({"sparsity": None}, "invalid sparsity None"),
    ({"sparsity": True}, "invalid sparsity True"),
    ({"sparsity": float("nan")}, "invalid sparsity nan"),
    ({"sparsity": 95}, "invalid sparsity 95"),
    ({"sparsity": 87.001}, "invalid sparsity 87.001"),
]


@pytest.mark.parametrize(("options", "message"), CHOICES, ids=str)
def test_models_that_do_not_exist(options: dict[str, Any], message: str, noise: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", noise, 8000)
    for call in (
        lambda: edgel3.get_embedding(noise, 8000, **options),
        lambda: edgel3.process_file(tmp_path / "clip.wav", **options),
        lambda: edgel3.models.load_embedding_model(**options),
        lambda: edgel3.models.load_embedding_model_path(**options),
    ):
        with pytest.raises(edgel3.EdgeL3Error) as caught:
            call()
        assert message in str(caught.value)
        assert isinstance(caught.value, InvalidOption)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.wav"]


# --- warnings ---


def warned(function: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    assert all(w.category is edgel3.EdgeL3Warning for w in caught)
    assert all(w.filename == __file__ for w in caught)  # points at the caller's line
    return [str(w.message) for w in caught]


SILENT, SHORT = "Provided audio is all zeros", "Duration of provided audio is shorter than window size"


@pytest.mark.parametrize(
    ("clip", "rate", "expected"),
    [
        (signals.clip(1.0, 8000), 8000, []),
        (signals.clip(1.0, 44100), 44100, []),
        (np.zeros(12000), 8000, [SILENT]),
        (np.zeros((12000, 2), np.int16), 8000, [SILENT]),
        (np.full(12000, 128, np.uint8), 8000, [SILENT]),
        (signals.clip(0.4, 8000), 8000, [SHORT]),
        (signals.clip(0.9, 44100), 44100, [SHORT]),
        (np.ones(7999), 8000, [SHORT]),
        (np.ones(1), 8000, [SHORT]),
        (np.ones(6), 48000, [SHORT]),
        (np.zeros(10), 8000, [SILENT, SHORT]),
    ],
    ids=["1 s", "1 s resampled", "zeros", "zero pcm", "zero u8", "0.4 s", "0.9 s", "one short", "1", "6 @48k", "both"],
)
def test_unusual_audio_is_embedded_with_a_warning(
    clip: np.ndarray, rate: int, expected: list[str], sea: Extractor
) -> None:
    found = warned(lambda: edgel3.get_embedding(clip, rate, sea))
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_silence_is_finite_and_the_same_in_every_window(sea: Extractor) -> None:
    with pytest.warns(edgel3.EdgeL3Warning, match="all zeros"):
        embedding, _ = edgel3.get_embedding(ZEROS, 8000, sea)
    assert embedding.shape == (11, 64)
    np.testing.assert_allclose(embedding, by_the_oracle(ZEROS, 8000)[0], rtol=0, atol=1e-4)


def test_short_audio_is_padded_at_the_end(sea: Extractor) -> None:
    clip = signals.clip(0.4, 8000)
    with pytest.warns(edgel3.EdgeL3Warning, match="will be padded"):
        found = edgel3.get_embedding(clip, 8000, sea, center=False)[0]
    padded = edgel3.get_embedding(np.pad(clip, (0, 4800)), 8000, sea, center=False)[0]
    np.testing.assert_array_equal(found, padded)


def test_nothing_is_printed(sea: Extractor, noise: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    edgel3.get_embedding(noise, 8000, sea, verbose=1)
    assert capfd.readouterr() == ("", "")


# --- files ---


@pytest.mark.parametrize(
    ("path", "suffix", "folder", "expected"),
    [
        ("/a/b.wav", "kd.npz", None, "/a/b_kd.npz"),
        ("/a/b.wav", ".npz", None, "/a/b.npz"),
        ("/a/b.c.wav", "x.npz", None, "/a/b.c_x.npz"),
        ("b.wav", ".npz", None, "b.npz"),
        ("b.wav", "x.npz", None, "b_x.npz"),
        ("/a/b.wav", "kd.npz", "/d/e", "/d/e/b_kd.npz"),
        ("/a/b.wav", ".npz", "/d/e/", "/d/e/b.npz"),
        ("b.wav", ".npz", "d", "d/b.npz"),
        ("/a/b.wav", "", None, "/a/b"),  # an IndexError in the original
        ("/a/b", "x.npz", None, "/a/b_x.npz"),
        ("/a.b/c", ".npz", None, "/a.b/c.npz"),
        (Path("/a/b.wav"), "kd.npz", Path("/d"), "/d/b_kd.npz"),
    ],
)
def test_get_output_path(path: str | Path, suffix: str, folder: str | Path | None, expected: str) -> None:
    found = edgel3.get_output_path(path, suffix, folder)
    assert isinstance(found, str)
    assert found == expected.replace("/", os.sep)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(None, "a.b.npz"), ("", "a.b.npz"), ("s", "a.b_s.npz"), (".s", "a.b.s.npz"), ("é 1", "a.b_é 1.npz")],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_names_of_results(suffix: str | None, name: str, elsewhere: bool, sea: Extractor, tmp_path: Path) -> None:
    source = tmp_path / "in" / "a.b.wav"
    source.parent.mkdir()
    (tmp_path / "out").mkdir()
    soundfile.write(source, signals.clip(1.0, 8000), 8000)
    edgel3.process_file(str(source), str(tmp_path / "out") if elsewhere else None, suffix, sea, hop_size=1.0)
    results = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.npz"))
    assert results == [f"{'out' if elsewhere else 'in'}/{name}"]


def test_contents_of_results(sea: Extractor, weights_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    edgel3.process_file(tmp_path / "clip.wav", model=sea)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as found:
        assert sorted(found.files) == [
            "center",
            "configuration",
            "embedding",
            "embedding_version",
            "hop_size",
            "source",
            "timestamps",
            "weights_sha256",
        ]
        assert str(found["configuration"]) == "sea_64"
        assert int(found["embedding_version"]) == 1
        assert str(found["source"]) == str(tmp_path / "clip.wav")
        digest = hashlib.sha256((weights_folder / "sea_64.safetensors").read_bytes()).hexdigest()
        assert str(found["weights_sha256"]) == digest


@pytest.mark.parametrize(
    ("samples", "warning"), [(np.zeros(9000), "all zeros"), (signals.clip(0.4, 8000), "shorter than window size")]
)
def test_files_give_the_same_warnings_as_arrays(
    samples: np.ndarray, warning: str, sea: Extractor, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "clip.wav", samples, 8000)
    with pytest.warns(edgel3.EdgeL3Warning, match=warning):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert (tmp_path / "clip.npz").exists()


def test_a_second_run_replaces_the_result(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    (tmp_path / "clip.npz").write_bytes(b"old")
    edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=0.5)
    with np.load(tmp_path / "clip.npz") as found:
        assert len(found["timestamps"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.npz", "clip.wav"]


def test_results_have_the_mode_of_ordinary_files(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=1.0)
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "clip.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder, not an audio file"),
        (lambda p: p.write_bytes(b"garbage" * 100), "cannot be read as audio"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: soundfile.write(p, np.zeros(0), 8000), "has no samples"),
    ],
    ids=["missing", "folder", "garbage", "zero bytes", "no samples"],
)
def test_process_file_with_bad_files(
    make: Callable[[Path], object], message: str, sea: Extractor, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    make(path)
    with pytest.raises(edgel3.EdgeL3Error, match=f"clip.wav {message}") as caught:
        edgel3.process_file(path, model=sea)
    assert isinstance(caught.value, AudioFileError)
    assert not (tmp_path / "clip.npz").exists()


def test_a_missing_output_folder_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hear_edgel3.edgel3.core.load_embedding_model", never)
    with pytest.raises(OutputError, match=r"clip.npz: the folder .*nowhere does not exist"):
        edgel3.process_file(tmp_path / "clip.wav", output_dir=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(OutputError, match=r"the folder .*clip.wav does not exist"):
        edgel3.process_file(tmp_path / "clip.wav", output_dir=tmp_path / "clip.wav")
    with pytest.raises(OutputError, match=r"cannot write .*: File name too long"):
        edgel3.process_file(tmp_path / "clip.wav", suffix="s" * 300)
    (tmp_path / "clip.npz").mkdir()
    with pytest.raises(OutputError, match=r"clip.npz: it is a folder"):
        edgel3.process_file(tmp_path / "clip.wav")
    with pytest.raises(edgel3.EdgeL3Error, match="a suffix is part of a file name"):
        edgel3.process_file(tmp_path / "clip.wav", suffix=f"..{os.sep}x")


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing_behind(
    existing: bool, sea: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    if existing:
        (tmp_path / "clip.npz").write_bytes(b"old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match=r"cannot write .*clip.npz: No space left on device"):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing_behind(
    stop: type[BaseException], sea: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)

    def interrupted(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise stop

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(stop):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.wav"]


def test_the_tutorial(weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old documentation's calls, as they stand there, with SEA in place of the slower default."""
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.chdir(tmp_path)
    soundfile.write("file.wav", signals.clip(1.0, 8000), 8000)
    audio, sr = soundfile.read("file.wav")
    first, _ = edgel3.get_embedding(audio, sr, model_type="sea", emb_dim=64)
    model = edgel3.models.load_embedding_model(model_type="sea", emb_dim=64)
    second, ts = edgel3.get_embedding(audio, sr, model=model)
    np.testing.assert_array_equal(first, second)
    edgel3.process_file("file.wav", model=model, suffix="suffix")
    data = np.load("file_suffix.npz")
    np.testing.assert_array_equal(data["timestamps"], ts)
    np.testing.assert_array_equal(data["embedding"], second)
    data.close()
