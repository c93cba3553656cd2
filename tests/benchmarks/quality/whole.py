"""Languages, of whole recordings instead of their first second: what a net gains from hearing more.

    python -m tests.benchmarks.quality.whole [--cache DIR] [--weights DIR] [--nets NAME ...]

The recordings, folds and probe are those of the task "languages"; each recording is embedded by itself. Needs the extra
`quality`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.audio.resample import resample
from tests.benchmarks.quality import nets
from tests.benchmarks.quality.clips import one_second
from tests.benchmarks.quality.languages import recordings
from tests.benchmarks.quality.probe import balanced_accuracy, bootstrap, interval, predict
from tests.benchmarks.quality.tasks import TASKS
from tests.recipes.debian import DEFAULT_CACHE, unpacked

_TASK = "languages"


def whole(cache: Path) -> list[tuple[np.ndarray, int]]:
    """The samples and rates of the recordings that the task has, in its order."""
    kept, seen = [], set()
    for recording in recordings(unpacked(TASKS[_TASK].package, cache)):
        samples, rate = recording.read()
        key = (recording.label, one_second(samples, rate).tobytes())
        if key not in seen:
            seen.add(key)
            kept.append((samples if samples.ndim == 1 else samples.mean(axis=1), rate))
    return kept


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder that Debian packages are kept in")
    parser.add_argument("--weights", type=Path, help="folder with <name>.safetensors, looked into first")
    parser.add_argument("--nets", nargs="+", metavar="NAME", default=[nets.BASELINE, "image_effnet_lite0"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips, sounds = TASKS[_TASK].clips(arguments.cache), whole(arguments.cache)
    assert len(sounds) == len(clips.labels)
    for name in arguments.nets:
        (net,) = nets.make(name, arguments.weights, {})
        rows = []
        for samples, rate in sounds:
            clip = torch.from_numpy(samples.astype(np.float32))[None]
            rows.append(net.embed(resample(clip, rate, net.sample_rate).numpy())[0])
        correct = predict(np.stack(rows), clips.labels, clips.groups, clips.folds) == clips.labels
        low, high = interval(bootstrap(clips.labels, clips.groups, correct, list(TASKS).index(_TASK)))
        score = balanced_accuracy(clips.labels, correct)
        print(f"{net.name}: {score:.3f} [{low:.3f}, {high:.3f}] of whole recordings", flush=True)


if __name__ == "__main__":
    main()
