"""Finding the settings that suit a machine: one after the other is varied, and the fastest kept."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hear_edgel3.compiled.jit import native_lanes
from hear_edgel3.engine.kernels.network import net_for
from hear_edgel3.engine.kernels.settings import Settings
from hear_edgel3.families.kernel_description import FoldedNet

# What is measured: an L3 net for 48 kHz windows. The size of its images, its channels, and the convolutions (counted
# from 0) that pooling follows.
_HEIGHT, _WIDTH = 256, 199
_POOLED = (1, 3, 5)
_CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
# Densities that stand for very sparse, sparse and dense nets.
_VERY_SPARSE, _SPARSE, _DENSE = 0.0455, 0.13, 1.0
_COLUMNS = ((10, 6), (12, 8), (8, 6), (6,), (4,))
_KILOBYTES = (16, 24, 34, 48, 80, 128, 200)
_WINOGRAD = ((16, 1), (8, 3), (8, 2), (8, 1), (4, 6), (4, 4), (4, 3), (4, 2))
# Less is noise.
_WORTH, _WORTH_IN_ALL = 0.98, 0.995


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Attributes:
        settings: the fastest.
        before: milliseconds for a window with the settings before, by kind of net.
        after: with these.
    """

    settings: Settings
    before: dict[str, float]
    after: dict[str, float]


def tune(start: Settings, say: Callable[[str], None], repeats: int = 7, height: int = _HEIGHT) -> Tuned:
    """Finds the settings that are fastest on this machine, in one thread.

    Args:
        start: settings to begin with.
        say: called with lines for people about what is being measured.
        repeats: measurements of each candidate, of which the median counts.
        height: rows of the images.
    """
    image = np.random.RandomState(0).randn(1, height, _WIDTH).astype(np.float32)
    folded_nets = {density: _net(density) for density in (_VERY_SPARSE, _SPARSE, _DENSE)}

    def fastest(what: str, density: float, candidates: Mapping[object, Settings]) -> Settings:
        times = _times({str(key): (folded_nets[density], s) for key, s in candidates.items()}, image, repeats)
        here = next(iter(candidates))  # the settings so far
        best = min(candidates, key=lambda key: times[str(key)])
        if times[str(best)] > _WORTH * times[str(here)]:
            best = here
        table = ", ".join(f"{key}: {1000 * t:.2f} ms" for key, t in times.items())
        say(f"{what}: {best}   ({table})")
        return candidates[best]

    # Where layers are direct ones and where not is found last: until then all are of one kind.
    direct, winograd = replace(start, dense=2.0), replace(start, dense=0.0)
    direct = fastest(
        "columns of a tile",
        _VERY_SPARSE,
        {o: replace(direct, columns=o) for o in dict.fromkeys((direct.columns, *_COLUMNS))},
    )
    for i, (density, name) in enumerate([(_VERY_SPARSE, "very sparse"), (_SPARSE, "sparse")]):
        direct = fastest(
            f"kilobytes at once, {name} layers",
            density,
            _with_kilobytes(direct, i),
        )
    winograd = fastest(
        "outputs and tiles in registers, dense layers",
        _DENSE,
        {o: replace(winograd, winograd=o) for o in dict.fromkeys((winograd.winograd, *_WINOGRAD))},
    )
    found = replace(direct, winograd=winograd.winograd)
    found = replace(found, dense=_threshold(found, image, repeats))
    say(f"density from which layers are dense: {found.dense:.2f}")
    # Once more side by side: what seemed faster by chance is not kept.
    both = {
        name: (density, s) for density in folded_nets for name, s in ((f"b{density}", start), (f"a{density}", found))
    }
    times = _times({name: (folded_nets[density], s) for name, (density, s) in both.items()}, image, repeats)
    if sum(times[f"a{d}"] / times[f"b{d}"] for d in folded_nets) > len(folded_nets) * _WORTH_IN_ALL:
        say("nothing is faster than before")
        found, times = start, {**times, **{f"a{d}": times[f"b{d}"] for d in folded_nets}}
    kinds = {f"{100 * (1 - d):.4g} % zeros": d for d in folded_nets}
    return Tuned(
        found,
        {kind: 1000 * times[f"b{d}"] for kind, d in kinds.items()},
        {kind: 1000 * times[f"a{d}"] for kind, d in kinds.items()},
    )


def _with_kilobytes(settings: Settings, i: int) -> dict[object, Settings]:
    """The settings, and those with another i-th number of kilobytes."""
    low, high = settings.kilobytes
    now = settings.kilobytes[i]
    options = dict.fromkeys((now, *_KILOBYTES))
    return {o: replace(settings, kilobytes=(o, high) if i == 0 else (low, o)) for o in options}


def _threshold(settings: Settings, image: np.ndarray, repeats: int) -> float:
    """Where the line through the times of direct layers meets the time of Winograd's."""
    densities = (0.15, 0.25, 0.4)
    nets = {str(d): (_net(d), replace(settings, dense=2.0)) for d in densities}
    times = _times({**nets, "winograd": (_net(0.25), replace(settings, dense=0.0))}, image, repeats)
    slope, offset = np.polyfit(densities, [times[str(d)] for d in densities], 1)
    return float(np.clip((times["winograd"] - offset) / max(slope, 1e-9), 0.05, 0.9))


def _net(density: float) -> FoldedNet:
    """An L3 net with random weights, of which so many are not zero."""
    rs = np.random.RandomState(0)
    weights = []
    for n_in, n_out in itertools.pairwise(_CHANNELS):
        some = rs.randn(n_out, n_in, 3, 3) * np.sqrt(2 / (9 * n_in * density))
        weights.append((some * (rs.rand(*some.shape) < (1 if n_in == 1 else density))).astype(np.float32))
    n = len(weights)
    biases = [np.zeros(len(w), np.float32) for w in weights]
    return FoldedNet(1, 0, weights, biases, [i in _POOLED for i in range(n)], [i < n - 1 for i in range(n)])


def _times(nets: Mapping[str, tuple[FoldedNet, Settings]], image: np.ndarray, repeats: int) -> dict[str, float]:
    """Median seconds of CPU time for an image of each, measured in turns; images share vectors."""
    made = {}
    for name, (folded, settings) in nets.items():
        net = net_for(folded, image.shape[1], image.shape[2], native_lanes(), settings)
        assert net is not None, "images of a height that can be shared out"
        made[name] = (net, np.repeat(image, net.most_images, axis=0))
    taken: dict[str, list[float]] = {name: [] for name in made}
    for round_ in range(repeats + 1):
        for name, (net, images) in made.items():
            begun = time.process_time()
            net(images, 1)
            if round_ > 0:  # the first one compiles
                taken[name].append((time.process_time() - begun) / len(images))
    return {name: statistics.median(times) for name, times in taken.items()}
