"""The front end of the image family beside matplotlib's way, and how much of the whole path it takes.

    python -m tests.benchmarks.images [--config image_effnet_lite0] [--windows 8] [--seconds 3]

Both make images of 224 by 224 of the same windows of one second. matplotlib's way is what is done where pictures are
drawn: a figure, ``imshow`` with the colour map, saved as PNG, read, resized. The windows do not overlap, so nothing is
shared. Times are of this process's CPU on one thread, in milliseconds per window: the least of several runs.

Needs the extra `plot` (matplotlib, which brings Pillow).
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np
import torch

from hear_edgel3.engine.folded import compile_net
from hear_edgel3.families.image.picture import normalised
from hear_edgel3.registry.names import resolve

_NAME = "image_effnet_lite0"


def least(run: Callable[[], object], n_windows: int, seconds: float) -> float:
    """Milliseconds of CPU per window, the least of what fits into some seconds."""
    run()
    best, end = float("inf"), time.monotonic() + seconds
    for _ in range(1000):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
        if time.monotonic() > end:
            break
    return 1000 * best / n_windows


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
    parser.add_argument("--seconds", type=float, default=3.0, help="per row")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    configuration, n = resolve(arguments.config), arguments.windows
    frontend, net = configuration.frontend.build().eval(), configuration.net.build().eval()
    windows = 0.1 * torch.randn(n, 16000, generator=torch.Generator().manual_seed(0))
    folded = compile_net(net)

    def images(some: torch.Tensor = windows) -> torch.Tensor:
        return normalised(net.picture(frontend(some)), net.colours)

    def by_drawing() -> torch.Tensor:
        made = np.stack([drawn(spectrogram.numpy()) for spectrogram in frontend(windows)])
        return normalised(torch.from_numpy(made).permute(0, 3, 1, 2).float(), net.colours)

    overlapping = windows.flatten().unfold(0, 16000, 768)[:n].clone()
    with torch.no_grad():
        rows = {
            "front end": least(images, n, arguments.seconds),
            "front end, windows 48 ms apart": least(lambda: images(overlapping), n, arguments.seconds),
            "matplotlib's way": least(by_drawing, n, arguments.seconds),
            "whole path, engine torch": least(lambda: folded(frontend(windows)), n, arguments.seconds),
            "whole path, engine eager": least(lambda: net(frontend(windows)), n, arguments.seconds),
        }
    for name, milliseconds in rows.items():
        print(f"{name:<32} {milliseconds:8.2f} ms per window")
    own, path = rows["front end"], rows["whole path, engine torch"]
    faster = rows["matplotlib's way"] / own
    print(f"the front end is {faster:.1f} times as fast as matplotlib's way,")
    eager = rows["whole path, engine eager"] / path
    print(f"and {own / path:.1%} of the path with it; the engine torch is {eager:.2f} times as fast as eager")


if __name__ == "__main__":
    main()
