"""Tables that say of which channel their rows are, where one signal is made of each file: that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from hear_edgel3.adapters import SoundDataset
from hear_edgel3.cli.sources import audio_sources
from hear_edgel3.sources.lister import list_items

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin File\n1\tw\t{}\t0\t1\t{}\n2\tw\t{}\t1\t2\t{}\n"
MEAN = (
    "the mean of all channels is heard, whatever the column 'Channel' of t.txt says ({}); the option `channel` takes "
    "the number of one, from 0"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("mono.wav", np.zeros(800), 8000)
    soundfile.write("stereo.wav", np.zeros((800, 2)), 8000)


@pytest.mark.parametrize(
    ("rows", "heard", "said"),
    [
        ((2, "stereo.wav", 2, "stereo.wav"), "mean", MEAN.format("2")),
        ((1, "stereo.wav", 1, "stereo.wav"), "mean", MEAN.format("1")),
        ((1, "mono.wav", 1, "mono.wav"), "mean", None),  # Raven names the first channel also where there is no other
        ((2, "stereo.wav", 2, "stereo.wav"), 1, None),
        ((1, "stereo.wav", 2, "stereo.wav"), "each", None),
        (("x", "stereo.wav", "", "stereo.wav"), "mean", None),  # such as somebody's channel of films
        ((1, "mono.wav", 1, "stereo.wav"), "mean", MEAN.format("1")),
        ((1, "no.wav", 1, "stereo.wav"), "mean", MEAN.format("1")),
        (
            ("L", "mono.wav", "Right", "stereo.wav"),
            "mean",
            MEAN.format("L, Right").replace("; the", "; rows that differ by nothing else are one sound; the", 1),
        ),
        (("left", "mono.wav", "", "mono.wav"), "mean", None),
    ],
)
def test_what_is_said(rows: tuple[object, ...], heard: int | str, said: str | None) -> None:
    Path("t.txt").write_text(RAVEN.format(*rows))
    assert list_items(["t.txt"]).channel_notes(heard) == ([] if said is None else [said])


def test_rows_of_several_channels_are_one_sound() -> None:
    Path("t.csv").write_text("file,start,end,channel\nstereo.wav,0,.05,0\nstereo.wav,0,.05,1\n")
    found = audio_sources(["t.csv"], channel=0)
    assert len(found.items) == 1
    assert found.notes == [
        "channel 0, from 0, of all is heard, whatever the column 'channel' of t.csv says (0, 1); rows that differ by "
        "nothing else are one sound; the option `channel` takes the number of one, from 0"
    ]


def test_parquet_and_a_dataset_for_pytorch() -> None:
    pq.write_table(pa.table({"Channel": [1.0, None], "file": ["stereo.wav", "mono.wav"]}), "t.parquet")
    dataset = SoundDataset("t.parquet", 8000)
    assert dataset.notes == [MEAN.format("1").replace("t.txt", "t.parquet")]
    assert not SoundDataset("t.parquet", 8000, channel=1).notes
