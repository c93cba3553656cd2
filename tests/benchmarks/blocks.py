"""Where the time of a MobileNetV3 on compiled kernels goes, block by block, beside the floor of its multiplications.

    python -m tests.benchmarks.blocks [NAME ...] [--path scene|timestamps|window] [--repeats 60]

A line per step: microseconds with one thread and warm caches (medians of runs in which all steps take turns), what its
multiplications alone would take at the measured peak of the core, and the second as a fraction of the first. Padding is
counted with them where lanes share vectors: channels are padded to eights, and strips to whole columns. Taps that lie
beyond an image are counted and not computed, so that small maps may be above 1.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from hear_edgel3.engine.kernels.alone import NetAlone
from hear_edgel3.engine.kernels.one_image import OneFacts, one_residual
from hear_edgel3.engine.kernels.residual import Facts, make_residual
from hear_edgel3.engine.kernels.residual_net import SizedNet
from hear_edgel3.engine.kernels.residual_parts import Step, even, halved
from hear_edgel3.engine.numba import CompiledResiduals
from tests.benchmarks.peak import macs_per_second
from tests.benchmarks.subjects import extractor_of, net_of

PATHS = ("scene", "timestamps", "window")


class Part(NamedTuple):
    """A step, and how many multiplications it has; None if it is not made of them."""

    name: str
    step: Step
    macs: int | None


def split(steps: list[Step], lanes: int, first_macs: int) -> Iterator[Part]:
    """The steps of a net, those of several blocks taken apart."""
    number = 0
    for kernel, arguments in steps:
        name = kernel.__name__
        if kernel not in (make_residual(lanes), one_residual):
            yield Part(name, (kernel, arguments), first_macs if name.endswith("entrance") else None)
            continue
        kind = OneFacts if kernel is one_residual else Facts
        address, count = arguments
        size = len(kind._fields)
        for i in range(count):
            number += 1
            place = address + 8 * size * i
            facts = kind(*(ctypes.c_int64 * size).from_address(place))
            shape = f"{facts.inputs} > {facts.inside} > {facts.outputs}, stride {facts.stride}"
            where = f"{facts.height} x {facts.width}"
            se = ", squeezed" if facts.bottleneck else ""
            yield Part(f"block {number}: {shape}{se}, of {where}", (kernel, (place, 1)), macs_of(facts, lanes))


def macs_of(facts: Facts | OneFacts, lanes: int) -> int:
    """Multiplications of a block, of all lanes."""
    out = facts.height_out * facts.width_out
    expansion = facts.expands * facts.inputs * facts.inside * facts.height * facts.width
    taps = facts.taps if isinstance(facts, Facts) else facts.k**2
    lanes, images = (lanes, lanes // facts.strips) if isinstance(facts, Facts) else (1, 1)
    squeezing = 2 * images * facts.bottleneck * facts.inside
    return lanes * (expansion + out * facts.inside * (taps + facts.outputs)) + squeezing


def measure(name: str, path: str, repeats: int, peak: float) -> None:
    """Times the steps of a net, and prints them."""
    extractor = extractor_of(name, net_of(name), "numba")
    seconds = extractor.window / extractor.net_sample_rate if path == "window" else 10
    generator = torch.Generator().manual_seed(0)
    clip = 0.1 * torch.randn(1, round(seconds * extractor.net_sample_rate), generator=generator)
    (extractor.timestamp_embeddings if path == "timestamps" else extractor.embed_windows)(clip)
    compiled = extractor._runner._ready(extractor.own("net"))[1]
    assert isinstance(compiled, CompiledResiduals)
    [log_mel] = compiled._front_ends._known.values()
    [((height, frames), sized)] = compiled._kernels._sized.items()
    windows = clip.numpy()
    if path == "timestamps":
        windows = 0.1 * np.random.RandomState(0).randn(sized.sharing.images, extractor.window).astype(np.float32)
    net: SizedNet | NetAlone = sized
    if len(windows) <= sized.most_alone:
        assert sized._alone is not None
        net = sized._alone
    rooms, steps = net._idle[-1]
    alone = isinstance(net, NetAlone)
    lanes, width = (1, frames) if alone else (sized.sharing.lanes, sized.sharing.width)
    first = 9 * sized._net.n_first * halved(height, 2) * halved(width, 2) * lanes
    parts = list(split(steps, sized.sharing.lanes, first))
    times = np.zeros((repeats, len(parts) + 1))
    for run in range(repeats):
        begin = time.perf_counter_ns()
        if isinstance(net, NetAlone):
            log_mel(windows, net._uncut, rooms.arrays["image"], even(height))
        else:
            log_mel(windows, net.sharing, rooms.arrays["image"])
        for i, part in enumerate([None, *parts]):
            if part is not None:
                kernel, arguments = part.step
                kernel(*arguments)
            now = time.perf_counter_ns()
            times[run, i] = now - begin
            begin = now
    found = np.median(times, axis=0) / 1e3
    print(f"\n{name}, {path}: {len(windows)} image(s) of {height} x {frames}, {sized.sharing.lanes} lanes")
    print(f"{'':<58}{'us':>8}{'floor':>8}{'share':>7}")
    print(f"{'front end':<58}{found[0]:>8.0f}")
    others = floors = 0.0
    for part, microseconds in zip(parts, found[1:], strict=True):
        if part.macs is None:
            others += microseconds
            continue
        floor = 1e6 * part.macs / peak
        floors += floor
        print(f"{part.name:<58}{microseconds:>8.0f}{floor:>8.0f}{floor / microseconds:>7.2f}")
    print(f"{'pooling, the last convolution, linear layers':<58}{others:>8.0f}")
    total = found[1:].sum()
    print(f"{'the net':<58}{total:>8.0f}{floors:>8.0f}{floors / total:>7.2f}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.blocks", description=__doc__)
    parser.add_argument("names", nargs="*", default=["mn04_as", "mn10_as"], help="configurations of the MobileNetV3s")
    parser.add_argument("--path", choices=PATHS, default="scene", help="what is embedded (default scene)")
    parser.add_argument("--repeats", type=int, default=60, help="runs of each step (default 60)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peak = macs_per_second()
    print(f"peak: {peak / 1e9:.1f} G multiplications per second")
    for name in arguments.names:
        measure(name, arguments.path, arguments.repeats, peak)


if __name__ == "__main__":
    main()
