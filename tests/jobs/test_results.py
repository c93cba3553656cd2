"""Jobs: ``hear-edgel3 extract`` and ``hear_edgel3.extract``; what they compute, and which files they find."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.dataset.dataset import Dataset, embeddings_of
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from support.files import write_clip
from support.jobs import LENGTHS, assert_close, clips, rows, run_extract, table
from support.paths import PACKAGE


def scene_of(model: Extractor, file: AudioFile) -> np.ndarray:
    path = model.window_path(scene_framing(model.configuration), file.sample_rate)
    return mean_embedding(*embed_blocks([model], file.blocks(), path))


@pytest.mark.parametrize(("config", "rate"), [("tiny", 32000), ("tiny", 44100), ("sea_64", 8000), ("sea_64", 22050)])
def test_scenes_are_those_of_single_files(config: str, rate: int) -> None:
    sources = [*clips(rate=rate), os.fspath(write_clip("in/long.wav", 11.3, rate, 9))]
    summary = hear_edgel3.extract("in", "out", config, workers=1)
    assert (summary.files, summary.failed, summary.rows) == (7, 0, 7)
    assert summary.seconds == pytest.approx(sum(LENGTHS) + 11.3, abs=1e-3)
    model = hear_edgel3.load(config)
    found = rows()
    assert [row["file"] for row in found] == sources
    for row in found:
        with AudioFile(row["file"]) as file:
            assert_close(np.array(row["embedding"]), scene_of(model, file))
            assert row["duration_s"] == pytest.approx(file.duration)
        assert (row["sample_rate"], row["timestamp_ms"], row["error"]) == (rate, None, None)


@pytest.mark.parametrize(("config", "hop_ms"), [("tiny", None), ("sea_64", 70.0)])
def test_timestamps_are_those_of_hear(config: str, hop_ms: float | None) -> None:
    model = hear_edgel3.load(config)
    sources = clips(rate=model.sample_rate)
    hear_edgel3.extract(sources, "out", config, timestamps=True, hop_ms=hop_ms, workers=1)
    found = rows()
    for source in sources:
        audio, _ = soundfile.read(source)
        expected, times = model.timestamp_embeddings(audio[None], hop_ms)
        mine = [row for row in found if row["file"] == source]
        assert_close(np.array([row["embedding"] for row in mine]), expected[0].numpy())
        np.testing.assert_allclose([row["timestamp_ms"] for row in mine], times[0].numpy(), rtol=1e-6)
    assert Dataset("out").description.hop_ms == (50.0 if hop_ms is None else 70.0)


def test_the_hop_on_the_command_line_is_in_seconds() -> None:
    write_clip("a.wav", 0.5)
    assert run_extract("a.wav", "--timestamps", "--hop", "0.07") == 0
    assert [row["timestamp_ms"] for row in rows()] == pytest.approx([70.0 * k for k in range(8)])
    assert Dataset("out").description.hop_ms == 70.0


def test_a_dataset_says_what_made_it(weights_folder: Path) -> None:
    write_clip("a.wav")
    assert run_extract("a.wav", "--config", "sea_64", "--dtype", "float16") == 0
    dataset = Dataset("out")
    model = hear_edgel3.load("sea_64")
    assert model.weights is not None
    said = dataset.description
    assert (said.configuration, said.size, said.dtype) == ("sea_64", 64, "float16")
    assert (said.hop_ms, said.weights_sha256) == (None, model.weights.sha256)
    assert said.package_version == hear_edgel3.__version__
    [batch] = dataset.batches()
    embedding = embeddings_of(batch)
    assert embedding.dtype == np.float16
    with AudioFile("a.wav") as file:
        np.testing.assert_allclose(embedding[0], scene_of(model, file), rtol=1e-3, atol=1e-3)
    metadata = pq.read_metadata(dataset.parts[0])
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_rows_are_the_same_bits_however_they_are_computed() -> None:
    clips()
    for name in ("one", "two", "halves", "stopped"):
        options: dict[str, Any] = {"timestamps": True, "files_per_part": 2}
        if name == "two":
            hear_edgel3.extract("in", name, workers=2, **options)
        elif name == "halves":
            hear_edgel3.extract("in", name, workers=1, partition=(1, 2), **options)
            assert len(Dataset(name).parts) == 1
            hear_edgel3.extract("in", name, workers=1, partition=(0, 2), **options)
        else:
            hear_edgel3.extract("in", name, workers=1, **options)
            if name == "stopped":
                Path(name, "part-000-000001.parquet").unlink()
                summary = hear_edgel3.extract("in", name, workers=1, **options)
                assert (summary.parts_done, summary.parts_kept, summary.files) == (1, 2, 2)
        assert table(name).equals(table("one"))


@pytest.mark.slow
def test_ray_gives_the_same_bits(tmp_path: Path) -> None:
    """In a process of its own, because Ray leaves threads and warnings behind."""
    pytest.importorskip("ray")
    clips()
    write_clip("in/bad.wav").write_bytes(b"no audio")
    options = ["--files-per-part", "3", "--tags", "2", "--quiet"]
    command = [sys.executable, "-m", "hear_edgel3.cli", "extract", "in", *options, "--output"]
    assert subprocess.run([*command, "one", "--workers", "1"], check=False).returncode == 1
    environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PYTHONPATH"] = os.fspath(PACKAGE.parent)
    ray = [*command, "two", "--engine", "ray", "--concurrency", "2"]
    assert subprocess.run(ray, check=False, env=environment).returncode == 1
    assert table("two").equals(table("one"))
    assert len(Dataset("two").parts) == 3


def test_a_length_that_the_header_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is piped into a file has an enormous number in its place; the samples are all there."""
    sources = clips()
    known = AudioFile.duration

    def duration(self: AudioFile) -> float:
        return 2**63 / 8000 if self.path.name == "1.wav" else known.__get__(self)  # type: ignore[attr-defined, no-any-return]

    monkeypatch.setattr(AudioFile, "duration", property(duration))
    summary = hear_edgel3.extract("in", "out", workers=1)
    assert [row["duration_s"] for row in rows()] == [0.3, None, 0.02, 1.0, 0.55, 1.0]
    assert (summary.failed, len(sources)) == (0, 6)
    assert summary.seconds == pytest.approx(3.87, abs=0.01)
