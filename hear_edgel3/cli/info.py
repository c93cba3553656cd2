"""``hear-edgel3 info``: everything known about one configuration."""

from __future__ import annotations

import argparse
import json
from typing import Any

from hear_edgel3.registry import resolve


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "info",
        help="describe a configuration",
        description="Describes a configuration: timestamps, size, licence, citation, and where its weights come from.",
    )
    parser.add_argument("name", metavar="NAME", help="as `hear-edgel3 list` shows it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the description."""
    facts = describe(arguments.name)
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key.replace('_', ' ')}:")
            for inner, inner_value in value.items():
                print(f"  {inner.replace('_', ' '):<20} {inner_value}")
        elif value is not None:
            print(f"{key.replace('_', ' '):<22} {value}")
    return 0


def describe(name: str) -> dict[str, Any]:
    """What is known about a configuration, as plain values.

    Raises:
        UnknownConfiguration: there is no such name.
    """
    # Imported here so that `--help` and `list` do not wait for torch.
    from hear_edgel3.extractor import Extractor
    from hear_edgel3.weights import origin

    configuration = resolve(name)
    row = configuration.checkpoint
    extractor = Extractor(configuration, row.frontend.build(), configuration.net.build())
    return {
        "name": configuration.name,
        "family": row.family,
        "summary": row.summary,
        "embedding_size": configuration.embedding_size,
        "features": configuration.features.description or None,
        "embedding_version": row.embedding_version,
        "parameters": row.n_parameters,
        "size_mb": round(4 * row.n_parameters / 1e6, 2),
        "engine": extractor.engine,
        "timestamps": extractor.contract.to_dict(),
        "licence": f"{row.upstream.licence}, {row.upstream.copyright}",
        "project": row.upstream.project,
        "reported": dict(row.reported) or None,
        "citation": row.citation,
        "weights": {
            "from": origin(row),
            "hub_repository": row.hub.repo_id,
            "hub_revision": row.hub.revision or "not published yet",
            "upstream_file": row.upstream.url,
            "upstream_git_blob": row.upstream.git_blob or "not known",
        },
    }
