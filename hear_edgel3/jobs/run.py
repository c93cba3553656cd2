"""Jobs: embeddings of one file or of millions, into a dataset (:mod:`hear_edgel3.dataset`).

manifest (what SOURCES mean) -> plan (parts, fixed in the output folder) -> a distributor (local, ray), which has parts
done: reading (decode, resample, cut; threads) -> batching (windows of many files, one net) -> writer (a Parquet file).
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._version import __version__
from hear_edgel3.dataset.dataset import Description, require_pyarrow
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.framing.rules import check_hop_ms
from hear_edgel3.jobs import partition as partitions
from hear_edgel3.jobs import plan
from hear_edgel3.jobs.manifest import list_items, new_items
from hear_edgel3.jobs.plan import Job, Part
from hear_edgel3.jobs.writer import failed_rows, remove_leftovers
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.weights.locate import locate

if TYPE_CHECKING:
    from hear_edgel3.jobs.progress import Progress
    from hear_edgel3.jobs.worker import Means, Tally

ENGINES = ("local", "ray")
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Summary:
    """What became of a run of a job.

    Attributes:
        output: the dataset.
        files: embedded in this run, failed ones included.
        failed: of these.
        failed_before: error rows in the parts that were finished before.
        rows: written in this run.
        seconds: of audio in this run.
        wall_seconds: that it took, start-up and all.
        parts: of the job.
        parts_done: in this run.
        parts_kept: that were finished before.
        parts_left: that are for other partitions to do.
        errors: the first files that failed in this run, and why.
        sources: those that gave no files, and why.
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
    engine: str = "local",
    net_engine: str = "auto",
    device: str = "cpu",
    workers: int | None = None,
    threads: int = 1,
    concurrency: int | None = None,
    num_gpus: float = 0,
    partition: tuple[int, int] | None = None,
    files_per_part: int | None = None,
    retry_failed: bool = False,
    quiet: bool = True,
) -> Summary:
    """Embeds many files into a dataset; goes on with one that was begun before.

    Work is cut into parts, fixed in the output folder at the first start; each is one Parquet file, which appears when
    it is complete. A part that is there is not done again, whatever ended the run before. Files that are new in the
    sources become new parts. A file that cannot be embedded becomes a row with an ``error``.

    Several worker processes are started afresh (``spawn``), so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        sources: audio files, folders, globs, lists of files, tar shards; see
            :func:`hear_edgel3.jobs.manifest.list_items`. None at all goes on with what was begun.
        output: the folder of the dataset.
        config: a configuration's name, or a folder made by ``distill``.
        weights: as for :func:`hear_edgel3.load`.
        timestamps: embeddings at regular times, as :meth:`Extractor.timestamp_embeddings`; else one per file, as
            :meth:`Extractor.scene_embeddings`.
        hop_ms: distance of timestamps in milliseconds; None for the configuration's.
        dtype: ``float32``, or ``float16`` for half the space.
        engine: who does the parts: ``local`` processes, or ``ray``.
        net_engine: what runs the net, as ``engine`` of :func:`hear_edgel3.load`.
        device: torch device of the net.
        workers: local processes; None for the CPUs there are (on another device 1). With 1 it is this process.
        threads: of torch, per worker. Other numbers may give other last bits.
        concurrency: Ray tasks at once; None for what the cluster has room for.
        num_gpus: for each Ray task.
        partition: (i, n) to do every n-th part from the i-th on, counted from 0; None for what torchrun or SLURM say,
            or else all (with Ray, all in any case).
        files_per_part: None to choose; counts at the first start only.
        retry_failed: do those parts again that have error rows.
        quiet: show no progress on stderr.

    Returns:
        What became of it.

    Raises:
        InvalidOption: an option cannot be used, or the output was begun with others.
        AudioFileError: there is no file to embed.
        OutputError: the dataset cannot be written (a full disk, for example); finished parts are kept.
        ComputationError: worker processes die again and again.
        MissingExtra: pyarrow or ray is not installed.
    """
    begun = time.monotonic()
    require_pyarrow()
    _check(dtype=dtype, engine=engine, workers=workers, threads=threads, files_per_part=files_per_part)
    _check(concurrency=concurrency)
    if partition is not None:
        partitions.check(partition)
    else:
        partition = (0, 1) if engine == "ray" else partitions.of_environment(os.environ)
    job, means = _job(output, config, weights, timestamps, hop_ms, dtype, net_engine, device, threads)
    job, failures = _fix(job, _as_list(sources), files_per_part)

    parts = plan.parts_of(job)
    mine = parts[partition[0] :: partition[1]]
    folder = Path(job.output)
    there = {name for name in os.listdir(folder) if name.endswith(".parquet")}
    kept = [part for part in mine if part.filename in there]
    remove_leftovers(folder, {part.filename for part in mine})
    failed = {part: failed_rows(folder / part.filename) for part in kept}
    if retry_failed:
        kept = [part for part in kept if not failed[part]]
    done = set(kept)
    to_do = [part for part in mine if part not in done]

    from hear_edgel3.jobs.progress import Progress

    with Progress(sum(part.n_items for part in to_do), quiet or not to_do) as progress:
        if to_do:
            try:
                options = (workers, concurrency, num_gpus)
                with closing(_distribute(engine, job, means, to_do, options, progress)) as tallies:
                    for tally in tallies:
                        progress.finished(tally)
            except OutputError as error:
                raise OutputError(
                    f"{error}. Finished parts are kept: make room, and the same command goes on"
                ) from error
            finally:
                remove_leftovers(folder, {part.filename for part in to_do})
    return Summary(
        output=job.output,
        files=progress.files,
        failed=progress.failed,
        failed_before=sum(failed[part] for part in kept),
        rows=progress.rows,
        seconds=progress.seconds,
        wall_seconds=time.monotonic() - begun,
        parts=len(parts),
        parts_done=len(to_do),
        parts_kept=len(kept),
        parts_left=len(parts) - len(mine),
        errors=progress.errors,
        sources=[(name, str(error)) for name, error in failures],
    )


