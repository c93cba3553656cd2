"""Sounds for PyTorch's loaders."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

import hear_edgel3
from hear_edgel3.adapters import SoundDataset
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption
from support import signals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "sounds"
    where.mkdir()
    for name, seconds, rate in (("a.wav", 1.0, 16000), ("b.flac", 2.5, 44100), ("c.wav", 0.3, 32000)):
        soundfile.write(where / name, signals.clip(seconds, rate, seed=len(name)), rate)
    return where


def test_sounds_are_those_that_load_audio_gives(folder: Path) -> None:
    sounds = SoundDataset(folder, 32000)
    assert len(sounds) == 3
    for sound, name, seconds in zip(sounds, ("a.wav", "b.flac", "c.wav"), (1.0, 2.5, 0.3), strict=True):  # type: ignore[arg-type]
        assert sound["file"] == str(folder / name)
        assert (sound["start"], sound["seconds"]) == (0.0, pytest.approx(seconds, abs=1e-4))
        np.testing.assert_array_equal(sound["samples"], hear_edgel3.load_audio(folder / name, 32000))
    with pytest.raises(IndexError):
        sounds[3]


def test_lists_go_from_a_loader_into_a_net(folder: Path) -> None:
    extractor = hear_edgel3.load()
    sounds = SoundDataset(folder, extractor.sample_rate)
    found = {}
    for batch in DataLoader(sounds, batch_size=2, collate_fn=SoundDataset.as_lists):
        found |= dict(zip(batch["file"], extractor.scene_embeddings(batch["samples"]), strict=True))
    assert list(found) == [str(folder / name) for name in ("a.wav", "b.flac", "c.wav")]
    for file, embedding in found.items():
        alone = extractor.scene_embeddings(hear_edgel3.load_audio(file, extractor.sample_rate)[None])[0]
        torch.testing.assert_close(embedding, alone, rtol=0, atol=1e-6)


_IN_PROCESSES = """
import sys
from torch.utils.data import DataLoader
from hear_edgel3.adapters import SoundDataset

if __name__ == "__main__":
    sounds = SoundDataset(sys.argv[1], 32000)
    sounds[0]  # a reader of this process's own, which its workers must not share
    for start in ("fork", "spawn"):
        loader = DataLoader(sounds, 2, num_workers=2, collate_fn=SoundDataset.as_lists, multiprocessing_context=start)
        found = [samples for batch in loader for samples in batch["samples"]]
        assert [s.tolist() for s in found] == [sound["samples"].tolist() for sound in sounds]
    print(len(found))
"""


def test_a_loaders_processes_read_them(folder: Path, tmp_path: Path) -> None:
    # In a process of its own: once a loader has had workers, torch handles the end of every child of the process.
    (tmp_path / "load.py").write_text(_IN_PROCESSES)
    words = [sys.executable, str(tmp_path / "load.py"), str(folder)]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "3\n"


def test_parts_are_of_one_length_and_cover_everything(folder: Path) -> None:
    sounds = SoundDataset(folder, 16000, seconds=1.0)
    batch = next(iter(DataLoader(sounds, batch_size=5)))
    assert batch["samples"].shape == (5, 16000)
    assert [Path(file).name for file in batch["file"]] == ["a.wav", "b.flac", "b.flac", "b.flac", "c.wav"]
    assert batch["start"].tolist() == [0.0, 0.0, 1.0, 2.0, 0.0]
    assert batch["seconds"].tolist() == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.3], abs=1e-4)
    assert not batch["samples"][3, 8000:].any()
    second = hear_edgel3.load_audio(folder / "b.flac", 16000, start=1.0, end=2.0)
    np.testing.assert_array_equal(batch["samples"][2], second)


def test_parts_lie_within_the_clips_of_a_table(folder: Path) -> None:
    (folder / "clips.csv").write_text("file,start,end\nb.flac,0.5,1.7\nb.flac,2.0,9.0\n")
    sounds = SoundDataset(folder / "clips.csv", 44100, seconds=1.0)
    assert [(round(sound["start"], 3), round(sound["seconds"], 3)) for sound in sounds] == [  # type: ignore[attr-defined]
        (0.5, 1.0),
        (1.5, 0.2),
        (2.0, 0.5),
    ]


def test_members_of_shards_are_sounds(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name in ("a.wav", "b.flac"):
            tar.add(folder / name, name)
    found = SoundDataset([tmp_path / "shard.tar"], 16000)
    np.testing.assert_array_equal(found[0]["samples"], SoundDataset(folder / "a.wav", 16000)[0]["samples"])
    assert len(found) == 2


def test_it_can_be_pickled_after_it_was_read(folder: Path) -> None:
    sounds = SoundDataset(folder, 16000)
    expected = sounds[0]["samples"]
    torch.testing.assert_close(pickle.loads(pickle.dumps(sounds))[0]["samples"], expected, rtol=0, atol=0)


def test_what_is_wrong_is_said_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="nowhere"):
        SoundDataset(tmp_path / "nowhere", 16000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioFileError, match="empty"):
        SoundDataset(tmp_path / "empty", 16000)
    with pytest.raises(AudioFileError, match="no sounds"):
        SoundDataset([], 16000)
    for option in ({"seconds": 0.0}, {"seconds": 1e-9}, {"channel": "left"}):
        with pytest.raises(InvalidOption):
            SoundDataset(folder, 16000, **option)  # type: ignore[arg-type]
    (folder / "d.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioFileError, match=r"d\.wav"):
        SoundDataset(folder, 16000)[3]
    with pytest.raises(AudioFileError, match=r"d\.wav"):
        SoundDataset(folder, 16000, seconds=1)
    soundfile.write(folder / "d.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    with pytest.raises(InvalidAudio, match=r"d.wav: sample 1 is NaN"):
        SoundDataset(folder, 16000)[3]
