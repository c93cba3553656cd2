"""Jobs: where each row's sound is, and the best tags of the same pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import resolve, with_logits
from hear_edgel3.search import SoundSearch
from support import signals
from support.detectors import write_detector
from support.jobs import rows, run_extract, table

RATE = 8000


@pytest.fixture(autouse=True)
def sounds(here: Path) -> list[str]:
    Path("in").mkdir()
    for i, seconds in enumerate((0.6, 2.0, 1.0)):
        soundfile.write(f"in/{i}.wav", signals.clip(seconds, RATE, seed=i), RATE)
    Path("in/bad.wav").write_text("no sound")
    return ["in/0.wav", "in/1.wav", "in/2.wav"]


def assert_tags(found: list[dict[str, Any]], labels: tuple[str, ...], expected: np.ndarray, count: int) -> None:
    """That rows have the best of (n, n_classes) probabilities."""
    assert len(found) == len(expected)
    for row, probabilities in zip(found, expected, strict=True):
        assert len(row["tags"]) == len(row["probabilities"]) == count
        best = [probabilities[labels.index(name)] for name in row["tags"]]
        np.testing.assert_allclose(row["probabilities"], best, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(best, np.sort(probabilities)[::-1][:count], rtol=1e-4, atol=1e-6)


def of_tagger(tagger: hear_edgel3.Tagger, sounds: list[str]) -> np.ndarray:
    return np.concatenate([tagger.tag_file(sound).probabilities for sound in sounds])


def test_scenes_have_the_tags_of_tag_and_the_same_embeddings(sounds: list[str]) -> None:
    assert run_extract("in", "--tags", "4") == 1
    *found, bad = rows()
    assert (bad["tags"], bad["probabilities"], bad["start"], bad["end"]) == (None, None, None, None)
    tagger = hear_edgel3.Tagger()
    assert_tags(found, tuple(label.name for label in tagger.labels), of_tagger(tagger, sounds), 4)
    assert [(row["start"], row["end"]) for row in found] == [(0.0, 0.6), (0.0, 2.0), (0.0, 1.0)]
    hear_edgel3.extract("in", "plain", workers=1)
    assert [row["embedding"] for row in rows("plain")] == [row["embedding"] for row in rows()]
    assert "tags" not in table("plain").schema.names


def test_windows_have_tags_of_their_own_and_say_where_they_are(sounds: list[str]) -> None:
    config = "tiny_ts1000"
    summary = hear_edgel3.extract("in", "out", config, timestamps=True, hop_ms=250, tags=2, workers=2, files_per_part=2)
    assert (summary.failed, summary.parts) == (1, 2)
    found = [row for row in rows() if row["error"] is None]
    model = hear_edgel3.load("tiny_logits_ts1000")
    assert model.labels is not None
    logits = [model.timestamp_embeddings(soundfile.read(s)[0][None], 250, sample_rate=RATE)[0][0] for s in sounds]
    expected = np.concatenate([one.sigmoid().numpy() for one in logits])
    assert_tags(found, tuple(label.name for label in model.labels), expected, 2)
    of_last = [(row["timestamp_ms"], row["start"], row["end"]) for row in found if row["file"] == "in/2.wav"]
    assert of_last == [
        (0.0, 0.0, 0.5),
        (250.0, 0.0, 0.75),
        (500.0, 0.0, 1.0),
        (750.0, 0.25, 1.0),
        (1000.0, 0.5, 1.0),
    ]
    pandas, duckdb = pytest.importorskip("pandas"), pytest.importorskip("duckdb")
    # A row per window with start and end, without thinking.
    frame = pandas.read_parquet("out")
    assert list(frame.columns[6:]) == ["start", "end", "tags", "probabilities"]
    assert len(frame.explode(["tags", "probabilities"])) == 2 * len(found) + 1
    mine = Dataset("out").to_pandas()
    assert list(mine.columns) == list(frame.columns)
    assert mine.start.equals(frame.start)
    assert mine.embedding[0].shape == (320,)
    name = found[0]["tags"][0]
    query = f"select count(*) from 'out/*.parquet' where list_contains(tags, '{name}') and \"end\" > start"
    assert duckdb.sql(query).fetchall() == [(sum(name in row["tags"] for row in found),)]
    best = SoundSearch("out").query("in/1.wav", top=1)
    assert best[0].file == "in/1.wav"


def test_windows_of_clips_lie_in_their_clips() -> None:
    Path("t.csv").write_text("file,start,end,tags\nin/1.wav,0.5,1.25,mine\n")
    options: dict[str, Any] = {"timestamps": True, "hop_ms": 250, "keep": "all", "workers": 1}
    hear_edgel3.extract("t.csv", "out", "tiny_ts500", tags=1, **options)
    found = rows()
    assert [(row["start"], row["end"]) for row in found] == [(0.5, 0.75), (0.5, 1.0), (0.75, 1.25), (1.0, 1.25)]
    assert {(row["start_s"], row["end_s"], row["table_tags"]) for row in found} == {(0.5, 1.25, "mine")}
    hear_edgel3.extract("t.csv", "plain", keep="all", workers=1)
    [row] = rows("plain")
    assert (row["start"], row["end"], row["tags"]) == (0.5, 1.25, "mine")


@pytest.mark.parametrize(("kind", "targets"), [("small", "several"), ("own", "single"), ("small_l3", "single")])
def test_detectors_tell_their_classes(kind: str, targets: str, sounds: list[str]) -> None:
    folder = write_detector(Path("det"), kind, targets, temperature=2.0)
    assert run_extract("in", "--config", str(folder), "--tags", "9") == 1
    found = [row for row in rows() if row["error"] is None]
    tagger = hear_edgel3.Tagger(folder)
    assert_tags(found, tuple(label.name for label in tagger.labels), of_tagger(tagger, sounds), 3)
    assert Dataset("out").description.size == len(found[0]["embedding"])


def test_tags_that_are_told_otherwise_are_not_mixed(sounds: list[str]) -> None:
    """The folder says how, and not the weights, by which the net is known."""
    folder = write_detector(Path("det"))
    hear_edgel3.extract(sounds[:1], "out", folder, tags=2, workers=1)
    hear_edgel3.extract(sounds[:1], "plain", folder, workers=1)
    path = folder / "configuration.json"
    before = json.loads(path.read_text())
    for change in ({"temperature": 5.0}, {"classes": ["dog", "cat", "bell"]}):
        path.write_text(json.dumps(before | change))
        with pytest.raises(InvalidOption, match=r"was begun with classes .*\"cat\".*, and now .*\"cat\""):
            hear_edgel3.extract(sounds, "out", folder, tags=2, workers=1)
        assert hear_edgel3.extract(sounds[:1], "plain", folder, workers=1).rows == 0  # it has no tags
    path.write_text(json.dumps(before | {"thresholds": [0.1, 0.2, 0.3]}))  # which tags of a dataset are not told by
    assert hear_edgel3.extract(sounds, "out", folder, tags=2, workers=1).parts_done == 1
    path.write_text(json.dumps(before | {"temperature": 5.0}))
    job = next(Path("out").rglob("00000/job.json"))  # of an earlier version
    job.write_text(json.dumps({key: value for key, value in json.loads(job.read_text()).items() if key != "read_as"}))
    hear_edgel3.extract(sounds, "out", folder, tags=2, workers=1)


def test_logits_may_be_the_embedding(sounds: list[str]) -> None:
    assert run_extract("in", "--config", "tiny_clf1_logits", "--tags", "2") == 1
    found = rows()[:3]
    assert len(found[0]["embedding"]) == Dataset("out").description.size == resolve("tiny_clf1_logits").embedding_size
    tagger = hear_edgel3.Tagger()
    assert_tags(found, tuple(label.name for label in tagger.labels), of_tagger(tagger, sounds), 2)


@pytest.mark.parametrize("name", ["mn01_as_block", "mn01_as_e1_l", "dymn04_as", "tiny_se5_b11_max_ch_pool"])
def test_one_net_puts_out_both(name: str) -> None:
    plain = resolve(name)
    both = with_logits(plain)
    assert both.features.names == tuple(dict.fromkeys([*plain.features.names, "logits"]))
    net = both.net.build()
    assert net.embedding_size == both.embedding_size == sum(both.features.sizes)


def test_what_cannot_tag_is_refused_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_extract("in", "--config", "sea_64", "--tags", "3") == 2
    assert "sea_64 has no classifier and cannot tag" in capsys.readouterr().err
    folder = write_detector(Path("guesses"), targets="numbers", name="ages")
    with pytest.raises(InvalidOption, match="ages guesses numbers, and has no classes to tag with"):
        hear_edgel3.extract("in", "out", folder, tags=3)
    with pytest.raises(InvalidOption, match="tags must be a whole number from 1, got 0"):
        hear_edgel3.extract("in", "out", tags=0)
    assert not Path("out").exists()


def test_a_job_goes_on_with_the_tags_that_it_was_begun_with() -> None:
    options: dict[str, Any] = {"workers": 1, "files_per_part": 2}
    hear_edgel3.extract("in", "out", tags=2, **options)
    before = table()
    Path("out/part-000-000001.parquet").unlink()
    with pytest.raises(InvalidOption, match="was begun with tags 2, and now None"):
        hear_edgel3.extract("in", "out", **options)
    summary = hear_edgel3.extract("in", "out", tags=2, **options)
    assert (summary.parts_done, summary.parts_kept) == (1, 1)
    assert table().equals(before)


def test_jobs_of_earlier_versions_go_on_without_the_new_columns() -> None:
    shutil.move("in/2.wav", "later.wav")
    assert run_extract("in") == 1
    job = Path("out/_job/00000/job.json")
    values = json.loads(job.read_text())
    assert values.pop("spans") is True
    job.write_text(json.dumps(values))
    for part in Path("out").glob("*.parquet"):
        part.unlink()
    assert run_extract("in", "later.wav") == 1
    usual = ["file", "timestamp_ms", "embedding", "error", "duration_s", "sample_rate"]
    assert table().schema.names == usual
    assert len(Dataset("out").parts) == 2


def test_a_long_file_that_fails_late_leaves_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows were written already, as a row group: they are taken back, tags and all."""
    monkeypatch.setattr("hear_edgel3.jobs.writer._GROUP_BYTES", 4 * 320 * 8)
    samples = signals.clip(2.0, RATE).astype(np.float32)
    samples[-10] = np.nan
    soundfile.write("in/1.wav", samples, RATE, "FLOAT")
    assert main(["extract", "in", "-o", "out", "--timestamps", "--tags", "2", "--workers", "1", "-q"]) == 1
    failed = [row for row in rows() if row["error"] is not None]
    assert [(row["file"], row["tags"], row["start"]) for row in failed] == [
        ("in/1.wav", None, None),
        ("in/bad.wav", None, None),
    ]
    assert {row["file"] for row in rows()} == {"in/0.wav", "in/1.wav", "in/2.wav", "in/bad.wav"}
    assert all(len(row["tags"]) == 2 for row in rows() if row["error"] is None)
