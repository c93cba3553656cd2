"""Scene embeddings of labelled sounds: each is computed once, and kept for runs with other heads, seeds and splits.

They are a dataset as ``hear-edgel3 extract`` writes it, made by the same machinery, so that an interrupted run goes on,
new sounds are added and changed ones are done again. Its folder is called by the configuration, its weights, the
version of its numbers, the folder that all of the sounds are in, and the engine, as two engines' last bits differ. What
is heard of one channel is in a dataset of its own, whose folder's name ends in ``-channel1``, for example.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.dataset.clips import END, START
from hear_edgel3.dataset.dataset import Dataset, embeddings_of
from hear_edgel3.dataset.parquet import require_pyarrow
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.paths import path_of_text, real_path, text_of_path
from hear_edgel3.engine.expected import chosen
from hear_edgel3.errors import LabelsError
from hear_edgel3.jobs.options import Options
from hear_edgel3.jobs.run import extract_items
from hear_edgel3.registry.names import resolve
from hear_edgel3.sources.item import Identities, Item
from hear_edgel3.weights.locate import locate

_FOLDER = "embeddings"
_NAMED = 10

_Key = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class Embedded:
    """The scene embeddings of sounds.

    Attributes:
        vectors: (N, D) float32; rows without an embedding are NaN.
        failed: The rows without one, each with the reason, which names the sound.
        folders: Where they are kept: one for the mean of channels, and one for each channel that is heard.
        new: How many were computed now.
    """

    vectors: np.ndarray
    failed: tuple[tuple[int, str], ...]
    folders: tuple[Path, ...]
    new: int

    @property
    def usable(self) -> np.ndarray:
        """The rows that have an embedding, in order."""
        return np.setdiff1d(np.arange(len(self.vectors)), [row for row, _ in self.failed])


def default_cache() -> Path:
    """Where embeddings are kept: ``embeddings`` in ``$HEAR_EDGEL3_CACHE``, else in the user's cache."""
    return cache_folder() / _FOLDER


def embed_labelled(
    items: Sequence[Item],
    config: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "cpu",
    workers: int | None = None,
    quiet: bool = True,
) -> Embedded:
    """The scene embeddings of sounds, computed where they are not kept yet.

    Args:
        items: The sounds: files, members of tar or HDF5 files, or clips of these; relative paths are relative to the
            current folder. The same one may be there several times. Where they state no channel, the mean is heard.
        config: A configuration's name, or a folder.
        cache: The folder that they are kept in; None for :func:`default_cache`.
        weights: As for :func:`hear_edgel3.load`.
        engine: What runs the net.
        device: Where it runs.
        workers: How many processes there are; None for the CPUs there are.
        quiet: Whether to show no progress.

    Raises:
        OutputError: The cache cannot be written; what is finished stays.
        MissingExtra: pyarrow is not installed.
    """
    require_pyarrow()
    wanted = _canonical(items)
    engine = chosen(engine, resolve(config).kernels, device)
    parent = default_cache() if cache is None else Path(cache)
    name = _name(wanted, config, weights, engine)
    make_folder(parent)
    options = Options(
        config=config,
        weights=weights,
        engine=engine,
        device=device,
        workers=workers,
        partition=(0, 1),  # also of several processes each needs all of them
        quiet=quiet,
    )
    found: list[tuple[list[int], np.ndarray]] = []
    failed: list[tuple[int, str]] = []
    folders, new = [], 0
    for channel, rows in _by_channel(wanted):
        folder = parent / (name if channel == MEAN else f"{name}-channel{channel}")
        heard = [wanted[row]._replace(channel=None) for row in rows]  # a dataset is of one channel
        new += extract_items(heard, folder, replace(options, channel=channel)).files
        of_channel, wrong = _read(folder, heard)
        found.append((rows, of_channel))
        failed += [(rows[row], reason) for row, reason in wrong]
        folders.append(folder)
    vectors = np.empty((len(wanted), found[0][1].shape[1]), np.float32)
    for rows, of_channel in found:
        vectors[rows] = of_channel
    return Embedded(vectors, tuple(sorted(failed)), tuple(folders), new)


