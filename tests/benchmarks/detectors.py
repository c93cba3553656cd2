"""Detectors against the probe of the quality benchmark, against extraction alone, and against a bare training loop.

    python -m tests.benchmarks.detectors heads [--nets tiny mn04_as] [--cache DIR]     # frozen heads and the probe
    python -m tests.benchmarks.detectors tuned [--nets tiny mn04_as] [--cache DIR] [--state DIR] [--tasks drums ...]
                                               [--options '{"epochs": 30}']            # trained nets and frozen heads
    python -m tests.benchmarks.detectors cost [--clips 10000] [--nets tiny]            # frozen training and extraction
    python -m tests.benchmarks.detectors fit [--clips 3000] [--nets NAME ...]          # linear heads, and as before
    python -m tests.benchmarks.detectors speed [--nets mn04_as]                        # training a net, and a bare loop

`heads` and `tuned` are balanced accuracies on the three real tasks of the quality benchmark, with its folds and groups
(tests/benchmarks/quality); --cache has the Debian packages, which are downloaded where it lacks some. Training takes
minutes for each fold: with --state it goes on where it was stopped, and several processes may share the tasks and nets
(--tasks, --nets); the same command without these then prints all of it. `cost` compares
`hear-edgel3 train` with an empty cache and `hear-edgel3 extract`, each in a process of its own, by the clock and by CPU
time, and tells the most memory that the process and its workers had at once (PSS; Linux only). `fit` compares what it
takes to fit a linear head on embeddings that are there, for `hear-edgel3 train` of so many clips, with how it was done
until November 2026: scikit-learn's logistic regressions one after the other, and the penalty chosen twice; in turns,
and seconds are CPU time. It says which penalties both choose, and how far logits of the test part are from where
scikit-learn gets to if it goes on, before and now. `speed` compares an epoch of fine-tuning, with augmentation, to
forward and backward over spectrograms that are ready.
Weights of published nets are found as usual (HEAR_EDGEL3_WEIGHTS).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from sklearn.linear_model import LogisticRegression

import hear_edgel3
from hear_edgel3.detectors.base import with_head_words
from hear_edgel3.detectors.evaluation import evaluate
from hear_edgel3.detectors.fine_tuning import FineTuneOptions, fine_tune
from hear_edgel3.detectors.frozen import logits_of
from hear_edgel3.detectors.linear import _LOGISTIC_PENALTIES, Part, _inner_folds, fit_linear, standard
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.errors import AudioWarning
from hear_edgel3.heads import HeadLayout, make_head
from hear_edgel3.labels import Dividing, Kind, Labelled, Split
from hear_edgel3.labels.splits import How
from hear_edgel3.sources.item import Item
from hear_edgel3.training.loop import make_accelerator
from tests.benchmarks.quality import nets as quality_nets
from tests.benchmarks.quality.clips import Clips
from tests.benchmarks.quality.probe import balanced_accuracy, bootstrap, interval, predict
from tests.benchmarks.quality.tasks import TASKS

_RATE = 16000
_CLASSES, _GROUPS = 10, 500


def labelled_of(task: str, clips: Clips, folder: Path) -> Labelled:
    """The clips of a task as files, with the benchmark's groups and folds; files that are there stay."""
    classes = tuple(np.unique(clips.labels).tolist())
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for name, samples in zip(clips.names, clips.samples, strict=True):
        path = folder / f"{name}.wav"
        if not path.exists():
            beginning = path.with_suffix(f".{os.getpid()}")
            soundfile.write(beginning, samples, len(samples), format="WAV", subtype="FLOAT")
            beginning.replace(path)
        items.append(Item(os.fspath(path), path.stat().st_size))
    return Labelled(
        task,
        Kind.SINGLE,
        classes,
        tuple(items),
        np.array([classes.index(label) for label in clips.labels], np.int64),
        folds=tuple(map(str, clips.folds)),
        groups=tuple(map(str, clips.groups)),
        published=True,
    )


