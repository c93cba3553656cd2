"""``hear-edgel3 list``: the configurations there are."""

from __future__ import annotations

import argparse
import json

from hear_edgel3.registry import Checkpoint, families, list_configurations, resolve


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("list", help="show the configurations", description="Shows the configurations.")
    parser.add_argument("--family", choices=families(), help="only those of one family")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints one line per configuration."""
    rows = [resolve(name).checkpoint for name in list_configurations(arguments.family)]
    if arguments.json:
        print(json.dumps([_entry(row) for row in rows], indent=1))
        return 0
    print(f"{'name':<14} {'dim':>4} {'Hz':>6} {'params':>10}  description")
    for row in rows:
        print(f"{row.name:<14} {row.embedding_size:>4} {row.sample_rate:>6} {row.n_parameters:>10,}  {row.summary}")
    return 0


def _entry(row: Checkpoint) -> dict[str, object]:
    return {
        "name": row.name,
        "family": row.family,
        "embedding_size": row.embedding_size,
        "sample_rate": row.sample_rate,
        "n_parameters": row.n_parameters,
        "summary": row.summary,
    }
