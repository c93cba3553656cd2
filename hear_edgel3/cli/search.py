"""``hear-edgel3 search``: the sounds of a dataset that are most like a given one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hear_edgel3.cli import options
from hear_edgel3.cli.common import Failures
from hear_edgel3.cli.say import put, say
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import resolve

if TYPE_CHECKING:
    from hear_edgel3.search import Match, SoundSearch

_DESCRIPTION = """Finds the sounds of a dataset, which `hear-edgel3 extract` wrote, that are most like those in audio
files. Each file is embedded as the dataset was. In a dataset of timestamp embeddings it counts as the mean over its
own, and of each file the best moment is found. Results go to stdout, best first, as text or --json (one line per
match)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("search", help="find the sounds most like a given one", description=_DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", help="what `hear-edgel3 extract` wrote")
    parser.add_argument("queries", nargs="+", metavar="FILE", help="audio files to search for")
    options.add_top(parser, "matches per query (default 10)", default=10)
    parser.add_argument("--all-moments", action="store_true", help="all moments that are alike, not one per file")
    parser.add_argument("--exclude-self", action="store_true", help="leave the query itself out of its matches")
    parser.add_argument(
        "--stored",
        action="store_true",
        help="the FILEs are files of the dataset, named as it names them: take their embeddings from there",
    )
    parser.add_argument("--exact", action="store_true", help="compare with every embedding, even if there is an index")
    options.add_config(parser, None, "where the dataset's net is, if it is a folder made by `distill` or `train`")
    options.add_weights(parser)
    options.add_json(parser, "print one JSON object per match")
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Searches for each query; a bad one is reported and the rest go on.

    Returns:
        0, or 1 if any query failed.
    """
    if arguments.stored and (arguments.config or arguments.weights):
        raise InvalidOption("--stored needs no net; leave --config and --weights out")
    if arguments.config is not None:
        resolve(arguments.config)
    options.check_dataset(arguments.dataset)
    from hear_edgel3.search import SoundSearch

    search = SoundSearch(arguments.dataset, arguments.config, arguments.weights, arguments.exact)
    if search.note is not None and not arguments.quiet:
        say(f"hear-edgel3: {search.note}")
    if not arguments.stored:
        search.load_net()
    failures = Failures()
    for query in arguments.queries:
        matches = None
        with failures.of(query):
            matches = _matches(search, query, arguments)
        if matches is not None:
            _write(query, matches, arguments.json)
    failures.summarise(len(arguments.queries))
    return 1 if failures else 0


def _matches(search: SoundSearch, query: str, arguments: argparse.Namespace) -> list[Match]:
    find = search.neighbours_of_file if arguments.stored else search.query
    without = [query] if arguments.exclude_self else []
    return find(query, arguments.top, all_moments=arguments.all_moments, without=without)


def _write(query: str, matches: list[Match], as_json: bool) -> None:
    from hear_edgel3.dataset.clips import place_name
    from hear_edgel3.disk.paths import printable, text_of_path

    name = text_of_path(query)
    if as_json:
        for rank, match in enumerate(matches, 1):
            found = {"file": match.file, "timestamp_ms": match.timestamp_ms, "row": match.row}
            if match.start_s is not None:
                found |= {"start_s": match.start_s, "end_s": match.end_s}
            line = {"query": name, "rank": rank, "similarity": round(match.similarity, 6), **found}
            put(json_text(line, ensure_ascii=False))
        return
    put(printable(name))
    for match in matches:
        moment = "" if match.timestamp_ms is None else f"  at {match.timestamp_ms / 1000:.2f} s"
        put(f"  {match.similarity:6.3f}  {printable(place_name(match.file, match.start_s, match.end_s))}{moment}")
