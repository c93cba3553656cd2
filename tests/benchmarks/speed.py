"""CPU time of the L3 family, whole path from windows to embeddings, against a straightforward eager port.

    python -m tests.benchmarks.speed [--threads 1] [--windows 16] [--repeats 5] [NAME ...]

Repeats are interleaved, so that what else the machine does falls on both; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from hear_edgel3.extractor import Extractor
from hear_edgel3.registry import resolve
from support import synthetic
from tests.benchmarks.straightforward import StraightforwardL3


def interleaved(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds of each function."""
    cpu: dict[str, list[float]] = {name: [] for name in functions}
    wall: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            function()
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - wall_start)
    return {name: (statistics.median(cpu[name]), statistics.median(wall[name])) for name in functions}


def measure(name: str, n_windows: int, repeats: int) -> None:
    """Prints a table for one checkpoint."""
    row = synthetic.row(name)
    plain = StraightforwardL3(name).eval()
    configuration = resolve(name)
    extractor = Extractor(configuration, row.frontend.build(), row.net.build()).eval()
    extractor.net.load_state_dict(synthetic.state(name), strict=False)
    windows = torch.randn(n_windows, row.window, generator=torch.Generator().manual_seed(0)) * 0.1

    @torch.no_grad()
    def ours() -> torch.Tensor:
        return torch.cat([extractor._embed(group) for group in torch.split(windows, extractor._group(row.window))])

    @torch.no_grad()
    def eager() -> torch.Tensor:
        return plain(windows)

    @torch.no_grad()
    def one_by_one() -> torch.Tensor:
        return torch.cat([plain(windows[i : i + 1]) for i in range(n_windows)])

    difference = float((ours() - eager()).abs().max() / eager().abs().max())
    results = interleaved(
        {f"eager, batch of {n_windows}": eager, "hear_edgel3": ours, "eager, one at a time": one_by_one}, repeats
    )
    baseline = next(iter(results.values()))
    print(f"\n{name}: {n_windows} windows, {torch.get_num_threads()} thread(s), relative difference {difference:.1e}")
    print(f"{'':<24}{'CPU ms/window':>14}{'wall ms/window':>16}{'CPU ratio':>11}{'wall ratio':>12}")
    for label, (cpu, wall) in results.items():
        print(
            f"{label:<24}{1e3 * cpu / n_windows:>14.2f}{1e3 * wall / n_windows:>16.2f}{cpu / baseline[0]:>11.2f}"
            f"{wall / baseline[1]:>12.2f}"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(synthetic.NAMES), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, medians of {arguments.repeats} interleaved repeats")
    for name in arguments.names:
        measure(name, arguments.windows, arguments.repeats)


if __name__ == "__main__":
    main()
