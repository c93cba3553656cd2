"""Lists of files, tar shards, and HDF5 files of sounds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from .kept import Kept
from .kind import Attempt, Kind, Sound


def clip_bytes(number: int, rate: int = 8000) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    noise = 0.1 * np.random.default_rng(number).standard_normal(rate // 8)
    soundfile.write(buffer, noise, rate, format="WAV")
    return buffer.getvalue()


def _lists(place: Path) -> list[Sound]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"{i}.wav" for i in range(4)]
    for i, name in enumerate(names):
        (place / name).write_bytes(clip_bytes(i))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"path": names, "label": ["a", "b", "a", "b"]}), buffer)
    return [
        Sound("list.txt", "".join(f"{name}\n" for name in names).encode()),
        Sound("list.csv", b"file,label\n" + b"".join(f'"{name}",x\n'.encode() for name in names)),
        Sound("list.tsv", b"label\tpath\n" + b"".join(f"x\t{name}\n".encode() for name in names)),
        Sound(
            "clips.csv",
            b"file,start,end,label\n" + b"".join(f"{n},0.0,0.1,x\n{n},0.05,0.12,y\n".encode() for n in names),
        ),
        Sound("list.parquet", buffer.getvalue()),
    ]


def _shards(_: Path) -> list[Sound]:
    sounds = []
    for ending, form in (("tar", tarfile.PAX_FORMAT), ("tar", tarfile.GNU_FORMAT), ("tar.gz", tarfile.PAX_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz" if ending == "tar.gz" else "w", format=form) as tar:
            for i in range(3):
                member = tarfile.TarInfo(f"{'folder/' * (1 + 20 * (i == 2))}{i}.wav")
                data = clip_bytes(i)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        sounds.append(Sound(f"shard.{ending}", buffer.getvalue()))
    return sounds


def _hdf5(_: Path) -> list[Sound]:
    import h5py

    sounds = []
    for library in ("earliest", "latest"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=library) as file:
            file["audio_name"] = np.array([f"{i}.wav" for i in range(3)], "S20")
            file["target"] = np.zeros((3, 2), np.uint8)
            data = file.create_dataset("mp3", (3,), h5py.vlen_dtype(np.uint8))
            for i in range(3):
                data[i] = np.frombuffer(clip_bytes(i), np.uint8)
        sounds.append(Sound(f"{library}_mp3.hdf", buffer.getvalue()))
    return sounds


def _prepare(place: Path) -> Attempt:
    import shutil

    import torch

    import hear_edgel3
    from hear_edgel3.dataset.dataset import Dataset
    from hear_edgel3.errors import HearEdgeL3Error
    from hear_edgel3.jobs.manifest import list_items
    from hear_edgel3.sources import hdf5

    hdf5.Apart = Kept()  # type: ignore[assignment, misc]
    hdf5.Hdf5Sounds.__init__.__defaults__ = (5,)  # seconds of patience
    torch.set_num_threads(1)
    tried = 0

    def attempt(name: str, data: bytes) -> None:
        nonlocal tried
        tried += 1
        path = place / name
        # A file of its own: the process that is kept may have the last one open still, and the HDF5 library, to which
        # one inode is one file, would mix what it remembers of that with what is there now.
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        listing = list_items([str(path)])
        assert all(isinstance(error, HearEdgeL3Error) for _, error in listing.failures)
        if tried % 50 == 0:
            shutil.rmtree(place / "out", ignore_errors=True)
            hear_edgel3.extract([path], place / "out", config="tiny", workers=1)
            for batch in Dataset(place / "out").batches():
                for row in batch.to_pylist():
                    assert row["error"] or np.isfinite(row["embedding"]).all()
        elif listing.failures:
            raise listing.failures[0][1]

    return attempt


KINDS = (Kind("lists", _lists, _prepare, text=True), Kind("shards", _shards, _prepare), Kind("hdf5", _hdf5, _prepare))