def compare_heads(nets: Sequence[str], tasks: Sequence[str], cache: Path | None) -> None:
    """Prints a line per net and task: frozen heads beside the probe."""
    print(f"{'net':<10}  {'task':<12}  {'probe':>6}  {'95 % interval':<16}  {'frozen':>7}  difference", flush=True)
    means: dict[str, list[tuple[float, float]]] = {}
    for task in tasks:
        clips = TASKS[task].clips(cache)
        with tempfile.TemporaryDirectory() as folder:
            labelled = labelled_of(task, clips, Path(folder))
            for name in nets:
                frozen, _ = _score(labelled, name, Path(folder), {})
                # The probe is on the features that heads get.
                net = quality_nets.make(os.fspath(with_head_words(name, TrainOptions())), None, {})[0]
                guessed = predict(net.embed(clips.at(net.sample_rate)), clips.labels, clips.groups, clips.folds)
                probe = balanced_accuracy(clips.labels, guessed == clips.labels)
                low, high = interval(bootstrap(clips.labels, clips.groups, guessed == clips.labels))
                means.setdefault(name, []).append((probe, frozen))
                within = "within" if low <= frozen <= high else "OUTSIDE"
                print(
                    f"{name:<10}  {task:<12}  {probe:6.3f}  {low:.3f} to {high:.3f}  {frozen:7.3f}  "
                    f"{frozen - probe:+.3f} {within}",
                    flush=True,
                )
    for name, pairs in means.items():
        probe, frozen = np.mean(pairs, axis=0)
        print(f"{name:<10}  {'mean':<12}  {probe:6.3f}  {'':<16}  {frozen:7.3f}  {frozen - probe:+.3f}")


def compare_tuned(
    nets: Sequence[str], tasks: Sequence[str], cache: Path | None, state: Path, options: dict[str, Any]
) -> None:
    """Prints a line per net and task: trained nets beside frozen heads, both with intervals over groups.

    Args:
        nets: Which nets.
        tasks: Which tasks.
        cache: The folder that Debian packages are kept in.
        state: What sounds, embeddings and trainings are kept in.
        options: Of training.
    """
    print(
        f"{'net':<10}  {'task':<12}  {'frozen':>6}  {'95 % interval':<16}  {'tuned':>6}  {'95 % interval':<16}  gain",
        flush=True,
    )
    gains: dict[str, list[tuple[float, float]]] = {}
    for task in tasks:
        labelled = labelled_of(task, TASKS[task].clips(cache), state / task / "sounds")
        for name in nets:
            place = state / task / name
            frozen, before = _score(labelled, name, place, {})
            tuned, after = _score(labelled, name, place, {"fine_tune": True, **options})
            gains.setdefault(name, []).append((frozen, tuned))
            row = f"{name:<10}  {task:<12}  {frozen:6.3f}  {before:<16}  {tuned:6.3f}  {after:<16}"
            print(f"{row}  {tuned - frozen:+.3f}", flush=True)
    for name, pairs in gains.items():
        frozen, tuned = np.mean(pairs, axis=0)
        print(f"{name:<10}  {'mean':<12}  {frozen:6.3f}  {'':<16}  {tuned:6.3f}  {'':<16}  {tuned - frozen:+.3f}")


def _score(labelled: Labelled, net: str, place: Path, options: dict[str, Any]) -> tuple[float, str]:
    """The balanced accuracy of cross-validation over the benchmark's folds, and its interval in words."""
    dividing = Dividing(How.FOLDS, copies=False)
    # A training that is kept is known by its options.
    kept = place / hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    found = evaluate(labelled, net, split=dividing, cache=place / "cache", workers=1, state=kept, **options).scores
    score = found.overall["balanced_accuracy"]
    low, high = found.overall_intervals["balanced_accuracy"] or (0.0, 1.0)
    assert score is not None
    return score, f"{low:.3f} to {high:.3f}"


def write_set(folder: Path, count: int) -> Path:
    """Clips of a second, all different, in classes that can be told apart, and a table of them."""
    rng = np.random.default_rng(0)
    t = np.arange(_RATE) / _RATE
    rows = [("file", "label", "group")]
    for i in range(count):
        label = i % _CLASSES
        tone = np.sin(2 * np.pi * (100 * 1.5**label * rng.uniform(0.85, 1.2)) * t + rng.uniform(0, 6))
        samples = 0.2 * tone * np.exp(-t * rng.uniform(0, 8)) + rng.uniform(0.01, 0.2) * rng.standard_normal(_RATE)
        soundfile.write(folder / f"{i:06d}.wav", samples.astype(np.float32), _RATE)
        rows.append((f"{i:06d}.wav", f"class {label}", f"group {i // _CLASSES % _GROUPS}"))
    table = folder / "sounds.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


