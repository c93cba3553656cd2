"""The events of many recordings, into a file or a folder, by several processes, and on from where a run was ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.paths import folders_of, path_of_text, with_ending
from hear_edgel3.errors import ComputationError, InvalidOption, OutputError
from hear_edgel3.event_detection import formats
from hear_edgel3.event_detection.journal import Journal
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.event_detection.work import HowToWork, failed, maker
from hear_edgel3.jobs.pool import Died, Pool, TimedOut, given_up
from hear_edgel3.jobs.progress import JobProgress
from hear_edgel3.jobs.worker import PartCounts
from hear_edgel3.sources.item import Item


@dataclass
class Summary:
    """What became of a run.

    Attributes:
        recordings: How many recordings were done in this run, those that failed among them.
        events: How many events were found in them.
        seconds: How many seconds of sound that were.
        wall_seconds: How long it took.
        failed: Those that failed in this run, and why.
        failed_before: How many had failed before, and were left alone.
        kept: How many were done before.
    """

    recordings: int = 0
    events: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0
    failed: list[tuple[str, str]] = field(default_factory=list)
    failed_before: int = 0
    kept: int = 0

    def take(self, recording: Recording) -> None:
        """Counts a recording."""
        self.recordings += 1
        self.events += len(recording.events)
        self.seconds += recording.duration or 0.0
        if recording.error is not None:
            self.failed.append((recording.file, recording.error))


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
                progress.finished(PartCounts(1, len(recording.events), recording.duration or 0.0, error))
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
        OutputError: It cannot be written; what was computed is kept.
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
        if not overwrite:
            try:
                _check_nothing_is_replaced(journal, items, output, form)
            except OutputError:
                journal.forget()
                raise
        pending = journal.pending(items, retry_failed)
        ours = journal.clips_of(pending)
        how = replace(how, ours=None if overwrite else ours)
        named_by = journal.count_clips(ours)
        with (
            # Also where nothing was pending: a run may have ended when all was computed and nothing written.
            _whatever_ends_it(partial(_write_output, journal, items, output, form, layout)),
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


def _check_nothing_is_replaced(journal: Journal, items: Sequence[Item], output: str, form: str) -> None:
    """Checks that what is written for the first time is not there yet: it would be somebody's own.

    Raises:
        OutputError: It is.
    """
    paths = [Path(output)] if journal.is_new else []
    if formats.is_folder(output, form):
        ours = {name for recording in journal.recordings(()) for name in _names(recording.file)}
        new = [name for item in items if not journal.has(item) for name in _names(journal.name_of(item))]
        paths = [Path(output) / name for name in new if name not in ours]
    for path in paths:
        if path.is_file() and path.stat().st_size:
            raise OutputError(
                f"not replacing {path}: it exists, and {journal.path} does not say that an earlier run has written it; "
                f"use --overwrite, or another --output"
            )


def _write_output(journal: Journal, items: Sequence[Item], output: str, form: str, layout: Layout) -> None:
    if not formats.is_folder(output, form):
        with atomic_write(output) as target:
            formats.write(form, target, journal.recordings(items), layout)
        return
    recordings = list(journal.recordings(items))
    tracks = _tracks(recordings)
    for name, some in tracks.items():
        path = Path(output) / name
        make_folder(path.parent)
        with atomic_write(path) as target:
            formats.write(form, target, some, layout)
    # Of earlier runs: of what has failed since, or has another name as there are two of one name now.
    for name in {name for recording in recordings for name in _names(recording.file)} - tracks.keys():
        (Path(output) / name).unlink(missing_ok=True)


def _tracks(recordings: Iterable[Recording]) -> dict[Path, list[Recording]]:
    """What goes into which file of a folder: a recording whose short name another one has keeps ending and folders."""
    by_file: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.error is None:
            by_file.setdefault(recording.file, []).append(recording)
    names = {file: _names(file) for file in by_file}
    taken = Counter(name for both in names.values() for name in set(both))
    return {names[file][taken[names[file][0]] > 1]: some for file, some in by_file.items()}


def _names(file: str) -> tuple[Path, Path]:
    """The names that a recording's track may have: the short one, and the one that no other recording has."""
    path = path_of_text(file)
    return Path(with_ending(path.stem, ".txt")), folders_of(file) / with_ending(path.name, ".txt")
