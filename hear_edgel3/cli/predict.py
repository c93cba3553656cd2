"""``hear-edgel3 predict``: what a net with classes says of files, with all of its classes."""

from __future__ import annotations

import argparse

from hear_edgel3.cli import options
from hear_edgel3.cli.tagging import add_tagging, tag_all
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import resolve

_DESCRIPTION = """Predicts with a net that `hear-edgel3 train` made: all of its classes, or the numbers that it guesses,
of every file or, with --window, of every window. It is `hear-edgel3 tag` with such a net, and --top for all. --output
x.parquet has a row per file or window: file, start, end, what is predicted, and a column for each class. The same
command adds what it lacks, and does anew what has changed since."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("predict", help="all that a net of your own says of files", description=_DESCRIPTION)
    parser.add_argument("sources", nargs="+", metavar="SOURCES", help=options.SOURCES)
    options.add_config(parser, text="a folder made by `train`, or another net with classes", required=True)
    add_tagging(parser, "classes per window (default: all)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predicts; a bad file is reported and the rest go on.

    Returns:
        0, or 1 if any input failed.

    Raises:
        InvalidOption: The net has no classes.
    """
    if not resolve(arguments.config).checkpoint.tags:
        raise InvalidOption(
            f"{arguments.config} has no classes to predict; give a folder that `hear-edgel3 train` made, or embed with "
            f"it: hear-edgel3 embed"
        )
    return tag_all(arguments, None)
