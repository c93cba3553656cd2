"""Tables of clips in ``embed`` and ``tag``: each clip as if it were a file of its own, and where it is."""

from __future__ import annotations

import csv
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.extractor.npz import START, conflict
from support import signals
from support.files import contents, files_under
from support.types import Captured

pytestmark = pytest.mark.usefixtures("here")

RATE = 8000
SPANS = [(0.0, 1.0), (0.50006, 2.25), (4.0, None), (5.5, 9.0)]


@pytest.fixture(autouse=True)
def samples(here: Path) -> np.ndarray:
    """A recording, and a table of clips of it, of which some go to its end."""
    found = signals.clip(6.0, RATE) * np.linspace(0.1, 1, 6 * RATE)
    Path("sounds").mkdir()
    soundfile.write("sounds/rec.wav", found, RATE, subtype="FLOAT")
    lines = [f"rec.wav,{start},{'' if end is None else end}" for start, end in SPANS]
    Path("t.csv").write_text("\n".join(["file,start,end", *lines, "rec.wav,3,2", "rec.wav,8,9", "gone.wav,0,1"]) + "\n")
    for i, (start, end) in enumerate(SPANS):
        last = None if end is None else round(end * RATE)
        soundfile.write(f"cut{i}.wav", found[round(start * RATE) : last], RATE, subtype="FLOAT")
    return np.asarray(found)


def test_embed(capsys: Captured) -> None:
    assert main(["embed", "t.csv", "--audio", "sounds", "-o", "out", "-q"]) == 1
    err = capsys.readouterr().err
    assert "the clip from 3 s to 2 s has no length (row 6 of t.csv)" in err
    assert "sounds/rec.wav (8-9 s): the clip begins at 8 s, and the file ends at 6 s" in err
    assert "gone.wav does not exist" in err
    names = ["rec_0-1.npz", "rec_0.50006-2.25.npz", "rec_4-end.npz", "rec_5.5-9.npz"]
    assert files_under(Path("out")) == names
    assert main(["embed", "cut0.wav", "cut1.wav", "cut2.wav", "cut3.wav", "-q"]) == 0
    for i, ((start, end), name) in enumerate(zip(SPANS, names, strict=True)):
        clip, cut = contents(f"out/{name}"), contents(f"cut{i}.npz")
        np.testing.assert_allclose(clip["embedding"], cut["embedding"], atol=1e-5 * np.abs(cut["embedding"]).max())
        np.testing.assert_allclose(clip["timestamps"], start + cut["timestamps"], atol=1e-9)
        assert clip["start_s"] == start
        assert ("end_s" in clip) == (end is not None)
        assert end is None or clip["end_s"] == end
        assert str(clip["source"]) == os.path.abspath("sounds/rec.wav")


def test_embed_goes_on_and_knows_what_is_another_clip(capsys: Captured) -> None:
    command = ["embed", "t.csv", "--audio", "sounds", "-o", "out"]
    main(command)
    Path("out/rec_4-end.npz").unlink()
    capsys.readouterr()
    assert main(command) == 1
    assert "1 embedded, 3 kept as they were" in capsys.readouterr().err
    # Whole files have their own names, and a clip is not taken for another one, or for a file.
    assert main(["embed", "sounds/rec.wav", "-o", "out", "-q"]) == 0
    assert "start_s" not in contents("out/rec.npz")
    Path("out/rec.npz").rename("out/rec_4-end.npz")
    capsys.readouterr()
    assert main(command) == 1
    assert (
        "not replacing out/rec_4-end.npz: it exists and was made with start_s None, not 4.0" in capsys.readouterr().err
    )


def test_a_whole_file_is_not_in_what_a_clip_was_made_into() -> None:
    main(["embed", "t.csv", "--audio", "sounds", "-o", "out", "-q"])
    source = Path("sounds/rec.wav")
    assert conflict(Path("out/rec_4-end.npz"), source, {}) == "it exists and was made with start_s 4.0, not None"
    assert conflict(Path("out/rec_4-end.npz"), source, {START: 4.0}) is None


def test_embed_names_them_apart() -> None:
    Path("x").mkdir()
    for path in ("sounds/a", "sounds/a.b.wav", "x/a.b.wav", "x/c.wav"):
        Path(path).write_bytes(Path("cut0.wav").read_bytes())
    names = ["sounds/a", "sounds/a.b.wav", "x/a.b.wav", "x/c.wav"]
    lines = [f"{name},0.25,0.5" for name in names]
    Path("u.csv").write_text("\n".join(["file,start,end", *lines, "x/c.wav,0.25,0.50000001"]) + "\n")
    assert main(["embed", "u.csv", "-o", "out", "-q"]) == 0
    assert files_under(Path("out")) == [
        "a_0.25-0.5.npz",
        "c_wav_1_0.25-0.5.npz",  # less than a millionth of a second tells these two from each other
        "c_wav_2_0.25-0.5.npz",
        "sounds_a.b_0.25-0.5.npz",
        "x_a.b_0.25-0.5.npz",
    ]


