"""How many small changes to the code the tests notice, by mutmut: a sample of all that it can make in some rooms.

    pip install mutmut==3.8.1
    python -m tests.fuzz.mutants [ROOM ...] [--sample 300] [--seed 0] [--workers 2] [--keep FOLDER]

It works on a copy of what git has, in a temporary folder (or FOLDER, where the changed code can be looked at with
``mutmut show NAME``). The tests of a room are those below ``tests`` that are named in the table here; of them mutmut
runs those that go through the changed function. Printed is, for every room, how many mutants were killed and what
share of the sample that is, and which ones survived.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# mutmut's exit codes of a mutant: killed by a failing test (1, 3) or by running out of time; survived; not run by any.
_KILLED, _SURVIVED, _NO_TESTS = {1, 3, 24, 36, 152, 255, -24, -9}, {0}, {5, 33}


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
    "tagging": Room(("hear_edgel3/tagging/*",), ("tagging", "cli/test_tag*.py")),
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

_SETTINGS = """
[tool.mutmut]
source_paths = ["hear_edgel3", "weights_convert"]
only_mutate = {code}
pytest_add_cli_args = ["-p", "no:randomly", "-m", "not slow and not gpu"]
pytest_add_cli_args_test_selection = {tests}
also_copy = {copied}
"""


def _tests_of(room: Room, root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for pattern in room.tests for path in (root / "tests").glob(pattern))


def _mutmut(folder: Path, workers: int, names: list[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder / "mutants")}
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(workers), *names]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout[-3000:] + done.stderr[-3000:]


def _found(folder: Path) -> dict[str, int | None]:
    """The mutants, and the exit codes of those that were run."""
    metas = sorted((folder / "mutants").rglob("*.meta"))
    return {name: code for meta in metas for name, code in json.loads(meta.read_text())["exit_code_by_key"].items()}


def try_room(name: str, sample: int, seed: int, workers: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Tries some mutants of a room.

    Returns:
        How many were killed and so on, and the names of those that were not.
    """
    room = ROOMS[name]
    folder.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
    packed = subprocess.run(
        ["tar", "--null", "-T", "-", "-cf", "-"], input=listed, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-xf", "-"], input=packed, cwd=folder, check=True)
    copied = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    settings = _SETTINGS.format(
        code=json.dumps(room.code), tests=json.dumps(_tests_of(room, folder)), copied=json.dumps(copied)
    )
    with (folder / "pyproject.toml").open("a") as file:
        file.write(settings)
    said = _mutmut(folder, workers, ["none of them, so that they are only listed"])
    known = sorted(_found(folder))
    if not known:
        raise SystemExit(f"mutmut made nothing of {name}: {said}")
    chosen = sorted(random.Random(f"{seed} {name}").sample(known, min(sample, len(known))))
    said = _mutmut(folder, workers, chosen)
    counts: Counter[str] = Counter()
    alive = []
    codes = _found(folder)
    for mutant in chosen:
        code = codes[mutant]
        if code is None:
            raise SystemExit(f"mutmut did not run {mutant}: {said}")
        what = (
            "killed"
            if code in _KILLED
            else "no tests"
            if code in _NO_TESTS
            else "survived"
            if code in _SURVIVED
            else "odd"
        )
        counts[what] += 1
        if what != "killed":
            alive.append(f"{mutant} ({what}{f' {code}' if what == 'odd' else ''})")
    return counts, alive


def main() -> int:
    """Runs it, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mutants")
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all by default")
    parser.add_argument("--sample", type=int, default=300, help="how many, in all rooms together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder that does not exist yet, for the copies")
    options = parser.parse_args()
    rooms = options.rooms or list(ROOMS)
    if set(rooms) - set(ROOMS):
        parser.error(f"the rooms are {', '.join(ROOMS)}")
    if options.sample < len(rooms):
        parser.error(f"--sample must be at least {len(rooms)}, one of each room")  # mutmut takes none for all
    total: Counter[str] = Counter()
    print(f"{'room':10s} {'mutants':>8s} {'killed':>7s} {'survived':>9s} {'no tests':>9s}")
    with tempfile.TemporaryDirectory() as place:
        for i, name in enumerate(rooms):
            share = options.sample // len(rooms) + (i < options.sample % len(rooms))
            counts, alive = try_room(name, share, options.seed, options.workers, (options.keep or Path(place)) / name)
            total += counts
            n, killed, survived, untested = (
                sum(counts.values()),
                counts["killed"],
                counts["survived"],
                counts["no tests"],
            )
            print(f"{name:10s} {n:8d} {killed:7d} {survived:9d} {untested:9d}  {killed / n:.1%} killed")
            print("".join(f"    {mutant}\n" for mutant in alive), end="", flush=True)
    n = sum(total.values())
    killed, survived, untested = total["killed"], total["survived"], total["no tests"]
    print(f"{'all':10s} {n:8d} {killed:7d} {survived:9d} {untested:9d}  {killed / n:.1%} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
