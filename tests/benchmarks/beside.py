"""Whether nets have become slower: audio to embeddings, beside another checkout of this package.

Run in the folder of the clone, with the other checkout's folder:

    python -m tests.benchmarks.beside ../other [sparse_95 sea_64 ...] [--rounds 21] [--engine numba]
                                      [--path windows] [--batch 10] [--seconds 10] [--sample-rate 48000]

Both embed the same audio with the same seeded weights (nets that were made here have their own), each in a process of
its own with one thread, taking turns. --path says what: "windows", a batch of them; a "scene" or "timestamps", a clip
of some --seconds at a --sample-rate (by default the net's own); or a "stream", fed with such a clip in blocks of 50 ms.
A line per net gives the CPU milliseconds of the median and of the fastest turn of each, for a window or a clip, and
both ratios (below 1: this one is faster). Each compiles its kernels into a folder that is deleted in the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.paths import REPOSITORY
from support.write_weights import write_mobilenetv3, write_weights

PATHS = ("windows", "scene", "timestamps", "stream")
NAMES = ("sparse_95", "sea_64", "sea_512", "mn04_as", "tiny")
# One turn takes about so long.
_TURN_S = 0.3

# What both run: it knows of a checkout nothing but `load` and what embeds. A line with a number is answered by the CPU
# seconds that so many calls took, each.
_CHILD = """
import sys, time
import torch
torch.set_num_threads(1)
import hear_edgel3
name, weights, engine, path, batch, seconds, rate = sys.argv[1:]
rate = int(rate) or hear_edgel3.load(name, weights or None).net_sample_rate
model = hear_edgel3.load(name, weights or None, engine=engine, sample_rate=rate)
n, samples = (int(batch), model.window) if path == "windows" else (1, round(float(seconds) * rate))
audio = 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(0))
blocks = audio[0].split(rate // 20)
embed = {
    "windows": lambda: model.embed_windows(audio),
    "scene": lambda: model.scene_embeddings(audio),
    "timestamps": lambda: model.timestamp_embeddings(audio)[0],
    "stream": lambda: sum(torch.as_tensor(e).double().sum() for _, e in model.stream(iter(blocks), sample_rate=rate)),
}[path]
print(float(embed().double().sum()), flush=True)
for line in sys.stdin:
    start = time.process_time()
    for _ in range(int(line)):
        embed()
    print((time.process_time() - start) / int(line), flush=True)
"""


class _Net:
    """A process that embeds windows with a checkout.

    Args:
        checkout: the folder.
        kernels: where it keeps what it compiles.
        arguments: of the child.
    """

    def __init__(self, checkout: Path, kernels: Path, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(checkout),
                "HEAR_EDGEL3_KERNELS": str(kernels),
                "HEAR_EDGEL3_CACHE": str(kernels),
            },
            cwd=kernels,  # not a checkout: Python would import from there first
        )
        assert self._process.stdout is not None
        self.total = float(self._process.stdout.readline() or "nan")

    def seconds(self, count: int) -> float:
        """CPU seconds of a call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="folder of another checkout")
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(NAMES))
    parser.add_argument("--path", choices=PATHS, default=PATHS[0])
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sample-rate", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--engine", default="numba")
    arguments = parser.parse_args()
    each = arguments.batch if arguments.path == "windows" else 1
    checkouts = (REPOSITORY, arguments.other.resolve())
    print(f"{'':12} {'here, ms':>9} {'other':>8} {'ratio':>7} {'fastest':>9} {'other':>8} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        weights, kernels = Path(folder, "weights"), (Path(folder, "here"), Path(folder, "other"))
        for place in (weights, *kernels):
            place.mkdir()
        write_weights(weights)
        write_mobilenetv3(weights)
        for name in arguments.names:
            seeded = str(weights) if (weights / f"{name}.safetensors").exists() else ""
            how = [name, seeded, arguments.engine, arguments.path]
            how += map(str, (arguments.batch, arguments.seconds, arguments.sample_rate))
            nets = [_Net(*one, how) for one in zip(checkouts, kernels, strict=True)]
            here, other = (net.total for net in nets)
            if not abs(here - other) <= 1e-4 * abs(other):
                raise SystemExit(f"{name}: the sums of their embeddings are {here} and {other}")
            count = max(1, round(_TURN_S / max(nets[0].seconds(1), 1e-5)))
            took: list[list[float]] = [[], []]
            for number in range(arguments.rounds):
                for i in (0, 1) if number % 2 else (1, 0):
                    took[i].append(1000 * nets[i].seconds(count) / each)
            (mine, its), (best, its_best) = map(statistics.median, took), map(min, took)
            ratio = statistics.median(a / b for a, b in zip(*took, strict=True))
            print(
                f"{name:12} {mine:9.3f} {its:8.3f} {ratio:7.3f} {best:9.3f} {its_best:8.3f} {best / its_best:7.3f}",
                flush=True,
            )
            for net in nets:
                net.close()


if __name__ == "__main__":
    main()
