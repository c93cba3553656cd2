"""S-SONDO's scenes: segments one behind the other, in which each second of a clip counts alike, however it is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.resample import resample
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.families.ssondo.heads import HEADS
from hear_edgel3.search.query import QueryEmbedder
from support import signals, ssondo_files
from support.mobilenetv3_files import pt
from weights_convert.heads import make_head_folder

RATE, SEGMENT = 32000, 320000
NAME = "ssondo_matpac_mn"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ssondo")
    (found / f"{NAME}.safetensors").write_bytes(ssondo_files.converted(NAME))
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> hear_edgel3.Extractor:
    return hear_edgel3.load(NAME, folder, sample_rate=RATE)


def segments(model: hear_edgel3.Extractor, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the net makes of each segment, by itself, and the seconds in it."""
    starts = range(0, len(clip), SEGMENT)
    padded = np.pad(clip.astype(np.float32), (0, -len(clip) % SEGMENT)).reshape(-1, SEGMENT)
    with torch.no_grad():
        found = model.net(model.frontend(torch.from_numpy(padded))).double().numpy()
    return found, np.array([min(SEGMENT, len(clip) - start) / RATE for start in starts])


def near(found: object, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("seconds", [4.0, 10.0, 10.1, 23.7])
def test_each_second_counts_alike(seconds: float, model: hear_edgel3.Extractor) -> None:
    clip = signals.clip(seconds, RATE)
    found, lengths = segments(model, clip)
    expected = np.average(found, axis=0, weights=lengths)
    near(model.scene_embeddings(clip[None])[0], expected)
    near(model.scene_embeddings([clip, clip[:9000]])[0], expected)
    other = signals.clip(seconds, 44100)
    found, lengths = segments(model, resample(torch.from_numpy(other), 44100, RATE).float().numpy())
    near(model.scene_embeddings(other[None], sample_rate=44100)[0], np.average(found, axis=0, weights=lengths))


def test_a_little_more_sound_changes_little(model: hear_edgel3.Extractor) -> None:
    """As an original that drops tails has it; a tail of full weight would be half of the embedding."""
    clip = signals.clip(10.1, RATE)
    whole, more = (model.scene_embeddings(clip[None, :n])[0].numpy() for n in (SEGMENT, len(clip)))
    both = segments(model, clip)[0]
    difference = np.abs(both[1] - both[0]).max()
    assert difference > np.abs(whole).max()
    assert np.abs(more - whole).max() < 0.0101 * difference


def test_it_teaches_its_scenes(folder: Path, model: hear_edgel3.Extractor) -> None:
    """Clips of a distillation are followed by zeros, as in the authors' training."""
    clips = np.stack([signals.clip(1.0, RATE, seed=seed) for seed in range(2)]).astype(np.float32)
    answer = Teacher(NAME, folder).ask(torch.from_numpy(clips))
    assert answer.logits is None
    near(answer.embedding, np.stack([segments(model, clip)[0][0] for clip in clips]))


def test_one_rule_in_every_use(folder: Path, model: hear_edgel3.Extractor, tmp_path: Path) -> None:
    """Files, datasets, queries, and heads, which see the scene embedding."""
    pq = pytest.importorskip("pyarrow.parquet")
    clips = {"a": signals.clip(13.3, RATE), "b": signals.clip(2.0, RATE, seed=1), "c": signals.clip(20.0, RATE, seed=2)}
    (tmp_path / "in").mkdir()
    expected = {}
    for name, clip in clips.items():
        soundfile.write(tmp_path / "in" / f"{name}.wav", clip, RATE, "FLOAT")
        found, lengths = segments(model, clip)
        expected[f"{name}.wav"] = np.average(found, axis=0, weights=lengths)
    path = tmp_path / "in" / "a.wav"
    near(hear_edgel3.embed_scene(path, model), expected["a.wav"])
    assert hear_edgel3.extract(tmp_path / "in", tmp_path / "out", NAME, weights=folder, workers=1).all_well
    rows = pq.read_table(next((tmp_path / "out").glob("part-*.parquet"))).to_pylist()
    assert len(rows) == 3
    for row in rows:
        near(row["embedding"], expected[Path(row["file"]).name])
    near(QueryEmbedder(Dataset(tmp_path / "out").description, weights=folder).of_file(path), expected["a.wav"])
    state = ssondo_files.head("gtzan")
    (tmp_path / "gtzan.pth").write_bytes(pt(state))
    made = make_head_folder("gtzan", tmp_path / "gtzan.pth", tmp_path / "gtzan", folder)
    weight, bias = (state[f"probe.linear_probe.{which}"].double().numpy() for which in ("weight", "bias"))
    tags = hear_edgel3.Tagger(str(made)).tag_file(path)
    near(tags.logits[0], weight @ expected["a.wav"] + bias)
    assert [label.name for label in tags.labels] == [str(i) for i in range(10)]
    assert len(HEADS) == 7
