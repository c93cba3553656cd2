"""CPU seconds that a command takes to describe a configuration, or to say that it is used wrongly.

``python -m tests.benchmarks.startup`` prints a line per command: the median of several runs, all threads together.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Each in an empty folder, but for a file that is there; the exit status that is right for it.
COMMANDS: list[tuple[list[str], int]] = [
    (["--help"], 0),
    (["list"], 0),
    (["info", "sea_64"], 0),
    (["info", "sea64"], 2),
    (["bogus"], 2),
    (["embed", "a.wav", "--config", "sea64"], 2),
    (["embed", "nowhere.wav"], 1),
    (["embed", "a.wav", "--engine", "steam"], 2),
    (["embed", "a.wav", "--hop", "0"], 2),
    (["embed", "a.wav", "--weights", "nowhere.safetensors"], 1),
    (["tag", "nowhere.wav"], 1),
    (["tag", "a.wav", "--config", "sea_64"], 2),
    (["tag", "a.wav", "--output", "tags.txt"], 2),
    (["extract", "nowhere", "--output", "out"], 1),
    (["extract", "a.wav", "--output", "out", "--engine", "steam"], 2),
    (["listen", "--config", "sea64"], 2),
    (["search", "nowhere", "a.wav"], 1),
    (["duplicates", "."], 1),
    (["index", "nowhere"], 1),
    (["explore", "nowhere"], 1),
    (["distill", "--teacher", "sea64", "--audio", ".", "--output", "out"], 2),
    (["weights", "fetch", "sea64"], 2),
    (["weights", "list"], 0),
]


def cpu_seconds(command: list[str], folder: Path) -> tuple[float, int]:
    """What one run costs, user and system time together, and how it ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "hear_edgel3", *command],
        cwd=folder,
        env=os.environ | {"HEAR_EDGEL3_CACHE": str(folder / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.returncode


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each command (default 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.wav").write_bytes(b"no audio")
        for command, status in COMMANDS:
            runs = [cpu_seconds(command, folder) for _ in range(arguments.repeats)]
            wrong = "" if all(code == status for _, code in runs) else f"  (ended with {runs[0][1]}, not {status})"
            print(f"{statistics.median(seconds for seconds, _ in runs):6.2f} s  hear-edgel3 {' '.join(command)}{wrong}")


if __name__ == "__main__":
    main()
