"""The front end of the image family beside matplotlib's way, and how much of the whole path it takes.

    python -m tests.benchmarks.images [--config image_effnet_lite0] [--windows 8] [--repeats 15]

Both make images of 224 by 224 of the same windows of one second. matplotlib's way is what is done where pictures are
drawn: a figure, ``imshow`` with the colour map, saved as PNG, read, resized. The windows do not overlap, so nothing is
shared. Times are of this process's CPU on one thread, in milliseconds per window: medians of turns. Engines are those
that are installed.

Needs the extra `plot` (matplotlib, which brings Pillow).
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.image.picture import normalised
from hear_edgel3.registry.names import resolve
from tests.benchmarks.subjects import engines_for

_NAME = "image_effnet_lite0"


def medians(rows: dict[str, Callable[[], object]], n_windows: int, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU per window of each row, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats + 1):  # the first turn compiles and fills caches
        for name, run in rows.items():
            start = time.process_time()
            run()
            times[name].append(1000 * (time.process_time() - start) / n_windows)
    return {name: statistics.median(some[1:]) for name, some in times.items()}


def drawn(spectrogram: np.ndarray) -> np.ndarray:
    """(224, 224, 3) drawn, saved, read and resized."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    figure = pyplot.figure(figsize=(4, 4), dpi=100, frameon=False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(spectrogram, aspect="auto", origin="lower", cmap="viridis")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    pyplot.close(figure)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=_NAME, metavar="NAME")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    configuration, n = resolve(arguments.config), arguments.windows
    frontend, net = configuration.frontend.build().eval(), configuration.net.build().eval()
    windows = 0.1 * torch.randn(n, 16000, generator=torch.Generator().manual_seed(0))
    runners = {name: Runner(name) for name in (*engines_for(net), "eager")}

    def images(some: torch.Tensor = windows) -> torch.Tensor:
        return normalised(net.picture(frontend(some)), net.colours)

    def by_drawing() -> torch.Tensor:
        made = np.stack([drawn(spectrogram.numpy()) for spectrogram in frontend(windows)])
        return normalised(torch.from_numpy(made).permute(0, 3, 1, 2).float(), net.colours)

    overlapping = windows.flatten().unfold(0, 16000, 768)[:n].clone()

    def through(runner: Runner) -> Callable[[], object]:
        return lambda: runner(net, frontend(windows))

    rows: dict[str, Callable[[], object]] = {
        "front end": images,
        "front end, windows 48 ms apart": lambda: images(overlapping),
        "matplotlib's way": by_drawing,
        **{f"whole path, engine {name}": through(runner) for name, runner in runners.items()},
    }
    with torch.no_grad():
        found = medians(rows, n, arguments.repeats)
    for name, milliseconds in found.items():
        print(f"{name:<34} {milliseconds:8.2f} ms per window")
    own, drawing, taken = found["front end"], found["matplotlib's way"], Runner().choose(net).name
    path = found[f"whole path, engine {taken}"]
    print(f"the front end is {drawing / own:.1f} times as fast as matplotlib's way,")
    print(f"and {own / path:.0%} of the path with the engine {taken}, which auto takes; of whose time it takes")
    for name in runners:
        if name != taken:
            print(f"    {path / found[f'whole path, engine {name}']:.2f} of that of {name}")


if __name__ == "__main__":
    main()
