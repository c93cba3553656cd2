"""The ``hear-edgel3`` command. One module per subcommand; each has ``add_parser`` and ``run``."""

from __future__ import annotations

import argparse
import logging
import sys

from hear_edgel3._version import __version__
from hear_edgel3.cli import (
    catalogue,
    distill,
    duplicates,
    embed,
    explore,
    extract,
    index,
    info,
    listen,
    search,
    tag,
    tune,
)
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, UnknownConfiguration

_COMMANDS = (embed, tag, extract, listen, index, search, duplicates, explore, distill, catalogue, info, tune)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 when all went well, 1 when something failed, 2 for wrong usage, 130 when interrupted.
    """
    parser = argparse.ArgumentParser("hear-edgel3", description="Small audio embedding extractors.")
    parser.add_argument("--version", action="version", version=f"hear-edgel3 {__version__}")
    parser.add_argument("--verbose", action="store_true", help="say where weights come from, on stderr")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    arguments.argv = argv
    if arguments.verbose:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        return int(arguments.run(arguments))
    except HearEdgeL3Error as error:
        print(f"hear-edgel3: {error}", file=sys.stderr)
        return 2 if isinstance(error, (InvalidOption, UnknownConfiguration)) else 1
    except KeyboardInterrupt:
        print("hear-edgel3: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): not our failure, and nothing more can be said there.
        sys.stderr.close()
        return 0
