"""How many small changes to the code the tests notice: a sample of all that mutmut can make in some rooms.

    pip install mutmut==3.8.1
    python -m tests.fuzz.mutants [ROOM ...] [--sample 300] [--seed 0] [--keep FOLDER] [--again | --figures]

mutmut makes the changed code, in a copy of what git has; the tests of a room are those below ``tests`` that are named
in the table here. First they are run once, to learn which functions each goes through. Then every mutant meets those
that go through its function (all of them, if none was seen to: they may start programs that do), the likeliest first,
until one fails, hangs or crashes, or until ``--limit`` seconds are over, after which it counts as survived.

Printed is, for every room, how many mutants were killed and what share of the sample that is, and which ones survived,
by file and line. Those that ``mutants_equivalent.toml`` says nobody can notice are counted apart.

With ``--keep`` the folder has everything, and the same command goes on where an earlier one stopped, with the same
sample and the same code only. Other tests may have come since: ``--again`` tries those anew that had survived.
``--figures`` prints what there is.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import mutants_kept, mutants_server
from .mutants_kept import Kept, Result

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Room:
    """Code that is changed, and the tests that should notice.

    Attributes:
        code: Patterns of files.
        tests: Files and folders below ``tests``.
    """

    code: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "framing": Room(("hear_edgel3/framing/*",), ("framing", "extractor")),
    "extractor": Room(("hear_edgel3/extractor/*",), ("extractor", "hear", "cli/test_embed*.py")),
    "tagging": Room(
        ("hear_edgel3/tagging/*",), ("tagging", "cli/test_tag*.py", "cli/test_predict.py", "jobs/test_tags.py")
    ),
    "jobs": Room(("hear_edgel3/jobs/*",), ("jobs",)),
    "search": Room(("hear_edgel3/search/*",), ("search", "cli/test_search*.py")),
    "converter": Room(
        (
            "weights_convert/*",
            "hear_edgel3/weights/*",
            "hear_edgel3/families/*/checkpoint.py",
            "hear_edgel3/families/formats/*",
        ),
        ("weights", "families"),
    ),
}


def shares(sample: int) -> dict[str, int]:
    """How many of a sample are in each room, whichever rooms are asked for."""
    return {name: sample // len(ROOMS) + (i < sample % len(ROOMS)) for i, name in enumerate(ROOMS)}


def tests_of(room: Room, root: Path) -> list[str]:
    """The files with a room's tests."""
    found = (path for pattern in room.tests for path in (root / "tests").glob(pattern))
    files = (file for path in found for file in (path.rglob("test_*.py") if path.is_dir() else (path,)))
    return sorted(str(file.relative_to(root)) for file in files)


def try_room(name: str, kept: Kept, limit_s: float, again: bool) -> None:
    """Tries those mutants of a room's sample that were not tried yet.

    Args:
        name: Of the room.
        kept: Where it is kept.
        limit_s: Seconds for one.
        again: Whether to try those that survived, too.
    """
    kept.make(ROOMS[name].code)
    chosen = sorted(random.Random(f"{kept.seed} {name}").sample(sorted(kept.mutants()), kept.size()))
    results = kept.results()
    survived = {result.mutant for result in results.values() if result.what == "survived"} if again else set()
    todo = [mutant for mutant in chosen if mutant not in results or mutant in survived]
    if not todo:
        return
    kept.refresh_tests()
    tests = kept.learned(tests_of(ROOMS[name], _ROOT))
    with kept.server(mutants_server.WARM) as ask:
        for mutant in todo:
            order = mutants_kept.in_order(mutant, tests, results.values())
            results[mutant] = attempt(mutant, order, limit_s, ask)
            kept.add(results[mutant])


def attempt(mutant: str, tests: dict[str, float], limit_s: float, ask: mutants_kept.Ask) -> Result:
    """Tries one, by asking the process that does."""
    return Result(mutant=mutant, **ask({"mutant": mutant, "tests": tests, "limit_s": limit_s}))


def report(name: str, kept: Kept) -> Counter[str]:
    """Prints a room's line and its survivors."""
    known = mutants_kept.equivalents()
    counts: Counter[str] = Counter()
    lines = []
    for result in kept.results().values():
        change = kept.change(result.mutant) if result.what == "survived" else None
        what = "equivalent" if change in known else result.what
        counts[what] += 1
        if change is not None and what == "survived":
            lines.append(f"    {result.mutant} after {result.tests} tests, {kept.place(result.mutant, _ROOT)}")
            lines += [f"        {line}" for line in change.text()]
    _line(name, counts)
    print("".join(f"{line}\n" for line in lines), end="", flush=True)
    return counts


def _line(name: str, counts: Counter[str]) -> None:
    n, killed, equivalent = sum(counts.values()), counts["killed"], counts["equivalent"]
    share = f"{killed / n:6.1%} of all, {killed / (n - equivalent):6.1%} of the others" if n > equivalent else ""
    print(f"{name:10s} {n:8d} {killed:7d} {counts['survived']:9d} {equivalent:11d}  {share}", flush=True)


def run(rooms: Iterable[str], folder: Path, options: argparse.Namespace) -> None:
    """Tries what is to be tried, and says what was found."""
    total: Counter[str] = Counter()
    print(f"{'room':10s} {'mutants':>8s} {'killed':>7s} {'survived':>9s} {'equivalent':>11s}  killed", flush=True)
    for name in rooms:
        kept = Kept(folder / name, _ROOT, options.seed, shares(options.sample)[name])
        if not options.figures:
            try_room(name, kept, options.limit, options.again)
        total += report(name, kept)
    _line("all", total)


def main() -> int:
    """Runs it, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mutants")
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all by default")
    parser.add_argument("--sample", type=int, default=300, help="how many, in all the rooms that there are together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=120, help="seconds for one mutant")
    parser.add_argument("--keep", type=Path, help="a folder for everything, new or of an earlier run to go on with")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--again", action="store_true", help="try those anew that survived")
    which.add_argument("--figures", action="store_true", help="print what is known, and try nothing")
    options = parser.parse_args()
    rooms = options.rooms or list(ROOMS)
    if set(rooms) - set(ROOMS):
        parser.error(f"the rooms are {', '.join(ROOMS)}")
    if options.sample < len(ROOMS):
        parser.error(f"--sample must be at least {len(ROOMS)}, one of each room")
    if (options.again or options.figures) and options.keep is None:
        parser.error("there is nothing to go on with without --keep")
    try:
        with tempfile.TemporaryDirectory() as place:
            run(rooms, options.keep or Path(place), options)
    except mutants_kept.CannotGoOn as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped" + (", the same command goes on" if options.keep else ""), file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
