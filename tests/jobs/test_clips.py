"""Jobs of clips: a row per clip, as if it were a file of its own; what tables say is kept; jobs go on."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.errors import InvalidOption
from hear_edgel3.explore.build import explore
from hear_edgel3.search import SoundSearch, find_duplicates
from support import signals
from support.files import write_clip
from support.jobs import assert_close, rows, run_extract, table
from support.types import Captured

RATE = 8000


def write_rec(name: str = "rec.wav", seconds: float = 6.0, seed: int = 0) -> np.ndarray:
    """Noise whose colour and loudness change all the time."""
    samples = signals.clip(seconds, RATE, seed=seed) * np.linspace(0.1, 1, int(seconds * RATE))
    soundfile.write(name, samples, RATE, subtype="FLOAT")
    return np.asarray(soundfile.read(name)[0])


def write_cuts(samples: np.ndarray, spans: list[tuple[float, float | None]]) -> list[str]:
    """The same clips as files of their own."""
    names = []
    for i, (start, end) in enumerate(spans):
        cut = samples[round(start * RATE) : None if end is None else round(end * RATE)]
        names.append(f"cut{i}.wav")
        soundfile.write(names[-1], cut, RATE, subtype="FLOAT")
    return names


SPANS: list[tuple[float, float | None]] = [(0.0, 1.0), (0.50006, 2.25), (4.0, None), (5.5, 9.0), (1.0, 2.5)]


def write_table(*more: str) -> None:
    lines = [f"rec.wav,{s},{'' if e is None else e},label{i}" for i, (s, e) in enumerate(SPANS)]
    Path("t.csv").write_text("\n".join(["file,start,end,label", *lines, *more]) + "\n")


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("runner", ["here", "processes"])
def test_clips_are_as_files_of_their_own(moments: bool, runner: str) -> None:
    samples = write_rec()
    write_table()
    options = {"timestamps": moments, "hop_ms": 250.0 if moments else None, "files_per_part": 2}
    summary = hear_edgel3.extract("t.csv", "out", keep="label", workers=2 if runner == "processes" else 1, **options)
    assert summary.all_well
    assert summary.files == len(SPANS)
    hear_edgel3.extract(write_cuts(samples, SPANS), "cuts", workers=1, **options)
    found, cuts = rows("out"), rows("cuts")
    assert len(found) == len(cuts) > (20 if moments else 4)
    assert_close(np.array([r["embedding"] for r in found]), np.array([r["embedding"] for r in cuts]))
    assert {row["file"] for row in found} == {"rec.wav"}
    for row, cut in zip(found, cuts, strict=True):
        number = int(cut["file"][3])
        start, end = SPANS[number]
        assert (row["start_s"], row["end_s"], row["label"]) == (start, end, f"label{number}")
        assert row["duration_s"] == 6.0
        if moments:  # of the file, so that they say where to listen
            assert row["timestamp_ms"] == pytest.approx(1000 * start + cut["timestamp_ms"], abs=1e-9)
    said = json.loads(pq.read_schema(Dataset("out").parts[0]).metadata[b"hear_edgel3.clips"])
    assert said["timestamp_ms"] == ["milliseconds of the file, not of the clip"]


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_clips_of_compressed_files(form: str) -> None:
    samples = signals.clip(6.0, RATE)
    soundfile.write(f"rec.{form}", samples, RATE)
    decoded = soundfile.read(f"rec.{form}")[0]
    Path("t.csv").write_text(f"file,start,end\nrec.{form},1,2\nrec.{form},4.25,6\n")
    assert run_extract("t.csv") == 0
    hear_edgel3.extract(write_cuts(decoded, [(1, 2), (4.25, 6)]), "cuts", workers=1)
    found, cuts = (np.array([r["embedding"] for r in rows(folder)]) for folder in ("out", "cuts"))
    assert_close(found, cuts)


def test_a_long_clip_is_read_in_pieces() -> None:
    samples = write_rec(seconds=150.0)
    Path("t.csv").write_text("file,start,end\nrec.wav,3.00003,148\n")
    assert run_extract("t.csv") == 0
    hear_edgel3.extract(write_cuts(samples, [(3.00003, 148)]), "cuts", workers=1)
    assert_close(np.array(rows()[0]["embedding"]), np.array(rows("cuts")[0]["embedding"]))


def test_clips_that_are_not_there_are_error_rows() -> None:
    write_rec(seconds=2.0)
    write_table(
        "rec.wav,2,3,at",
        "rec.wav,2.5,3,behind",
        "rec.wav,1e300,,far",
        "gone.wav,0,1,gone",
        "rec.wav,x,1,bad",
        "rec.wav,1,1.00001,short",
        "a\0b.wav,0,1,nul",
        "rec.wav,,,whole",
    )
    assert run_extract("t.csv", "--keep", "label") == 1
    by_label = {row["label"]: row for row in rows()}
    assert len(by_label) == len(SPANS) + 8
    good = {label for label, row in by_label.items() if row["error"] is None}
    assert good == {"label0", "label1", "label4", "whole"}
    assert by_label["label4"]["end_s"] == 2.5  # as the table has it; the file, and with it the clip, ends at 2 s
    assert by_label["label4"]["duration_s"] == 2.0
    assert by_label["at"]["error"] == (
        "AudioFileError: rec.wav (2-3 s): the clip begins at 2 s, and the file ends at 2 s; if files are cut already, "
        "take them whole (--whole-files)"
    )
    assert (by_label["at"]["start_s"], by_label["at"]["end_s"]) == (2.0, 3.0)
    for label in ("behind", "far", "label2", "label3"):
        assert "and the file ends at 2 s" in by_label[label]["error"]
    assert "gone.wav does not exist" in by_label["gone"]["error"]
    assert (
        by_label["bad"]["error"] == "AudioFileError: rec.wav: its start 'x' is no number of seconds (row 11 of t.csv)"
    )
    assert "the clip is shorter than a sample at 8000 Hz" in by_label["short"]["error"]
    assert by_label["nul"]["file"] == "a\0b.wav"
    assert by_label["nul"]["error"]
    assert by_label["whole"]["start_s"] is None


def test_jobs_of_clips_go_on() -> None:
    write_rec()
    write_table()
    assert run_extract("t.csv", "--keep", "label", "--files-per-part", "2") == 0
    before = rows()
    parts = Dataset("out").parts
    assert len(parts) == 3
    parts[1].unlink()
    assert run_extract("t.csv", "--keep", "label") == 0
    assert rows() == before
    # A clip more, and a whole file, become a new part; what is there is not done again.
    write_rec("other.wav")
    write_table("rec.wav,2,3,label5")
    summary = hear_edgel3.extract(["t.csv", "other.wav"], "out", keep="label", workers=1)
    assert (summary.files, summary.parts_done) == (2, 1)
    assert [(r["file"], r["start_s"], r["label"]) for r in rows()[-2:]] == [
        ("rec.wav", 2.0, "label5"),
        ("other.wav", None, None),
    ]
    assert hear_edgel3.extract([], "out", workers=1).files == 0
    Path("more.csv").write_text("file,start,end,kind\nrec.wav,3,4,x\n")
    with pytest.raises(InvalidOption, match="was begun without the columns kind"):
        hear_edgel3.extract("more.csv", "out", keep="all", workers=1)
    assert run_extract("other.wav", "--keep", "label") == 2


def test_a_column_to_keep_that_no_table_has(capsys: Captured) -> None:
    write_rec()
    write_table()
    assert run_extract("t.csv", "rec.wav", "--keep", "kind") == 1
    assert "it has no column 'kind' to keep, but 'file', 'start', 'end', 'label'" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run_extract("rec.wav", "--keep", "kind") == 2
    assert "there is none among the sources" in capsys.readouterr().err


def test_clips_do_not_go_into_a_dataset_of_files() -> None:
    write_rec()
    write_table()
    assert run_extract("rec.wav") == 0
    with pytest.raises(InvalidOption, match="was begun with whole files, so it has no columns for clips"):
        hear_edgel3.extract("t.csv", "out", workers=1)
    assert "start_s" not in table().schema.names


def test_equal_clips_are_embedded_once_unless_what_is_kept_differs() -> None:
    write_rec()
    Path("t.csv").write_text("file,start,end,label\nrec.wav,0,1,a\nrec.wav,0,1,b\n./rec.wav,0.0,1.0,a\n")
    assert run_extract("t.csv") == 0
    assert len(rows()) == 1
    hear_edgel3.extract("t.csv", "kept", keep=["label"], workers=1)
    assert [row["label"] for row in rows("kept")] == ["a", "b"]


def test_columns_with_names_of_the_dataset() -> None:
    write_rec()
    Path("t.csv").write_text("file,error,embedding,fold\nrec.wav,none,x,007\n")
    assert run_extract("t.csv", "--keep", "all") == 0
    [row] = rows()
    assert (row["error"], row["table_error"], row["table_embedding"], row["fold"]) == (None, "none", "x", "007")


def test_parts_count_clips_and_not_their_files() -> None:
    """Hundreds of clips of a large file are not hundreds of parts."""
    write_rec("long.wav", 300.0)
    Path("t.csv").write_text("file,start,end\n" + "".join(f"long.wav,{i},{i + 0.5}\n" for i in range(280)))
    hear_edgel3.extract("t.csv", "out", workers=1)
    assert len(Dataset("out").parts) == 2


def test_search_duplicates_and_explore_know_clips(capsys: pytest.CaptureFixture[str]) -> None:
    samples = write_rec()
    soundfile.write("rec.wav", np.concatenate([samples, samples[:RATE]]), RATE)  # its first second again at its end
    Path("t.csv").write_text("file,start,end\n" + "".join(f"rec.wav,{i},{i + 1}\n" for i in range(7)))
    assert run_extract("t.csv") == 0
    [cut] = write_cuts(samples, [(2.0, 3.0)])
    best = SoundSearch("out").query(cut, top=3)
    assert (best[0].file, best[0].start_s, best[0].end_s) == ("rec.wav", 2.0, 3.0)
    assert best[0].similarity > 0.999
    assert len(best) == 3
    [group] = find_duplicates("out", 0.999)
    assert group.files == ("rec.wav", "rec.wav")
    assert group.spans == ((0.0, 1.0), (6.0, 7.0))
    capsys.readouterr()
    assert main(["duplicates", "out", "--threshold", "0.999"]) == 0
    assert capsys.readouterr().out == "rec.wav (0-1 s)\nrec.wav (6-7 s)\n"
    assert main(["search", "out", cut, "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  rec.wav (2-3 s)")
    assert main(["search", "out", cut, "--top", "1", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["start_s"], line["end_s"]) == (2.0, 3.0)
    summary = explore("out", "page.html", tags=False, projection="pca")
    assert (summary.n_clips, summary.notes) == (7, {})
    page = Path("page.html").read_text()
    assert "rec.wav (2-3 s)" in page
    assert "rec.wav#t=2,3" in page


def test_each_clip_has_its_own_best_moment() -> None:
    write_rec()
    write_table()
    hear_edgel3.extract("t.csv", "out", timestamps=True, hop_ms=250, workers=1)
    search = SoundSearch("out")
    found = search.neighbours_of(0, top=10)
    places: list[Any] = [(match.start_s, match.end_s) for match in found]
    assert sorted(places, key=str) == sorted(SPANS, key=str)


def test_a_list_may_name_shards_whose_rows_are_kept() -> None:
    write_clip("a.wav")
    write_clip("b.wav")
    with tarfile.open("s.tar", "w") as tar:
        tar.add("a.wav")
        tar.add("b.wav")
    Path("t.csv").write_text("file,split\ns.tar,train\n")
    assert run_extract("t.csv", "--keep", "split") == 0
    assert [(row["file"], row["split"]) for row in rows()] == [("s.tar/a.wav", "train"), ("s.tar/b.wav", "train")]
