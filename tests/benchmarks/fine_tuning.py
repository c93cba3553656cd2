"""What fine-tuning gains over a frozen net on the tasks of the quality benchmark, and how fast it is.

    python -m tests.benchmarks.fine_tuning --tasks drums instruments languages --nets tiny
    python -m tests.benchmarks.fine_tuning --speed --nets mn04_as

Clips of a fold are tested; of the others, a part with groups of its own decides which epoch is taken. The frozen score
is that of the head that fine-tuning begins with: a logistic regression on standardised embeddings, whose penalty the
same part decides.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

import hear_edgel3
from hear_edgel3.detectors.clips import decode
from hear_edgel3.detectors.fine_tuning import FineTuneOptions, fine_tune
from hear_edgel3.detectors.validating import outputs_of
from hear_edgel3.extractor import Extractor
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.labels import Kind, Labelled, Split
from hear_edgel3.labels.splits import Dividing, How, OnLeak, divide
from hear_edgel3.sources.item import Item
from hear_edgel3.training.loop import make_accelerator
from tests.benchmarks.quality.clips import Clips
from tests.benchmarks.quality.probe import balanced_accuracy
from tests.benchmarks.quality.tasks import TASKS

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def labelled_of(name: str, clips: Clips, folder: Path) -> Labelled:
    """The clips of a task as files."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for clip, samples in zip(clips.names, clips.samples, strict=True):
        path = folder / f"{clip}.wav"
        soundfile.write(path, samples, len(samples), subtype="FLOAT")
        items.append(Item(str(path), path.stat().st_size))
    classes = tuple(sorted(set(clips.labels.tolist())))
    targets = np.array([classes.index(label) for label in clips.labels.tolist()], np.int64)
    return Labelled(name, Kind.SINGLE, classes, tuple(items), targets, groups=tuple(clips.groups.tolist()))


def split_of(labelled: Labelled, folds: np.ndarray, fold: int, seed: int) -> Split:
    train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    how = Dividing(How.RANDOM, test=0.15, validation=0.0, seed=seed, on_leak=OnLeak.SAY, copies=False)
    inner = divide(labelled.subset(train), how)[0]
    return Split(f"fold {fold}", train[inner.train], train[inner.test], test)


