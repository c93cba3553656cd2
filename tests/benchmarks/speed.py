"""Speed, whole path from windows to embeddings: ours, a straightforward port, and other engines, in one run.

    python -m tests.benchmarks.speed [NAME ...] [--batch 10 1] [--threads 1] [--masks uniform early] [--repeats 5]
                                      [--together] [--memory] [--paths scene net timestamps window] [--seconds 10]
                                      [--calls 1]

NAME is a configuration: sparse_*, sea_* (windows of one second) or mn* (clips of ten), or the folder of a net that was
made here. Weights are seeded, zeros at random places (--masks: equally many in every layer, or fewer in early ones);
nets that were made here, as `tiny`, have their own. Engines that are not installed are left
out: pip install '.[fast,onnxruntime,openvino]' ncnn pnnx. All engines but the straightforward port and ncnn get their
spectrograms from this package's front end; ncnn's too.

--paths says what is timed of mn* and folders: "scene", an embedding of a clip of some --seconds; "net", the same from
its spectrogram; "timestamps", embeddings every 50 ms of it; "window", one window of 160 ms, or as many as a batch has,
each alone.

Repeats are interleaved, so that what else the machine does falls on all (--together: also those of different nets,
which then can be compared as well as engines can); medians of CPU time are printed, and of wall time. Who takes a turn
finds caches full of what the others left there; with --calls N it is called N times, and the last call counts: as in a
stream or a job, where nothing else runs in between. "floor" is the time that the multiplications with the weights that
are not zero would take at the measured peak of the cores, and nothing else (of timestamps, those of all windows).
--memory runs each once more in a process of its own, after a warm-up, and prints the process's peak (Linux only), of
which torch is 0.2 GiB.

What does not compute the straightforward port's embeddings is not timed: its line says how far off it is, and the
command's exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.families.mobilenetv3.layout import N_BLOCKS, count_macs, last_block_needed
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.registry.names import resolve
from tests.benchmarks import by_ncnn
from tests.benchmarks.straightforward import StraightforwardL3
from tests.benchmarks.subjects import MASKS, engines_for, extractor_of, net_of

_DEFAULT = ("sparse_53", "sparse_72", "sparse_87", "sparse_95", "sea_64", "sea_512", "mn04_as", "mn10_as")
_CLIP_SECONDS = 10.0
PATHS = ("scene", "net", "timestamps", "window")
# How far from the port's an engine's embeddings may be, as a fraction of the largest value. All of them compute in
# float32, each adds up in an order of its own, and Winograd's transforms (numba, ncnn) enlarge the roundings: the nets
# above come to 4.3e-6 at most. What is wrong is further away: float16 alone rounds by 4.9e-4.
_TOLERANCE = 2e-5
# Of whole paths of the MobileNetV3 family, whose front ends compute in float32: with seeded weights and noise torch's
# and the kernels' are off by 1.0e-5 each.
_LOG_MEL_TOLERANCE = 4e-5


def interleaved(
    functions: dict[str, Callable[[], object]], repeats: int, calls: int = 1
) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds of each function; of so many calls in a turn, the last one's."""
    cpu: dict[str, list[float]] = {name: [] for name in functions}
    wall: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            for _ in range(calls - 1):
                function()
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            function()
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - wall_start)
    return {name: (statistics.median(cpu[name]), statistics.median(wall[name])) for name in functions}


def nonzero_macs(net: L3Net, rows: int, columns: int) -> int:
    """Multiplications with weights that are not zero for an image."""
    macs = 0
    for i, conv in enumerate(net.convs):
        macs += int(conv.weight.count_nonzero()) * rows * columns
        if i in (1, 3, 5):
            rows, columns = rows // 2, columns // 2
    return macs


def samples_of(name: str, net: torch.nn.Module, path: str, seconds: float) -> int:
    """How many samples a window (or clip) has."""
    row = resolve(name).checkpoint
    return row.window if isinstance(net, L3Net) or path == "window" else round(seconds * row.net_sample_rate)


def net_macs(name: str, net: torch.nn.Module, path: str, seconds: float) -> int | None:
    """Multiplications of a MobileNetV3 for a clip; None for nets of other kinds."""
    if not isinstance(net, MobileNetV3):
        return None
    row, frontend = resolve(name).checkpoint, resolve(name).checkpoint.frontend.build()
    samples = row.window if path in ("window", "timestamps") else samples_of(name, net, path, seconds)
    # The embedding needs neither the head nor the last convolution.
    needed = last_block_needed(net.outputs)
    layout = replace(
        net.layout, blocks=net.layout.blocks[: min(needed, N_BLOCKS)], last=net.layout.last * (needed > 15)
    )
    macs = count_macs(layout, net.n_mels, frontend.n_frames(samples), "fully_convolutional", 0)
    return macs * (int(1000 * seconds / row.hop_ms) + 1 if path == "timestamps" else 1)


