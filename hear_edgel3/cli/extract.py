"""``hear-edgel3 extract``: many audio files in, one dataset of embeddings out."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hear_edgel3.cli import options
from hear_edgel3.cli.common import say_notes
from hear_edgel3.cli.say import put, say
from hear_edgel3.cli.sources import is_missing
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import text_of, why_not_there
from hear_edgel3.errors import AudioFileError, InvalidOption
from hear_edgel3.framing.rules import milliseconds
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.locate import check_given

if TYPE_CHECKING:
    from hear_edgel3.jobs.run import Summary

_DESCRIPTION = """Embeds any number of audio files into a dataset: a folder of Parquet files with one row per file
(or per timestamp), and one with an error for each file that failed. What is finished is kept: the same command goes on
after an interruption, and adds what is new in SOURCES."""

_RUNNERS = ("local", "ray")

_EPILOG = """SOURCES are audio files, folders (with those inside), globs, tar shards of audio files (.tar, .tar.gz), and
lists of these: .csv, .tsv and .parquet with a column that names files (file, path, filename, ...), .txt with a path per
line, or - for such a text on stdin. A table with starts and ends in seconds (start, end; onset, offset; the selection
tables of Raven, the labels of Audacity, the results of BirdNET, ...) gives a row per clip. Paths in a list are relative
to the list. Without SOURCES it goes on with what was begun.

Exit status: 0 all well, 1 some files failed, 2 wrong usage, 130 interrupted.

examples:
  hear-edgel3 extract recordings/ --output embeddings
  hear-edgel3 extract files.csv --config mn10_as --timestamps --hop 0.5 --output embeddings
  hear-edgel3 extract 'shards/*.tar' --output embeddings --partition 3/16
  hear-edgel3 extract /data/audio --output /data/embeddings --runner ray --num-gpus 0.5 --device cuda"""


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
    options.add_output(parser, "DIR", "the dataset's folder", required=True)
    options.add_config(parser)
    options.add_features(parser)
    options.add_weights(parser)
    parser.add_argument("--timestamps", action="store_true", help="embeddings at regular times, not one per file")
    options.add_hop(parser, "between timestamps (default: the configuration's; 0.048 for pictures, else 0.05)")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of the embeddings")
    parser.add_argument("--retry-failed", action="store_true", help="do parts again that have files that failed")
    parser.add_argument(
        "--tags", type=options.count, metavar="K", help="the K most probable classes of each row too, of the same pass"
    )
    options.add_channel(parser)
    tables = parser.add_argument_group("tables and lists")
    tables.add_argument(
        "--keep", metavar="COLUMNS|all", help="columns of tables that the dataset gets too, with commas between"
    )
    options.add_tables(tables)
    options.add_time_and_place(parser)
    options.add_quiet(parser, "print nothing but errors")
    options.add_json(parser, "print a summary as JSON to stdout")
    work = parser.add_argument_group("who does the work")
    work.add_argument("--runner", choices=_RUNNERS, help="processes on this machine (default), or Ray")
    options.add_workers(work, "local processes (default: one per usable CPU)")
    options.add_threads(work, "of the net, per worker (default 1)", default=1)
    options.add_file_timeout(work)
    options.add_device(work)
    options.add(work, "--engine", old=["--net-engine"], action=_Engine, metavar="NAME", help=options.engine_help())
    work.add_argument(
        "--concurrency", type=options.count, metavar="N", help="Ray tasks at once (default: what there is room for)"
    )
    work.add_argument("--num-gpus", type=options.share, default=0.0, metavar="X", help="for each Ray task (default 0)")
    work.add_argument(
        "--partition",
        metavar="I/N",
        help="do only every N-th part from the I-th on, counted from 0 (default: what torchrun or SLURM say, or all)",
    )
    work.add_argument(
        "--files-per-part", type=options.count, metavar="N", help="at most (default: 256 to 2048); for a new job only"
    )
    parser.set_defaults(run=run, engine_as_runner=None)


class _Engine(argparse.Action):
    """``--engine``: what runs the net. Once it named the runner, so a runner's name is still taken as that."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keeps the value."""
        names_runner = option_string == "--engine" and values in _RUNNERS
        setattr(namespace, "engine_as_runner" if names_runner else "engine", values)


