"""EfficientAT's own tags, of its published weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.registry import resolve
from hear_edgel3.tagging import Tagger
from support.tagging import AUDIOSET, RATE, assert_logits_close
from weights_convert.convert import convert


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    found = shared / "reference" / "mobilenetv3"
    if not (found / "a_tagging_mn04_as.npz").is_file():
        pytest.skip(f"EfficientAT's outputs are not at {found}")
    return found


@pytest.fixture(scope="session")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    """mn04_as with its published weights."""
    source = shared / "checkpoints" / "mn04_as_mAP_432.pt"
    if not source.is_file():
        pytest.skip(f"the published checkpoint of mn04_as is not at {source}")
    target = tmp_path_factory.mktemp("real") / "mn04_as.safetensors"
    convert(resolve("mn04_as").checkpoint, source).write(target)
    return Tagger("mn04_as", target)


@pytest.mark.parametrize("name", ["music", "speech", "typing"])
def test_upstreams_tags_of_a_file(name: str, real: Tagger, reference: Path) -> None:
    told = json.loads((reference / "a_tagging_top10_labels.json").read_text())
    tags = real.tag_file(reference / f"{name}.wav")
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [10.0], 10.0)
    top = tags.top(10)
    assert [t.label for t in top] == [label for label, _ in told["top10"][name]]
    mids = dict(zip(told["labels"], told["ids"], strict=True))
    assert [t.mid for t in top] == [mids[label] for label, _ in told["top10"][name]]
    for found, (_, probability) in zip(top, told["top10"][name], strict=True):
        assert found.probability == pytest.approx(probability, abs=1e-4)
    with np.load(reference / "a_tagging_mn04_as.npz") as arrays:
        logits = arrays[f"{name}_logits"]
    np.testing.assert_allclose(tags.logits[0], logits, rtol=1e-4, atol=5e-5)
    np.testing.assert_allclose(tags.probabilities[0], 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-5)


def test_the_labels_are_upstreams(reference: Path) -> None:
    told = json.loads((reference / "a_tagging_top10_labels.json").read_text())
    assert [label.name for label in AUDIOSET] == told["labels"]
    assert [label.mid for label in AUDIOSET] == told["ids"]


def music14(reference: Path) -> np.ndarray:
    """(448000,) int16: ten seconds of music and four of speech."""
    music, speech = (soundfile.read(reference / f"{name}.wav", dtype="int16")[0] for name in ("music", "speech"))
    return np.concatenate([music, speech[: 4 * RATE]])


@pytest.mark.parametrize("key", ["c14_win10.0_hop2.5", "c14_win2.0_hop1.0", "c8_win10.0_hop2.5"])
def test_upstreams_windows(key: str, real: Tagger, reference: Path) -> None:
    told = json.loads((reference / "windowed_inference_mn04.json").read_text())[key]
    seconds, window, hop = (float(word.lstrip("cwinhop")) for word in key.split("_"))
    tags = real.tag_samples(music14(reference)[: int(seconds * RATE)], RATE, window, hop)
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
    window: float, hop: float, real: Tagger, reference: Path
) -> None:
    assert json.loads((reference / "windowed_inference_mn04.json").read_text())[f"c1_win{window}_hop{hop}"] == []
    second = music14(reference)[:RATE]
    tags = real.tag_samples(second, RATE, window, hop)
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [window], 1.0)
    padded = real.tag_samples(np.pad(second, (0, int(window * RATE) - RATE)), RATE)
    assert_logits_close(tags.logits, padded.logits)
