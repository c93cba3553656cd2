"""Warnings of the drop-in, and that it says nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hear_edgel3 import edgel3
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.edgel3_oracle import ZEROS, by_the_oracle


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
