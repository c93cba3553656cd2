"""A part of a job, from its items to its Parquet file. Distributors differ only in where they have this done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hear_edgel3.errors import ComputationError, HearEdgeL3Error, InvalidOption, WeightsMismatch
from hear_edgel3.extractor.framings import scene_framing, timestamp_framing
from hear_edgel3.extractor.loading import load
from hear_edgel3.jobs.batching import Batcher
from hear_edgel3.jobs.plan import Job, Part, items_of
from hear_edgel3.jobs.reading import Ended, Opened, Piece, Reader
from hear_edgel3.jobs.writer import PartWriter, error_text, part_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hear_edgel3.extractor.extractor import Extractor
    from hear_edgel3.jobs.manifest import Item

_DEATHS = 3
_REPORT_S = 0.2


@dataclass(frozen=True)
class Means:
    """What a worker computes with.

    Attributes:
        config: name of the configuration, or its folder.
        weights: the weights file.
        device: torch device of the net.
        threads: of torch, per worker.
        readers: threads that decode, per worker.
    """

    config: str
    weights: str
    device: str = "cpu"
    threads: int = 1
    readers: int = 2


@dataclass(frozen=True)
class Tally:
    """What came of (a part of) a part.

    Attributes:
        files: that are finished, failed ones included.
        rows: of embeddings and errors.
        seconds: of audio that were read.
        failed: files that failed, with what their error rows say.
    """

    files: int = 0
    rows: int = 0
    seconds: float = 0.0
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """Something for a worker to do.

    Attributes:
        part: to be embedded.
        bad: positions of items not to touch, and what is wrong with them.
        only: embed the item at this position alone and write nothing, to see whether the worker survives it.
    """

    part: Part
    bad: Mapping[int, HearEdgeL3Error] = field(default_factory=dict)
    only: int | None = None


Report = Callable[[Tally], None]


def steps(job: Job, part: Part) -> Generator[Step, Tally | None, Tally]:
    """How to get a part done, though workers may die of it.

    Yields:
        Steps, one after the other; is to be sent what each gave, or None if it killed the worker.

    Returns:
        The part's tally.

    Raises:
        ComputationError: workers die, but not of any one file.
    """
    bad: dict[int, HearEdgeL3Error] = {}
    deaths = 0
    while True:
        tally = yield Step(part, dict(bad))
        if tally is not None:
            return tally
        deaths += 1
        if deaths == _DEATHS:
            raise ComputationError(
                f"{deaths} worker processes died while they embedded {part.filename}, and no single file was to blame; "
                f"probably memory ran out: use fewer --workers. Finished parts are kept; the same command goes on"
            )
        for i, item in enumerate(items_of(job, part)):
            if i not in bad and (yield Step(part, only=i)) is None:
                bad[i] = ComputationError(
                    f"{item.file} killed the process that embedded it, twice; leave it out or convert it"
                )
                deaths = 0


def do(step: Step, job: Job, means: Means, report: Report) -> Tally:
    """Does a step in this process.

    Args:
        step: what.
        job: of which.
        means: what with.
        report: called now and then with what has been done of it.

    Raises:
        OutputError: the part cannot be written.
    """
    model = model_of(job, means)
    items = items_of(job, step.part)
    with _threads(means.threads):
        if step.only is not None:
            _Embedding(model, job, means, None, lambda _: None).run([items[step.only]], {})
            return Tally()
        with part_writer(Path(job.output) / step.part.filename, job.description) as writer:
            return _Embedding(model, job, means, writer, report).run(items, step.bad)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def model_of(job: Job, means: Means) -> Extractor:
    """The extractor of a job; loaded once in a process.

    Raises:
        WeightsMismatch: the weights are not those that the job was begun with.
    """
    return _loaded(means.config, means.weights, job.description.weights_sha256, job.net_engine, means.device)


@lru_cache(maxsize=1)
def _loaded(config: str, weights: str, sha256: str, net_engine: str, device: str) -> Extractor:
    # Another machine of a cluster may have its weights elsewhere.
    model = load(config, weights=weights if os.path.exists(weights) else None, engine=net_engine)
    if model.weights is None or model.weights.sha256 != sha256:
        raise WeightsMismatch(f"{config}: the job was begun with other weights (sha256 {sha256}) than are here")
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise InvalidOption(f"device {device!r} cannot be used: {error}") from error


@dataclass
class _Clip:
    """A file on its way.

    Attributes:
        item: which.
        duration: seconds, once it is open.
        sample_rate: in Hz, once it is open.
        windows: that have been cut.
        embedded: of these.
        total: (D,) float64 sum of their embeddings, for scenes.
        ended: whether all have been cut, or an error met.
        error: which.
    """

    item: Item
    duration: float | None = None
    sample_rate: int | None = None
    windows: int = 0
    embedded: int = 0
    total: np.ndarray | None = None
    ended: bool = False
    error: Exception | None = None

    @property
    def settled(self) -> bool:
        return self.ended and (self.error is not None or self.embedded == self.windows)


class _Embedding:
    """One pass over items.

    Args:
        model: the extractor.
        job: what is wanted.
        means: for the number of threads.
        writer: takes the rows; None to write none.
        report: as for :func:`do`.
    """

    def __init__(self, model: Extractor, job: Job, means: Means, writer: PartWriter | None, report: Report) -> None:
        self._hop_ms = job.description.hop_ms
        scenes = self._hop_ms is None
        configuration = model.configuration
        rule = scene_framing(configuration) if scenes else timestamp_framing(configuration, self._hop_ms)
        self._reader = Reader(model, rule, job.folder, means.readers)
        self._batcher = Batcher(model)
        self._writer = writer
        self._report = report
        self._reported = time.monotonic()
        self._clips: dict[int, _Clip] = {}  # those without all of their rows, in order
        self._files = 0
        self._seconds = 0.0
        self._failed: list[tuple[str, str]] = []

    def run(self, items: list[Item], bad: Mapping[int, HearEdgeL3Error]) -> Tally:
        """Embeds the items; their rows are written in their order."""
        with closing(self._reader.read(items, bad)) as pieces:  # so that its threads end, whatever happens here
            for i, piece in pieces:
                self._follow(i, self._clips.setdefault(i, _Clip(items[i])), piece)
        for found in self._batcher.flush():
            self._take(*found)
        assert not self._clips
        return self._tally()

    def _follow(self, key: int, clip: _Clip, piece: Piece) -> None:
        """Takes what has become of a file."""
        if isinstance(piece, Opened):
            clip.duration, clip.sample_rate = piece.duration, piece.sample_rate
        elif isinstance(piece, Ended):
            clip.ended = True
            clip.error = clip.error or piece.error
            self._settle()
        elif clip.error is None:
            self._seconds += piece.seconds
            clip.windows += len(piece.samples)
            for found in self._batcher.add(key, piece.samples):
                self._take(*found)

    def _take(self, key: int, found: np.ndarray | Exception) -> None:
        """Takes what the net made of some of a file's windows."""
        clip = self._clips.get(key)
        if clip is None or clip.error is not None:
            return  # it failed after these had been cut
        if isinstance(found, Exception):
            clip.error = ComputationError(f"{clip.item.file}: {found}")
        elif self._hop_ms is None:
            total = found.sum(axis=0, dtype=np.float64)
            clip.total = total if clip.total is None else clip.total + total
        else:
            # Timestamp windows are all of one length and come out as they went in: what precedes is settled.
            self._settle()
            if clip.embedded == 0:
                self._begin()
            if self._writer is not None:
                times = np.arange(clip.embedded, clip.embedded + len(found)) * self._hop_ms
                self._writer.add(clip.item.file, times, found, clip.duration, clip.sample_rate)
        clip.embedded += 0 if isinstance(found, Exception) else len(found)
        self._settle()

    def _begin(self) -> None:
        if self._writer is not None:
            self._writer.begin()

    def _settle(self) -> None:
        """Finishes the first files, as far as all is known of them."""
        for key, clip in list(self._clips.items()):
            if not clip.settled:
                break
            del self._clips[key]
            self._files += 1
            if clip.error is not None:
                self._failed.append((clip.item.file, error_text(clip.error)))
            if clip.embedded == 0 or self._hop_ms is None:
                self._begin()
            if self._writer is None:
                continue
            if clip.error is not None:
                self._writer.fail(clip.item.file, clip.error, clip.duration, clip.sample_rate)
            elif clip.total is not None:
                mean = (clip.total / clip.embedded).astype(np.float32)[None]
                self._writer.add(clip.item.file, None, mean, clip.duration, clip.sample_rate)
        if time.monotonic() - self._reported > _REPORT_S:
            self._reported = time.monotonic()
            self._report(self._tally())

    def _tally(self) -> Tally:
        rows = 0 if self._writer is None else self._writer.rows
        return Tally(self._files, rows, self._seconds, tuple(self._failed))