def check_readable(failed: Sequence[tuple[int, str]], count: int, skip: bool) -> str | None:
    """What to say of sounds that cannot be read.

    Args:
        failed: The rows of these, each with the reason, which names the sound.
        count: How many sounds there are.
        skip: Whether they may be left out.

    Returns:
        A line for the user; None if all can be read.

    Raises:
        LabelsError: Some cannot, and they may not be left out, or none can.
    """
    if not failed:
        return None
    n = len(failed)
    shown = "".join(f"\n- {reason}" for _, reason in failed[:_NAMED])
    more = f"\n- and {n - _NAMED} more" if n > _NAMED else ""
    if n == count:
        raise LabelsError(f"none of the {n} sounds can be read:{shown}{more}")
    if not skip:
        raise LabelsError(
            f"{n} of {count} sounds cannot be read:{shown}{more}\n(mend them, or leave them out: the option `skip`)"
        )
    return f"{n} of {count} sounds cannot be read, and are left out:{shown}{more}"


def _by_channel(items: Sequence[Item]) -> list[tuple[int | str, list[int]]]:
    """The rows of which the mean is heard, if there are any, and those of each channel."""
    rows: dict[int | str, list[int]] = {}
    for row, item in enumerate(items):
        rows.setdefault(MEAN if item.channel is None else item.channel, []).append(row)
    return sorted(rows.items(), key=lambda one: -1 if isinstance(one[0], str) else one[0])


def _canonical(items: Sequence[Item]) -> list[Item]:
    """The same sounds, each file named by its whole path, whatever links lead to its folder."""
    same = Identities(os.getcwd())
    shards: dict[str, str] = {}
    found = []
    for item in items:
        if item.shard is None:
            found.append(item._replace(file=same.place(item.file), kept=()))
            continue
        if item.shard not in shards:
            shards[item.shard] = text_of_path(real_path(same.path(item.shard)))
        shard = shards[item.shard]
        found.append(item._replace(file=f"{shard}/{item.member}", shard=shard, kept=()))
    return found


def _name(
    items: Sequence[Item], config: str | os.PathLike[str], weights: str | os.PathLike[str] | None, engine: str
) -> str:
    """The name of the folder of what is to be computed."""
    configuration = resolve(config)
    row = configuration.checkpoint
    sha256 = sha256_of(os.path.abspath(locate(row, weights)))
    places = {os.path.dirname(item.file) if item.shard is None else item.shard for item in items}
    common = os.path.commonpath(places) if places else ""
    set_of_sounds = hashlib.sha256(os.fsencode(path_of_text(common))).hexdigest()
    return f"{configuration.name}-{sha256[:16]}-v{row.embedding_version}-{set_of_sounds[:16]}-{engine}"


def _read(folder: Path, items: Sequence[Item]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The rows of a dataset that are of some items, in the order of these."""
    dataset = Dataset(folder)
    rows_of: dict[_Key, list[int]] = {}
    for row, item in enumerate(items):
        rows_of.setdefault((item.file, item.start, item.end), []).append(row)
    vectors = np.full((len(items), dataset.description.size), np.nan, np.float32)
    reasons: dict[int, str] = {}
    waiting = _take(dataset, rows_of, vectors, reasons)
    if waiting:  # links, of which the dataset has what they lead to
        same = Identities("")
        targets: dict[_Key, list[int]] = {}
        for rows in waiting.values():
            item = items[rows[0]]
            target = str(same.of_target(item._replace(start=None, end=None))) if item.shard is None else item.file
            targets.setdefault((target, item.start, item.end), []).extend(rows)
        for rows in _take(dataset, targets, vectors, reasons).values():
            reasons |= {row: f"{items[row].name} was not embedded; run it again" for row in rows}
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    failed = [(row, reasons.get(row, f"{items[row].name}: its embedding is not finite")) for row in bad]
    return vectors, failed


def _take(
    dataset: Dataset, rows_of: dict[_Key, list[int]], vectors: np.ndarray, reasons: dict[int, str]
) -> dict[_Key, list[int]]:
    """Puts the embeddings of a dataset, and reasons why there are none, into their rows; returns what it has not."""
    waiting = dict(rows_of)
    for batch in dataset.batches(["file", START, END, "embedding", "error"]):
        files, starts, ends, errors = (_values(batch, name) for name in ("file", START, END, "error"))
        found = embeddings_of(batch)
        number = 0
        for key, error in zip(zip(files, starts, ends, strict=True), errors, strict=True):
            rows = waiting.pop(key, ())
            for row in rows:
                if error is None:
                    vectors[row] = found[number]
                else:
                    reasons[row] = error if key[0] in error else f"{key[0]}: {error}"
            number += error is None
    return waiting


def _values(batch: Any, name: str) -> list[Any]:
    values: list[Any] = batch.column(batch.schema.get_field_index(name)).to_pylist()
    return values
