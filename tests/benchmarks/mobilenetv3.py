"""MobileNetV3 against the loop that its authors' HEAR package runs: time of embeddings, and peak memory.

    python -m tests.benchmarks.mobilenetv3 [--threads 1] [--seconds 10] [--repeats 5] [--minutes 10] [NAME ...]

Times are interleaved, so that what else the machine does falls on all; medians of CPU time are printed. The loop takes
the windows one by one through this package's front end and the net just as it is written (the authors' own front end is
slower: it builds its mel bank anew for every window). Weights are seeded: their values do not matter here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from pathlib import Path

import torch

from tests.benchmarks.speed import interleaved
from tests.benchmarks.subjects import extractor_of, net_of

_CHUNK = 64


def measure_time(name: str, seconds: float, repeats: int) -> None:
    """Prints a table for one configuration."""
    model = extractor_of(name, net_of(name))
    clip = torch.randn(1, round(32000 * seconds), generator=torch.Generator().manual_seed(0)) * 0.1
    hop = round(model.hop_ms * 32)

    def windows() -> torch.Tensor:
        half = model.window // 2
        return torch.nn.functional.pad(clip, (half, half), mode="reflect")[0].unfold(0, model.window, hop)

    @torch.no_grad()
    def loop() -> torch.Tensor:
        return torch.cat([model(window[None]) for window in windows()])

    @torch.no_grad()
    def chunks() -> torch.Tensor:
        return torch.cat([model(group) for group in torch.split(windows(), _CHUNK)])

    @torch.no_grad()
    def forward() -> torch.Tensor:
        return model(clip)

    def timestamps() -> torch.Tensor:
        return model.timestamp_embeddings(clip)[0][0]

    def scene() -> torch.Tensor:
        return model.scene_embeddings(clip)

    print(f"\n{name}, {seconds:g} s of audio, {torch.get_num_threads()} thread(s)")
    difference = float((timestamps() - loop()).abs().max() / loop().abs().max())
    table(
        f"timestamps every {model.hop_ms:g} ms (relative difference {difference:.1e})",
        {"window by window": loop, f"eager, chunks of {_CHUNK}": chunks, "hear_edgel3": timestamps},
        repeats,
        seconds,
    )
    if seconds <= 10:
        difference = float((scene() - forward()).abs().max() / forward().abs().max())
        table(
            f"scene (relative difference {difference:.1e})",
            {"plain forward": forward, "hear_edgel3": scene},
            repeats,
            seconds,
        )


def table(title: str, functions: dict, repeats: int, seconds: float) -> None:
    """Prints the medians."""
    results = interleaved(functions, repeats)
    baseline = next(iter(results.values()))[0]
    print(f"  {title}")
    for label, (cpu, _) in results.items():
        print(f"    {label:<24}{1e3 * cpu / seconds:8.2f} ms per second of audio, {baseline / cpu:5.1f} times as fast")


def peak_mib(name: str, minutes: float, sample_rate: int) -> tuple[float, float, float]:
    """MiB above the loaded model while timestamps of a clip are computed: of the clip, the result, and at the peak."""
    torch.set_num_threads(1)
    model = extractor_of(name, net_of(name), sample_rate=sample_rate)
    model.timestamp_embeddings(torch.zeros(1, sample_rate))  # folds the net, builds the constants
    before = resident("VmRSS")
    clip = torch.zeros(1, round(60 * minutes * sample_rate)).uniform_(-0.1, 0.1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    embeddings, _ = model.timestamp_embeddings(clip)
    mib = 1 << 20
    return clip.nbytes / mib, embeddings.nbytes / mib, resident("VmHWM") - before


def resident(what: str) -> float:
    """MiB of memory of this process: now (VmRSS), or at its peak (VmHWM). Linux only."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["mn04_as", "mn10_as"], metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10, help="clip for the peak memory; 0 for none")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, medians of {arguments.repeats} interleaved repeats")
    for name in arguments.names:
        measure_time(name, arguments.seconds, arguments.repeats)
    if not arguments.minutes or not sys.platform.startswith("linux"):
        return
    print("\npeak memory above the loaded model, timestamps")
    for name in arguments.names:
        for sample_rate in (32000, 48000):
            # in a process of its own, which has done nothing else
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                clip, result, peak = pool.apply(peak_mib, (name, arguments.minutes, sample_rate))
            print(
                f"  {name}, {arguments.minutes:g} min at {sample_rate} Hz: {peak:.0f} MiB, of which the clip "
                f"{clip:.0f} and its embeddings {result:.0f}"
            )


if __name__ == "__main__":
    main()