def test_embed_clips_in_tar_files_and_each_channel() -> None:
    both = np.stack([signals.clip(2.0, RATE, seed=i) for i in range(2)], axis=1)
    soundfile.write("sounds/two.wav", both, RATE, subtype="FLOAT")
    Path("v.csv").write_text("file,start,end\nsounds/two.wav,0.5,1.5\n")
    assert main(["embed", "v.csv", "--channel", "each", "-o", "out", "-q"]) == 0
    soundfile.write("mid.wav", both[RATE // 2 : 3 * RATE // 2], RATE, subtype="FLOAT")
    assert main(["embed", "mid.wav", "--channel", "each", "-q"]) == 0
    expected = contents("mid.npz")["embedding"]
    found = contents("out/two_0.5-1.5.npz")["embedding"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    # A clip of a tar file means nothing.
    with tarfile.open("s.tar", "w") as tar:
        tar.add("sounds/two.wav")
    Path("w.csv").write_text("file,start,end\ns.tar,0,1\n")
    assert main(["embed", "w.csv", "-o", "out", "-q"]) == 1


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tag(workers: str, capsys: Captured) -> None:
    assert main(["tag", "t.csv", "--audio", "sounds", "--csv", "--top", "2", "-q", "--workers", workers]) == 1
    out, err = capsys.readouterr()
    assert "sounds/rec.wav (8-9 s): the clip begins at 8 s" in err
    found = rows(out)
    assert list(found[0]) == ["file", "clip_start", "clip_end", "start", "end", "rank", "label", "mid", "probability"]
    assert [(row["file"], row["clip_start"], row["clip_end"], row["start"], row["end"]) for row in found[::2]] == [
        ("sounds/rec.wav", "0", "1", "0", "1"),
        ("sounds/rec.wav", "0.50006", "2.25", "0.50006", "2.25006"),  # of samples, the nearest
        ("sounds/rec.wav", "4", "", "4", "6"),
        ("sounds/rec.wav", "5.5", "9", "5.5", "6"),
    ]
    assert main(["tag", *(f"cut{i}.wav" for i in range(4)), "--csv", "--top", "2", "-q"]) == 0
    for clip, cut in zip(found, rows(capsys.readouterr().out), strict=True):
        assert clip["label"] == cut["label"]
        assert abs(float(clip["probability"]) - float(cut["probability"])) < 1e-4


def test_tag_as_json_with_windows_and_whole_files(capsys: Captured) -> None:
    Path("t.csv").write_text("file,start,end\nrec.wav,1,3\nrec.wav,,\n")
    assert main(["tag", "t.csv", "cut0.wav", "--audio", "sounds", "--json", "--window", "1", "--hop", "1", "-q"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["file"], record["clip_start"], record["clip_end"]) for record in found] == [
        ("sounds/rec.wav", 1.0, 3.0),
        ("sounds/rec.wav", None, None),
        ("cut0.wav", None, None),
    ]
    assert [(window["start"], window["end"]) for window in found[0]["windows"]] == [(1.0, 2.0), (2.0, 3.0)]
    assert [window["start"] for window in found[1]["windows"]] == [0, 1, 2, 3, 4, 5]
    assert found[0]["duration"] == 2.0


@pytest.mark.parametrize("name", ["tags.csv", "tags.jsonl"])
def test_tag_into_a_file_goes_on(name: str, capsys: Captured) -> None:
    table = Path("t.csv").read_text().splitlines()
    command = ["tag", "t.csv", "cut0.wav", "--audio", "sounds", "-o", name, "--top", "1"]
    Path("t.csv").write_text("\n".join(table[:3]) + "\n")
    assert main(command) == 0
    assert "3 files and clips tagged" in capsys.readouterr().err
    Path("t.csv").write_text("\n".join(table[:5]) + "\n")
    assert main(command) == 0
    assert "2 files and clips tagged, 3 were there" in capsys.readouterr().err
    text = Path(name).read_text()
    found = rows(text) if name.endswith(".csv") else [json.loads(line) for line in text.splitlines()]
    starts = [row["clip_start"] for row in found]
    assert [None if start in (None, "") else float(start) for start in starts] == [0, 0.50006, 4, 5.5, None]
    assert main(command) == 0
    assert Path(name).read_text() == text
    assert main(["tag", "cut0.wav", "-o", name, "--top", "1"]) == 2
    assert f"{name} was begun with clips True, and now it is not given" in capsys.readouterr().err


def test_no_picture_of_a_clip(capsys: Captured) -> None:
    Path("t.csv").write_text("file,start,end\nrec.wav,1,3\n")
    assert main(["tag", "t.csv", "--audio", "sounds", "--plot", "x.png"]) == 2
    assert "sounds/rec.wav (1-3 s) is a clip" in capsys.readouterr().err
