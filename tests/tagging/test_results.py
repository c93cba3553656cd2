"""Labels, the most probable of them, and files and arrays that are bad."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption
from hear_edgel3.registry.labels import Label, labels
from hear_edgel3.registry.names import checkpoints
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags, Tag
from support.tagging import AUDIOSET, RATE

# --- labels and results ---


def test_the_labels() -> None:
    assert len(AUDIOSET) == 527
    assert AUDIOSET[0] == Label("Speech", "/m/09x0r")
    assert len({label.mid for label in AUDIOSET}) == len({label.name for label in AUDIOSET}) == 527
    assert all(label.mid.startswith(("/m/", "/t/", "/g/")) and label.name.strip() == label.name for label in AUDIOSET)
    assert Label("Male speech, man speaking", "/m/05zppz") in AUDIOSET  # a comma is no end
    rows = [row for row in checkpoints() if row.labels is not None]
    assert len(rows) == 34
    for row in rows:
        assert row.net.arguments["n_classes"] == len(labels(str(row.labels)))


def made(logits: Any) -> ClipTags:
    table = np.atleast_2d(np.asarray(logits, np.float32))
    names = tuple(Label(f"class {i}", f"/m/{i}") for i in range(table.shape[1]))
    times = np.arange(len(table), dtype=np.float64)
    return ClipTags(("x",), names, times, times + 1, table, float(len(table)))


def test_top() -> None:
    tags = made([[0.0, 2.0, -1.0, 1.0], [5.0, -5.0, 6.0, 0.0]])
    assert tags.top(2) == [
        Tag("class 1", "/m/1", pytest.approx(0.8807970)),
        Tag("class 3", "/m/3", pytest.approx(0.7310586)),
    ]
    assert [t.label for t in tags.top(3, window=1)] == ["class 2", "class 0", "class 3"]
    assert [t.label for t in tags.top(3, 1)] == ["class 2", "class 0", "class 3"]
    assert isinstance(tags.top(1)[0].probability, float)
    assert tags.top(0) == []
    assert len(tags.top()) == len(tags.top(99)) == 4
    assert tags.top(1, window=-1) == tags.top(1, window=np.int64(1))
    for window in (2, -3, 0.5, None, "0", [0]):
        with pytest.raises(InvalidOption, match="window must be the number of one, from 0 to 1 here, got"):
            tags.top(1, window=window)  # type: ignore[arg-type]


def test_top_of_more_than_there_are(tagger: Tagger, sound: np.ndarray) -> None:
    tags = tagger.tag_samples(sound, RATE)
    assert len(tags.top()) == 10
    everything = tags.top(1000)
    assert len(everything) == 527
    assert {(t.label, t.mid) for t in everything} == {(label.name, label.mid) for label in AUDIOSET}
    assert everything[:10] == tags.top(10)
    values = [t.probability for t in everything]
    assert values == sorted(values, reverse=True)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from([-2.0, 0.0, 1.5]), st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_equal_ones_stay_in_the_order_of_the_classes(logits: list[float], n: int) -> None:
    top = made(logits).top(n)
    expected = sorted(range(len(logits)), key=lambda i: (-np.float32(logits[i]), i))[:n]
    assert [t.mid for t in top] == [f"/m/{i}" for i in expected]
    assert all(0 <= t.probability <= 1 for t in top)


def test_the_most_probable_are_told_apart_where_probabilities_are_all_one() -> None:
    assert [t.label for t in made([30.0, 50.0, 40.0]).top(2)] == ["class 1", "class 2"]


def test_probabilities_are_the_logistic_function_of_the_logits(tagger: Tagger, sound: np.ndarray) -> None:
    tags = tagger.tag_samples(sound, RATE, window=2.0)
    assert tags.probabilities.shape == tags.logits.shape == (7, 527)
    expected = 1 / (1 + np.exp(-tags.logits.astype(np.float64)))
    np.testing.assert_allclose(tags.probabilities, expected, rtol=3e-7)  # two steps of float32; observed 1.2e-7
    np.testing.assert_array_equal(made([-1e4, 0.0, 1e4]).probabilities, [[0, 0.5, 1]])


def test_results_do_not_depend_on_the_callers_mode(tagger: Tagger, sound: np.ndarray) -> None:
    expected = tagger.tag_samples(sound, RATE).logits
    extractor = tagger.extractors[0]
    extractor.train()
    try:
        found = tagger.tag_samples(sound, RATE).logits  # the front end would mask, the net drop out
        assert extractor.training
    finally:
        extractor.eval()
    np.testing.assert_array_equal(found, expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(tagger.tag_samples(sound, RATE).logits, expected)


# --- files and arrays that are bad ---


def test_tag_takes_paths_of_both_kinds(tagging_folder: Path, tagger: Tagger, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    expected = tagger.tag_file(tmp_path / "a.wav")
    for path in (tmp_path / "a.wav", str(tmp_path / "a.wav")):
        for weights in (tagging_folder, str(tagging_folder / "mn01_as.safetensors")):
            tags = hear_edgel3.tag(path, "mn01_as", weights=weights)
            np.testing.assert_array_equal(tags.logits, expected.logits)
            assert tags.top(10) == expected.top(10)


def test_bad_files_are_named(tagger: Tagger, sound: np.ndarray, tmp_path: Path) -> None:
    missing, empty, garbage = tmp_path / "missing.wav", tmp_path / "empty.wav", tmp_path / "garbage.wav"
    empty.write_bytes(b"")
    garbage.write_bytes(b"no audio" * 99)
    cut, silent, bad, slow = (tmp_path / f"{name}.wav" for name in ("cut", "silent", "bad", "slow"))
    soundfile.write(tmp_path / "whole.flac", sound, RATE)
    cut = tmp_path / "cut.flac"
    cut.write_bytes((tmp_path / "whole.flac").read_bytes()[:100_000])
    soundfile.write(silent, np.zeros(0), RATE)
    x = sound.copy()
    x[4321] = np.nan
    soundfile.write(bad, x, RATE, subtype="FLOAT")
    soundfile.write(slow, np.zeros(100), 500)
    expected: list[tuple[Path, type[Exception], str]] = [
        (missing, AudioFileError, "does not exist"),
        (empty, AudioFileError, r"is empty \(0 bytes\)"),
        (garbage, AudioFileError, "cannot be read as audio"),
        (tmp_path, AudioFileError, "is a folder"),
        (cut, AudioFileError, "is (damaged|truncated)"),
        (silent, AudioFileError, "has no samples"),
        (bad, InvalidAudio, "sample 4321 is NaN"),
        (slow, InvalidOption, "the file's sample rate must be between 1000 and 768000 Hz, got 500"),
    ]
    for path, kind, message in expected:
        for options in ({}, {"window": 1.0}):
            with pytest.raises(kind, match=message) as refused:
                tagger.tag_file(path, **options)
            assert str(refused.value).count(str(path)) == 1
            assert isinstance(refused.value, hear_edgel3.HearEdgeL3Error)
    with pytest.raises(InvalidOption, match="window"):  # before a file is opened
        tagger.tag_file(missing, window=61.0)


@pytest.mark.parametrize(
    ("audio", "kind", "message"),
    [
        (np.array([0.0, np.inf, 0.0]), InvalidAudio, "sample 1 is infinite"),
        (np.zeros(0), InvalidAudio, "empty"),
        (np.zeros((2, 3, 4)), InvalidAudio, "must have shape"),
        (np.zeros((2, 9000)), InvalidAudio, "use audio.T"),
        (np.zeros(9, np.complex64), InvalidAudio, "has type complex64"),
        ("a.wav", InvalidAudio, "must be an array of samples"),
        (None, InvalidAudio, "must be an array of samples"),
    ],
)
def test_bad_arrays(audio: Any, kind: type[Exception], message: str, tagger: Tagger) -> None:
    with pytest.raises(kind, match=message):
        tagger.tag_samples(audio, RATE)


@pytest.mark.parametrize("rate", [0, -8000, 999, 768_001, 44100.5, "48000", None, math.nan])
def test_bad_rates(rate: Any, tagger: Tagger) -> None:
    with pytest.raises(InvalidOption, match="sample_rate"):
        tagger.tag_samples(np.zeros(100), rate)


def test_tags_are_a_table_of_pandas() -> None:
    pytest.importorskip("pandas")
    tags = hear_edgel3.Tagger().tag_samples(np.random.default_rng(0).uniform(-0.1, 0.1, 64000), 32000, 1.0, 0.5)
    table = tags.to_pandas()
    assert table.index.names == ["start", "end"]
    np.testing.assert_array_equal(table.index.get_level_values("start"), tags.starts)
    np.testing.assert_array_equal(table["Speech"], tags.probabilities[:, 0])
    assert list(table.columns) == [label.name for label in AUDIOSET]
