"""The ``hear-edgel3`` command.

A verb is one module here, with ``add_parser`` and ``run``, and its name in ``_VERBS``. The module is imported when the
verb is used, or to show all of them.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

from hear_edgel3._interrupts import interruptible
from hear_edgel3._version import __version__
from hear_edgel3.cli import options
from hear_edgel3.cli.common import plain_warnings
from hear_edgel3.cli.options import Parser
from hear_edgel3.cli.say import flush, prepare, say
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, UnknownConfiguration

# In the order in which `hear-edgel3 --help` shows them.
_VERBS = (
    *("embed", "tag", "predict", "events", "extract", "listen", "index", "search", "duplicates", "explore", "distill"),
    *("train", "evaluate", "export"),
    *("list", "info", "weights", "tune"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 when all went well, 1 when something failed, 2 for wrong usage, 130 when interrupted.
    """
    given = [*sys.argv[1:]] if argv is None else [*argv]
    prepare()
    try:
        with interruptible():
            status = _run(given)
            flush()
        return status
    except HearEdgeL3Error as error:
        say(f"hear-edgel3: {error}")
        return 2 if isinstance(error, (InvalidOption, UnknownConfiguration)) else 1
    except KeyboardInterrupt:
        say("hear-edgel3: interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): not our failure, and it wants to hear no more.
        return 0


def _run(given: list[str]) -> int:
    parser = Parser("hear-edgel3", description="Small audio embedding extractors.")
    parser.add_argument("--version", action="version", version=f"hear-edgel3 {__version__}")
    options.add_verbose(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # The options before a verb take no values, so the first word is the verb.
    first = next((word for word in given if not word.startswith("-")), None)
    for verb in (first,) if first in _VERBS else _VERBS:
        importlib.import_module(f"{__name__}.{verb}").add_parser(commands)
        options.add_verbose(commands.choices[verb])
    try:
        arguments = parser.parse_args(given)
    except SystemExit:  # after --help and --version
        flush()
        raise
    arguments.argv = given
    if getattr(arguments, "verbose", False):
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        with plain_warnings():
            return int(arguments.run(arguments))
    except InvalidOption as error:
        known = commands.choices[arguments.command]._option_string_actions
        raise InvalidOption(options.in_flags(str(error), known)) from error
