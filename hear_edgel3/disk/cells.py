"""Tables as text, as programs write them: how characters are coded, and what stands between cells."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

# What stands between cells, by the ending of a file's name, the likeliest first.
DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t", ",", ";")}
# What Excel takes for the sign between cells, if it is the first line of a table, and no row of it.
_SEPARATOR = re.compile(r'"?sep=([^\s"\w]|\t)"?\s*', re.IGNORECASE)


def open_text(path: str, errors: str = "backslashreplace") -> TextIO:
    r"""A text in UTF-8, or in UTF-16 with a byte-order mark; bytes that are no text become ``\xNN``.

    Args:
        path: Its name.
        errors: What becomes of these instead, as for ``open``.

    Raises:
        OSError: It cannot be opened.
    """
    with open(path, "rb") as file:
        begin = file.read(2)
    encoding = "utf-16" if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return open(path, newline="", encoding=encoding, errors=errors)


def delimiter_said(line: str) -> str | None:
    """What the first line of a table says that stands between cells (``sep=;``); None if it says nothing of it."""
    found = _SEPARATOR.fullmatch(line)
    return None if found is None else found[1]


def with_said(said: str, delimiters: Sequence[str]) -> tuple[str, ...]:
    """What was said, and then the others: programs that do not know that line may have written the table anew."""
    return (said, *(one for one in delimiters if one != said))


def point_of(delimiter: str) -> str:
    """The decimal point of numbers in a table: semicolons stand where it is a comma."""
    return "," if delimiter == ";" else "."


def cells_of(lines: Iterable[str], delimiter: str) -> Any:
    """The rows of a table, as a reader of :mod:`csv`."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def lines_of(path: str, delimiters: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """The lines of a small table, and what may stand between its cells, the likeliest first.

    Args:
        path: The table.
        delimiters: What may stand there. What the first line says, which is then none of those given, goes before it.

    Raises:
        OSError, ValueError: It cannot be read; the message lacks its name.
    """
    with open_text(path, "strict") as text:
        lines = list(text)
    said = delimiter_said(lines[0]) if lines else None
    return (lines, delimiters) if said is None else (lines[1:], with_said(said, delimiters))


def cut(
    lines: Sequence[str], delimiters: Sequence[str], fits: Callable[[Sequence[str], str], bool]
) -> tuple[list[list[str]], str]:
    """The rows of a small table, without empty ones, and what stands between its cells.

    Args:
        lines: Its lines.
        delimiters: What may stand there, as of :func:`lines_of`.
        fits: Whether a row, cut at one of these, is what the table is to hold. The first of them by which some row is
            that counts; if there is none, the first.

    Raises:
        csv.Error: The lines are no table.
    """
    tables = [([row for row in cells_of(lines, one) if any(cell.strip() for cell in row)], one) for one in delimiters]
    return next((table for table in tables if any(fits(row, table[1]) for row in table[0])), tables[0])
