"""What ``tag`` says once where the built-in net is unsure: which nets give better tags, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from hear_edgel3.cli.say import say
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.registry.names import BUILT_IN, by_name
from hear_edgel3.tagging.records import Record
from hear_edgel3.weights.locate import is_here

# Below this probability of its first class the built-in net's answer often is another than its teacher's, and above it
# seldom: `python -m tests.benchmarks.real_sounds --unsure` prints how often, and docs/tagging.md shows it.
UNSURE_BELOW = 0.3
BETTER = ("mn04_as", "mn10_as")


class Doubts:
    """Counts the files that the built-in net is unsure of; the other nets are not spoken of.

    Args:
        rows: The nets that tag.
        own_weights: Whether their weights are others than their own.
    """

    def __init__(self, rows: Sequence[Checkpoint], own_weights: bool) -> None:
        self._heeds = list(rows) == [by_name(BUILT_IN).checkpoint] and not own_weights
        self._seen = 0
        self._unsure = 0

    def see(self, record: Record) -> None:
        """Looks at what was heard in a file."""
        self._seen += 1
        self._unsure += self._heeds and is_unsure(record)

    def tell(self, quiet: bool) -> None:
        """Says it to stderr, if there is something to say."""
        if quiet or not self._heeds or not self._unsure:
            return
        what = "this file" if self._seen == 1 else f"{self._unsure} of {self._seen} files"
        say(
            f"hear-edgel3: {BUILT_IN} is unsure of {what}: no class has a probability of {UNSURE_BELOW:g}, and then it "
            f"is often wrong. Better tags:\n" + "\n".join(map(_offer, BETTER))
        )


def is_unsure(record: Record) -> bool:
    """Whether no class is probable in a file: in half of its windows or more, where it has several."""
    tops = [
        max(window["values"]) if "values" in window else window["tags"][0]["probability"]
        for window in record["windows"]
    ]
    return bool(tops) and 2 * sum(top < UNSURE_BELOW for top in tops) >= len(tops)


def _offer(name: str) -> str:
    """How a net is taken, and what it costs: a line."""
    row = by_name(name).checkpoint
    if is_here(row):
        return f"  --config {name}: its weights are on this machine"
    megabytes = 4 * row.n_parameters / 1e6
    return f"  --config {name}: {megabytes:.0f} MB to download, once (hear-edgel3 weights fetch {name})"
