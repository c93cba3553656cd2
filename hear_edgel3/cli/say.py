"""What a command says: results on stdout, everything else on stderr, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from hear_edgel3.disk.paths import printable
from hear_edgel3.disk.stderr import LAYOUT, say
from hear_edgel3.errors import OutputError

__all__ = ["prepare", "put", "say"]


def put(text: str, end: str = "\n", exact: bool = False) -> None:
    """Writes results to stdout, at once.

    Args:
        text: One line or more.
        end: What comes behind it.
        exact: Whether control characters stay as they are where stdout is no terminal.

    Raises:
        OutputError: stdout is closed, or what it goes to is full.
        BrokenPipeError: The reader of stdout went away.
    """
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("cannot write results: standard output is closed")
    keep = exact and not sys.stdout.isatty()
    try:
        sys.stdout.write((text if keep else printable(text, LAYOUT)) + end)
    except UnicodeEncodeError:  # a stream of another kind than accept_any_name can change
        sys.stdout.write(ascii(text)[1:-1] + end)
    except OSError as error:
        raise _unwritten(error) from error
    flush()


def flush() -> None:
    """Has what was printed written.

    Raises:
        OutputError: stdout is full.
        BrokenPipeError: The reader of stdout went away.
    """
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> OSError:
    _forget_stdout()
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"cannot write results to standard output: {error.strerror or error}")


def _forget_stdout() -> None:
    """Lets what is still to be written go nowhere: else Python tries again at its end, and complains on its own."""
    with suppress(OSError, ValueError):  # no file of the system
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def prepare() -> None:
    """Lets stdout take any name of a file, and everything else a stderr, if only one that goes nowhere.

    A terminal may know fewer characters than names have; and what is printed to a stderr that is None goes to stdout.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it is for the whole process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
