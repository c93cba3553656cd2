"""How fast sound files are decoded, beside another checkout of this package.

Run in the folder of the clone, with the other checkout's folder:

    python -m tests.benchmarks.decoding ../other

Both decode the same files block by block, each in a process of its own, taking turns; a line per kind of file gives the
seconds of the fastest run of each, and their ratio (below 1: this one is faster). Without another checkout it compares
this one with soundfile, which reads the whole file as float64 and does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

KINDS = {
    "wav": ("WAV", "PCM_16"),
    "wav, float": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}

# What both run: it knows of a checkout nothing but AudioFile. A line with a path is answered by the seconds it took.
_CHILD = """
import sys, time
import torch
torch.set_num_threads(1)
if sys.argv[1] == "soundfile":
    import soundfile
    def read(path):
        return len(soundfile.read(path, dtype="float64", always_2d=True)[0])
else:
    from hear_edgel3.audio.file import AudioFile
    def read(path):
        with AudioFile(path) as file:
            return sum(map(len, file.blocks()))
for line in sys.stdin:
    count, path = line.rstrip("\\n").split(" ", 1)
    start = time.perf_counter()
    for _ in range(int(count)):
        n = read(path)
    print(n, (time.perf_counter() - start) / int(count), flush=True)
"""


class _Reader:
    """A process that decodes files with a checkout.

    Args:
        checkout: the folder, or None for soundfile alone.
    """

    def __init__(self, checkout: Path | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout)
        which = "soundfile" if checkout is None else "audiofile"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, which],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tempfile.gettempdir(),  # not a checkout: Python would import from there first
        )

    def read(self, path: Path, count: int) -> tuple[int, float]:
        """How many samples there are, and how many seconds one reading took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count} {path}\n")
        self._process.stdin.flush()
        n, seconds = self._process.stdout.readline().split()
        return int(n), float(seconds)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def write(folder: Path, kind: str, seconds: float, channels: int) -> Path:
    """Makes a file of filtered noise, 44100 Hz (Opus 48000)."""
    form, subtype = KINDS[kind]
    rate = 48000 if subtype == "OPUS" else 44100
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((int(seconds * rate) + 8, channels))
    sound = 0.1 * sum(noise[i : i + int(seconds * rate)] for i in range(8)) / np.sqrt(8)
    path = folder / f"{subtype}-{seconds:g}-{channels}.{form.lower()}"
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=form) as file:
        for i in range(0, len(sound), rate):  # some encoders take no long blocks
            file.write(sound[i : i + rate])
    return path


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path, help="folder of another checkout (default: soundfile alone)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 60.0], help="lengths of files")
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    here = Path(__file__).parents[2]
    other = None if arguments.other is None else arguments.other.resolve()
    readers = [_Reader(here), _Reader(other)]
    print(f"{'':12} {'length':>8} {'here, ms':>10} {'other, ms':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for seconds in arguments.seconds:
            for kind in KINDS:
                path = write(Path(folder), kind, seconds, arguments.channels)
                count = max(1, round(10 / seconds))
                times: list[list[float]] = [[], []]
                lengths = set()
                for number in range(arguments.rounds + 1):
                    for i in (0, 1) if number % 2 else (1, 0):
                        n, took = readers[i].read(path, count)
                        lengths.add(n)
                        if number:  # the first time imports
                            times[i].append(took)
                if len(lengths) != 1:
                    raise SystemExit(f"{kind}: they read {sorted(lengths)} samples")
                mine, its = 1000 * min(times[0]), 1000 * min(times[1])
                print(f"{kind:12} {seconds:6g} s {mine:10.3f} {its:10.3f} {mine / its:7.3f}", flush=True)
    for reader in readers:
        reader.close()


if __name__ == "__main__":
    main()
