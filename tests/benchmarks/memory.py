"""Peak memory and compute of ``hear-edgel3 embed`` on a long stereo file, in a process of its own.

    python -m tests.benchmarks.memory [--minutes 60] [--config sea_64] [--hop-size 0.1] [--weights FILE]

Without --weights the net's weights are seeded: neither time nor memory depends on their values.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from safetensors.torch import save_file

from support import synthetic


def write_noise(path: Path, minutes: float, sample_rate: int) -> None:
    """A 16-bit stereo WAV of noise, written second by second."""
    rs = np.random.RandomState(0)
    with soundfile.SoundFile(path, "w", sample_rate, 2, "PCM_16") as file:
        for _ in range(round(60 * minutes)):
            file.write(rs.randn(sample_rate, 2) * 0.1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 60])
    parser.add_argument("--config", default="sea_64", choices=synthetic.NAMES)
    parser.add_argument("--hop-size", type=float, default=0.1)
    parser.add_argument("--sample-rate", type=int, default=48000)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = arguments.weights
        if weights is None:
            weights = Path(folder) / f"{arguments.config}.safetensors"
            save_file(synthetic.state(arguments.config), weights)
        for minutes in arguments.minutes:
            audio = Path(folder) / "noise.wav"
            write_noise(audio, minutes, arguments.sample_rate)
            command = [sys.executable, "-m", "hear_edgel3.cli", "embed", str(audio), "--config", arguments.config]
            command += ["--weights", str(weights), "--hop-size", str(arguments.hop_size), "--overwrite", "--quiet"]
            start = time.perf_counter()
            # wait4 gives the usage of this very child
            _, status, usage = os.wait4(os.posix_spawn(sys.executable, command, os.environ), 0)
            wall = time.perf_counter() - start
            if status != 0:
                sys.exit(f"embed failed with status {status}")
            cpu = usage.ru_utime + usage.ru_stime
            peak = usage.ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
            print(
                f"{arguments.config}, {minutes:g} min of {arguments.sample_rate} Hz stereo, hop {arguments.hop_size:g} "
                f"s: peak {peak:.2f} GiB; {wall:.1f} s wall, {cpu:.1f} s CPU; "
                f"{cpu / (60 * minutes):.4f} s of compute per second of audio"
            )


if __name__ == "__main__":
    main()
