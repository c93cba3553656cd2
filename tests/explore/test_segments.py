"""Long recordings of a dataset of timestamps are many dots."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means, read_some_file_means
from hear_edgel3.errors import DatasetError, InvalidOption
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
    for most in (1, 2, 3, 5, 51, 151, 152, 153):
        kept = chosen(np.repeat([0, 1, 2], [100, 50, 2]), most)
        assert len(set(kept.tolist())) == min(most, 152)
    with pytest.raises(InvalidOption, match="sample must be"):
        explore("d", "page.html", sample=0)


@pytest.mark.parametrize("segment_s", [None, 2.0])
@pytest.mark.parametrize("clips", [False, True])
def test_some_means_are_those_of_all(segment_s: float | None, clips: bool, tmp_path: Path) -> None:
    """Recordings go on in other parts and come back later, rows are not finite, and files have none that is."""
    random = np.random.RandomState(0)
    made = description(3, hop_ms=1000.0)
    schema = made.schema()
    for name in ("start_s", "end_s") if clips else ():
        schema = schema.append(pa.field(name, pa.float64()))
    for part in range(3):
        rows: list[dict[str, Any]] = []
        for i in range(60):
            file = f"{'xabcde'[random.randint(6)]}.wav"
            row = {"file": file, "timestamp_ms": 1000.0 * i, "embedding": random.randn(3).tolist(), "sample_rate": part}
            if i % 7 == part or file == "x.wav":
                row["embedding"][1] = np.inf
            if i % 4:
                row |= {"start_s": float(i - i % 4), "end_s": None if i % 3 else i + 1.0, "duration_s": 60.0}
            rows.append({"file": file, "error": "it is bad"} if i % 11 == 10 else row)
        columns = {name: [row.get(name) for row in rows] for name in schema.names}
        pq.write_table(pa.table(columns, schema), tmp_path / f"{part}.parquet")
    dataset = Dataset(tmp_path)
    everything = read_file_means(dataset, segment_s)
    recordings = list(dict.fromkeys(everything.files))
    assert ("x.wav" in recordings, everything.not_finite > 40) == (False, True)
    for most in (1, 4, 11, 10_000):
        some, n_all = read_some_file_means(dataset, partial(chosen, most=most), segment_s)
        kept = chosen(np.array([recordings.index(file) for file in everything.files]), most)
        assert (n_all, len(some.files)) == (len(everything.files), min(most, n_all))
        assert some.files == [everything.files[i] for i in kept]
        assert some.spans == [everything.spans[i] for i in kept]
        assert (some.failed, some.not_finite) == (everything.failed, everything.not_finite)
        for name in ("vectors", "rows", "seconds", "sample_rates"):
            np.testing.assert_array_equal(getattr(some, name), getattr(everything, name)[kept])


def test_nothing_is_chosen_of_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path, description(2), [{"file": f"{i}.wav", "embedding": [np.nan, 1.0]} for i in range(3)])
    with pytest.raises(DatasetError, match="no embeddings to show: 3 files failed, the first with: its embedding is"):
        explore(tmp_path, "page.html", tags=False, sample=2)


def test_of_many_embeddings_few_are_held(tmp_path: Path) -> None:
    """The sums of all would take 50 MB."""
    made, n, size = description(2048, hop_ms=1000.0, dtype="float16"), 1500, 2048
    for part in range(2):
        values = pa.array(np.random.RandomState(part).rand(n * size).astype(np.float16))
        columns = {
            "file": pa.array(["night.wav"] * n),
            "timestamp_ms": pa.array(1000.0 * (np.arange(n) + part * n)),
            "embedding": pa.FixedSizeListArray.from_arrays(values, size),
            "error": pa.nulls(n, pa.string()),
            "duration_s": pa.array(np.full(n, 2.0 * n)),
            "sample_rate": pa.array(np.full(n, 8, np.int32)),
        }
        pq.write_table(pa.table(columns, schema=made.schema()), tmp_path / f"{part}.parquet")
    tracemalloc.start()
    some, n_all = read_some_file_means(Dataset(tmp_path), partial(chosen, most=50), 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(some.files), n_all) == (50, 2 * n)
    assert peak < 25e6