def tree_memory(root: int) -> int:
    """Bytes that a process and those that it started have at once, shared ones divided among them."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [root]
    while waiting:
        one = waiting.pop()
        waiting += parents.get(one, [])
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def run_measured(command: Sequence[str]) -> tuple[float, float, int]:
    """Seconds by the clock and of all processors, and the most memory in bytes, of a command."""
    before, start = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.2):
            peak = max(peak, tree_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, said = process.communicate()
    finally:
        ended.set()
        watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu, peak


def compare_cost(nets: Sequence[str], count: int, head: str) -> None:
    """Prints what frozen training costs, and extraction alone."""
    program = [sys.executable, "-m", "hear_edgel3.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sounds").mkdir()
        table = write_set(folder / "sounds", count)
        for net in nets:
            common = ["--config", net, "--quiet"]
            alone = run_measured([*program, "extract", str(table), "--output", str(folder / f"e-{net}"), *common])
            train = [*program, "train", "--data", str(table), "--cache", str(folder / f"c-{net}"), "--head", head]
            train += ["--split", "random", *common]
            whole = run_measured([*train, "--output", str(folder / f"first-{net}")])
            again = run_measured([*train, "--output", str(folder / f"second-{net}"), "--seed", "1"])
            print(f"{net}, {count} clips of 1 s, head {head}:")
            for what, (wall, cpu, peak) in (("extract", alone), ("train", whole), ("train again, other seed", again)):
                print(f"  {what:<24} {wall:7.1f} s, {cpu:7.1f} s of CPU, at most {peak / 1e9:.2f} GB")
            print(f"  train / extract: {whole[0] / alone[0]:.2f} by the clock, {whole[1] / alone[1]:.2f} by CPU time")


def mixed(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sounds of a second in which each of ten tones is heard or not, and (N, 10) bool, which are."""
    rng = np.random.default_rng(0)
    t = np.arange(_RATE) / _RATE
    has, sounds = rng.random((count, _CLASSES)) < 0.25, []
    for which in has:
        samples = rng.uniform(0.01, 0.2) * rng.standard_normal(_RATE)
        for label in np.flatnonzero(which):
            tone = np.sin(2 * np.pi * (100 * 1.5**label * rng.uniform(0.85, 1.2)) * t + rng.uniform(0, 6))
            samples += rng.uniform(0.02, 0.2) * tone * np.exp(-t * rng.uniform(0, 8))
        sounds.append(samples.astype(np.float32))
    return np.stack(sounds), has


def one_after_the_other(part: Part) -> tuple[float, np.ndarray, np.ndarray]:
    """The penalty, weights and biases of logistic regressions on standardised embeddings, by scikit-learn."""

    def path(values: np.ndarray, right: np.ndarray, penalties: Sequence[float]) -> list[tuple[np.ndarray, float]]:
        model, found = LogisticRegression(max_iter=300, warm_start=True), []
        for penalty in sorted(penalties, reverse=True):
            model.C = 1 / penalty
            model.fit(values, right)
            found.append((model.coef_[0].copy(), float(model.intercept_[0])))
        return found[::-1]

    right, losses = part.targets > 0.5, np.zeros(len(_LOGISTIC_PENALTIES))
    for train, test in _inner_folds(part):
        mean, deviation = standard(part.vectors[train])
        seen, unseen = ((part.vectors[rows] - mean) / deviation for rows in (train, test))
        for label in right.T:
            for i, (weights, bias) in enumerate(path(seen, label[train], _LOGISTIC_PENALTIES)):
                losses[i] += np.logaddexp(0, np.where(label[test], -1, 1) * (unseen @ weights + bias)).mean()
    penalty = _LOGISTIC_PENALTIES[int(losses.argmin())]
    mean, deviation = standard(part.vectors)
    fitted = [path((part.vectors - mean) / deviation, label, [penalty])[0] for label in right.T]
    return penalty, np.stack([weights for weights, _ in fitted]), np.array([bias for _, bias in fitted])


