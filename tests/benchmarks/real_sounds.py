"""How far small nets say of recordings what a larger one says: on sounds that none of them was made with.

    python -m tests.benchmarks.real_sounds TEACHER[=WEIGHTS] NET[=WEIGHTS] ... --audio FILE|FOLDER ...

For each net: the share of recordings whose most probable class is the teacher's, the share where the teacher's is among
its five, the mean cosine of the probabilities of all classes, and the mean binary cross-entropy per class above the
teacher's own entropy (KL, x 1e-3). The first ten seconds of each recording are heard. A last line is a constant guess:
the teacher's mean probabilities over all the recordings, which is more than any net can know beforehand.

--unsure prints, for the first net, how often it is wrong where its most probable class has less than some probability,
and where it has more: `hear-edgel3 tag` speaks of better nets by that rule. --card FILE writes what the first net is
good and bad at as a section of its card, with examples; kinds of sound are the folders below those given, or the first
words of the files' names (`animals_cow.flac`). --at-most N takes so many recordings of each kind, evenly spread.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli.doubts import UNSURE_BELOW
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.sources.lister import list_items
from hear_edgel3.tagging.tagger import Tagger

_SECONDS = 10.0
_SHORTEST = 0.3
_STEPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_EXAMPLES = 8


@dataclass(frozen=True)
class Recording:
    """The beginning of a file.

    Attributes:
        name: The file's name.
        kind: What kind of sound it is.
        samples: (n_samples,) or (n_samples, channels).
        rate: In Hz.
    """

    name: str
    kind: str
    samples: torch.Tensor
    rate: int


def kind_of(file: str, roots: Sequence[str]) -> str:
    """The first folder below the one that was given; else the first word of the file's name, if it has several."""
    path = Path(file)
    for root in map(Path, roots):
        if path.is_relative_to(root) and len(inside := path.relative_to(root).parts) > 1:
            return inside[0]
    word, underscore, _ = path.stem.partition("_")
    return word if underscore else "others"


def heard(paths: list[str], at_most: int | None = None) -> list[Recording]:
    """The recordings; those that are shorter than a word are left out."""
    files: dict[str, list[str]] = {}
    for item in list_items(paths).items:
        files.setdefault(kind_of(item.file, paths), []).append(item.file)
    found = []
    for kind, names in files.items():
        n = len(names) if at_most is None else min(at_most, len(names))
        for i in range(n):
            name = names[i * len(names) // n]
            with AudioFile(name) as file:
                if file.duration >= _SHORTEST:
                    sound = file.stretch(0.0, min(_SECONDS, file.duration))
                    found.append(Recording(Path(name).name, kind, sound, file.sample_rate))
    if not found:
        raise InvalidAudio(f"there is no recording of {_SHORTEST:g} s or more in {', '.join(paths)}")
    return found


def probabilities(name: str, sounds: list[Recording]) -> torch.Tensor:
    """(n, n_classes) of one net, float64."""
    tagger = _tagger(name)
    rows = [tagger.tag_samples(sound.samples.numpy(), sound.rate).probabilities.mean(axis=0) for sound in sounds]
    return torch.tensor(np.stack(rows), dtype=torch.float64)


def _tagger(name: str) -> Tagger:
    configuration, _, weights = name.partition("=")
    return Tagger(configuration, weights or None)


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


def doubt(wanted: torch.Tensor, found: torch.Tensor, below: float) -> tuple[float, float, float]:
    """How telling it is that no class is as probable as that.

    Returns:
        The share of the recordings of which that is so, and the share of another first class than the teacher's among
        them and among the others (NaN where there are none).
    """
    unsure = found.amax(dim=1) < below
    wrong = (found.argmax(dim=1) != wanted.argmax(dim=1)).double()
    return float(unsure.double().mean()), float(wrong[unsure].mean()), float(wrong[~unsure].mean())


def doubts_table(wanted: torch.Tensor, found: torch.Tensor) -> str:
    """A line per probability; that of the command is in bold."""
    lines = ["| first class below | recordings | another one than the teacher's | if not below |", "|---|---|---|---|"]
    for below in _STEPS:
        share, wrong, right = (f"{100 * value:.0f} %" for value in doubt(wanted, found, below))
        mark = "**" if below == UNSURE_BELOW else ""
        lines.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in (f"{below:g}", share, wrong, right)) + " |")
    return "\n".join(lines).replace("nan %", "-")


