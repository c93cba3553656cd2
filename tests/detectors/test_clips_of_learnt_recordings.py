"""A detector knows the recordings that it has learnt from, whatever stretch of them it is to be tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.detectors.result import read_split
from hear_edgel3.errors import LabelsError

RATE = 8000


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("file,start,end,label\n" + "".join(f"{row}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of four seconds."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for name in ("day", "night"):
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.3, 0.3, 4 * RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def detector(folder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    learnt = table(folder / "learnt.csv", ["day.wav,0,1,a", "day.wav,1,2,b"])
    return hear_edgel3.train(learnt, tmp_path_factory.mktemp("detectors") / "mine", cache=cache)


@pytest.mark.parametrize("clips", [["day.wav,0.5,1.5,a", "day.wav,3,4,b"], ["day.wav,,,a", "night.wav,,,b"]])
def test_other_stretches_and_all_of_them_are_refused(
    detector: Path, folder: Path, cache: Path, clips: list[str]
) -> None:
    other = table(folder / "other.csv", clips)
    n = sum(clip.startswith("day") for clip in clips)
    said = f"{n} of recordings of which it has learnt other clips or channels"
    wanted = rf"made with {n} of the 2 sounds .*\({said}\): .*day\.wav"
    with pytest.raises(LabelsError, match=wanted):
        hear_edgel3.evaluate(other, detector, cache=cache)
    found = hear_edgel3.evaluate(other, detector, cache=cache, on_leak="say")
    assert any("TOO GOOD" in note for note in found.notes)


def test_other_recordings_are_not(detector: Path, folder: Path, cache: Path) -> None:
    assert (
        hear_edgel3.evaluate(
            table(folder / "night.csv", ["night.wav,0,1,a", "night.wav,1,2,b"]), detector, cache=cache
        ).scores.n
        == 2
    )


def test_of_equal_sounds_in_several_parts_what_is_learnt_from_counts(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("file,part,digest\na.wav,train,1\nb.wav,test,1\nc.wav,test,2\n")
    made_of = read_split(tmp_path)  # as earlier versions wrote it
    assert made_of.parts == {"1": "train", "2": "test"}
    assert made_of.recordings == {"1"}
