"""Long recordings of a dataset of timestamps are many dots."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.errors import InvalidOption
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.sampling import chosen
from hear_edgel3.jobs.run import extract
from support import signals
from support.datasets import description, write_rows
from support.pages import contents_of


@pytest.fixture
def recordings() -> Path:
    soundfile.write("long.wav", signals.clip(63.0, 8000), 8000)
    soundfile.write("short.wav", signals.clip(4.0, 8000, seed=1), 8000)
    extract(["long.wav", "short.wav"], "embeddings", timestamps=True, hop_ms=1000.0, workers=1)
    return Path("embeddings")


def test_a_dot_for_each_stretch(recordings: Path) -> None:
    made = explore(recordings, "page.html", tags=False, projection="pca")
    assert made.n_clips == 8
    found = contents_of("page.html")
    assert found["names"][-3:] == ["long.wav (50-60 s)", "long.wav (60-63 s)", "short.wav (0-4 s)"]
    assert found["spans"][6] == [60, 63]
    assert found["links"][6].endswith("long.wav#t=60,63")
    rows = [row for batch in Dataset(recordings).batches() for row in batch.to_pylist()]
    means = read_file_means(Dataset(recordings), 10.0)
    assert means.rows.sum() == len(rows)
    third = [row["embedding"] for row in rows if row["file"] == "long.wav" and 20000 <= row["timestamp_ms"] < 30000]
    np.testing.assert_allclose(means.vectors[2], np.mean(third, axis=0), atol=1e-6)
    assert means.seconds.tolist() == [10] * 6 + [3, 4]


def test_other_lengths_and_none(recordings: Path) -> None:
    assert explore(recordings, "page.html", tags=False, projection="pca", segments=0).n_clips == 2
    assert contents_of("page.html")["spans"] is None
    assert explore(recordings, "page.html", tags=False, projection="pca", segments=30).n_clips == 4
    for seconds in (-1, 1e-4, 5e-324, float("nan"), float("inf")):
        with pytest.raises(InvalidOption, match="segments must be seconds"):
            explore(recordings, "page.html", tags=False, segments=seconds)


def test_segments_of_clips_lie_inside_them() -> None:
    soundfile.write("rec.wav", signals.clip(20.0, 8000), 8000)
    Path("clips.csv").write_text("file,start,end\nrec.wav,2.5,9\nrec.wav,11,\n")
    extract("clips.csv", "embeddings", timestamps=True, hop_ms=1000.0, workers=1)
    spans = read_file_means(Dataset("embeddings"), 4.0).spans
    assert spans == [(2.5, 6.5), (6.5, 9), (11, 15), (15, 19), (19, 20)]


def test_segments_are_neither_empty_nor_beyond_the_file() -> None:
    soundfile.write("rec.wav", signals.clip(3.001, 8000), 8000)
    Path("clips.csv").write_text("file,start,end\nrec.wav,0.1,0.4\nrec.wav,1,50\n")
    extract("clips.csv", "embeddings", timestamps=True, hop_ms=50.0, workers=1)
    # (0.4 - 0.1) / 0.1 is a little more than 3, and 0.1 + 2 * 0.1 a little more than 0.3.
    spans = read_file_means(Dataset("embeddings"), 0.1).spans
    assert spans[:3] == [(0.1, 0.2), (0.2, 0.3), (0.3, 0.4)]
    assert spans[3] == (1, 1.1)
    assert spans[-1] == (2.9, 3.001)
    assert read_file_means(Dataset("embeddings"), 1e9).spans == [(0.1, 0.4), (1, 3.001)]


def test_short_clips_of_a_long_recording_stay_whole() -> None:
    soundfile.write("rec.wav", signals.clip(70.0, 8000), 8000)
    Path("clips.csv").write_text("file,start,end\nrec.wav,2,14\nrec.wav,20,36\n")
    extract("clips.csv", "embeddings", timestamps=True, hop_ms=1000.0, workers=1)
    assert explore("embeddings", "page.html", tags=False, projection="pca").n_clips == 2


def test_scenes_have_no_segments() -> None:
    soundfile.write("a.wav", signals.clip(1.0, 8000), 8000)
    extract("a.wav", "embeddings", config="tiny", workers=1)
    with pytest.raises(InvalidOption, match="no timestamps, so that there are no segments"):
        explore("embeddings", "page.html", tags=False, segments=5)


def test_of_many_a_part_is_shown_from_all_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "file": name,
            "timestamp_ms": 1000.0 * i,
            "embedding": [float(i), 1.0],
            "duration_s": 1.0 * n,
            "sample_rate": 8,
        }
        for name, n in {"long.wav": 100, "other.wav": 50, "short.wav": 2}.items()
        for i in range(n)
    ]
    rows.append({"file": "bad.wav", "error": "AudioFileError: bad.wav is empty (0 bytes)"})
    write_rows(Path("d"), description(2, hop_ms=1000.0), rows)
    words = ["explore", "d", "--segments", "1", "--no-tags", "--projection", "pca", "-q", "-o", "page.html"]
    assert main([*words, "--sample", "22"]) == 0
    assert "shows 22 of 152 clips" in capsys.readouterr().err
    found = contents_of("page.html")
    assert Counter(found["files"]) == {"long.wav": 10, "other.wav": 10, "short.wav": 2}
    assert [span[0] for span in found["spans"][:10]] == list(range(5, 100, 10))
    assert (found["n_all"], found["n_failed"], found["failed"][0][0]) == (152, 1, "bad.wav")
    first = found["names"]
    assert main([*words, "--sample", "22"]) == 0
    assert contents_of("page.html")["names"] == first
    assert main(words) == 0
    assert contents_of("page.html")["n_all"] == len(contents_of("page.html")["names"]) == 152
    for most in (1, 2, 3, 5, 51, 151):
        kept = chosen([str(row["file"]) for row in rows[:-1]], most)
        assert len(set(kept.tolist())) == most
    with pytest.raises(InvalidOption, match="sample must be"):
        explore("d", "page.html", sample=0)