def contestants(
    name: str, net: torch.nn.Module, batch: int, threads: int, path: str = "scene", seconds: float = _CLIP_SECONDS
) -> dict[str, Callable[[], torch.Tensor]]:
    """What runs a batch of windows (or clips), by its name; the straightforward port first."""
    row = resolve(name).checkpoint
    samples = samples_of(name, net, path, seconds)
    windows = torch.randn(batch, samples, generator=torch.Generator().manual_seed(0)) * 0.1
    functions: dict[str, Callable[[], torch.Tensor]] = {}

    def by(model: Extractor) -> Callable[[], torch.Tensor]:
        @torch.inference_mode()
        def run() -> torch.Tensor:
            if path == "timestamps" and not isinstance(net, L3Net):
                return model.timestamp_embeddings(windows)[0].flatten(0, 1)
            if path == "net" and not isinstance(net, L3Net):
                return model._runner(model.own("net"), images, model.kept)
            at_once = 1 if path == "window" else model.windows_at_once(samples)
            return torch.cat([model.embed_windows(group) for group in torch.split(windows, at_once)])

        images = model.own("frontend")(windows) if path == "net" else None
        return run

    if isinstance(net, L3Net):
        plain = StraightforwardL3("sparse_95" if name.startswith("sparse") else name).eval()
        plain.net = net

        @torch.no_grad()
        def eager() -> torch.Tensor:
            return plain(windows)

        @torch.no_grad()
        def one_by_one() -> torch.Tensor:
            return torch.cat([plain(window) for window in windows.split(1)])

        functions["straightforward port"] = eager
        if batch > 1:
            functions["the same, one at a time"] = one_by_one
    else:
        functions["straightforward port"] = by(extractor_of(name, net, "eager"))
    for engine in engines_for(net):
        functions[f"engine {engine}"] = by(extractor_of(name, net, engine))
    if by_ncnn.can_run(net) and path in ("scene", "window"):
        frontend = row.frontend.build().eval()
        run_ncnn = by_ncnn.compile_net(net, frontend(windows[:1]), threads)

        @torch.inference_mode()
        def ncnn() -> torch.Tensor:
            return torch.cat([run_ncnn(frontend(window)) for window in windows.split(1)])

        functions["ncnn"] = ncnn
    return functions


def peak_memory(name: str, mask: str, batch: int, threads: int, label: str) -> float:
    """MiB that this process holds at most while it runs one contestant."""
    torch.set_num_threads(threads)
    function = contestants(name, net_of(name, mask), batch, threads)[label]
    function()
    Path("/proc/self/clear_refs").write_text("5")  # what was held at most is forgotten
    function()
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def print_memory(name: str, mask: str, batch: int, threads: int, labels: list[str]) -> None:
    """Prints the peak memory of each contestant, in a process of its own."""
    for label in labels:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            held = process.submit(peak_memory, name, mask, batch, threads, label).result()
        print(f"{label:<26}{held:>9.0f} MiB at most")


def differences(functions: dict[str, Callable[[], torch.Tensor]]) -> dict[str, float]:
    """How far each function's result is from the first one's, as a fraction of its largest value; NaN if it is not."""
    expected = next(iter(functions.values()))()
    assert bool(expected.isfinite().all()), "the straightforward port's own embeddings are not finite"
    peak = expected.abs().max()
    return {label: float((function() - expected).abs().max() / peak) for label, function in functions.items()}


@dataclass(frozen=True)
class Subject:
    """One net, and what runs it.

    Attributes:
        name: Of its configuration.
        mask: How its zeros are spread; None if it is not pruned.
        batch: Windows or clips at once.
        threads: Of torch.
        net: With weights.
        functions: What agrees with the straightforward port, by its name.
        away: How far each is from the port, those that are wrong too.
        path: What of it is timed, one of PATHS.
        seconds: Of a clip.
    """

    name: str
    mask: str | None
    batch: int
    threads: int
    net: torch.nn.Module
    functions: dict[str, Callable[[], torch.Tensor]]
    away: dict[str, float]
    path: str = "scene"
    seconds: float = _CLIP_SECONDS

    @property
    def wrong(self) -> list[str]:
        """What does not compute the port's embeddings."""
        return [label for label in self.away if label not in self.functions]


def prepare(
    name: str, mask: str | None, batch: int, threads: int, path: str = "scene", seconds: float = _CLIP_SECONDS
) -> Subject:
    """A net and those of its contestants that agree with the straightforward port."""
    net = net_of(name, mask or "uniform")
    functions = contestants(name, net, batch, threads, path, seconds)
    away = differences(functions)
    tolerance = _LOG_MEL_TOLERANCE if isinstance(net, MobileNetV3) else _TOLERANCE
    right = {label: function for label, function in functions.items() if away[label] <= tolerance}  # NaN is not
    return Subject(name, mask, batch, threads, net, right, away, path, seconds)


