"""Puts a net that `hear-edgel3 distill` has made into the package, in the place of the built-in one.

    python -m tests.recipes.built_in FOLDER [--section FILE] [--to hear_edgel3/checkpoints/tiny]

takes the weights, the description, the card, and the table and the picture of the curves from FOLDER; what is there for
going on stays. FILE, which `python -m tests.benchmarks.real_sounds ... --card FILE` writes, becomes a section of the
card.
Paths in the command that the card shows lose their folders, which are those of one machine. The net must be called as
the built-in one, be at most 700,000 bytes, state a licence, have an embedding version that is no lower, and load.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.distillation.result import CARD, CURVES, WEIGHTS
from hear_edgel3.distillation.run import NO_LICENCE
from hear_edgel3.errors import ConfigurationError, HearEdgeL3Error
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.folder import FILENAME, read_folder
from hear_edgel3.registry.names import BUILT_IN
from hear_edgel3.tagging.tagger import Tagger

LARGEST = 700_000
METRICS = "metrics.csv"
PLACE = Path(__file__).parents[2] / "hear_edgel3" / "checkpoints" / BUILT_IN
# The section comes before whichever of these comes first.
_BEHIND = ("\n## The licence of ", "\n## Audio")


def install(folder: Path, place: Path = PLACE, section: str | None = None) -> None:
    """Puts a net into the package.

    Args:
        folder: That `hear-edgel3 distill` has written.
        place: The folder of the built-in net.
        section: What to add to the card, in Markdown.

    Raises:
        ConfigurationError: It cannot be the built-in net; the message says why.
        WeightsMismatch, WeightsCorrupt, WeightsNotFound: Its weights do not load.
    """
    row = read_folder(folder)
    _check(row, place)
    Tagger(folder)
    values = json.loads((folder / FILENAME).read_text(encoding="utf-8"))
    card = (folder / CARD).read_text(encoding="utf-8")
    command = values["made"].get("command")
    if command:
        values["made"]["command"] = without_folders(command)
        card = card.replace(command, values["made"]["command"])
    if section is not None:
        card = with_section(card, section)
    files = {name: (folder / name).read_bytes() for name in (row.weights_file, METRICS)}
    if (folder / CURVES).is_file():
        files[CURVES] = (folder / CURVES).read_bytes()
    files |= {FILENAME: (json_text(values, indent=1) + "\n").encode(), CARD: card.encode()}
    place.mkdir(parents=True, exist_ok=True)
    for path in place.iterdir():
        if path.name not in files:
            path.unlink()
    for name, data in files.items():
        with atomic_write(place / name) as file:
            file.write(data)


def _check(row: Local, place: Path) -> None:
    if row.name != BUILT_IN:
        raise ConfigurationError(f"{row.folder} has a net called {row.name}; distill it with --name {BUILT_IN}")
    if row.weights_file != WEIGHTS:
        raise ConfigurationError(f"{row.folder} has its weights in {row.weights_file}, and the package in {WEIGHTS}")
    size = row.weights_path.stat().st_size
    if size > LARGEST:
        raise ConfigurationError(
            f"{row.weights_path} has {size} bytes, more than {LARGEST}; distill it with fewer --parameters"
        )
    if row.licence == NO_LICENCE:
        raise ConfigurationError(f"{row.folder} states no licence of its weights; distill it with --licence")
    if (place / FILENAME).is_file():
        lowest = read_folder(place).embedding_version
        if row.embedding_version < lowest:
            raise ConfigurationError(
                f"{row.folder} has embedding_version {row.embedding_version}, and the net that is there {lowest}: "
                f"distill it with --embedding-version {lowest + 1}"
            )


def without_folders(command: str) -> str:
    """A command whose absolute paths are their last parts."""
    words: list[Any] = [Path(word).name if Path(word).is_absolute() else word for word in shlex.split(command)]
    return shlex.join(words)


def with_section(card: str, section: str) -> str:
    """A card with a section before its licence and its audio."""
    ends = [card.index(heading) for heading in _BEHIND if heading in card]
    end = min(ends, default=len(card))
    return f"{card[:end].rstrip()}\n\n{section.strip()}\n{card[end:]}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--section", type=Path, metavar="FILE", help="a section for the card")
    parser.add_argument("--to", type=Path, default=PLACE, metavar="FOLDER", help="default: that of the package")
    arguments = parser.parse_args()
    section = None if arguments.section is None else arguments.section.read_text(encoding="utf-8")
    install(arguments.folder, arguments.to, section)
    print(arguments.to)


if __name__ == "__main__":
    try:
        main()
    except HearEdgeL3Error as error:
        sys.exit(f"error: {error}")
