"""The events of many recordings, into a file or a folder, by several processes, and on from where a run was ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import ComputationError, InvalidOption, OutputError
from hear_edgel3.event_detection import formats
from hear_edgel3.event_detection.journal import Journal
from hear_edgel3.event_detection.output import Output
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.event_detection.work import HowToWork, failed, maker
from hear_edgel3.jobs.pool import Died, Pool, TimedOut, given_up
from hear_edgel3.jobs.progress import JobProgress
from hear_edgel3.jobs.worker import PartCounts
from hear_edgel3.recorded import Recorded, Unknown
from hear_edgel3.sources.item import Item


@dataclass
class Summary:
    """What became of a run.

    Attributes:
        recordings: How many recordings were done in this run, those that failed among them.
        clips: How many clips of these were listened to instead, where a table says from when to when; else 0.
        events: How many events were found in them.
        seconds: How many seconds of sound that were.
        wall_seconds: How long it took.
        failed: Those that failed in this run, and why.
        failed_before: How many had failed before, and were left alone.
        kept: How many were done before.
        unknown: Of how many of this run it is not known when and where they were recorded.
    """

    recordings: int = 0
    clips: int = 0
    events: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0
    failed: list[tuple[str, str]] = field(default_factory=list)
    failed_before: int = 0
    kept: int = 0
    unknown: Unknown = field(default_factory=Unknown)
    _clipped: set[str] = field(default_factory=set, repr=False)

    def take(self, recording: Recording) -> None:
        """Counts a recording, or a clip of one."""
        clip = recording.start is not None or recording.end is not None
        self.clips += clip
        # Several clips may be of one recording; whole ones come once, and there may be millions.
        if not clip or recording.file not in self._clipped:
            self.recordings += 1
        if clip:
            self._clipped.add(recording.file)
        self.events += len(recording.events)
        self.seconds += recording.seconds
        if recording.error is not None:
            self.failed.append((recording.file, recording.error))
        else:
            self.unknown.see(recording.file, Recorded(recording.began, site=recording.site))


def find_events(
    items: Sequence[Item],
    how: HowToWork,
    workers: int = 1,
    file_timeout: float | None = None,
    quiet: bool = True,
) -> Generator[tuple[int, Recording], None, None]:
    """Finds the events of recordings, in this process or in several.

    Args:
        items: The recordings.
        how: What there is to know.
        workers: How many processes there are.
        file_timeout: How many seconds a recording may take; None for any time.
        quiet: Whether to show no progress on stderr.

    Yields:
        The number of each recording with what was found in it, as soon as it is done.

    Raises:
        ComputationError: Workers die as soon as they start.
        HearEdgeL3Error: The net cannot be loaded, or the disk is full.
    """
    with JobProgress(len(items), quiet) as progress:
        done = _here(items, how, progress)
        if min(workers, len(items)) > 1 or file_timeout is not None:  # what has a limit must be one that can be ended
            done = _in_processes(items, how, min(workers, len(items)), file_timeout, progress)
        with closing(done):
            for number, recording in done:
                error = () if recording.error is None else ((recording.file, recording.error),)
                progress.finished(PartCounts(1, len(recording.events), recording.seconds, error))
                yield number, recording


_Done = Generator[tuple[int, Recording], None, None]


def _here(items: Sequence[Item], how: HowToWork, progress: JobProgress) -> _Done:
    import torch

    threads = torch.get_num_threads()
    try:
        with closing(maker(how)()) as work:
            for number, item in enumerate(items):
                found = work(item, lambda counts: progress.report(0, counts))
                progress.report(0, PartCounts())
                yield number, found
    finally:
        torch.set_num_threads(threads)


def _in_processes(
    items: Sequence[Item], how: HowToWork, count: int, limit: float | None, progress: JobProgress
) -> _Done:
    numbers = iter(range(len(items)))
    numbered: dict[int, int] = {}

    def ask() -> Item | None:
        number = next(numbers, None)
        if number is None:
            return None
        numbered[id(items[number])] = number
        return items[number]

    pool: Pool[Item, Recording] = Pool(
        maker(how if how.threads is not None else replace(how, threads=1)),
        count,
        lambda worker, counts: progress.report(worker, counts or PartCounts()),
        limit,
    )
    for item, result in pool.serve(ask):
        number = numbered.pop(id(item))
        if isinstance(result, Died):
            died = ComputationError(
                f"{item.name}: the worker process died over it (exit code {result.exit_code}); if memory is short, use "
                f"fewer --workers"
            )
            yield number, failed(item, died)
        elif isinstance(result, TimedOut):
            yield number, failed(item, ComputationError(f"{item.name}: {given_up(result)}"))
        else:
            yield number, result


def write_events(
    items: Sequence[Item],
    output: str,
    form: str,
    layout: Layout,
    how: HowToWork,
    made_with: dict[str, object],
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    workers: int = 1,
    file_timeout: float | None = None,
    quiet: bool = True,
) -> Generator[Recording, None, Summary]:
    """Finds the events of recordings and writes them; goes on with what an earlier run has begun.

    Args:
        items: The recordings.
        output: The file, or the folder, to write.
        form: The format.
        layout: What rows have.
        how: How to find them.
        made_with: What decides about the results, by names.
        overwrite: Whether to begin anew.
        retry_failed: Whether recordings that failed before are tried again.
        workers: As for :func:`find_events`.
        file_timeout: As for :func:`find_events`.
        quiet: As for :func:`find_events`.

    Yields:
        Each recording that is done in this run. What was done is written also if the generator is closed before its
        end.

    Returns:
        What became of it.

    Raises:
        InvalidOption: The output was begun with other options, or cannot hold several recordings.
        OutputError: It cannot be written, or others have changed what would be replaced; what was computed is kept.
        ComputationError: As :func:`find_events`.
    """
    started = time.monotonic()
    summary = Summary()
    if form == "audacity" and not formats.is_folder(output, form) and len(items) > 1:
        raise InvalidOption(
            f"{output} is one label track, and there are {len(items)} recordings: give the name of a folder, which "
            f"gets a track for each"
        )
    if formats.is_folder(output, form):
        make_folder(output)
    with Journal(output, made_with, overwrite) as journal:
        pending = journal.pending(items, retry_failed)
        target = Output(journal, output, form, layout)
        if not overwrite:
            try:
                target.check(items, pending)
            except OutputError:
                journal.forget()
                raise
        if pending:
            journal.is_writing()
        ours = journal.clips_of(pending)
        how = replace(how, ours=None if overwrite else ours)
        named_by = journal.count_clips(ours)
        with (
            # Also where nothing was pending: a run may have ended when all was computed and nothing written.
            _whatever_ends_it(partial(target.write, items, pending)),
            closing(find_events(pending, how, workers, file_timeout, quiet or not pending)) as found,
        ):
            for number, recording in found:
                named = journal.named(pending[number], recording)
                # Of what the recording was before it changed. Before it is kept: a run that is killed here comes again.
                for clip in journal.replaced(pending[number], named, named_by):
                    path_of_text(clip).unlink(missing_ok=True)
                journal.add(named)
                summary.take(named)
                yield named
        summary.kept = len(items) - len(pending)
        summary.failed_before = journal.n_failed - len(summary.failed)
    summary.wall_seconds = time.monotonic() - started
    return summary


@contextmanager
def _whatever_ends_it(write: Callable[[], None]) -> Iterator[None]:
    """Writes what was found at the end, also if that is an error."""
    try:
        yield
    except OutputError:
        with suppress(OutputError):  # of a full disk one error is enough: the one that says what is kept
            write()
        raise
    except BaseException:
        write()
        raise
    write()
