"""``hear-edgel3 list``: the configurations there are."""

from __future__ import annotations

import argparse

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.families.schema import Configuration
from hear_edgel3.registry.names import families, list_configurations, resolve


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("list", help="show the configurations", description="Shows the configurations.")
    parser.add_argument("--family", choices=families(), help="only those of one family")
    options.add_json(parser, "print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints one line per configuration."""
    configurations = [resolve(name) for name in list_configurations(arguments.family)]
    if arguments.json:
        put(json_text([_entry(configuration) for configuration in configurations], indent=1))
        return 0
    table = [("name", "dim", "Hz", "params", "MACs, one pass over 10 s", "mAP", "description")]
    for configuration in configurations:
        row = configuration.checkpoint
        score = row.reported.get("AudioSet mAP")
        table.append(
            (
                row.name,
                str(configuration.embedding_size),
                str(row.sample_rate),
                f"{row.n_parameters:,}",
                f"{row.macs_10s / 1e9:.4g} G",
                "" if score is None else f"{score:.3f}",
                row.summary,
            )
        )
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        cells = [
            line[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(line[1:-1], widths[1:-1], strict=True)),
            line[-1],
        ]
        put("  ".join(cells))
    return 0


def _entry(configuration: Configuration) -> dict[str, object]:
    row = configuration.checkpoint
    return {
        "name": row.name,
        "family": row.family,
        "embedding_size": configuration.embedding_size,
        "features": list(configuration.features.names),
        "sample_rate": row.sample_rate,
        "n_parameters": row.n_parameters,
        "macs_10s": row.macs_10s,
        "reported": dict(row.reported),
        "summary": row.summary,
    }
