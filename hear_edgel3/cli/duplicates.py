"""``hear-edgel3 duplicates``: files of a dataset that sound the same."""

from __future__ import annotations

import argparse

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put, say
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable

_DESCRIPTION = """Finds the files of a dataset, which `hear-edgel3 extract` wrote, that sound the same: copies that were
encoded anew, made louder, or cut a little. Groups go to stdout as text, with an empty line between them, or as --json
(one line per group)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("duplicates", help="find files that sound the same", description=_DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", help="what `hear-edgel3 extract` wrote")
    parser.add_argument(
        "--threshold",
        type=options.fraction,
        metavar="S",
        help="least similarity, above 0 and at most 1 (default 0.9; lower finds copies that were altered more)",
    )
    options.add_json(parser, "print one JSON object per group")
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the groups."""
    options.check_dataset(arguments.dataset)
    from hear_edgel3.dataset.clips import place_name
    from hear_edgel3.search.duplicates import THRESHOLD, find_duplicates

    threshold = THRESHOLD if arguments.threshold is None else arguments.threshold
    groups = find_duplicates(arguments.dataset, threshold)
    for number, group in enumerate(groups):
        if arguments.json:
            line = {"similarity": round(group.similarity, 6), "files": group.files}
            if any(group.spans):
                line["spans_s"] = group.spans
            put(json_text(line, ensure_ascii=False))
        else:
            names = [place_name(f, *(s or (None, None))) for f, s in zip(group.files, group.spans, strict=True)]
            put(("\n" if number else "") + "\n".join(map(printable, names)))
    if not arguments.quiet:
        n_files = sum(len(group.files) for group in groups)
        say(f"groups: {len(groups)}, files in them: {n_files} (similarity {threshold:g} or more)")
    return 0
