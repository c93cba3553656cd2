"""How far small nets say of recordings what a larger one says: on sounds that none of them was made with.

    python -m tests.benchmarks.real_sounds TEACHER[=WEIGHTS] NET[=WEIGHTS] ... --audio FILE|FOLDER ...

For each net: the share of recordings whose most probable class is the teacher's, the share where the teacher's is among
its five, the mean cosine of the probabilities of all classes, and the mean binary cross-entropy per class above the
teacher's own entropy (KL, x 1e-3). The first ten seconds of each recording are heard. A last line is a constant guess:
the teacher's mean probabilities over all the recordings, which is more than any net can know beforehand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.sources.lister import list_items
from hear_edgel3.tagging.tagger import Tagger

_SECONDS = 10.0


def heard(paths: list[str]) -> list[tuple[str, torch.Tensor, int]]:
    """Names, samples and rates of the recordings."""
    found = []
    for item in list_items(paths).items:
        with AudioFile(item.file) as file:
            sound = file.stretch(0.0, min(_SECONDS, file.duration))
            found.append((Path(item.file).name, sound, file.sample_rate))
    return found


def probabilities(name: str, sounds: list[tuple[str, torch.Tensor, int]]) -> torch.Tensor:
    """(n, n_classes) of one net, float64."""
    configuration, _, weights = name.partition("=")
    tagger = Tagger(configuration, weights or None)
    rows = [tagger.tag_samples(sound.numpy(), rate).probabilities.mean(axis=0) for _, sound, rate in sounds]
    return torch.tensor(np.stack(rows), dtype=torch.float64)


def compare(wanted: torch.Tensor, found: torch.Tensor) -> dict[str, float]:
    """Four figures of two (n, n_classes) tables of probabilities."""
    top = wanted.argmax(dim=1)
    p, q = found.clamp(1e-9, 1 - 1e-9), wanted.clamp(1e-9, 1 - 1e-9)
    return {
        "top": float((found.argmax(dim=1) == top).double().mean()),
        "in five": float((found.topk(5, dim=1).indices == top[:, None]).any(dim=1).double().mean()),
        "cosine": float(functional.cosine_similarity(found, wanted, dim=1).mean()),
        "KL": 1e3 * float(functional.binary_cross_entropy(p, q) - functional.binary_cross_entropy(q, q)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--audio", nargs="+", required=True)
    parser.add_argument("--each", action="store_true", help="print the most probable classes of each recording")
    arguments = parser.parse_args()
    sounds = heard(arguments.audio)
    wanted = probabilities(arguments.teacher, sounds)
    print(f"{len(sounds)} recordings\n\n| | top tag | in five | cosine | KL x 1e-3 |\n|---|---|---|---|---|")
    everything = {name: probabilities(name, sounds) for name in arguments.nets}
    everything["constant"] = wanted.mean(dim=0).expand_as(wanted)
    for name, found in everything.items():
        scores = compare(wanted, found)
        cells = [f"{scores[key]:.3f}" for key in ("top", "in five", "cosine", "KL")]
        print("| " + " | ".join([Path(name.partition("=")[0]).name, *cells]) + " |")
    if arguments.each:
        labels = Tagger(arguments.teacher.partition("=")[0], arguments.teacher.partition("=")[2] or None).labels
        for i, (name, _, _) in enumerate(sounds):
            tops = [labels[int(table[i].argmax())].name for table in (wanted, *everything.values())]
            print(f"{name}: {' | '.join(tops[:-1])}")


if __name__ == "__main__":
    main()