def compare_fit(nets: Sequence[str], count: int, rounds: int) -> None:
    """Prints a line for each net and kind of labels."""
    sounds, has = mixed(count)
    train, both, test = (np.arange(round(count * share)) for share in (0.68, 0.8, 1))
    test = test[len(both) :]
    print(f"{'net':<22}  {'labels':<8}  {'before':>7}  {'now':>7}  before / now", flush=True)
    for net in nets:
        extractor = hear_edgel3.load(net)
        found = [extractor.scene_embeddings(sounds[i : i + 50], sample_rate=_RATE) for i in range(0, count, 50)]
        vectors = torch.cat(found).numpy()
        for kind, targets in ((Kind.SEVERAL, has.astype(np.float32)), (Kind.SINGLE, has.argmax(axis=1))):
            parts = [
                Part(vectors[rows], targets[rows], None, rows // _CLASSES, kind, _CLASSES) for rows in (both, train)
            ]
            times = []
            for _ in range(rounds):
                begun = time.process_time()
                if kind is Kind.SEVERAL:
                    (penalty, weights, bias), _ = (one_after_the_other(part) for part in parts)
                else:
                    penalty, _ = (fit_linear(part).penalty for part in parts)
                between = time.process_time()
                fitted = fit_linear(parts[0])
                fit_linear(parts[1], fitted.penalty)
                times.append((between - begun, time.process_time() - between))
            before, now = np.median(times, axis=0)
            ratios = [first / second for first, second in times]
            print(
                f"{net:<22}  {kind:<8}  {before:5.1f} s  {now:5.1f} s  {np.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f})  penalty {penalty:g}, {fitted.penalty:g}",
                flush=True,
            )
            if kind is Kind.SEVERAL:
                mean, deviation = standard(parts[0].vectors)
                values, others = ((vectors[rows] - mean) / deviation for rows in (both, test))
                exact = LogisticRegression(C=1 / penalty, max_iter=10_000, tol=1e-9)
                wanted = np.stack([exact.fit(values, label).decision_function(others) for label in has[both].T], axis=1)
                off = (
                    np.abs(one - wanted).max()
                    for one in (others @ weights.T + bias, logits_of(fitted.head, vectors[test]))
                )
                print(
                    "  off the minimum by at most {:.1e} and {:.1e}, where logits are {:.1f}".format(*off, wanted.std())
                )


def speed(net: str, folder: Path, n: int) -> float:
    """The speed of fine-tuning as a share of that of a bare loop of forward and backward over ready spectrograms."""
    seconds, rate, size = 5.0, 32000, 16
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
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("heads", "tuned", "cost", "fit", "speed"))
    parser.add_argument("--nets", nargs="+", metavar="NAME")
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS), metavar="NAME")
    parser.add_argument("--state", type=Path, help="folder that trainings are kept in, to go on from")
    parser.add_argument("--cache", type=Path, help="folder that Debian packages are kept in")
    parser.add_argument("--clips", type=int, help="default 10000 for cost, 3000 for fit, 96 for speed")
    parser.add_argument("--rounds", type=int, default=3, help="of fit")
    parser.add_argument("--head", default="linear", choices=("linear", "mlp"))
    parser.add_argument("--options", type=json.loads, default={}, metavar="JSON", help="of training the net")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", AudioWarning)
    if arguments.what in ("heads", "tuned"):
        nets = arguments.nets or ["tiny", "mn04_as"]
        if arguments.what == "heads":
            compare_heads(nets, arguments.tasks, arguments.cache)
        else:
            with tempfile.TemporaryDirectory() as place:
                state = arguments.state or Path(place)
                compare_tuned(nets, arguments.tasks, arguments.cache, state, arguments.options)
    elif arguments.what == "cost":
        compare_cost(arguments.nets or ["tiny"], arguments.clips or 10_000, arguments.head)
    elif arguments.what == "fit":
        nets = arguments.nets or ["tiny_all_b_mel_avgs", "tiny_avg_time_pool"]
        compare_fit(nets, arguments.clips or 3000, arguments.rounds)
    else:
        with tempfile.TemporaryDirectory() as place:
            for net in arguments.nets or ["mn04_as"]:
                found = speed(net, Path(place) / net, arguments.clips or 96)
                print(f"{net}: {found:.2f} of the speed of a bare loop")


if __name__ == "__main__":
    main()
