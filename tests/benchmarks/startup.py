"""CPU seconds that a command takes to describe a configuration, or to say that it is used wrongly.

``python -m tests.benchmarks.startup`` prints a line per command: the median of several runs, all threads together.
``python -m tests.benchmarks.startup --first tiny mn04_as`` prints what the first call costs in a process, with torch,
with kernels that have to be compiled, and with such as are on disk.
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


# CPU seconds of the first call, the net being there, and of the second, which are taken from it.
FIRST = """
import sys, time
import torch
from tests.benchmarks.subjects import extractor_of, net_of
name, engine, kind = sys.argv[1:]
torch.set_num_threads(1)
extractor = extractor_of(name, net_of(name), engine)
window = extractor.configuration.checkpoint.window
x = torch.rand(1, window if kind == "window" else 10 * extractor.sample_rate) - 0.5
call = extractor.timestamp_embeddings if kind == "timestamps" else extractor.scene_embeddings
times = []
for _ in range(2):
    begin = time.process_time()
    call(x)
    times.append(time.process_time() - begin)
print(times[0] - times[1])
"""


def first_calls(names: list[str]) -> None:
    """Prints what first calls cost more than second ones."""
    print(f"{'':30} {'torch':>8} {'compiled':>9} {'on disk':>8}   CPU seconds of the first call that the second spares")
    for name in names:
        for kind in ("scene", "timestamps", "window"):
            with tempfile.TemporaryDirectory() as folder:
                seconds = []
                for engine in ("torch", "numba", "numba"):
                    done = subprocess.run(
                        [sys.executable, "-c", FIRST, name, engine, kind],
                        env=os.environ | {"HEAR_EDGEL3_KERNELS": folder},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        text=True,
                        check=True,
                    )
                    seconds.append(float(done.stdout))
            print(f"{name:18} {kind:11} {seconds[0]:8.2f} {seconds[1]:9.2f} {seconds[2]:8.2f}", flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--first", nargs="+", metavar="NAME", help="what the first call of nets costs, instead")
    arguments = parser.parse_args()
    if arguments.first:
        first_calls(arguments.first)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.wav").write_bytes(b"no audio")
        for command, status in COMMANDS:
            runs = [cpu_seconds(command, folder) for _ in range(arguments.repeats)]
            wrong = "" if all(code == status for _, code in runs) else f"  (ended with {runs[0][1]}, not {status})"
            print(f"{statistics.median(seconds for seconds, _ in runs):6.2f} s  hear-edgel3 {' '.join(command)}{wrong}")


if __name__ == "__main__":
    main()
