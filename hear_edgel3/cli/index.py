"""``hear-edgel3 index``: makes searches in a large dataset fast."""

from __future__ import annotations

import argparse
import sys

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put, say

_DESCRIPTION = """Builds a vector index over a dataset of embeddings that `hear-edgel3 extract` wrote, and keeps it in
the dataset's folder. When the dataset has grown since, what is new is added. Small datasets need none."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("index", help="make searches in a large dataset fast", description=_DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", help="what `hear-edgel3 extract` wrote")
    text = "build it from nothing, even if it is there or not needed"
    options.add(parser, "--overwrite", old=["--force"], action="store_true", help=text)
    options.add_threads(parser, "default: all cores", default=0)
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Builds the index; prints its file's name to stdout."""
    options.check_dataset(arguments.dataset)
    from tqdm import tqdm

    from hear_edgel3.dataset.dataset import Dataset
    from hear_edgel3.search.index import FILE, build_index
    from hear_edgel3.search.rows import Rows
    from hear_edgel3.search.sound_search import FEW_ROWS

    rows = Rows(Dataset(arguments.dataset))
    path = rows.dataset.folder / FILE
    if len(rows) <= FEW_ROWS and not path.exists() and not arguments.overwrite:
        if not arguments.quiet:
            say(
                f"{rows.dataset.folder} has {len(rows)} rows, and up to {FEW_ROWS} are searched fast without an index "
                f"(--overwrite builds one)"
            )
        return 0
    with tqdm(unit="embedding", file=sys.stderr, dynamic_ncols=True, disable=arguments.quiet) as bar:
        index = build_index(rows, arguments.threads, arguments.overwrite, bar.update)
        added = bar.n
    if not arguments.quiet:
        news = f"{added} added" if added else "nothing to add"
        say(f"{len(index)} embeddings in the index, {news}")
    put(str(path))
    return 0
