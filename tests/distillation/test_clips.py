"""Tables of clips and tar files as what is learnt from."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.distillation import corpus, examples
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import AudioFileError, InvalidAudio
from support.distilling import Distill
from support.types import Captured

pytestmark = pytest.mark.usefixtures("here")

RATE = 8000


def write(path: str, seconds: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype("f4")
    Path(path).parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return samples


def test_clips_of_a_table_are_taken_as_they_are(capsys: Captured) -> None:
    lines = ["file,start,end"]
    for i in range(4):
        write(f"in/{i}.wav", 30, i)
        lines += [f"in/{i}.wav,{k},{k + 3.5}" for k in range(0, 20, 4)]
    lines += ["in/0.wav,28,40", "in/1.wav,3,2", "in/2.wav,31,32", "in/3.wav,5,29"]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    found = corpus.find_corpus(["t.csv"], Recipe(lengths=(1.0, 2.0, 5.0), clips_per_file=2))
    err = capsys.readouterr().err
    assert "left out: in/1.wav: the clip from 3 s to 2 s has no length (row 23 of t.csv)" in err
    assert "left out: in/2.wav (31-32 s): the clip begins at 31 s, and the file ends at 30 s" in err
    clips = {(str(clip.path), clip.start, clip.seconds) for clip in (*found.train, *found.validation)}
    expected = {(f"in/{i}.wav", float(k), 3.5) for i in range(4) for k in range(0, 20, 4)}
    expected |= {("in/0.wav", 28.0, 2.0)}  # it goes on behind the file's end
    expected |= {("in/3.wav", 5.0, 5.0), ("in/3.wav", 24.0, 5.0)}  # a long one: clips are chosen, but inside of it
    assert clips == expected
    assert found.n_files == 4
    # Files are held out, not clips.
    assert {clip.path for clip in found.validation}.isdisjoint(clip.path for clip in found.train)


def test_files_in_tar_files_are_read_in_any_order() -> None:
    sounds = {f"in/{i}.wav": write(f"in/{i}.wav", 16, i) for i in range(5)}
    with tarfile.open("s.tar", "w") as tar:
        tar.add("in")
    found = corpus.find_corpus(["s.tar"], Recipe(lengths=(1.0, 4.0)))
    clips = (*found.train, *found.validation)
    assert {str(clip.path) for clip in clips} == {f"s.tar/{name}" for name in sounds}
    maker = examples._Maker.__new__(examples._Maker)
    maker._opener, maker._rate = examples.ItemOpener(""), RATE
    for clip in clips:
        first = round(clip.start * RATE)
        expected = sounds[str(clip.path).removeprefix("s.tar/")][first : first + round(clip.seconds * RATE)]
        read = maker._read(clip)
        assert read is not None
        assert torch.equal(read, torch.from_numpy(expected))


def test_packed_tar_files_are_refused() -> None:
    write("in/0.wav", 16)
    with tarfile.open("s.tar.gz", "w:gz") as tar:
        tar.add("in")
    with pytest.raises(AudioFileError, match=r"s\.tar\.gz is compressed, and clips are read in random order: unpack"):
        corpus.find_corpus(["s.tar.gz"], Recipe())


def test_a_net_learns_from_clips_in_a_table_and_a_tar_file(distill: Distill, audio: Path, tmp_path: Path) -> None:
    files = sorted(audio.rglob("*.wav"))
    with tarfile.open("s.tar", "w") as tar:
        for file in files[:4]:
            tar.add(file, file.name)
    Path("t.csv").write_text("\n".join(["file,start,end", *(f"{f},{k},{k + 1}" for f in files[4:] for k in range(8))]))
    made = distill(tmp_path / "out", audio=["s.tar", "t.csv"], cache=None)
    assert (made / "model.safetensors").is_file()
    with pytest.raises(InvalidAudio, match="are too little to distill from"):
        distill(tmp_path / "other", audio="t.csv", cache=None)