def measure(subjects: Sequence[Subject], repeats: int, peak: float | None, memory: bool, calls: int = 1) -> bool:
    """Times all that some nets' contestants do in turn, and prints a table for each net.

    Returns:
        Whether all contestants agree, and so were timed.
    """
    both = {f"{i} {label}": function for i, one in enumerate(subjects) for label, function in one.functions.items()}
    timed = interleaved(both, repeats, calls)
    for i, one in enumerate(subjects):
        _print_table(one, {label: timed[f"{i} {label}"] for label in one.functions}, peak, memory)
    return not any(one.wrong for one in subjects)


def _print_table(subject: Subject, results: dict[str, tuple[float, float]], peak: float | None, memory: bool) -> None:
    name, mask, batch, net, away = subject.name, subject.mask, subject.batch, subject.net, subject.away
    row = resolve(name).checkpoint
    chosen = f"engine {extractor_of(name, net)._runner.choose(net).name}"
    seconds = batch * samples_of(name, net, subject.path, subject.seconds) / row.net_sample_rate
    zeros = f", {100 * row.zeros:g} % zeros ({mask})" if mask is not None else ""
    path = "" if isinstance(net, L3Net) else f", {subject.path} ({seconds / batch:g} s)"
    print(f"\n{name}{zeros}{path}, batch of {batch}, {subject.threads} thread(s)")
    print(f"{'':<26}{'CPU ms':>9}{'wall ms':>9}{'x port':>8}{'wall x':>8}{'s per s':>9}{'difference':>12}")
    base = results["straightforward port"]
    for label, (cpu, wall) in results.items():
        mark = " *" if label == chosen else ""
        print(
            f"{label + mark:<26}{1e3 * cpu / batch:>9.2f}{1e3 * wall / batch:>9.2f}{base[0] / cpu:>8.2f}"
            f"{base[1] / wall:>8.2f}{cpu / seconds:>9.4f}{away[label]:>12.1e}"
        )
    tolerance = _LOG_MEL_TOLERANCE if isinstance(net, MobileNetV3) else _TOLERANCE
    for label in subject.wrong:
        print(f"{label:<26}not timed: its result is wrong by {away[label]:.1e}, more than {tolerance:.0e}")
    if peak is not None and isinstance(net, L3Net):
        arguments = row.frontend.arguments
        frames = -(-row.window // arguments["hop_length"])
        floor = nonzero_macs(net, arguments["n_mels"], frames) / peak
        print(f"{'floor of nonzeros':<26}{1e3 * floor:>9.2f}{'':>9}{base[0] / batch / floor:>8.2f}")
    macs = net_macs(name, net, subject.path, subject.seconds)
    if peak is not None and macs is not None:
        print(f"{'floor':<26}{1e3 * macs / peak:>9.2f}{'':>9}{base[0] / batch / (macs / peak):>8.2f}")
    if memory:
        print_memory(name, mask or "uniform", batch, subject.threads, list(subject.functions))


def masks_of(name: str, masks: Sequence[str]) -> Sequence[str | None]:
    """Which masks a net is timed with: all that were asked for if it is a pruned one."""
    return masks if name.startswith("sparse") else [None]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(_DEFAULT), metavar="NAME")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, nargs="+", default=[10])
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=["uniform"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=["scene"])
    parser.add_argument("--seconds", type=float, default=_CLIP_SECONDS)
    parser.add_argument(
        "--calls", type=int, default=1, help="calls in a turn, of which the last one counts (default 1)"
    )
    parser.add_argument("--together", action="store_true", help="interleave the repeats of all nets")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    print(
        f"torch {torch.__version__}, medians of {arguments.repeats} interleaved repeats, per window or clip; * is ours"
    )
    peak = None
    if importlib.util.find_spec("numba") is not None:
        from tests.benchmarks.peak import macs_per_second

        peak = macs_per_second()
        print(f"peak of one core: {peak / 1e9:.1f} G multiply-accumulates per second")
    agreed = True
    kinds = [
        (name, mask, path)
        for name in arguments.names
        for mask in masks_of(name, arguments.masks)
        for path in (PATHS[:1] if name.startswith(("sparse", "sea")) else arguments.paths)
    ]
    groups = [kinds] if arguments.together else [[kind] for kind in kinds]
    for group in groups:
        for batch in arguments.batch:
            for threads in arguments.threads:
                torch.set_num_threads(threads)
                subjects = [prepare(name, mask, batch, threads, path, arguments.seconds) for name, mask, path in group]
                agreed &= measure(subjects, arguments.repeats, peak, arguments.memory, arguments.calls)
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
