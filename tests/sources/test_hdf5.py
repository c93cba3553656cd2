"""HDF5 files of sounds as sources: listed, embedded as the sounds by themselves, and damaged ones said."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from hear_edgel3.errors import AudioFileError
from hear_edgel3.jobs.run import extract
from hear_edgel3.sources.lister import list_items
from support.jobs import rows

pytestmark = pytest.mark.usefixtures("here")


def tone(hz: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(32000) * 2 * np.pi * hz / 32000), 32000, format="WAV")
    return file.getvalue()


def hdf5(path: str, sounds: dict[str, bytes]) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["audio_name"] = np.array(list(sounds), "S20")
        data = file.create_dataset("mp3", (len(sounds),), h5py.vlen_dtype(np.uint8))
        for i, one in enumerate(sounds.values()):
            data[i] = np.frombuffer(one, np.uint8)
    return path


def test_sounds_are_listed_also_in_folders() -> None:
    hdf5("d/some_mp3.hdf", {"a.mp3": b"x", "b/c.mp3": b"y"})
    hdf5("d/weights.h5", {"a.mp3": b"x"})
    members = [item.member for item in list_items(["d"]).items]
    assert members == ["a.mp3", "b/c.mp3"]
    assert [item.file for item in list_items(["d/weights.h5"]).items] == ["d/weights.h5/a.mp3"]


def test_they_are_embedded_as_files_by_themselves() -> None:
    sounds = {"a.mp3": tone(440), "b.mp3": tone(1000)}
    Path("files").mkdir()
    for name, sound in sounds.items():
        Path("files", name).write_bytes(sound)
    hdf5("two_mp3.hdf", {**sounds, "bad.mp3": b"no sound"})
    summary = extract("two_mp3.hdf", "packed")
    extract("files", "loose")
    assert (summary.files, summary.failed) == (3, 1)
    packed, loose = (rows(folder) for folder in ("packed", "loose"))
    mine = {Path(row["file"]).name: row["embedding"] for row in packed if row["error"] is None}
    assert mine == {Path(row["file"]).name: row["embedding"] for row in loose}


def test_what_is_no_hdf5_file_of_sounds() -> None:
    Path("a.hdf").write_bytes(b"no HDF5")
    with h5py.File("b.hdf", "w") as file:
        file["x"] = [1]
    hdf5("empty.hdf", {})
    with h5py.File("uneven.hdf", "w") as file:
        file["audio_name"] = np.array([b"a", b"b"])
        file["mp3"] = [1]
    said = {path: str(error) for path, error in list_items(["a.hdf", "b.hdf", "empty.hdf", "uneven.hdf"]).failures}
    assert "cannot be read as an HDF5 file" in said["a.hdf"]
    assert said["b.hdf"] == "b.hdf has no data set audio_name and mp3, but x"
    assert said["empty.hdf"] == "the HDF5 file empty.hdf has no sounds"
    assert "different lengths" in said["uneven.hdf"]
    assert all(isinstance(error, AudioFileError) for _, error in list_items(["a.hdf"]).failures)