def section(
    teacher: str, sounds: Sequence[Recording], wanted: torch.Tensor, found: torch.Tensor, labels: Sequence[str]
) -> str:
    """What a net is good and bad at, as a section of its card."""
    kinds: dict[str, list[int]] = {}
    for i, sound in enumerate(sounds):
        kinds.setdefault(sound.kind, []).append(i)
    lines = [
        "## What it is good and bad at",
        "",
        f"{len(sounds)} recordings that it was not made with (their first {_SECONDS:g} s), beside what {teacher} says "
        "of them: the share of the same most probable class, the share where the teacher's is among its five, and the "
        "mean cosine of all probabilities. Few recordings of a kind say little about the kind.",
        "",
        "| kind | recordings | same first | in its five | cosine |",
        "|---|---|---|---|---|",
    ]
    for kind, rows in [*sorted(kinds.items()), ("all", list(range(len(sounds))))]:
        scores = compare(wanted[rows], found[rows])
        cells = [kind, str(len(rows)), *(f"{scores[key]:.2f}" for key in ("top", "in five", "cosine"))]
        lines.append("| " + " | ".join(cells) + " |")
    share, wrong, right = doubt(wanted, found, UNSURE_BELOW)
    lines += [
        "",
        f"Where its most probable class has less than {UNSURE_BELOW:g} ({100 * share:.0f} % of them), the teacher's is "
        f"another in {100 * wrong:.0f} %; else in {100 * right:.0f} %.".replace("nan %", "none"),
        "",
    ]
    top = found.argmax(dim=1)
    same = top == wanted.argmax(dim=1)
    for title, those in (("Right", same), ("Wrong", ~same)):
        chosen = sorted(np.flatnonzero(those.numpy()), key=lambda i: -float(found[i].amax()))[:_EXAMPLES]
        lines += [f"{title}, of what it was surest of:", ""] if chosen else []
        for i in chosen:
            said = f"{labels[int(top[i])]} ({float(found[i].amax()):.2f})"
            heard_by = int(wanted[i].argmax())
            theirs = f"{labels[heard_by]} ({float(wanted[i].amax()):.2f})"
            lines.append(f"- `{sounds[i].name}`: {said}; the teacher: {theirs}")
        lines += [""] if chosen else []
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--audio", nargs="+", required=True)
    parser.add_argument("--at-most", type=int, metavar="N", help="of each kind of sound")
    parser.add_argument("--each", action="store_true", help="print the most probable classes of each recording")
    parser.add_argument(
        "--unsure", action="store_true", help="print how often the first net is wrong where it is unsure"
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="write a section for the first net's card")
    arguments = parser.parse_args()
    sounds = heard(arguments.audio, arguments.at_most)
    wanted = probabilities(arguments.teacher, sounds)
    print(f"{len(sounds)} recordings\n\n| | top tag | in five | cosine | KL x 1e-3 |\n|---|---|---|---|---|")
    everything = {name: probabilities(name, sounds) for name in arguments.nets}
    first = everything[arguments.nets[0]]
    everything["constant"] = wanted.mean(dim=0).expand_as(wanted)
    for name, found in everything.items():
        scores = compare(wanted, found)
        cells = [f"{scores[key]:.3f}" for key in ("top", "in five", "cosine", "KL")]
        print("| " + " | ".join([Path(name.partition("=")[0]).name, *cells]) + " |")
    if arguments.unsure:
        print(f"\n{doubts_table(wanted, first)}")
    labels = [label.name for label in _tagger(arguments.teacher).labels]
    if arguments.each:
        for i, sound in enumerate(sounds):
            tops = [labels[int(table[i].argmax())] for table in (wanted, *everything.values())]
            print(f"{sound.name}: {' | '.join(tops[:-1])}")
    if arguments.card is not None:
        teacher = Path(arguments.teacher.partition("=")[0]).name
        arguments.card.write_text(section(teacher, sounds, wanted, first, labels), encoding="utf-8")


if __name__ == "__main__":
    main()
