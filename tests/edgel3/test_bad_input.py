"""Every bad input that was tried on edgel3 0.2.1; what it did with each was recorded by running it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3 import edgel3
from hear_edgel3.errors import AudioWarning, InvalidAudio, InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import signals

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
    with pytest.warns(AudioWarning, match="has a peak of") if case == "x1e6" else nullcontext():
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
