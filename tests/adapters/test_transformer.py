"""A net in scikit-learn's pipelines."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.errors import AudioFileError, InvalidAudio, UnknownConfiguration
from support import signals

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hear_edgel3.adapters import SceneTransformer


def _tone(hz: float, seed: int, rate: int = 32000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(0.3 * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * t) + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def test_a_pipeline_tells_tones_apart() -> None:
    sounds = [_tone(hz, seed) for seed in range(6) for hz in (300, 3000)]
    classes = ["low", "high"] * 6
    pipeline = make_pipeline(SceneTransformer(sample_rate=32000), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, sounds, classes, cv=3).min() == 1.0
    assert cross_val_score(pipeline, sounds, ["low", "low", "high"] * 4, cv=3).mean() < 1.0


def test_files_and_arrays_have_their_scene_embeddings(tmp_path: Path) -> None:
    paths = []
    for i, rate in enumerate((16000, 44100)):
        paths.append(tmp_path / f"{i}.wav")
        soundfile.write(paths[-1], signals.clip(0.5 + i, rate, seed=i), rate)
    extractor = hear_edgel3.load()
    found = SceneTransformer().fit(paths).transform([str(paths[0]), paths[1], paths[1].read_bytes()])
    expected = np.stack([hear_edgel3.embed_scene(path, extractor) for path in (*paths, paths[1])])
    np.testing.assert_array_equal(found, expected)
    arrays = [soundfile.read(path)[0] for path in paths]
    alone = SceneTransformer(sample_rate=44100).transform([arrays[1]])
    np.testing.assert_allclose(alone[0], expected[1], rtol=0, atol=1e-5)


def test_the_only_column_of_a_table_is_files(tmp_path: Path) -> None:
    """As ColumnTransformer hands it out; what one gets of a table one by one are the names of its columns."""
    pandas = pytest.importorskip("pandas")
    paths = [str(tmp_path / f"{i}.wav") for i in range(2)]
    for i, path in enumerate(paths):
        soundfile.write(path, signals.clip(0.3, 16000, seed=i), 16000)
    table = pandas.DataFrame({"file": paths, "label": ["a", "b"]}, index=[5, 9])
    transformer = SceneTransformer()
    expected = transformer.transform(paths)
    for given in (table["file"], table[["file"]], table[["file"]].to_numpy(), np.array(paths)[:, None]):
        np.testing.assert_array_equal(transformer.transform(given), expected)
    samples = pandas.DataFrame(np.stack([signals.clip(0.3, 32000, seed=i) for i in range(2)]))
    np.testing.assert_array_equal(transformer.transform(samples), transformer.transform(samples.to_numpy()))
    with pytest.raises(InvalidAudio, match=r"X must have one column, of files, and has 2"):
        transformer.transform(table)


def test_it_is_cloned_and_pickled_without_its_net() -> None:
    fitted = SceneTransformer("tiny", sample_rate=16000, features=["b3"]).fit()
    again = pickle.loads(pickle.dumps(fitted))
    assert len(pickle.dumps(fitted)) < 10_000
    assert again.get_params() == fitted.get_params() == clone(fitted).get_params()
    sound = signals.clip(0.3, 16000)
    np.testing.assert_array_equal(again.transform([sound]), fitted.transform([sound]))


def test_columns_have_names() -> None:
    pytest.importorskip("pandas")
    transformer = SceneTransformer().set_output(transform="pandas").fit()
    table = transformer.transform([signals.clip(0.3, 32000)])
    assert list(table.columns[:2]) == ["tiny_0", "tiny_1"]
    assert table.shape == (1, transformer.n_features_out_)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownConfiguration, match="no_such"):
        SceneTransformer("no_such").fit()
    transformer = SceneTransformer().fit()
    with pytest.raises(InvalidAudio, match="several sounds"):
        transformer.transform("a.wav")
    with pytest.raises(AudioFileError, match=r"a\.wav"):
        transformer.transform([str(tmp_path / "a.wav")])
    with pytest.raises(InvalidAudio, match="sound 1 of X"):
        transformer.transform([signals.clip(0.3, 32000), np.array([0.0, np.nan])])
    with pytest.raises(InvalidAudio, match="sound 0 of X has 2 dimensions"):
        transformer.transform([signals.clip(0.3, 32000, channels=2)])
    with pytest.raises(InvalidAudio, match="sound 0 of X has parts of different shapes"):
        transformer.transform([(signals.clip(0.3, 32000), 32000)])
    assert transformer.transform([]).shape == (0, transformer.n_features_out_)
