"""CPU time of the compiled resampler as a share of that without numba, and whether both have the same bits.

``python -m tests.benchmarks.resample`` prints a line per pair of rates: medians of runs in turn, with one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest.mock import patch

import torch

from hear_edgel3.audio.filter_bank import FilterBank
from hear_edgel3.audio.resample import resample

PAIRS = [
    *[(rate, 32000) for rate in (16000, 22050, 44100, 48000, 96000)],
    *[(rate, 48000) for rate in (16000, 32000, 44100, 96000)],
    *[(rate, 8000) for rate in (16000, 22050, 44100, 48000)],
]


def timed(x: torch.Tensor, rates: tuple[int, int], compiled: bool) -> tuple[float, torch.Tensor]:
    """Milliseconds of CPU, and the samples."""
    with patch.object(FilterBank, "_compiled", FilterBank._compiled if compiled else lambda *_: None):
        begin = time.process_time()
        found = resample(x, *rates)
        return 1e3 * (time.process_time() - begin), found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.resample", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="length of the sound (default 10)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each (default 9)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for rates in PAIRS:
        x = torch.randn(1, int(arguments.seconds * rates[0]), generator=torch.Generator().manual_seed(0)) * 0.1
        pairs = [
            (timed(x, rates, compiled=True), timed(x, rates, compiled=False)) for _ in range(arguments.repeats + 1)
        ]
        (_, ours), (_, plain) = pairs[0]
        differing = int((ours != plain).sum())
        mine, other = (statistics.median(pair[i][0] for pair in pairs[1:]) for i in (0, 1))
        share = statistics.median(pair[0][0] / pair[1][0] for pair in pairs[1:])
        said = f"{mine:6.1f} ms, {share:.2f} of {other:6.1f} ms; {differing} samples differ"
        print(f"{rates[0]:6} -> {rates[1]:5} Hz: {said}", flush=True)


if __name__ == "__main__":
    main()
