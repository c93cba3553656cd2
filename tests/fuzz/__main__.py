"""The command, see the package."""

from __future__ import annotations

import argparse
import sys

from .kinds import KINDS
from .watch import run


def main() -> int:
    """Runs it, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files, made at random.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all by default")
    parser.add_argument("--count", type=int, default=1000, help="how many of each")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=20, help="seconds that one may take")
    parser.add_argument("--memory", type=float, default=2000, help="MB that a process may have")
    options = parser.parse_args()
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    print(f"{'kind':10s} {'mutants':>9s} {'read':>9s} {'refused':>9s} {'faults':>7s} {'MB':>6s} {'seconds':>8s}")
    bad = False
    for name in options.kinds or KINDS:
        numbers = range(options.first, options.first + options.count)
        found = run(KINDS[name], numbers, options.seed, options.workers, options.limit, progress=True)
        read, refused = found.counts.get("read", 0), found.counts.get("refused", 0)
        print(
            f"{name:10s} {len(numbers):9d} {read:9d} {refused:9d} {found.n_faults:7d} {found.memory_mb:6.0f} "
            f"{found.seconds:8.0f}",
            flush=True,
        )
        for number, what in found.faults:
            print(f"--- {name} {number}: {what.rstrip()}", flush=True)
        bad = bad or found.n_faults > 0 or found.memory_mb > options.memory
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
