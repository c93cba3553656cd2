"""``hear-edgel3 duplicates``: files of a dataset that sound the same."""

from __future__ import annotations

import argparse
import io
import json
import sys

_DESCRIPTION = """Finds the files of a dataset, which `hear-edgel3 extract` wrote, that sound the same: copies that were
encoded anew, made louder, or cut a little. Groups go to stdout as text, with an empty line between them, or as --json
(one line per group)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("duplicates", help="find files that sound the same", description=_DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", help="what `hear-edgel3 extract` wrote")
    parser.add_argument(
        "--threshold",
        type=_fraction,
        metavar="S",
        help="least similarity, above 0 and at most 1 (default 0.95; lower finds copies that were altered more)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per group")
    parser.set_defaults(run=run)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1, got {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Prints the groups."""
    from hear_edgel3.search.duplicates import THRESHOLD, find_duplicates

    threshold = THRESHOLD if arguments.threshold is None else arguments.threshold
    groups = find_duplicates(arguments.dataset, threshold)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a file name has
    for number, group in enumerate(groups):
        if arguments.json:
            line = {"similarity": round(group.similarity, 6), "files": group.files}
            print(json.dumps(line, ensure_ascii=False))
        else:
            print(("\n" if number else "") + "\n".join(group.files))
    n_files = sum(len(group.files) for group in groups)
    print(f"groups: {len(groups)}, files in them: {n_files} (similarity {threshold:g} or more)", file=sys.stderr)
    return 0
