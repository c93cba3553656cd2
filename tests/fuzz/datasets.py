"""What extract and index write: datasets, indexes, and what a job keeps of itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .kind import Attempt, Kind, Sound
from .sources import clip_bytes


def _extracted(place: Path, hop_ms: float | None = None) -> Path:
    """A finished job of four short files, begun in two runs."""
    import hear_edgel3

    clips = place / "clips"
    if not clips.exists():
        clips.mkdir()
        for i in range(4):
            (clips / f"{i}.wav").write_bytes(clip_bytes(i))
        (clips / "4.wav").write_bytes(b"no audio")
    out = place / ("scenes" if hop_ms is None else "moments")
    if not out.exists():
        for part in (sorted(clips.glob("[01].wav")), [clips]):
            hear_edgel3.extract(part, out, config="tiny", timestamps=hop_ms is not None, hop_ms=hop_ms, workers=1)
    return out


def _datasets(place: Path) -> list[Sound]:
    sounds = []
    for out in (_extracted(place), _extracted(place, 50.0)):
        sounds += [Sound(f"{out.name}/{part.name}", part.read_bytes()) for part in sorted(out.glob("*.parquet"))]
    return sounds


def _restored(place: Path, name: str, data: bytes) -> Path:
    """A fresh copy of a dataset, with one file of it damaged."""
    made = place / Path(name).parts[0]
    copy = place / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(made, copy)
    (copy / Path(*Path(name).parts[1:])).write_bytes(data)
    return copy


def _read_all(folder: Path) -> None:
    from hear_edgel3.dataset.dataset import Dataset
    from hear_edgel3.search import SoundSearch, find_duplicates

    dataset = Dataset(folder)
    for _ in dataset.batches():
        pass
    query = np.linspace(0, 1, dataset.description.size, dtype=np.float32)
    for match in SoundSearch(folder).query(query, top=3):
        assert np.isfinite(match.similarity)
    find_duplicates(folder)


def _prepare_datasets(place: Path) -> Attempt:
    return lambda name, data: _read_all(_restored(place, name, data))


def _indexes(place: Path) -> list[Sound]:
    from hear_edgel3.dataset.dataset import Dataset
    from hear_edgel3.search import build_index
    from hear_edgel3.search.rows import Rows

    sounds = []
    for out in (_extracted(place), _extracted(place, 50.0)):
        path = out / "_index.usearch"
        if not path.exists():
            build_index(Rows(Dataset(out)))
        sounds.append(Sound(f"{out.name}/{path.name}", path.read_bytes()))
    return sounds


def _prepare_indexes(place: Path) -> Attempt:
    from hear_edgel3.errors import DatasetError
    from hear_edgel3.search import SoundSearch

    right = {}

    def matches(folder: Path) -> list[tuple[str, float | None]]:
        search = SoundSearch(folder)
        query = np.linspace(0, 1, search.dataset.description.size, dtype=np.float32)
        found = [(match.file, match.timestamp_ms) for match in search.query(query, top=3)]
        if search.note:  # It says that the index is damaged, and searches without it.
            raise DatasetError(search.note)
        return found

    for name in ("scenes", "moments"):
        right[name] = matches(place / name)

    def attempt(name: str, data: bytes) -> None:
        found = matches(_restored(place, name, data))
        assert found == right[Path(name).parts[0]], "a damaged index gives other matches"

    return attempt


def _jobs(place: Path) -> list[Sound]:
    out = _extracted(place)
    return [
        Sound(f"scenes/{path.relative_to(out)}", path.read_bytes()) for path in sorted(out.rglob("*")) if path.is_file()
    ]


def _prepare_jobs(place: Path) -> Attempt:
    import torch

    import hear_edgel3
    from hear_edgel3.dataset.dataset import Dataset

    torch.set_num_threads(1)

    def attempt(name: str, data: bytes) -> None:
        folder = _restored(place, name, data)
        hear_edgel3.extract([place / "clips"], folder, config="tiny", workers=1)
        for _ in Dataset(folder).batches():
            pass

    return attempt


KINDS = (
    Kind("datasets", _datasets, _prepare_datasets),
    Kind("indexes", _indexes, _prepare_indexes),
    Kind("jobs", _jobs, _prepare_jobs),
)
