"""EfficientAT's own tags, of its published weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.tagging.tagger import Tagger
from support.tagging import AUDIOSET, RATE, assert_logits_close


@pytest.fixture(scope="module")
def real(published_mn04_as: Path) -> Tagger:
    """mn04_as with its published weights."""
    return Tagger("mn04_as", published_mn04_as)


@pytest.mark.parametrize("name", ["music", "speech", "typing"])
def test_upstreams_tags_of_a_file(name: str, real: Tagger, efficientat: Path) -> None:
    told = json.loads((efficientat / "a_tagging_top10_labels.json").read_text())
    tags = real.tag_file(efficientat / f"{name}.wav")
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [10.0], 10.0)
    top = tags.top(10)
    assert [t.label for t in top] == [label for label, _ in told["top10"][name]]
    mids = dict(zip(told["labels"], told["ids"], strict=True))
    assert [t.mid for t in top] == [mids[label] for label, _ in told["top10"][name]]
    for found, (_, probability) in zip(top, told["top10"][name], strict=True):
        assert found.probability == pytest.approx(probability, abs=1e-4)
    with np.load(efficientat / "a_tagging_mn04_as.npz") as arrays:
        logits = arrays[f"{name}_logits"]
    np.testing.assert_allclose(tags.logits[0], logits, rtol=1e-4, atol=5e-5)
    np.testing.assert_allclose(tags.probabilities[0], 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-5)


def test_the_labels_are_upstreams(efficientat: Path) -> None:
    told = json.loads((efficientat / "a_tagging_top10_labels.json").read_text())
    assert [label.name for label in AUDIOSET] == told["labels"]
    assert [label.mid for label in AUDIOSET] == told["ids"]


def music14(efficientat: Path) -> np.ndarray:
    """(448000,) int16: ten seconds of music and four of speech."""
    music, speech = (soundfile.read(efficientat / f"{name}.wav", dtype="int16")[0] for name in ("music", "speech"))
    return np.concatenate([music, speech[: 4 * RATE]])


@pytest.mark.parametrize("key", ["c14_win10.0_hop2.5", "c14_win2.0_hop1.0", "c8_win10.0_hop2.5"])
def test_upstreams_windows(key: str, real: Tagger, efficientat: Path) -> None:
    told = json.loads((efficientat / "windowed_inference_mn04.json").read_text())[key]
    seconds, window, hop = (float(word.lstrip("cwinhop")) for word in key.split("_"))
    tags = real.tag_samples(music14(efficientat)[: int(seconds * RATE)], RATE, window, hop)
    assert tags.starts.tolist() == [row["start"] for row in told]
    assert tags.ends.tolist() == [row["end"] for row in told]
    assert tags.duration == seconds
    for number, row in enumerate(told):
        top = tags.top(10, number)
        assert [t.label for t in top] == [label for label, _ in row["tags"]]
        # upstream rounds to five digits
        assert [t.probability for t in top] == pytest.approx([p for _, p in row["tags"]], abs=2e-5)


@pytest.mark.parametrize(("window", "hop"), [(10.0, 2.5), (20.0, 10.0)])
def test_clips_shorter_than_a_window_have_one_where_upstream_has_none(
    window: float, hop: float, real: Tagger, efficientat: Path
) -> None:
    assert json.loads((efficientat / "windowed_inference_mn04.json").read_text())[f"c1_win{window}_hop{hop}"] == []
    second = music14(efficientat)[:RATE]
    tags = real.tag_samples(second, RATE, window, hop)
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [window], 1.0)
    padded = real.tag_samples(np.pad(second, (0, int(window * RATE) - RATE)), RATE)
    assert_logits_close(tags.logits, padded.logits)
