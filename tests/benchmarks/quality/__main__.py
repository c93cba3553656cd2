"""Quality of embeddings: linear probes on three real labelled tasks, all nets in one run.

    python -m tests.benchmarks.quality [--cache DIR] [--weights DIR] [--nets NAME ...] [--plot quality.svg]
    python -m tests.benchmarks.quality tasks OUTPUT [--task drums]
    python -m tests.benchmarks.quality int8 [--nets NAME ...] [--weights DIR]

The first prints balanced accuracies with 95 % confidence intervals, and what each net costs. NAME is "mel" (mean and
standard deviation of a log-mel spectrogram), "random" (the built-in net's architecture before training), a
configuration ("mn04_as", "mn04_as_clf1"), a folder that `hear-edgel3 distill` has made, or a peer ("aisfx",
"openwakeword", "resemblyzer": peers.py says how to install them). "NAME+linear" and "NAME+mlp" have heads that
`hear-edgel3 train` makes on the net in place of the probe, on the same folds. A net that cannot run is listed with the
reason. Debian packages that the cache lacks are downloaded. With --agreement DIR it also tells how often the built-in
net and its teacher name the same class first in the audio below DIR, which should be audio that was not trained on.

The second writes the tasks as folders that heareval reads, at 16000, 32000 and 48000 Hz. The third tells what
eight bits cost: before and after `hear-edgel3 export --quantize int8`.

Needs the extra `quality`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.errors import HearEdgeL3Error, MissingExtra
from hear_edgel3.tagging.plot import check_plot
from hear_edgel3.tagging.tagger import Tagger
from tests.benchmarks.quality import agreement, figure, int8, nets
from tests.benchmarks.quality.hear_folder import write_task
from tests.benchmarks.quality.peers import PEERS
from tests.benchmarks.quality.scores import Row, table
from tests.benchmarks.quality.tasks import TASKS
from tests.benchmarks.quality.trained import Trained, is_trained

_TEACHER = "mn04_as"
_DEFAULT = (nets.BASELINE, nets.RANDOM, nets.BUILT_IN, _TEACHER, "sea_64", "image_effnet_lite0", *PEERS)


def compare(
    names: Sequence[str], tasks: Sequence[str], cache: Path | None, weights: Path | None
) -> tuple[list[Row], list[str]]:
    """Runs nets on tasks.

    Args:
        names: of nets.
        tasks: names of tasks.
        cache: folder with Debian packages, None for the usual one.
        weights: folder that may hold weights.

    Returns:
        The rows of those that ran, and a line for each that did not.
    """
    made: dict[str, Sequence[nets.Net | Trained]] = {}
    rows: dict[str, Row] = {}
    missing: list[str] = []
    for name in names:
        try:
            made[name] = [Trained(name, weights)] if is_trained(name) else nets.make(name, weights, PEERS)
            rows[name] = Row(made[name][0].name, made[name][0].parameters, made[name][0].macs)
        except Exception as error:  # whatever a peer may raise
            missing.append(f"{name}: not run: {_reason(error)}")
    for seed, task in enumerate(tasks if made else ()):
        clips = TASKS[task].clips(cache)
        print(
            f"{task}: {len(clips.labels)} clips, {len(set(clips.labels))} classes, {len(set(clips.groups))} groups, "
            f"{len(set(clips.folds))} folds",
            file=sys.stderr,
            flush=True,
        )
        for name in list(made):
            try:
                rows[name].add(task, seed, clips, made[name])
            except Exception as error:
                missing.append(f"{name}: not run: {_reason(error)}")
                del made[name], rows[name]
    return list(rows.values()), missing


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["tasks"]:
        _write_tasks(sys.argv[2:])
        return
    if sys.argv[1:2] == ["int8"]:
        _compare_int8(sys.argv[2:])
        return
    parser = _parser()
    parser.add_argument("--weights", type=Path, help="folder with <name>.safetensors, looked into first")
    parser.add_argument("--nets", nargs="*", metavar="NAME", default=_DEFAULT)
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    parser.add_argument("--plot", type=Path, help="picture to draw, .png, .pdf or .svg")
    parser.add_argument(
        "--agreement", type=Path, metavar="DIR", help="compare first tags of --student and --teacher on audio in DIR"
    )
    parser.add_argument("--student", default=nets.BUILT_IN, metavar="NAME")
    parser.add_argument("--teacher", default=_TEACHER, metavar="NAME")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("probing embeddings", "scikit-learn", "quality")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    rows, missing = compare(arguments.nets, arguments.task, arguments.cache, arguments.weights)
    if rows:
        print(f"balanced accuracy [95 % confidence interval]\n{table(rows)}")
    print("".join(f"{line}\n" for line in missing), end="")
    if arguments.markdown is not None:
        with atomic_write(arguments.markdown) as file:
            file.write("\n".join([table(rows, markdown=True), "", *missing, ""]).encode())
    if arguments.plot is not None and rows:
        figure.draw(rows, arguments.plot)
    if arguments.agreement is not None:
        student, teacher = (_tagger(name, arguments.weights) for name in (arguments.student, arguments.teacher))
        found = agreement.measure(student, teacher, arguments.agreement)
        print(f"{arguments.student} and {arguments.teacher}: {found}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that Debian packages are kept in")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=1)
    return parser


def _write_tasks(argv: Sequence[str]) -> None:
    parser = _parser()
    parser.add_argument("output", type=Path, help="folder for the tasks' folders")
    parser.add_argument("--full-grid", action="store_true", help="leave heareval's own grid of hyperparameters alone")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    for name in arguments.task:
        folder, written = write_task(name, TASKS[name].clips(arguments.cache), arguments.output, arguments.full_grid)
        print(f"{folder}{'' if written else '  (was there)'}")


def _compare_int8(argv: Sequence[str]) -> None:
    parser = _parser()
    parser.add_argument("--weights", type=Path, help="folder with <name>.safetensors, looked into first")
    parser.add_argument("--nets", nargs="+", metavar="NAME", default=int8.NAMES)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    pairs = int8.compare(arguments.nets, arguments.task, arguments.cache, arguments.weights)
    print(f"balanced accuracy, and what it gained in points [95 % confidence interval]\n{int8.table(pairs)}")


def _tagger(name: str, weights: Path | None) -> Tagger:
    return Tagger(name, nets.weights_file(name, weights))


if __name__ == "__main__":
    try:
        main()
    except HearEdgeL3Error as error:
        sys.exit(f"error: {error}")