def _as_list(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(sources, (str, os.PathLike)):
        return [os.fspath(sources)]
    return [os.fspath(source) for source in sources]


def _check(**options: Any) -> None:
    for name, value in options.items():
        allowed = {"dtype": DTYPES, "engine": ENGINES}.get(name)
        if allowed is not None and value not in allowed:
            raise InvalidOption(f"{name} must be {' or '.join(allowed)}, got {value!r}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if allowed is None and value is not None and not (whole and value >= 1):
            raise InvalidOption(f"{name} must be a whole number from 1, got {value!r}")


def _job(
    output: str | os.PathLike[str],
    config: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None,
    timestamps: bool,
    hop_ms: float | None,
    dtype: str,
    net_engine: str,
    device: str,
    threads: int,
) -> tuple[Job, Means]:
    """The job that is asked for, and what to compute it with."""
    from hear_edgel3.engine.runner import Runner
    from hear_edgel3.jobs.worker import Means

    configuration = resolve(config)
    row = configuration.checkpoint
    if hop_ms is not None and not timestamps:
        raise InvalidOption("a hop is for embeddings at timestamps: ask for these too, or leave the hop out")
    hop = check_hop_ms(row.hop_ms if hop_ms is None else hop_ms, row.net_sample_rate)
    Runner(net_engine)  # it exists and is installed
    path = os.path.abspath(locate(row, weights))
    description = Description(
        configuration=configuration.name,
        weights_sha256=sha256_of(path),
        embedding_version=row.embedding_version,
        size=configuration.embedding_size,
        hop_ms=hop if timestamps else None,
        dtype=dtype,
        package_version=__version__,
    )
    name = os.path.abspath(config) if isinstance(config, os.PathLike) or os.path.isdir(config) else config
    readers = 2 if device == "cpu" else min(8, usable_cpus())
    job = Job(os.path.abspath(output), os.getcwd(), description, net_engine)
    return job, Means(str(name), path, device, threads, readers)


def _fix(job: Job, sources: list[str], files_per_part: int | None) -> tuple[Job, list[tuple[str, HearEdgeL3Error]]]:
    """Begins the job, or goes on with the one that is there, with what is new in the sources."""
    begun = plan.begun(job)
    if begun is None and not sources:
        raise InvalidOption(f"nothing was begun in {job.output}: give files or folders to embed")
    listing = list_items(sources)
    while True:
        begun = plan.begun(job)
        known = set() if begun is None or not sources else plan.known_items(begun)
        items = new_items(listing.items, job.folder, (begun or job).folder, known)
        if begun is not None and not items:
            return begun, listing.failures
        if not items:
            raise listing.failures[0][1] if listing.failures else AudioFileError("the sources have no audio files")
        make_folder(job.output)
        # Another process may be faster; then there is less, or nothing, left to add.
        generation = 0 if begun is None else plan.n_generations(begun)
        plan.publish(begun or job, generation, items, files_per_part)


def _distribute(
    engine: str,
    job: Job,
    means: Means,
    parts: list[Part],
    options: tuple[int | None, int | None, float],
    progress: Progress,
) -> Generator[Tally, None, None]:
    """Has the parts done; yields the tally of each."""
    from hear_edgel3.jobs.worker import steps

    workers, concurrency, num_gpus = options
    procedures = (steps(job, part) for part in parts)
    if engine == "ray":
        from hear_edgel3.jobs import ray

        return ray.run(job, means, procedures, concurrency, num_gpus)
    from hear_edgel3.jobs import local

    if workers is None:
        workers = max(1, usable_cpus() // means.threads) if means.device == "cpu" else 1
    workers = min(workers, len(parts))
    if workers == 1:
        return local.run_here(job, means, procedures, progress.report)
    return local.Processes(job, means, workers, progress.report).run(procedures)


def usable_cpus() -> int:
    """CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
