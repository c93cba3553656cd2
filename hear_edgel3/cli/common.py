"""What several subcommands share: reading numbers, and keeping count of inputs that failed."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable

from hear_edgel3.errors import HearEdgeL3Error


def positive(text: str) -> float:
    """A positive number of seconds, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text}")
    return value


class Failures:
    """Inputs that failed: each is reported on stderr at once, and again at the end.

    Args:
        failed: inputs that have failed already, with their errors.
    """

    def __init__(self, failed: Iterable[tuple[str, HearEdgeL3Error]] = ()) -> None:
        self._failed: list[tuple[str, HearEdgeL3Error]] = []
        for name, error in failed:
            self.add(name, error)

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, name: str, error: HearEdgeL3Error) -> None:
        """Keeps a failure and prints one line, without tearing a progress bar."""
        from tqdm import tqdm

        self._failed.append((name, error))
        tqdm.write(f"error: {_with_name(name, str(error))}", file=sys.stderr)

    def summarise(self, total: int) -> None:
        """Lists the failures once more, unless there was but one input.

        Args:
            total: how many inputs there were.
        """
        if self._failed and total > 1:
            print("failures:", file=sys.stderr)
            for name, error in self._failed:
                print(f"  {_with_name(name, str(error).splitlines()[0])}", file=sys.stderr)


def _with_name(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"
