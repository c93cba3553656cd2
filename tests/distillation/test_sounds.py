"""Clips as samples: decoded once, kept in shards, read as they are."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.audio.resample import resample
from hear_edgel3.distillation.corpus import find_corpus
from hear_edgel3.distillation.origins import sources_of
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import InvalidAudio, InvalidOption
from hear_edgel3.sources.item import Item
from hear_edgel3.training import sounds as module
from hear_edgel3.training.clip import Clip
from hear_edgel3.training.sounds import Sounds, make_sounds
from support import signals

RATE = 16000


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Clip]:
    """Ten clips of files of many kinds, four in a shard."""
    monkeypatch.setattr(module, "_CLIPS_PER_SHARD", 4)
    rng = np.random.default_rng(0)
    folder = tmp_path / "audio"
    folder.mkdir()
    found = []
    for i in range(10):
        rate, gain = (RATE, 44100, 8000)[i % 3], (0.5, 1e-4, 7.0, 0.0)[i % 4]
        channels = rng.normal(0, 0.2, (2 * rate, 1 + i % 2)) * gain
        soundfile.write(folder / f"{i}.wav", channels, rate, subtype="FLOAT")
        found.append(Clip(item(folder / f"{i}.wav"), 0.25 * (i % 2), 1.0, f"source {i % 3}"))
    return found


def item(path: Path) -> Item:
    """A file of its own, as lists of sources have it."""
    return Item(os.fspath(path), path.stat().st_size if path.is_file() else 0)


def wanted(clip: Clip) -> np.ndarray:
    audio, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
    first = round(clip.start * rate)
    mono = torch.from_numpy(audio[first : first + round(clip.seconds * rate)].mean(axis=1))
    return resample(mono, rate, RATE).numpy()


def check(found: Sounds, clips: list[Clip]) -> None:
    assert found.clips == tuple(clips)
    for i, clip in enumerate(clips):
        expected, read = wanted(clip), found.read(i)
        assert read.dtype == np.float32
        assert len(read) == len(expected) == found.length(i)
        # 16 bits of its own peak, whether that is 1e-4 or 7
        assert np.abs(read - expected).max() <= max(np.abs(expected).max(), 1e-9) / 32767 * 0.51


def test_they_are_what_the_files_hold(clips: list[Clip], tmp_path: Path) -> None:
    found = make_sounds(clips, tmp_path / "cache", RATE, quiet=True)
    check(found, clips)
    assert len(found) == 10
    assert found.seconds == pytest.approx(10.0)
    assert {name: list(numbers) for name, numbers in found.of_source.items()} == {
        "source 0": [0, 3, 6, 9],
        "source 1": [1, 4, 7],
        "source 2": [2, 5, 8],
    }
    whole = found.read(2)
    np.testing.assert_array_equal(found.read(2, 100, 50), whole[100:150])
    np.testing.assert_array_equal(found.read(2, len(whole) - 10, 50), whole[-10:])
    assert not found.read(3).any()  # silence


def test_a_stretch_is_mapped_not_read(clips: list[Clip], tmp_path: Path) -> None:
    """However many hours there are, memory holds what is used of them."""
    found = make_sounds(clips, tmp_path / "cache", RATE, quiet=True)
    for samples in found._samples:
        base = samples
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)


def test_making_them_goes_on(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is kept; what is missing, damaged or of no use is made again, and named."""
    folder = tmp_path / "cache"
    make_sounds(clips, folder, RATE, quiet=True)
    shards = sorted(folder.rglob("*.safetensors"))
    assert len(shards) == 3
    before = [shard.read_bytes() for shard in shards]
    made: list[int] = []
    real = module._shard
    monkeypatch.setattr(module, "_shard", lambda part, start, rate: made.append(start) or real(part, start, rate))
    check(make_sounds(clips, folder, RATE, quiet=True), clips)
    assert made == []
    shards[0].write_bytes(before[0][:-100])
    shards[1].unlink()
    shards[2].write_bytes(b"nothing of the kind")
    check(make_sounds(clips, folder, RATE, quiet=True), clips)
    assert made == [0, 4, 8]
    assert [shard.read_bytes() for shard in shards] == before
    # others, or at another rate, are not taken for these
    assert len(make_sounds(clips[:9], folder, RATE, quiet=True)) == 9
    assert make_sounds(clips, folder, 8000, quiet=True).length(0) == 8000
    # moved, they are the same
    made.clear()
    clips[0].path.parent.rename(tmp_path / "elsewhere")
    moved = [Clip(item(tmp_path / "elsewhere" / c.path.name), c.start, c.seconds, "all") for c in clips]
    assert list(make_sounds(moved, folder, RATE, quiet=True).of_source) == ["all"]
    assert made == []


