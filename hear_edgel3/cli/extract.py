"""``hear-edgel3 extract``: many audio files in, one dataset of embeddings out."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING

from hear_edgel3.cli.common import positive
from hear_edgel3.disk.paths import text_of
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import BUILT_IN

if TYPE_CHECKING:
    from types import FrameType

    from hear_edgel3.jobs.run import Summary

_DESCRIPTION = """Embeds any number of audio files into a dataset: a folder of Parquet files with one row per file
(or per timestamp), and one with an error for each file that failed. What is finished is kept: the same command goes on
after an interruption, and adds what is new in SOURCES."""

_EPILOG = """SOURCES are audio files, folders (with those inside), globs, tar shards of audio files (.tar, .tar.gz), and
lists of these: .csv and .tsv with a column named file or path, .parquet with such a column, .txt with a path per line,
or - for such a text on stdin. Paths in a list are relative to the list. Without SOURCES it goes on with what was begun.

Exit status: 0 all well, 1 some files failed, 2 wrong usage, 130 interrupted.

examples:
  hear-edgel3 extract recordings/ --output embeddings
  hear-edgel3 extract files.csv --config mn10_as --timestamps --hop 0.5 --output embeddings
  hear-edgel3 extract 'shards/*.tar' --output embeddings --partition 3/16
  hear-edgel3 extract /data/audio --output /data/embeddings --engine ray --num-gpus 0.5 --device cuda"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "extract",
        help="embed many audio files into a dataset",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCES", help="files, folders, globs, lists, tar shards")
    parser.add_argument("--output", "-o", required=True, metavar="DIR", help="the dataset's folder")
    parser.add_argument(
        "--config",
        "-c",
        metavar="NAME",
        default=BUILT_IN,
        help=f"see `hear-edgel3 list`, or a folder made by `distill`; default {BUILT_IN}",
    )
    parser.add_argument("--weights", metavar="FILE", help="converted weights, or a folder of them")
    parser.add_argument("--timestamps", action="store_true", help="embeddings at regular times, not one per file")
    parser.add_argument(
        "--hop", type=positive, metavar="SECONDS", help="between timestamps (default: the configuration's, 0.05)"
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of the embeddings")
    parser.add_argument("--retry-failed", action="store_true", help="do parts again that have files that failed")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON to stdout")
    work = parser.add_argument_group("who does the work")
    work.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="processes on this machine (default), or Ray"
    )
    work.add_argument("--workers", type=_count, metavar="N", help="local processes (default: one per usable CPU)")
    work.add_argument("--threads", type=_count, default=1, metavar="N", help="of the net, per worker (default 1)")
    work.add_argument("--device", default="cpu", help="torch device (default cpu)")
    work.add_argument(
        "--net-engine", default="auto", metavar="NAME", help="what runs the net: as --engine of `hear-edgel3 embed`"
    )
    work.add_argument(
        "--concurrency", type=_count, metavar="N", help="Ray tasks at once (default: what there is room for)"
    )
    work.add_argument("--num-gpus", type=_share, default=0.0, metavar="X", help="for each Ray task (default 0)")
    work.add_argument(
        "--partition",
        metavar="I/N",
        help="do only every N-th part from the I-th on, counted from 0 (default: what torchrun or SLURM say, or all)",
    )
    work.add_argument(
        "--files-per-part", type=_count, metavar="N", help="at most (default: 256 to 2048); for a new job only"
    )
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number from 0, got {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Embeds the files; a bad one becomes an error row and the rest go on.

    Returns:
        0, or 1 if any file failed.
    """
    if arguments.hop is not None and not arguments.timestamps:
        raise InvalidOption("--hop is for embeddings at regular times: give --timestamps too")
    from hear_edgel3.jobs import partition
    from hear_edgel3.jobs.run import extract

    signal.signal(signal.SIGTERM, _interrupt)
    summary = extract(
        arguments.sources,
        arguments.output,
        arguments.config,
        weights=arguments.weights,
        timestamps=arguments.timestamps,
        # By way of the shortest decimal, so that 0.07 s are 70 ms and not a rounding error more.
        hop_ms=None if arguments.hop is None else float(Fraction(repr(arguments.hop)) * 1000),
        dtype=arguments.dtype,
        engine=arguments.engine,
        net_engine=arguments.net_engine,
        device=arguments.device,
        workers=arguments.workers,
        threads=arguments.threads,
        concurrency=arguments.concurrency,
        num_gpus=arguments.num_gpus,
        partition=None if arguments.partition is None else partition.parse(arguments.partition),
        files_per_part=arguments.files_per_part,
        retry_failed=arguments.retry_failed,
        quiet=arguments.quiet,
    )
    _say(summary, arguments.quiet)
    if arguments.json:
        print(json.dumps({**asdict(summary), "all_well": summary.all_well}, indent=1))
    return 0 if summary.all_well else 1


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """SIGTERM stops it as Ctrl-C does."""
    raise KeyboardInterrupt


def _say(summary: Summary, quiet: bool) -> None:
    lines = [text if name in text else f"{name}: {text}" for name, text in [*summary.sources, *summary.errors]]
    if lines:
        print("failures:", file=sys.stderr)
        for line in lines:
            print(f"  {text_of(line)}", file=sys.stderr)
    more = summary.failed - len(summary.errors)
    if more or summary.failed_before:
        before = f"{summary.failed_before} in earlier runs" if summary.failed_before else ""
        also = " and ".join(filter(None, [f"{more} more now" if more else "", before]))
        print(
            f"  {also}; all are the rows of {summary.output} that have an error (--retry-failed tries them again)",
            file=sys.stderr,
        )
    if quiet:
        return
    kept = f", {summary.parts_kept} parts were finished before" if summary.parts_kept else ""
    left = f", {summary.parts_left} parts are for other partitions to do" if summary.parts_left else ""
    rate = summary.seconds / max(summary.wall_seconds, 1e-9)
    print(
        f"{summary.files} files ({summary.seconds / 3600:.2f} h of audio, {rate:.0f} x real time), "
        f"{summary.rows} rows, {summary.failed} failed{kept}{left}: {summary.output}",
        file=sys.stderr,
    )
