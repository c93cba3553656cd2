"""HDF5 files of sounds as sources: listed, embedded as the sounds by themselves, and damaged ones said."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from hear_edgel3.errors import AudioFileError
from hear_edgel3.jobs.run import extract
from hear_edgel3.sources.hdf5 import Hdf5Sounds
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items
from hear_edgel3.sources.opening import ItemOpener
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
    assert "of different lengths" in said["uneven.hdf"]
    assert all(isinstance(error, AudioFileError) for _, error in list_items(["a.hdf"]).failures)


_LIBRARY = """
import os

class Data:
    shape, nbytes = (4,), 80

    def __init__(self, name):
        self.name = name

    def __getitem__(self, row):
        names = [b"a.wav", b"hangs.wav", b"dies.wav", b"d.wav"]
        if self.name == "audio_name":
            return names[row]
        while row == 1:
            pass
        if row == 2:
            os.abort()
        return memoryview(b"sound")

class File:
    def __init__(self, path, mode):
        self.filename = path

    def __contains__(self, name):
        return True

    def __getitem__(self, name):
        return Data(name)
"""


def test_a_library_that_hangs_or_dies_costs_its_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The process that reads gets this search path, and so this library; the one here has the real one already.
    (tmp_path / "h5py.py").write_text(_LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "x_mp3.hdf"
    path.write_bytes(bytes(1000))
    with closing(Hdf5Sounds(str(path), patience_s=1)) as sounds:
        items = sounds.items()
        assert sounds.sound(items[0]) == b"sound"
        with pytest.raises(AudioFileError, match=r"hangs\.wav: the HDF5 library did not come back within 1 s"):
            sounds.sound(items[1])
        assert sounds.sound(items[3]) == b"sound"
        with pytest.raises(AudioFileError, match=r"dies.wav: the HDF5 library ended the process .*code -6"):
            sounds.sound(items[2])
        with pytest.raises(AudioFileError, match=r"dies.wav: the HDF5 library ended the process .*code -6"):
            sounds.sound(items[2])
        with pytest.raises(AudioFileError, match="after 3 such rows it is not read any further"):
            sounds.sound(items[0])


def test_threads_that_open_items_of_one_file_get_their_own() -> None:
    sounds = {f"{i}.wav": tone(100 + i) for i in range(24)}
    hdf5("many_mp3.hdf", sounds)
    items = list_items(["many_mp3.hdf"]).items
    with closing(ItemOpener("")) as opener, ThreadPoolExecutor(8) as pool:

        def read(item: Item) -> np.ndarray:
            with opener.open(item) as file:
                return np.concatenate(list(file.blocks()))

        read_here = list(pool.map(read, items))
    for item, samples in zip(items, read_here, strict=True):
        expected, _ = soundfile.read(io.BytesIO(sounds[item.member]), dtype="float32")
        assert np.array_equal(samples.reshape(-1), expected), item.member


def test_what_claims_more_than_its_file_holds_is_refused() -> None:
    hdf5("claims_mp3.hdf", {"a.mp3": b"x"})
    with h5py.File("claims_mp3.hdf", "r+") as file:
        file.create_dataset("target", (1 << 20, 527), np.float32, chunks=(1024, 527))  # nothing of it is stored
        file["words"] = np.array([b"a"])
    with closing(Hdf5Sounds("claims_mp3.hdf")) as sounds:
        with pytest.raises(AudioFileError, match="data set target that claims 2210398208 bytes, more than the file"):
            sounds.read("target")
        with pytest.raises(AudioFileError, match=r"has a data set words of .* and not of numbers"):
            sounds.read("words")
        with pytest.raises(AudioFileError, match="has a data set nothing that cannot be read"):
            sounds.read("nothing")
