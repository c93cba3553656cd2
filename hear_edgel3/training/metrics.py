"""The table of what each epoch of a training came to: made of the training's state, and put right by it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from hear_edgel3.disk.atomic import atomic_write

METRICS = "metrics.csv"
_FIRST = b"epoch,"


def table_of(metrics: Sequence[Mapping[str, float]]) -> bytes:
    """A table as CSV, with a line for each epoch.

    Args:
        metrics: The figures of each epoch by their names. What is measured before training has fewer.
    """
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in reversed(metrics) for key in row))
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in metrics)
    return text.getvalue().encode()


def is_other(path: Path) -> bool:
    """Whether there is a file in a table's place that no training has written.

    Args:
        path: Of the table.
    """
    try:
        with path.open("rb") as file:
            return not file.readline(1 << 16).startswith(_FIRST)
    except OSError:
        return False


def put_right(path: Path, metrics: Sequence[Mapping[str, float]]) -> None:
    """Writes a table anew where it is not that of the training's state: an interruption came between the two.

    Args:
        path: Of the table.
        metrics: The figures of each epoch, as the state has them.

    Raises:
        OutputError: It is another one and cannot be written.
    """
    table = table_of(metrics)
    if not path.is_file() or path.read_bytes() != table:
        with atomic_write(path) as file:
            file.write(table)
