"""Streams of tags are those of the whole, as early as can be."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3 import Tagger
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.tagging.stream import TagStream
from support import signals
from support.streams import TOLERANCE, assert_latency, in_blocks


@pytest.mark.parametrize(
    ("seconds", "rate", "window", "hop"),
    [
        (2.3, 44100, 1.0, None),
        (2.3, 48000, 0.5, 0.33),
        (1.0, 32000, 1.0, 0.25),
        (0.3, 16000, 1.0, 0.25),  # shorter than a window
        (2.0, 32000, 0.5, 2.0),  # a last window would lie behind the end
        (2.0001, 32000, 0.5, 2.0),
        (0.0001, 8000, 0.5, None),
    ],
)
def test_tags_are_those_of_the_whole(seconds: float, rate: int, window: float, hop: float | None, tiny_tagger) -> None:
    audio = signals.clip(seconds, rate, seed=1)
    whole = tiny_tagger.tag_samples(audio, rate, window, hop)
    for size in (160, 10 * rate):
        found = list(tiny_tagger.stream(in_blocks(audio, size), sample_rate=rate, window=window, hop=hop))
        np.testing.assert_allclose([tags.start_ms for tags in found], 1000 * whole.starts, rtol=1e-12)
        np.testing.assert_allclose([tags.end_ms for tags in found], 1000 * whole.ends, rtol=1e-12)
        logits = np.stack([tags.logits for tags in found])
        np.testing.assert_allclose(logits, whole.logits, rtol=0, atol=TOLERANCE * np.abs(whole.logits).max())
        for i, tags in enumerate(found):
            assert [t.label for t in tags.top(3)] == [t.label for t in whole.top(3, i)]
            np.testing.assert_allclose(tags.probabilities, whole.probabilities[i], atol=1e-5)


def test_an_ensembles_tags(mobilenetv3_folder: Path) -> None:
    both = Tagger(["mn01_as", "mn04_as"], mobilenetv3_folder)
    audio = signals.clip(1.1, 48000)
    whole = both.tag_samples(audio, 48000, 0.5)
    found = list(both.stream(in_blocks(audio, 960), window=0.5))
    peak = np.abs(whole.logits).max()
    np.testing.assert_allclose(np.stack([t.logits for t in found]), whole.logits, rtol=0, atol=TOLERANCE * peak)


@pytest.mark.parametrize(("rate", "window", "hop"), [(48000, 0.1, 0.01), (32000, 0.1, 0.0123), (44100, 0.03, 0.01)])
def test_latency_of_tags(rate: int, window: float, hop: float, tiny_tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extractor, "embed_windows", lambda self, windows: torch.zeros(len(windows), 527))
    stream = tiny_tagger.stream(sample_rate=rate, window=window, hop=hop)
    assert isinstance(stream, TagStream)
    # From the middle of the window to its end, to the sample, and what the resampler reads ahead.
    expected = 500 * window if rate == 32000 else pytest.approx(500 * window + 2, abs=0.05)
    assert stream.latency_ms == expected
    assert_latency(stream, round(rate * (window + 0.04)))


def test_windows_of_tags_are_checked(tiny_tagger: Tagger) -> None:
    for window, hop in ((0, None), (61, None), (0.01, None), (1.0, 0), (1.0, 1e-4)):
        with pytest.raises(InvalidOption, match=r"window|hop"):
            tiny_tagger.stream([], window=window, hop=hop)
    with pytest.raises(InvalidOption, match="sample_rate"):
        tiny_tagger.stream([], sample_rate=10)


def test_times_are_exact(tiny_tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extractor, "embed_windows", lambda self, windows: torch.zeros(len(windows), 527))
    stream = tiny_tagger.stream(sample_rate=32000, window=0.3, hop=0.1)
    found = itertools.chain.from_iterable(stream.feed(np.zeros(32000)) for _ in range(100))
    for k, tags in enumerate(found):
        assert (tags.start_ms, tags.timestamp_ms, tags.end_ms) == (100.0 * k, 100.0 * k + 150, 100.0 * k + 300)
