"""What a job is asked to do, and how: the options of :func:`hear_edgel3.extract`, checked in one place."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from hear_edgel3._checks import check_device_name, check_flags, check_made, check_seconds, check_whole, check_word
from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.errors import InvalidOption
from hear_edgel3.jobs import partition as partitions
from hear_edgel3.recorded import TimeAndPlace
from hear_edgel3.registry.names import BUILT_IN
from hear_edgel3.sources.tables import AS_THEY_ARE, TableOptions

RUNNERS = ("local", "ray")
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Options:
    """The options of a job, each as :func:`hear_edgel3.extract` says.

    Attributes:
        config: The name of the configuration, or a folder made by ``distill`` or ``train``.
        weights: The weights file, or a folder of such; None to find it.
        timestamps: Whether to make embeddings at regular times, and not one per file.
        hop_ms: The distance of timestamps in milliseconds; None for the configuration's.
        dtype: The type of the embeddings' values.
        runner: Who does the parts, ``local`` or ``ray``.
        engine: What runs the net.
        device: The torch device of the net.
        workers: How many local processes there are; None to choose.
        threads: How many threads torch has in each worker.
        concurrency: How many Ray tasks there are at once; None to choose.
        num_gpus: How many GPUs each Ray task takes.
        partition: Which parts to do: (i, n) for every n-th from the i-th on; None to ask the environment.
        files_per_part: How many files a part has at most; None to choose.
        retry_failed: Whether to do those parts again that have error rows.
        quiet: Whether to show no progress.
        channel: What of the files' channels: "mean" of all, or the number of one, from 0.
        tables: How tables among the sources are read.
        file_timeout: How many seconds a file may take; None for any time.
        recorded: What to find out of when and where files were recorded; None for nothing.
        tags: How many of the most probable classes each row gets; None for none.

    Raises:
        InvalidOption: One of them has a value that cannot be used, whatever the configuration.
    """

    config: str | os.PathLike[str] = BUILT_IN
    weights: str | os.PathLike[str] | None = None
    timestamps: bool = False
    hop_ms: float | None = None
    dtype: str = "float32"
    runner: str = "local"
    engine: str = "auto"
    device: str = "cpu"
    workers: int | None = None
    threads: int = 1
    concurrency: int | None = None
    num_gpus: float = 0
    partition: tuple[int, int] | None = None
    files_per_part: int | None = None
    retry_failed: bool = False
    quiet: bool = True
    tables: TableOptions = AS_THEY_ARE
    channel: int | str = MEAN
    file_timeout: float | None = None
    recorded: TimeAndPlace | None = None
    tags: int | None = None

    def __post_init__(self) -> None:
        check_word(self.dtype, "dtype", DTYPES)
        check_word(self.runner, "runner", RUNNERS)
        check_channel(self.channel)
        check_device_name(self.device)
        check_flags(
            timestamps=self.timestamps,
            retry_failed=self.retry_failed,
            quiet=self.quiet,
            whole_files=self.tables.whole_files,
        )
        for name in ("threads", "workers", "files_per_part", "concurrency", "tags"):
            if name == "threads" or getattr(self, name) is not None:
                object.__setattr__(self, name, check_whole(getattr(self, name), name, 1))
        if self.recorded is not None:
            check_made(self.recorded, "recorded", TimeAndPlace, "a TimeAndPlace, or None")
        check_seconds(self.num_gpus, "num_gpus", infinite=False)
        check_for_runner(self.runner, self.workers, self.concurrency, self.num_gpus, self.file_timeout)
        check_file_timeout(self.file_timeout)
        if self.partition is not None:
            partitions.check(self.partition)
        if self.hop_ms is not None and not self.timestamps:
            raise InvalidOption("a hop is for embeddings at timestamps: ask for these too, or leave the hop out")


def runner_and_engine(runner: str | None, engine: str | None, net_engine: str | None) -> tuple[str, str]:
    """Who does the parts, and what runs the net, of the words for these, old and new.

    ``engine`` once said who does the parts, and ``net_engine`` what runs the net.

    Raises:
        InvalidOption: Two of them say different things.
    """
    if isinstance(engine, str) and engine in RUNNERS:
        if runner not in (None, engine):
            raise InvalidOption(
                f"runner={runner!r} and engine={engine!r} both say who does the parts; give one of them"
            )
        runner, engine = engine, None
    if net_engine is not None:
        if engine not in (None, net_engine):
            raise InvalidOption(
                f"engine={engine!r} and net_engine={net_engine!r} both say what runs the net; give engine alone"
            )
        engine = net_engine
    return RUNNERS[0] if runner is None else runner, "auto" if engine is None else engine


def check_for_runner(
    runner: str,
    workers: int | None,
    concurrency: int | None,
    num_gpus: float,
    file_timeout: float | None,
    called: Callable[[str], str] = str,
) -> None:
    """Checks that options which only one runner has are not given for the other one: they would do nothing.

    Args:
        runner: Who does the parts.
        workers: As for :class:`Options`, like the others.
        concurrency: How many Ray tasks there are at once.
        num_gpus: How many GPUs each of them takes.
        file_timeout: How many seconds a file may take.
        called: What an option of this name is called where it was given.

    Raises:
        InvalidOption: One of them is given for the wrong runner.
    """
    if runner == "ray" and workers is not None:
        raise InvalidOption(
            f"{called('workers')} is for processes on this machine, and Ray does the work: give "
            f"{called('concurrency')}, or leave it out"
        )
    if runner == "ray" and file_timeout is not None:
        raise InvalidOption(
            f"{called('file_timeout')} is for processes on this machine, and Ray does the work: leave it out"
        )
    given = {"concurrency": concurrency is not None, "num_gpus": num_gpus != 0}
    for name, there in given.items():
        if there and runner != "ray":
            raise InvalidOption(f"{called(name)} is for Ray tasks: give {called('runner')} ray too, or leave it out")


def check_file_timeout(value: object) -> None:
    """Checks how many seconds a file may take.

    Raises:
        InvalidOption: It is no positive number.
    """
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InvalidOption(f"file_timeout must be a positive number of seconds, got {value!r}")
