"""Tags of a clip as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.audio.resample import resample
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.tagging import AUDIOSET, NETS, RATE, assert_logits_close, straight


@pytest.mark.parametrize("name", NETS)
def test_a_short_clip_is_one_pass(name: str, tagging_folder: Path, sound: np.ndarray) -> None:
    tags = Tagger(name, tagging_folder).tag_samples(sound, RATE)
    assert tags.logits.shape == (1, 527)
    assert tags.logits.dtype == tags.probabilities.dtype == np.float32
    assert tags.logits.std() > 0.3
    expected = straight(tagging_folder, name, sound[None])
    assert_logits_close(Tagger(name, tagging_folder, engine="torch").tag_samples(sound, RATE).logits, expected)
    # The head of mn10_as_fc magnifies: logits are of up to 80, and the plain net, torch and the compiled kernels were
    # 1.2e-5, 1.2e-5 and 1.4e-5 of that from float64.
    np.testing.assert_allclose(tags.logits, expected, rtol=0, atol=2.6e-5 * np.abs(expected).max())
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [5.0], 5.0)
    assert (tags.configurations, tags.labels) == ((name,), AUDIOSET)


def test_the_seeded_nets_hear_something(tagger: Tagger, sound: np.ndarray) -> None:
    """Else the tests with them would prove little."""
    logits = [tagger.tag_samples(second, RATE).logits for second in np.split(sound, 5)]
    assert min(np.abs(a - b).max() for i, a in enumerate(logits) for b in logits[:i]) > 0.1


@pytest.mark.parametrize("more", [0, 1, 5 * RATE + 123])
def test_up_to_a_minute_is_one_pass_and_more_the_mean_of_windows(
    more: int, tagging_folder: Path, tagger: Tagger, sound: np.ndarray
) -> None:
    pieces = [sound * (0.2 + 0.8 * abs(math.cos(k))) for k in range(14)]
    x = np.concatenate(pieces)[: 60 * RATE + more]
    tags = tagger.tag_samples(x, RATE)
    if more == 0:
        expected = straight(tagging_folder, "mn01_as", x[None])
    else:
        mirrored = np.pad(x, 5 * RATE, mode="reflect")
        middles = range(0, len(x) + 1, 5 * RATE // 2)
        windows = np.stack([mirrored[middle : middle + 10 * RATE] for middle in middles])
        expected = straight(tagging_folder, "mn01_as", windows).mean(axis=0, keepdims=True)
        assert (
            np.abs(expected - straight(tagging_folder, "mn01_as", x[None])).max() > 0.01
        )  # one can be told from the other
    assert_logits_close(tags.logits, expected)
    assert (tags.starts.tolist(), tags.ends.tolist()) == ([0.0], [len(x) / RATE])


@pytest.mark.parametrize("options", [{}, {"window": 3.0}, {"window": 0.5, "hop": 2.0}])
@pytest.mark.parametrize("seconds", [3.3, 63.1])
def test_files_give_what_arrays_give(
    seconds: float, options: dict[str, float], tagger: Tagger, tmp_path: Path, sound: np.ndarray
) -> None:
    x = np.tile(sound, 13)[: int(seconds * RATE)]
    soundfile.write(tmp_path / "a.flac", x, RATE)
    from_file = tagger.tag_file(tmp_path / "a.flac", **options)
    from_array = tagger.tag_samples(x, RATE, **options)
    assert_logits_close(from_file.logits, from_array.logits)
    np.testing.assert_array_equal(from_file.starts, from_array.starts)
    np.testing.assert_array_equal(from_file.ends, from_array.ends)
    assert from_file.duration == from_array.duration == len(x) / RATE


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_rates_are_converted(rate: int, tagger: Tagger, tmp_path: Path) -> None:
    x = signals.clip(1.5, rate, seed=rate)
    tags = tagger.tag_samples(x, rate)
    converted = resample(torch.from_numpy(x), rate, RATE).numpy()
    assert_logits_close(tags.logits, tagger.tag_samples(converted, RATE).logits)
    assert tags.ends.tolist() == [1.5]
    soundfile.write(tmp_path / "a.wav", x, rate)
    assert_logits_close(tagger.tag_file(tmp_path / "a.wav").logits, tags.logits)
    windows = tagger.tag_samples(x, rate, window=1.0, hop=0.5)
    assert_logits_close(windows.logits, tagger.tag_samples(converted, RATE, window=1.0, hop=0.5).logits)
    assert windows.starts.tolist() == [0.0, 0.5]


def test_channels_are_averaged(tagger: Tagger, tmp_path: Path) -> None:
    x = signals.clip(1.0, RATE, channels=2, seed=4)
    soundfile.write(tmp_path / "stereo.wav", x, RATE)
    expected = tagger.tag_samples(x.mean(axis=1), RATE).logits
    np.testing.assert_array_equal(tagger.tag_samples(x, RATE).logits, expected)
    assert_logits_close(tagger.tag_file(tmp_path / "stereo.wav").logits, expected)
    assert np.abs(tagger.tag_samples(x[:, 0], RATE).logits - expected).max() > 1e-3


def test_integers_are_taken_at_their_full_scale(tagger: Tagger, sound: np.ndarray) -> None:
    pcm = np.round(sound * 32767).astype(np.int16)
    expected = tagger.tag_samples(pcm / np.float32(32768), RATE).logits
    np.testing.assert_array_equal(tagger.tag_samples(pcm, RATE).logits, expected)
    np.testing.assert_array_equal(tagger.tag_samples(torch.from_numpy(pcm), RATE).logits, expected)


@pytest.mark.parametrize("options", [{}, {"window": 10.0, "hop": 2.5}])
@pytest.mark.parametrize(("n_samples", "rate"), [(1, 8000), (1, RATE), (1, 48000), (2, 44100), (513, RATE)])
def test_the_shortest_clips(n_samples: int, rate: int, options: dict[str, float], tagger: Tagger) -> None:
    tags = tagger.tag_samples(np.full(n_samples, 0.5), rate, **options)
    assert tags.logits.shape == (1, 527)
    assert np.isfinite(tags.logits).all()
    assert tags.duration == n_samples / rate
    assert tags.ends.tolist() == [options.get("window", n_samples / rate)]


def test_silence(tagger: Tagger, tagging_folder: Path) -> None:
    tags = tagger.tag_samples(np.zeros(2 * RATE), RATE)
    assert np.isfinite(tags.logits).all()
    assert_logits_close(tags.logits, straight(tagging_folder, "mn01_as", np.zeros((1, 2 * RATE))))
    windows = tagger.tag_samples(np.zeros(4 * RATE), RATE, window=2.0)
    assert_logits_close(windows.logits, np.repeat(tags.logits, 5, axis=0))