def run(arguments: argparse.Namespace) -> int:
    """Embeds the files; a bad one becomes an error row and the rest go on.

    Returns:
        0, or 1 if any file failed.
    """
    if arguments.hop is not None and not arguments.timestamps:
        raise InvalidOption("--hop is for embeddings at regular times: give --timestamps too")
    arguments.config = options.configuration_of(arguments.config, arguments.features)
    runner, engine = _runner_and_engine(arguments)
    from hear_edgel3.jobs import partition

    part = None if arguments.partition is None else partition.parse(arguments.partition)
    _check(arguments, engine)
    from hear_edgel3.jobs.run import extract

    summary = extract(
        arguments.sources,
        arguments.output,
        arguments.config,
        weights=arguments.weights,
        timestamps=arguments.timestamps,
        hop_ms=None if arguments.hop is None else milliseconds(arguments.hop),
        dtype=arguments.dtype,
        channel=arguments.channel,
        runner=runner,
        engine=engine,
        device=arguments.device,
        workers=arguments.workers,
        threads=arguments.threads,
        concurrency=arguments.concurrency,
        num_gpus=arguments.num_gpus,
        partition=part,
        files_per_part=arguments.files_per_part,
        retry_failed=arguments.retry_failed,
        quiet=arguments.quiet,
        keep=_columns(arguments.keep),
        audio=arguments.audio,
        whole_files=arguments.whole_files,
        file_timeout=arguments.file_timeout,
        recorded=options.asked_time_and_place(arguments),
        tags=arguments.tags,
    )
    _say(summary, arguments.quiet)
    if arguments.json:
        put(json_text({**asdict(summary), "all_well": summary.all_well}, indent=1))
    return 0 if summary.all_well else 1


def _columns(text: str | None) -> str | list[str]:
    """The names of ``--keep``, or ``all``.

    Raises:
        InvalidOption: one is empty.
    """
    if text is None or text == "all":
        return text or []
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InvalidOption(f"--keep takes names of columns with commas between, or all, got {text!r}")
    return names


def _runner_and_engine(arguments: argparse.Namespace) -> tuple[str, str]:
    """Who does the parts, and what runs the net.

    Raises:
        InvalidOption: options contradict each other.
    """
    from hear_edgel3.jobs.options import check_for_runner, runner_and_engine

    old = arguments.engine_as_runner
    if old is not None and arguments.runner not in (None, old):
        raise InvalidOption(
            f"--runner {arguments.runner} and --engine {old} both say who does the work; give --runner alone"
        )
    runner, _ = runner_and_engine(arguments.runner, old, None)
    _, engine = runner_and_engine(None, None, arguments.engine)
    check_for_runner(
        runner, arguments.workers, arguments.concurrency, arguments.num_gpus, arguments.file_timeout, options.flag
    )
    return runner, engine


def _check(arguments: argparse.Namespace, engine: str) -> None:
    """Finds out what cannot be used before anything heavy is imported."""
    row = resolve(arguments.config).checkpoint
    options.asked_time_and_place(arguments)
    options.check_engine(engine)
    if arguments.hop is not None:
        options.check_hop(arguments.hop, row.net_sample_rate)
    if arguments.tags is not None:
        from hear_edgel3.tagging.request import check_tags_alongside

        check_tags_alongside(row)
    check_given(row, arguments.weights)
    if arguments.sources and not os.path.exists(arguments.output) and all(map(is_missing, arguments.sources)):
        raise AudioFileError(f"{arguments.sources[0]} {why_not_there(arguments.sources[0])}")


def _say(summary: Summary, quiet: bool) -> None:
    say_notes(map(text_of, summary.notes), quiet)
    lines = [text if name in text else f"{name}: {text}" for name, text in [*summary.sources, *summary.errors]]
    if lines:
        say("failures:")
        for line in lines:
            say(f"  {text_of(line)}")
    more = summary.failed - len(summary.errors)
    if more or summary.failed_before:
        before = f"{summary.failed_before} in earlier runs" if summary.failed_before else ""
        also = " and ".join(filter(None, [f"{more} more now" if more else "", before]))
        say(f"  {also}; all are the rows of {summary.output} that have an error (--retry-failed tries them again)")
    if quiet:
        return
    if summary.changed:
        say(f"{summary.changed} files had changed since they were embedded, and were done anew")
    kept = f", {summary.parts_kept} parts were finished before" if summary.parts_kept else ""
    left = f", {summary.parts_left} parts are for other partitions to do" if summary.parts_left else ""
    rate = summary.seconds / max(summary.wall_seconds, 1e-9)
    say(
        f"{summary.files} files ({summary.seconds / 3600:.2f} h of audio, {rate:.0f} x real time), "
        f"{summary.rows} rows, {summary.failed} failed{kept}{left}: {summary.output}"
    )