def test_what_a_damaged_shard_says(clips: list[Clip], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_sounds(clips, tmp_path / "cache", RATE, quiet=True)
    shard = sorted((tmp_path / "cache").rglob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:500])
    assert capfd.readouterr().err == ""
    check(make_sounds(clips, tmp_path / "cache", RATE, quiet=True), clips)
    assert capfd.readouterr().err == f"damaged, made again: {shard}\n"


def test_what_cannot_be_read_is_named(clips: list[Clip], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    soundfile.write(clips[5].path, np.full((RATE, 1), np.nan), RATE, subtype="FLOAT")
    clips[7].path.write_bytes(b"RIFF nothing of the kind")
    found = make_sounds(clips, tmp_path / "cache", RATE, quiet=True)
    check(found, [clip for i, clip in enumerate(clips) if i not in (5, 7)])
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith("left out: ") for line in said)
    assert {str(clips[5].path), str(clips[7].path)} == {
        name for name in map(str, (c.path for c in clips)) if any(name in line for line in said)
    }
    for clip in clips:
        clip.path.write_bytes(b"no audio")
    with pytest.raises(InvalidAudio, match="none of the 10 clips could be read"):
        make_sounds(clips, tmp_path / "other", RATE, quiet=True)
    with pytest.raises(InvalidOption, match="sample_rate"):
        make_sounds(clips, tmp_path / "cache", 10, quiet=True)


def test_many_threads_read_them(clips: list[Clip], tmp_path: Path) -> None:
    found = make_sounds(clips, tmp_path / "cache", RATE, quiet=True)
    expected = [found.read(i) for i in range(len(found))]
    with ThreadPoolExecutor(8) as pool:
        for i, read in enumerate(pool.map(found.read, list(range(len(found))) * 20)):
            np.testing.assert_array_equal(read, expected[i % len(found)])


def test_of_which_source_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder below the input; the input itself; of what is named alone or by a list, its folder."""
    a, b = tmp_path / "a", tmp_path / "b"
    files = [a / "loose.wav", a / "dogs" / "x.wav", a / "dogs" / "deep" / "y.wav", a / "cats" / "x.wav"]
    for path in (*files, b / "dogs" / "x.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
    assert list(sources_of(files, [str(a)]).values()) == ["a", "dogs", "dogs", "cats"]
    assert sources_of([b / "dogs" / "deep" / "y.wav"], [str(tmp_path / "list.txt")]) == {
        b / "dogs" / "deep" / "y.wav": "deep"
    }
    # two of one name are told apart by what is before it, and only they
    both = sources_of([*files, b / "dogs" / "x.wav"], [str(a), str(b)])
    assert list(both.values()) == ["a", "a/dogs", "a/dogs", "cats", "b/dogs"]
    monkeypatch.chdir(a)
    assert sources_of([Path("loose.wav"), Path("dogs/x.wav")], ["."]) == {
        Path("loose.wav"): "a",
        Path("dogs/x.wav"): "dogs",
    }
    assert sources_of([a / "dogs" / "deep" / "y.wav"], [str(a / "dogs")]) == {a / "dogs" / "deep" / "y.wav": "deep"}
    assert sources_of([], [os.sep]) == {}


def test_clips_know_their_source(tmp_path: Path) -> None:
    for source in ("birds", "bells"):
        (tmp_path / source).mkdir()
        for i in range(2):
            soundfile.write(tmp_path / source / f"{i}.wav", signals.clip(30.0, 8000), 8000)
    found = find_corpus([str(tmp_path)], Recipe())
    for clip in (*found.train, *found.validation):
        assert clip.source == clip.path.parent.name
