"""A part of a job, from its items to its Parquet file. Distributors differ only in where they have this done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hear_edgel3.errors import ComputationError, HearEdgeL3Error, InvalidOption, WeightsMismatch
from hear_edgel3.extractor.framings import scene_framing, timestamp_framing
from hear_edgel3.extractor.loading import load
from hear_edgel3.extractor.window_net import mean_of_sum
from hear_edgel3.jobs.batching import Batcher
from hear_edgel3.jobs.plan import Job, Part, items_of
from hear_edgel3.jobs.pool import Mark, TimedOut, given_up
from hear_edgel3.jobs.reading import FileEnded, FileOpened, ItemReader, ReadEvent
from hear_edgel3.jobs.writer import PartWriter, error_text, part_writer
from hear_edgel3.recorded import Unknown, moment_after
from hear_edgel3.tagging.alongside import TagsAlongside, load_with_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hear_edgel3.disk.state import FileState
    from hear_edgel3.extractor.extractor import Extractor
    from hear_edgel3.recorded import Recorded
    from hear_edgel3.sources.item import Item

_MOST_DEATHS = 3
_REPORT_EVERY_S = 0.2
# Of seconds: less than a sample at any rate, and without the last bits of sums.
_DECIMALS = 7


@dataclass(frozen=True)
class Resources:
    """What a worker computes with.

    Attributes:
        config: The name of the configuration, or its folder.
        weights: The weights file.
        device: The torch device of the net.
        threads: How many threads torch has in each worker.
        readers: How many threads decode files in each worker.
    """

    config: str
    weights: str
    device: str = "cpu"
    threads: int = 1
    readers: int = 2


@dataclass(frozen=True)
class PartCounts:
    """What was done of a part, so far or in all.

    Attributes:
        files: How many files are finished, failed ones included.
        rows: How many rows, of embeddings or errors, they gave.
        seconds: How many seconds of audio were read.
        failed: The files that failed, with what their error rows say.
        unknown: Of how many files it is not known when and where they were recorded, where that was asked for.
    """

    files: int = 0
    rows: int = 0
    seconds: float = 0.0
    failed: tuple[tuple[str, str], ...] = ()
    unknown: Unknown = field(default_factory=Unknown)


@dataclass(frozen=True)
class Task:
    """Something for a worker to do.

    Attributes:
        part: The part to embed.
        bad: The positions of items not to touch, and what is wrong with them.
        only: If this is not None, the item at this position alone is embedded and nothing is written, to see whether
            the worker survives it.
    """

    part: Part
    bad: Mapping[int, HearEdgeL3Error] = field(default_factory=dict)
    only: int | None = None


Report = Callable[[PartCounts], None]
# What is to be tried to get a part done: yields tasks, is sent what each gave, and returns the counts of the part.
Attempts = Generator[Task, PartCounts | TimedOut | None, PartCounts]


def attempts(job: Job, part: Part) -> Attempts:
    """How to get a part done, though workers may die of it, or hang.

    Yields:
        Tasks, one after the other. What each gave is to be sent, or None if it killed the worker.

    Returns:
        The counts of the part.

    Raises:
        ComputationError: workers die or hang, but not of any one file.
    """
    bad: dict[int, HearEdgeL3Error] = {}
    deaths = 0
    while True:
        found = yield Task(part, dict(bad))
        if isinstance(found, PartCounts):
            return found
        if found is not None and found.step is not None and found.step not in bad:
            bad[found.step] = _given_up(items_of(job, part)[found.step], found)
            continue
        deaths += 1
        if deaths == _MOST_DEATHS:
            what, why = ("died", "probably memory ran out: use fewer --workers")
            if found is not None:
                what, why = f"were not done after {found.limit:g} s", "their disk may not answer"
            raise ComputationError(
                f"{deaths} worker processes {what} while they embedded {part.filename}, and no single file was to "
                f"blame; {why}. Finished parts are kept; the same command goes on"
            )
        for i, item in enumerate(items_of(job, part)):
            if i in bad:
                continue
            alone = yield Task(part, only=i)
            if not isinstance(alone, PartCounts):
                bad[i] = _killed(item) if alone is None else _given_up(item, alone)
                deaths = 0


def _killed(item: Item) -> ComputationError:
    return ComputationError(f"{item.name} killed the process that embedded it, twice; leave it out or convert it")


def _given_up(item: Item, found: TimedOut) -> ComputationError:
    return ComputationError(f"{item.name}: {given_up(found)}")


def _no_mark(step: int, sure: bool) -> None:
    pass


def run_task(task: Task, job: Job, resources: Resources, report: Report, mark: Mark = _no_mark) -> PartCounts:
    """Does a task in this process.

    Args:
        task: What to do.
        job: The job that it belongs to.
        resources: What to compute with.
        report: Is called now and then with what has been done of it.
        mark: Is called with the position of the item that is being embedded, and whether it alone is.

    Raises:
        OutputError: the part cannot be written.
    """
    model = model_of(job, resources)
    most = job.table_columns.tags
    tags = None if most is None else TagsAlongside(model, job.description.size, most)
    labels = () if tags is None else tags.labels
    items = items_of(job, task.part)
    with _threads(resources.threads):
        if task.only is not None:
            alone = _Embedding(model, tags, job, resources.readers, None, lambda _: None, _no_mark)
            alone.run([items[task.only]], {})
            return PartCounts()
        path = Path(job.output) / task.part.filename
        with part_writer(path, job.description, job.table_columns, labels) as writer:
            return _Embedding(model, tags, job, resources.readers, writer, report, mark).run(items, task.bad)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def model_of(job: Job, resources: Resources) -> Extractor:
    """The extractor of a job; loaded once in a process. If tags are wanted, its rows are of more than embeddings.

    Raises:
        WeightsMismatch: the weights are not those that the job was begun with.
    """
    tags = job.table_columns.tags is not None
    sha256 = job.description.weights_sha256
    return _loaded(resources.config, resources.weights, sha256, job.engine, resources.device, tags)


def forget_model() -> None:
    """Lets go of the extractor that :func:`model_of` has loaded."""
    _loaded.cache_clear()


@lru_cache(maxsize=1)
def _loaded(config: str, weights: str, sha256: str, engine: str, device: str, tags: bool) -> Extractor:
    # Another machine of a cluster may have its weights elsewhere.
    here = weights if os.path.exists(weights) else None
    model = load_with_tags(config, here, engine) if tags else load(config, here, engine=engine)
    if model.weights is None or model.weights.sha256 != sha256:
        raise WeightsMismatch(f"{config}: the job was begun with other weights (sha256 {sha256}) than are here")
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise InvalidOption(f"device {device!r} cannot be used: {error}") from error


@dataclass
class _File:
    """A file on its way.

    Attributes:
        item: The item that it is.
        duration: Its length in seconds, once it is open.
        sample_rate: Its sample rate in Hz, once it is open.
        windows: How many windows have been cut.
        embedded: How many of these have been embedded.
        total: The (D,) float64 sum of their embeddings, for scenes.
        last: The (D,) embedding of the last of them, for scenes.
        last_weight: How much that of the last window counts, of which the others count 1.
        ended: Whether all windows have been cut, or an error was met.
        error: The error that was met, if any.
        seen: What the file was like before it was read; None if it was not there.
        recorded: When and where it was recorded, if that was asked for.
    """

    item: Item
    duration: float | None = None
    sample_rate: int | None = None
    windows: int = 0
    embedded: int = 0
    total: np.ndarray | None = None
    last: np.ndarray | None = None
    last_weight: float = 1.0
    ended: bool = False
    error: Exception | None = None
    seen: FileState | None = None
    recorded: Recorded | None = None

    @property
    def settled(self) -> bool:
        return self.ended and (self.error is not None or self.embedded == self.windows)


class _Embedding:
    """One pass over items.

    Args:
        model: The extractor.
        tags: What makes tags of what it puts out; None if none are wanted.
        job: The job, which says what is wanted.
        readers: How many threads decode files.
        writer: What takes the rows; None to write none.
        report: Is called now and then with what has been done.
        mark: Is called with the position of the item that is being embedded, and whether it alone is: it is waited for,
            and the net, which takes windows of several, does not work.
    """

    def __init__(
        self,
        model: Extractor,
        tags: TagsAlongside | None,
        job: Job,
        readers: int,
        writer: PartWriter | None,
        report: Report,
        mark: Mark,
    ) -> None:
        self._hop_ms = job.description.hop_ms
        self._columns = job.table_columns
        scenes = self._hop_ms is None
        configuration = model.configuration
        rule = scene_framing(configuration) if scenes else timestamp_framing(configuration, self._hop_ms)
        self._half_window = configuration.window / configuration.checkpoint.net_sample_rate / 2
        self._tags = tags
        self._look, self._folder = job.recorded, job.folder
        self._reader = ItemReader(model, rule, job.folder, readers, job.channel, job.recorded)
        self._batcher = Batcher(model)
        self._writer = writer
        self._report = report
        self._mark = mark
        self._reported = time.monotonic()
        self._open_files: dict[int, _File] = {}  # those without all of their rows, in order
        self._files = 0
        self._seconds = 0.0
        self._failed: list[tuple[str, str]] = []
        self._unknown = Unknown()

    def run(self, items: list[Item], bad: Mapping[int, HearEdgeL3Error]) -> PartCounts:
        """Embeds the items; their rows are written in their order."""
        self._mark(0, True)
        with closing(self._reader.read(items, bad)) as events:  # so that its threads end, whatever happens here
            for i, event in events:
                self._mark(i, False)
                self._take_event(i, self._open_files.setdefault(i, _File(items[i])), event)
                self._mark(i + isinstance(event, FileEnded), True)
        self._mark(len(items), False)
        for found in self._batcher.flush():
            self._take_found(*found)
        assert not self._open_files
        return self._counts()

    def _take_event(self, key: int, file: _File, event: ReadEvent) -> None:
        """Takes what happened to a file while it was read."""
        if isinstance(event, FileOpened):
            file.duration, file.sample_rate, file.recorded = event.duration, event.sample_rate, event.recorded
        elif isinstance(event, FileEnded):
            file.ended, file.seen, file.last_weight = True, event.seen, event.last_weight
            file.error = file.error or event.error
            self._finish_settled()
        elif file.error is None:
            self._seconds += event.seconds
            file.windows += event.samples.shape[0]
            for found in self._batcher.add(key, event.samples):
                self._take_found(*found)

    def _take_found(self, key: int, found: np.ndarray | Exception) -> None:
        """Takes what the net made of some of a file's windows."""
        file = self._open_files.get(key)
        if file is None or file.error is not None:
            return  # it failed after these had been cut
        if isinstance(found, Exception):
            file.error = ComputationError(f"{file.item.name}: {found}")
        elif self._hop_ms is None:
            total = found.sum(axis=0, dtype=np.float64)
            file.total = total if file.total is None else file.total + total
            file.last = found[-1]  # a file's windows are all of one length and come out as they went in
        else:
            # So do timestamp windows, which are all of one length in all files: what precedes is settled.
            self._finish_settled()
            if file.embedded == 0:
                self._begin_rows()
            if self._writer is not None:
                times = np.arange(file.embedded, file.embedded + len(found)) * self._hop_ms
                times = times + 1000 * (file.item.start or 0.0)  # of the file, also in a clip
                self._add_rows(self._writer, file, times, found)
        file.embedded += 0 if isinstance(found, Exception) else len(found)
        self._finish_settled()

    def _add_rows(self, writer: PartWriter, file: _File, times: np.ndarray | None, found: np.ndarray) -> None:
        """Hands rows of a file, at these milliseconds or as a whole, to the writer."""
        more = self._of_columns(file, times)
        embeddings = found if self._tags is None else self._tags.embeddings(found)
        best = None if self._tags is None else self._tags.best(found)
        writer.add_embeddings(file.item.file, times, embeddings, file.duration, file.sample_rate, more, best)

    def _begin_rows(self) -> None:
        if self._writer is not None:
            self._writer.begin_file()

    def _finish_settled(self) -> None:
        """Finishes the first files, as far as all is known of them."""
        for key, file in list(takewhile(lambda of_key: of_key[1].settled, self._open_files.items())):
            del self._open_files[key]
            self._files += 1
            if file.error is not None:
                self._failed.append((file.item.name, error_text(file.error)))
            elif file.recorded is not None:
                self._unknown.see(file.item.name, file.recorded)
            if file.embedded == 0 or self._hop_ms is None:
                self._begin_rows()
            if self._writer is None:
                continue
            self._writer.add_seen(file.seen)
            if file.error is not None:
                more = self._of_columns(file)
                self._writer.fail_file(file.item.file, file.error, file.duration, file.sample_rate, more)
            elif file.total is not None and file.last is not None:
                mean = mean_of_sum(file.total, file.last, file.embedded, file.last_weight).astype(np.float32)[None]
                self._add_rows(self._writer, file, None, mean)
        if time.monotonic() - self._reported > _REPORT_EVERY_S:
            self._reported = time.monotonic()
            self._report(self._counts())

    def _of_columns(self, file: _File, times: np.ndarray | None = None) -> tuple[object, ...]:
        """What a file's rows, at these milliseconds or as a whole, have in the columns that not all datasets have."""
        item = file.item
        when: object = None
        site: object = None
        if self._look is not None:
            recorded = file.recorded or self._look.of_file(item.file, self._folder)
            began, zone, site = recorded.began, self._look.tz, recorded.site
            if times is None:
                when = moment_after(began, item.start or 0.0, zone)
            else:
                when = [moment_after(began, ms / 1000, zone) for ms in times.tolist()]
        return self._columns.values((item.start, item.end), self._span(file, times), (when, site), item.kept)

    def _span(self, file: _File, times: np.ndarray | None) -> tuple[object, object]:
        """Where the sound of a file's rows begins and ends, in seconds of the file."""
        if file.error is not None or not self._columns.spans:
            return None, None
        begin, ends = file.item.start or 0.0, [end for end in (file.item.end, file.duration) if end is not None]
        end = min(ends, default=None)
        if times is None:
            return begin, end
        middles = times / 1000
        starts = np.maximum(middles - self._half_window, begin)
        stops = middles + self._half_window if end is None else np.minimum(middles + self._half_window, end)
        return starts.round(_DECIMALS).tolist(), stops.round(_DECIMALS).tolist()

    def _counts(self) -> PartCounts:
        rows = 0 if self._writer is None else self._writer.rows
        return PartCounts(self._files, rows, self._seconds, tuple(self._failed), self._unknown)
