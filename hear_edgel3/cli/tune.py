"""``hear-edgel3 tune``: finds what suits this machine for the numba engine, and keeps it."""

from __future__ import annotations

import argparse

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "tune",
        help="find what suits this machine for the numba engine",
        description="Measures tile sizes, block sizes and the density from which layers are dense for the numba "
        "engine on this machine, and keeps the fastest beside its compiled kernels. Takes a minute or two; run it "
        "while the machine has nothing else to do.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--reset", action="store_true", help="forget what was found, and use the defaults again")
    what.add_argument("--dry-run", action="store_true", help="measure, but keep nothing")
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures and keeps."""
    from hear_edgel3.engine import numba

    numba.check_installed()
    from hear_edgel3.engine.kernels.settings import Settings, settings_file
    from hear_edgel3.engine.kernels.tuning import tune
    from hear_edgel3.errors import OutputError

    def say(line: str) -> None:
        if not arguments.quiet:
            say(line)

    if arguments.reset:
        try:
            settings_file().unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot delete {settings_file()}: {error.strerror or error}") from error
        say(f"the defaults are used again: {Settings.usual()}")
        return 0
    found = tune(Settings.here(), say)
    for kind, before in found.before.items():
        after = found.after[kind]
        put(f"{kind}: {before:.2f} -> {after:.2f} ms per window, {before / after:.2f} times as fast")
    if not arguments.dry_run:
        say(f"kept in {found.settings.keep()}")
    return 0