class Hearing:
    """Embeddings and outputs of the sounds of a task."""

    def __init__(self, labelled: Labelled, extractor: Extractor, cache: Path) -> None:
        self._labelled, self._extractor, self._cache = labelled, extractor, cache
        self.accelerator = make_accelerator("no", "cpu", "training", "train")

    def outputs(self, net: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
        extractor, items = self._extractor, self._labelled.items
        sounds = decode(items, rows, self._cache, extractor.net_sample_rate, self.accelerator, True)
        device = torch.device("cpu")
        return outputs_of(net.eval(), extractor.frontend, extractor.configuration, sounds, device).numpy()


def fitted_head(found: dict[str, np.ndarray], right: dict[str, np.ndarray], n_classes: int) -> Head:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(found["train"])
    inputs = {part: scaler.transform(values) for part, values in found.items()}
    models = [
        LogisticRegression(C=c, class_weight="balanced", max_iter=300).fit(inputs["train"], right["train"])
        for c in _PENALTIES
    ]
    scores = [
        balanced_accuracy(right["validation"], one.predict(inputs["validation"]) == right["validation"])
        for one in models
    ]
    model = models[int(np.argmax(scores))]
    weight, bias = np.zeros((n_classes, inputs["train"].shape[1])), np.full(n_classes, -20.0)
    weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    head = make_head(HeadLayout("linear", weight.shape[1], n_classes, standardize=True), 0)
    head.standardize(torch.tensor(scaler.mean_).float(), torch.tensor(scaler.scale_).float())
    with torch.no_grad():
        head.output.weight.copy_(torch.from_numpy(weight))
        head.output.bias.copy_(torch.from_numpy(bias))
    return head


def one_fold(
    labelled: Labelled, split: Split, net: str, options: FineTuneOptions, folder: Path
) -> tuple[np.ndarray, ...]:
    """(n,) whether each test clip is right with the frozen net, and with the one that was trained further."""
    extractor = hear_edgel3.load(net)
    hearing = Hearing(labelled, extractor, folder / "kept")
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    found = {part: hearing.outputs(extractor.net, rows) for part, rows in parts.items()}
    head = fitted_head(found, {part: labelled.targets[rows] for part, rows in parts.items()}, len(labelled.classes))
    with torch.no_grad():
        frozen = head.eval()(torch.from_numpy(found["test"])).numpy()
    with tempfile.TemporaryDirectory() as out:
        tuned = fine_tune(
            labelled, split, extractor, head, options, Path(out), hearing.accelerator, True, folder / "kept"
        )
    assert tuned.head_state is not None
    extractor.net.load_state_dict(tuned.net_state)
    head.load_state_dict(tuned.head_state)
    after = hearing.outputs(torch.nn.Sequential(extractor.net, head), split.test)
    right = labelled.targets[split.test]
    print(
        f"# {labelled.name} {split.name} {net}: {len(split.train)} clips, epoch {tuned.best_epoch} of "
        f"{tuned.metrics[-1]['epoch']:.0f}, {tuned.seconds:.0f} s",
        file=sys.stderr,
    )
    return frozen.argmax(axis=1) == right, after.argmax(axis=1) == right


def speed(net: str, folder: Path) -> float:
    """The speed of fine-tuning as a share of that of a bare loop of forward and backward over ready spectrograms."""
    n, seconds, rate, size = 96, 5.0, 32000, 16
    rs = np.random.RandomState(0)
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for i in range(n):
        soundfile.write(folder / f"{i}.wav", 0.1 * rs.randn(int(seconds * rate)), rate)
        items.append(Item(str(folder / f"{i}.wav"), 0))
    labelled = Labelled("noise", Kind.SINGLE, ("a", "b"), tuple(items), np.arange(n) % 2)
    nothing = np.zeros(0, np.int64)
    split = Split("all", np.arange(n), nothing, nothing)
    extractor = hear_edgel3.load(net)
    layout = HeadLayout("linear", extractor.scene_embedding_size, 2)
    options = FineTuneOptions(epochs=2, head_epochs=0, batch_size=size)
    accelerator = make_accelerator("no", "cpu", "training", "train")
    tuned = fine_tune(labelled, split, extractor, make_head(layout, 0), options, folder / "out", accelerator, True)
    whole = tuned.metrics[1]["seconds"] - tuned.metrics[0]["seconds"]
    model = torch.nn.Sequential(extractor.net, make_head(layout, 0)).to(memory_format=torch.channels_last).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    images = extractor.frontend(0.1 * torch.randn(size, int(seconds * rate)))
    model(images).sum().backward()  # what is made once is not counted
    begun = time.monotonic()
    for _ in range(n // size):
        model(images).sum().backward()
    return (time.monotonic() - begun) / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--nets", nargs="+", default=["tiny"])
    parser.add_argument("--folds", nargs="+", type=int, help="the numbers of those that are tested; all by default")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder with the Debian packages")
    parser.add_argument("--speed", action="store_true", help="measure speed instead")
    arguments = parser.parse_args()
    options = FineTuneOptions(epochs=arguments.epochs, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        if arguments.speed:
            for net in arguments.nets:
                print(f"{net}: {speed(net, Path(place) / net):.2f} of the speed of a bare loop")
            return
        for name in arguments.tasks:
            clips = TASKS[name].clips(arguments.cache)
            labelled = labelled_of(name, clips, Path(place) / name)
            folds = arguments.folds or sorted(set(clips.folds.tolist()))
            for net in arguments.nets:
                results = []
                for fold in folds:
                    split = split_of(labelled, clips.folds, fold, arguments.seed)
                    results.append((split.test, *one_fold(labelled, split, net, options, Path(place) / name)))
                rows, frozen, tuned = (np.concatenate(parts) for parts in zip(*results, strict=True))
                scores = [balanced_accuracy(labelled.targets[rows], right) for right in (frozen, tuned)]
                print(f"{name} {net}: frozen {scores[0]:.3f}, tuned {scores[1]:.3f}, {scores[1] - scores[0]:+.3f}")


if __name__ == "__main__":
    main()
