"""The whole path on a GPU (resampling, front end, net), against a straightforward port there and our path on the CPU.

    python -m tests.benchmarks.gpu [NAME ...] [--device cuda] [--seconds 60] [--repeats 5]

Prints seconds of audio per second, ratios to the port, peak memory of the device, and how far half precision is from
float32. Weights are seeded.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch

from hear_edgel3.audio.resample import resample
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve
from tests.benchmarks.straightforward import StraightforwardL3
from tests.benchmarks.subjects import extractor_of, net_of

_PORT_BATCH = 32


def port_of(name: str, extractor: Extractor, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """What one would write first: windows of the resampled clip, in batches, through an eager net."""
    net = extractor.net
    if isinstance(net, L3Net):
        model: torch.nn.Module = StraightforwardL3("sparse_95" if name.startswith("sparse") else name)
        model.net = net
    else:
        model = torch.nn.Sequential(extractor.frontend, net)
    model = copy.deepcopy(model).to(device).eval()
    hop = round(extractor.hop_ms * extractor.net_sample_rate / 1000)

    @torch.no_grad()
    def run(audio: torch.Tensor) -> torch.Tensor:
        samples = resample(audio, extractor.sample_rate, extractor.net_sample_rate).float()
        padded = torch.nn.functional.pad(samples, (extractor.window // 2, extractor.window // 2))
        windows = padded[0].unfold(0, extractor.window, hop)
        return torch.cat([model(some) for some in torch.split(windows, _PORT_BATCH)])

    return run


def measure(name: str, device: str, seconds: float, repeats: int) -> None:
    """Prints a table for one configuration."""
    extractor = extractor_of(name, net_of(name))
    audio = 0.1 * torch.randn(1, round(seconds * extractor.sample_rate), generator=torch.Generator().manual_seed(0))
    there = audio.to(device)

    def ours(where: str, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
        model = copy.deepcopy(extractor).to(where)
        model.net.to(dtype)
        samples = audio if where == "cpu" else there
        return lambda: model.timestamp_embeddings(samples)[0]

    port = port_of(name, extractor, device)
    functions: dict[str, Callable[[], torch.Tensor]] = {
        f"straightforward port, {device}": lambda: port(there),
        f"ours, {device}, float32": ours(device, torch.float32),
        f"ours, {device}, float16": ours(device, torch.float16),
        f"ours, {device}, bfloat16": ours(device, torch.bfloat16),
        "ours, CPU": ours("cpu", torch.float32),
    }
    expected = functions["ours, CPU"]()
    taken: dict[str, list[float]] = {key: [] for key in functions}
    peaks: dict[str, float] = {}
    errors: dict[str, float] = {}
    for round_ in range(repeats + 1):
        for key, function in functions.items():
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            begun = time.perf_counter()
            found = function()
            if device == "cuda":
                torch.cuda.synchronize()
                peaks[key] = torch.cuda.max_memory_allocated() / (1 << 20)
            if round_ > 0:
                taken[key].append(time.perf_counter() - begun)
            if found.shape == expected.shape:  # the port's windows lie elsewhere
                errors[key] = float((found.cpu() - expected).abs().max() / expected.abs().max())
    print(f"\n{name}, {seconds:g} s at {extractor.sample_rate} Hz, hop {extractor.hop_ms:g} ms")
    print(f"{'':<34}{'s of audio per s':>18}{'x port':>9}{'MiB':>8}{'difference':>12}")
    medians = {key: statistics.median(times) for key, times in taken.items()}
    for key, median in medians.items():
        ratio = next(iter(medians.values())) / median
        error = f"{errors[key]:.1e}" if key in errors else ""
        print(f"{key:<34}{seconds / median:>18.1f}{ratio:>9.2f}{peaks.get(key, float('nan')):>8.0f}{error:>12}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["sparse_95", "sea_64", "mn10_as"], metavar="NAME")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu tries the program out")
    for name in arguments.names:
        resolve(name)
        measure(name, arguments.device, arguments.seconds, arguments.repeats)


if __name__ == "__main__":
    main()
