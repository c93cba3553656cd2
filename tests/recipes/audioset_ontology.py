"""Makes ``hear_edgel3/registry/labels/audioset_ontology.csv``: which classes of AudioSet lie below which.

    python -m tests.recipes.audioset_ontology ontology.json

``ontology.json`` is that of https://github.com/audioset/ontology (commit 1e85b88a094054c66096a18073b76cb71f5b1436;
Google, CC BY-SA 4.0). What is taken are identifiers, names and children. Left out are the classes that no net tells and
that have none below them that one tells.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any

from hear_edgel3.registry.labels import labels

TARGET = Path(__file__).parents[2] / "hear_edgel3" / "registry" / "labels" / "audioset_ontology.csv"


def table_of(ontology: list[dict[str, Any]]) -> str:
    """The table: a row for each class that has others below it, in the order of the ontology.

    Args:
        ontology: What ``ontology.json`` has.
    """
    known = {label.mid: label.name for label in labels("audioset")}
    entries = {entry["id"]: entry for entry in ontology}

    def counts(mid: str) -> bool:
        return mid in known or any(map(counts, entries[mid]["child_ids"]))

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["mid", "name", "children"])
    for mid, entry in entries.items():
        children = [child for child in entry["child_ids"] if counts(child)]
        if children:
            writer.writerow([mid, known.get(mid, entry["name"]), " ".join(children)])
    return text.getvalue()


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description="make the table of AudioSet's ontology")
    parser.add_argument("ontology", type=Path, help="ontology.json of github.com/audioset/ontology")
    given = parser.parse_args()
    TARGET.write_text(table_of(json.loads(given.ontology.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
