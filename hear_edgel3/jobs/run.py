"""Jobs: embeddings of one file or of millions, into a dataset (:mod:`hear_edgel3.dataset`).

manifest (what SOURCES mean) -> plan (parts, fixed in the output folder) -> a distributor (local, ray), which has parts
done: reading (decode, resample, cut; threads) -> batching (windows of many files, one net) -> writer (a Parquet file).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hear_edgel3._checks import check_path, check_paths, several_paths, several_texts
from hear_edgel3._version import __version__
from hear_edgel3.dataset.clips import TableColumns
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.parquet import require_pyarrow
from hear_edgel3.disk.atomic import check_folder_name, make_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.engine.expected import chosen
from hear_edgel3.errors import AudioFileError, InvalidOption, OutputError
from hear_edgel3.families.schema import Local
from hear_edgel3.framing.rules import check_hop_ms
from hear_edgel3.jobs import partition as partitions
from hear_edgel3.jobs import plan
from hear_edgel3.jobs.cpus import usable_cpus
from hear_edgel3.jobs.manifest import Listing, list_items, new_items
from hear_edgel3.jobs.options import Options, runner_and_engine
from hear_edgel3.jobs.plan import Job, Part
from hear_edgel3.jobs.writer import FinishedPart, read_finished
from hear_edgel3.recorded import TimeAndPlace
from hear_edgel3.registry.names import BUILT_IN, resolve, with_classes, with_logits
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.seen import changed_items
from hear_edgel3.sources.tables import TableOptions, is_list
from hear_edgel3.tagging.request import check_tags_alongside
from hear_edgel3.weights.header import own_labels, provenance
from hear_edgel3.weights.locate import locate

if TYPE_CHECKING:
    from hear_edgel3.jobs.progress import JobProgress
    from hear_edgel3.jobs.worker import PartCounts, Resources

_log = logging.getLogger(__name__)

# Threads that decode, per worker. On the CPU the net takes nearly all of the time, and the threads compete with it: one
# reads the file that is embedded and one the next. A GPU is faster than one thread decodes.
_READERS_BESIDE_CPU = 2
_READERS_BESIDE_GPU = 8
# All others run on the CPU alone.
_ENGINES_ANYWHERE = ("torch", "eager")


@dataclass(frozen=True)
class Summary:
    """What became of a run of a job.

    Attributes:
        output: The folder of the dataset.
        files: How many files were embedded in this run, failed ones included.
        failed: How many of these failed.
        failed_before: How many error rows there are in the parts that were finished before.
        rows: How many rows were written in this run.
        seconds: How many seconds of audio were read in this run.
        wall_seconds: How many seconds the run took, start-up and all.
        parts: How many parts the job has.
        parts_done: How many parts were finished in this run.
        parts_kept: How many parts were finished before.
        parts_left: How many parts are for other partitions to do.
        errors: The first files that failed in this run, and why.
        sources: The sources that gave no files, and why.
        notes: What else there is to know of the sources: which kinds of files were left out, for example, or of how
            many nobody says when they were recorded.
        changed: How many files had changed since they were embedded. The parts that they are in were done again.
    """

    output: str
    files: int
    failed: int
    failed_before: int
    rows: int
    seconds: float
    wall_seconds: float
    parts: int
    parts_done: int
    parts_kept: int
    parts_left: int
    errors: list[tuple[str, str]] = field(default_factory=list)
    sources: list[tuple[str, str]] = field(default_factory=list)
    changed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def all_well(self) -> bool:
        """Whether nothing has failed."""
        return not (self.failed or self.failed_before or self.sources)


def extract(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    config: str | os.PathLike[str] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | None = None,
    timestamps: bool = False,
    hop_ms: float | None = None,
    dtype: str = "float32",
    runner: str | None = None,
    engine: str | None = None,
    device: str = "cpu",
    workers: int | None = None,
    threads: int = 1,
    concurrency: int | None = None,
    num_gpus: float = 0,
    partition: tuple[int, int] | None = None,
    files_per_part: int | None = None,
    retry_failed: bool = False,
    quiet: bool = True,
    net_engine: str | None = None,
    keep: str | Sequence[str] = (),
    audio: str | os.PathLike[str] | None = None,
    whole_files: bool = False,
    channel: int | str = "mean",
    file_timeout: float | None = None,
    recorded: TimeAndPlace | None = None,
    tags: int | None = None,
) -> Summary:
    """Embeds many files into a dataset; goes on with one that was begun before.

    Work is cut into parts, fixed in the output folder at the first start; each is one Parquet file, which appears when
    it is complete. A part that is there is not done again, whatever ended the run before, unless a file of it has
    changed since: its size, or the time of its last change. Files that are new in the sources become new parts. A file
    that cannot be embedded becomes a row with an ``error``.

    Several worker processes are started afresh (``spawn``), so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        sources: Audio files, folders, globs, lists of files, tar shards; see
            :func:`hear_edgel3.sources.lister.list_items`. None at all goes on with what was begun.
        output: The folder of the dataset.
        config: A configuration's name, or a folder made by ``distill`` or ``train``.
        weights: The weights, as for :func:`hear_edgel3.load`.
        timestamps: Whether to make embeddings at regular times, as :meth:`Extractor.timestamp_embeddings`; else one per
            file, as :meth:`Extractor.scene_embeddings`.
        hop_ms: The distance of timestamps in milliseconds; None for the configuration's.
        dtype: ``float32``, or ``float16`` for half the space.
        runner: Who does the parts: ``local`` processes (the default), or ``ray``.
        engine: What runs the net, as for :func:`hear_edgel3.load`. ``local`` and ``ray`` are taken as the runner, which
            this option named once.
        device: The torch device of the net.
        workers: How many local processes there are; None for the CPUs there are (on another device 1). With 1 it is
            this process.
        threads: How many threads torch has in each worker. Other numbers may give other last bits.
        concurrency: How many Ray tasks there are at once; None for what the cluster has room for.
        num_gpus: How many GPUs each Ray task takes.
        partition: (i, n) to do every n-th part from the i-th on, counted from 0; None for what torchrun or SLURM say,
            or else all (with Ray, all in any case).
        files_per_part: How many files a part has at most; None to choose. It counts at the first start only.
        retry_failed: Whether to do those parts again that have error rows.
        quiet: Whether to show no progress on stderr.
        net_engine: The old name of ``engine``.
        keep: The columns of tables that the dataset gets too, as text; ``"all"`` for all of them.
        audio: The folder that relative paths in lists and tables are relative to; None for the list's own folder.
        whole_files: Whether to embed whole files, whatever starts and ends of clips a table has.
        channel: What of the files' channels: "mean" of all, or the number of one, from 0.
        file_timeout: How many seconds a file may take, in local processes; None for any time. One that takes longer
            becomes a row with an ``error``, and its process is ended, so there is always one, also with ``workers=1``.
        recorded: What to find out of when and where files were recorded, for the columns ``recorded_at`` and ``site``;
            None for no such columns.
        tags: How many of the most probable classes each row gets, of the same pass of the net, in the columns ``tags``
            (names) and ``probabilities``; None for none. They are of the row's own window, or the mean over those of a
            scene.

    Returns:
        What became of it.

    Raises:
        InvalidOption: An option cannot be used, contradicts another one, or the output was begun with others.
        AudioFileError: There is no file to embed.
        OutputError: The dataset cannot be written (a full disk, for example); finished parts are kept.
        ComputationError: Worker processes die again and again.
        MissingExtra: pyarrow or ray is not installed.
    """
    require_pyarrow()
    check_paths(audio=audio)
    runner, engine = runner_and_engine(runner, engine, net_engine)
    options = Options(
        config=config,
        weights=weights,
        timestamps=timestamps,
        hop_ms=hop_ms,
        dtype=dtype,
        runner=runner,
        engine=engine,
        device=device,
        workers=workers,
        threads=threads,
        concurrency=concurrency,
        num_gpus=num_gpus,
        partition=partition,
        files_per_part=files_per_part,
        retry_failed=retry_failed,
        quiet=quiet,
        tables=TableOptions(
            None if isinstance(keep, str) and keep == "all" else several_texts(keep, "keep"),
            None if audio is None else os.fspath(audio),
            whole_files,
        ),
        channel=channel,
        file_timeout=file_timeout,
        recorded=recorded,
        tags=tags,
    )
    return _run(several_paths(sources, "sources"), _folder(output), options)


def extract_items(items: Sequence[Item], output: str | os.PathLike[str], options: Options) -> Summary:
    """As :func:`extract`, of sounds that were listed already.

    The dataset has columns for starts and ends of clips in any case, so that a later run may add clips to it.

    Args:
        items: The sounds; each is embedded once, and none that the dataset has already.
        output: The folder of the dataset.
        options: How.

    Raises:
        InvalidOption: An option cannot be used, or the output was begun with others.
        AudioFileError: There are no items.
        OutputError: The dataset cannot be written; finished parts are kept.
        ComputationError: Worker processes die again and again.
        MissingExtra: pyarrow is not installed.
    """
    require_pyarrow()
    return _run(Listing(list(items)), _folder(output), options)


def _folder(output: str | os.PathLike[str]) -> str:
    check_path(output, "output")
    folder = os.path.abspath(output)
    check_folder_name(folder)
    return folder


def _run(sources: list[str] | Listing, output: str, options: Options) -> Summary:
    started_at = time.monotonic()
    partition = options.partition
    if partition is None:
        partition = (0, 1) if options.runner == "ray" else partitions.of_environment(os.environ)
    wanted, resources = _job_and_resources(output, options)
    job, listing = _begin_or_go_on(wanted, sources, options)
    _check_engine_of(job, options)

    parts = plan.parts_of(job)
    mine = parts[partition[0] :: partition[1]]
    folder = Path(job.output)
    there = {name for name in os.listdir(folder) if name.endswith(".parquet")}
    kept = [part for part in mine if part.filename in there]
    plan.sweep_job(job, mine)
    finished = {part: read_finished(folder / part.filename, job.description, part.n_items) for part in kept}
    if options.retry_failed:
        kept = [part for part in kept if not finished[part].failed]
    changed = {part: _changed(job, part, finished[part]) for part in kept}
    kept = [part for part in kept if not changed[part]]
    done = set(kept)
    to_do = [part for part in mine if part not in done]

    from hear_edgel3.jobs.progress import JobProgress

    with JobProgress(sum(part.n_items for part in to_do), options.quiet or not to_do) as progress:
        if to_do:
            try:
                with closing(_distribute(job, resources, to_do, options, progress)) as all_counts:
                    for counts in all_counts:
                        progress.finished(counts)
            except OutputError as error:
                raise OutputError(
                    f"{error}. Finished parts are kept: make room, and the same command goes on"
                ) from error
            finally:
                plan.sweep_job(job, to_do)
    return Summary(
        output=job.output,
        files=progress.files,
        failed=progress.failed,
        failed_before=sum(finished[part].failed for part in kept),
        rows=progress.rows,
        seconds=progress.seconds,
        wall_seconds=time.monotonic() - started_at,
        parts=len(parts),
        parts_done=len(to_do),
        parts_kept=len(kept),
        parts_left=len(parts) - len(mine),
        errors=progress.errors,
        sources=[(name, str(error)) for name, error in listing.failures],
        changed=sum(changed.values()),
        notes=[*listing.notes, *([] if job.recorded is None else progress.unknown.notes(job.recorded))],
    )


def _changed(job: Job, part: Part, finished: FinishedPart) -> int:
    """How many sources of a finished part have changed since it was made."""
    if finished.seen is None:
        return 0
    found = changed_items(plan.items_of(job, part), finished.seen, job.folder)
    for item in found:
        _log.info("%s has changed since it was embedded: %s is made anew", item.file, part.filename)
    return len(found)


def _job_and_resources(output: str, options: Options) -> tuple[Job, Resources]:
    """The job that is asked for, and what to compute it with."""
    from hear_edgel3.engine.runner import check_engine
    from hear_edgel3.jobs.worker import Resources

    configuration = resolve(options.config)
    row = configuration.checkpoint
    hop = check_hop_ms(row.hop_ms if options.hop_ms is None else options.hop_ms, row.net_sample_rate)
    check_engine(options.engine)
    if options.tags is not None:
        check_tags_alongside(row)
    path = os.path.abspath(locate(row, options.weights))
    with open(path, "rb") as file:
        classes = own_labels(provenance(file), path)
    if classes is not None:  # of a net that was trained further, which may have more or fewer
        configuration = with_classes(configuration, len(classes))
    description = Description(
        configuration=configuration.name,
        weights_sha256=sha256_of(path),
        embedding_version=row.embedding_version,
        size=configuration.embedding_size,
        hop_ms=hop if options.timestamps else None,
        dtype=options.dtype,
        package_version=__version__,
    )
    config = options.config
    name = os.path.abspath(config) if isinstance(config, os.PathLike) or os.path.isdir(config) else config
    readers = _READERS_BESIDE_CPU if options.device == "cpu" else min(_READERS_BESIDE_GPU, usable_cpus())
    columns = TableColumns(recorded=options.recorded is not None, spans=True, tags=options.tags)
    if options.tags is not None and not (isinstance(row, Local) and row.head is not None):
        configuration = with_logits(configuration)
    engine = chosen(options.engine, configuration.kernels, options.device)
    auto_was = None
    if options.engine == "auto":  # which took the kernels for one family alone, as long as it was recorded
        auto_was = engine if row.family == "l3" else "torch"
    read_as = None
    if options.tags is not None and isinstance(row, Local) and row.classes:
        read_as = json_text({"temperature": row.temperature, "names": row.classes}, ensure_ascii=False)
    job = Job(output, os.getcwd(), description, engine, columns, options.channel, options.recorded, auto_was, read_as)
    return job, Resources(str(name), path, options.device, options.threads, readers)


def _check_engine_of(job: Job, options: Options) -> None:
    """Finds out before the work whether the engine that a job was begun with can go on, if no engine was asked for.

    Raises:
        InvalidOption: It cannot run on the device.
        MissingExtra: It is not installed.
    """
    from hear_edgel3.engine.runner import check_engine

    check_engine(job.engine)
    if options.engine == "auto" and job.engine not in _ENGINES_ANYWHERE and not options.device.startswith("cpu"):
        raise InvalidOption(
            f"{job.output} was begun with engine {job.engine}, which runs on the CPU alone. Give device cpu to go on "
            f"with it, or another --output"
        )


def _begin_or_go_on(wanted: Job, sources: list[str] | Listing, options: Options) -> tuple[Job, Listing]:
    """Begins a job, or goes on with the one that is there, with what is new in the sources.

    Returns:
        The job as it was begun, and what the sources mean.
    """
    job = plan.find_job(wanted)
    if job is None and not sources:
        raise InvalidOption(f"nothing was begun in {wanted.output}: give files or folders to embed")
    if isinstance(sources, Listing):
        listing, may_have_clips = sources, True
    else:
        listing = list_items(sources, options.tables, () if job is None else job.table_columns.kept)
        listing.notes += listing.channel_notes(options.channel)
        may_have_clips = any(item.is_clip for item in listing.items)
        if options.tables.keep != () and sources and not listing.has_tables:
            for path, error in listing.failures:
                if is_list(path):  # there is one, and nothing can be kept of it
                    raise error
            raise InvalidOption(
                "columns are kept of tables (.csv, .tsv, .parquet), and there is none among the sources"
            )
    listed = replace(wanted.table_columns, clips=may_have_clips, kept=tuple(listing.columns))
    while True:
        # Counted before the items are read: if another process adds some in between, what is published here fails.
        generation = 0 if job is None else plan.n_generations(job)
        known = set() if job is None or not sources else plan.known_items(job)
        items = new_items(listing.items, wanted.folder, (job or wanted).folder, known)
        if job is not None and not items:
            return job, listing
        if not items:
            raise listing.failures[0][1] if listing.failures else AudioFileError("the sources have no audio files")
        if job is None:
            wanted = replace(wanted, table_columns=listed)
        else:
            job.check_columns(listed)
        make_folder(wanted.output)
        # Another process may be faster; then there is less, or nothing, left to add.
        plan.publish(job or wanted, generation, items, options.files_per_part)
        job = plan.find_job(wanted)


def _distribute(
    job: Job, resources: Resources, parts: list[Part], options: Options, progress: JobProgress
) -> Generator[PartCounts, None, None]:
    """Has the parts done; yields the counts of each."""
    from hear_edgel3.jobs.worker import attempts

    to_attempt = (attempts(job, part) for part in parts)
    if options.runner == "ray":
        from hear_edgel3.jobs import ray

        return ray.run(job, resources, to_attempt, options.concurrency, options.num_gpus)
    from hear_edgel3.jobs import local

    workers = options.workers
    if workers is None:
        workers = max(1, usable_cpus() // options.threads) if options.device == "cpu" else 1
    workers = min(workers, len(parts))
    if workers == 1 and options.file_timeout is None:  # this process could not be ended
        return local.run_here(job, resources, to_attempt, progress.report)
    return local.run_in_processes(job, resources, to_attempt, workers, progress.report, options.file_timeout)
