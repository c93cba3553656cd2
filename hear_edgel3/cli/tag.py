"""``hear-edgel3 tag``: what is heard in audio files."""

from __future__ import annotations

import argparse

from hear_edgel3.cli import options
from hear_edgel3.cli.tagging import TOP, add_tagging, tag_all

_DESCRIPTION = """Tags audio files: which of the 527 AudioSet classes are heard, each with a probability from 0 to 1;
or which classes of your own, by the folder of a net that `hear-edgel3 train` made. Without --window a file is tagged as
a whole. Results go to stdout: as text, --csv, or --json (one line per file); or into the file --output, to which the
same command adds what it lacks, after an interruption as well; files that have changed since are tagged anew."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("tag", help="tell what is heard in audio files", description=_DESCRIPTION)
    parser.add_argument("sources", nargs="+", metavar="SOURCES", help=options.SOURCES)
    options.add_config(parser, default=None)
    add_tagging(parser, f"classes per window (default {TOP}; all where they are numbers, and in .parquet)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tags the files; a bad one is reported and the rest go on.

    Returns:
        0, or 1 if any input failed.
    """
    return tag_all(arguments, TOP)
