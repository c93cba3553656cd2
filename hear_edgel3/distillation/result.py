"""The folder that a distillation leaves: weights, the row that describes them, and a card on how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import write_together
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.distillation.measuring import BY_SOURCE, GUESS
from hear_edgel3.distillation.recipe import PRUNED
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.registry import folder as local
from hear_edgel3.training.metrics import METRICS, is_other
from hear_edgel3.weights.file import encode_quantized, encode_sparse

WEIGHTS = "model.safetensors"
CARD = "README.md"
CURVES = "curves.png"
SOURCES = "SOURCES.json"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is said of a distilled net.

    Attributes:
        name: The name of the configuration.
        summary: One line for lists.
        family: The name of its family.
        architecture: The arguments of the family's architecture function.
        labels: The name of the list of its classes, or None.
        default_features: The words that choose its embedding.
        citation: What to cite.
        licence: The licence of the weights, in words.
        made: How it came about.
        embedding_version: The version of its numbers.
        notice: The licence in full of those whose weights are in it; empty if they are all its own.
    """

    name: str
    summary: str
    family: str
    architecture: Mapping[str, Any]
    labels: str | None
    default_features: str
    citation: str
    licence: str
    made: Mapping[str, Any]
    embedding_version: int = 1
    notice: str = ""


def write_result(
    folder: Path,
    description: Description,
    state: dict[str, torch.Tensor],
    sources: Sequence[Mapping[str, Any]] = (),
    curves: bytes | None = None,
    quantized: bool = False,
) -> None:
    """Writes the weights, a picture, the card and the description: all of them, or none, and an earlier net stays.

    Args:
        folder: A folder that exists.
        description: What to say of the net.
        state: The net's tensors.
        sources: What the audio was, as plain values.
        curves: A picture of the training, PNG.
        quantized: Whether to store weights in eight bits.

    Raises:
        OutputError: A file cannot be written.
    """
    name, made = description.name, description.made
    origin = {"configuration": name, "teacher": made["teacher"], "made_by": f"hear_edgel3 {__version__}"}
    data = encode_quantized(state, origin) if quantized else encode_sparse(state, origin)
    values = {
        "format": local.FORMAT,
        "name": name,
        "family": description.family,
        "summary": description.summary,
        "architecture": dict(description.architecture),
        "labels": description.labels,
        "default_features": description.default_features,
        "weights_file": WEIGHTS,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "licence": description.licence,
        "citation": description.citation,
        "embedding_version": description.embedding_version,
        "reported": {},
        "made": dict(made),
    }
    local.make_row(values, folder)  # that what is written can be read
    files = {WEIGHTS: data} if curves is None else {WEIGHTS: data, CURVES: curves}
    files[CARD] = card(values, sources, curves is not None, description.notice).encode()
    files[local.FILENAME] = (json_text(values, indent=1) + "\n").encode()
    # Curves that cannot be drawn now would be those of an earlier training.
    write_together(folder, files, without=[] if CURVES in files else [folder / CURVES])


def not_of_a_distillation(folder: Path) -> list[str]:
    """The files of a folder without a net that would be written over, and that no distillation has begun there.

    Args:
        folder: Where a distillation is to be written; it need not exist.
    """
    names = [name for name in (CARD, WEIGHTS, CURVES) if (folder / name).is_file()]
    return [*names, METRICS] if is_other(folder / METRICS) else names


def read_sources(inputs: Sequence[str]) -> list[Mapping[str, Any]]:
    """What the audio folders say of where their sounds come from, in files ``SOURCES.json``, where they have them.

    Such a file holds an object whose "sources" is a list of objects with name, version, licences, files and hours.

    Raises:
        ConfigurationError: such a file cannot be read.
    """
    found: list[Mapping[str, Any]] = []
    for folder in inputs:
        path = Path(folder) / SOURCES
        if path.is_file():
            try:
                found += [dict(source) for source in json.loads(path.read_text(encoding="utf-8"))["sources"]]
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise ConfigurationError(f"{path} is not a list of sources ({error}); mend it or remove it") from error
    return found


def card(
    description: Mapping[str, Any], sources: Sequence[Mapping[str, Any]], with_curves: bool, notice: str = ""
) -> str:
    """The training card, in Markdown."""
    made = description["made"]
    lines = [
        f"# {description['name']}",
        "",
        f"{description['summary']}. Licence of the weights: {description['licence']}.",
        "",
        *([f"{made['notice']}.", ""] if made.get("notice") else []),
        f"Distilled by hear_edgel3 {made['version']} from `{made['teacher']}` (weights sha256 "
        f"`{made['teacher_sha256']}`) on {made['hours']:.2f} hours of unlabelled audio from {made['files']} files, of "
        f"which {made['validation_files_percent']:.0f} % were held out{_sources(made)}. {_knows(made)}",
        "",
        "## How it was made",
        "",
        f"    {made['command']}" if made.get("command") else "    hear_edgel3.distill(...)",
        "",
        f"Seed {made['recipe']['seed']}, {made['epochs']} epochs (the best was {made['best_epoch']}), "
        f"{made['seconds'] / 60:.0f} minutes of training on {made['device']} ({_processes(made['processes'])}) with "
        f"torch {made['torch']}, after the teacher had been asked; options:",
        "",
        f"    {json_text(made['recipe'])}",
        "",
        "## How near it comes to its teacher",
        "",
        "With the weights as they are stored:",
        "",
        *_scores(made["scores"]),
        "",
        f"`r2` is the fraction of the variance of the teacher's embedding that is explained{_left_out(made)}, `cosine` "
        f"the mean cosine of embeddings. `top1_agreement` is the fraction of clips with the same most probable class, "
        f"`top1_in_five` of those whose most probable class for the teacher is among the student's five; "
        f"`probability_cosine` is the mean cosine of all probabilities, and `kl` the divergence from the teacher's, "
        f"per class. The guess is one and the same answer to every clip, the mean of what the teacher said of the "
        f"clips that were learnt from: where most of them are speech, it is often right. The curves are in "
        f"`metrics.csv`.",
        "",
    ]
    if with_curves:
        lines += [f"![curves]({CURVES})", ""]
    if notice:
        lines += [
            f"## The licence of {made['teacher']}",
            "",
            *(f"> {line}".rstrip() for line in notice.split("\n")),
            "",
        ]
    if sources:
        lines += ["## Audio", "", "| source | version | hours | files | licences |", "|---|---|---|---|---|"]
        lines += [
            *_table(sources, made.get("held_out_sources", ())),
            "",
            "Hours are of the files; at most a few clips were taken of each.",
            "",
        ]
    return "\n".join(lines)


def _scores(scores: Mapping[str, float]) -> list[str]:
    """A table of figures: a line per figure, and a column per kind of clip."""
    columns = {
        "": "held-out files",
        GUESS: "a constant guess there",
        BY_SOURCE: "held-out sources",
        BY_SOURCE + GUESS: "a constant guess there",
    }
    columns = {key: title for key, title in columns.items() if any(_place(name)[0] == key for name in scores)}
    lines = [" | ".join(["| ", *columns.values()]) + " |", "|" + "---|" * (1 + len(columns))]
    for figure in dict.fromkeys(_place(name)[1] for name in scores):
        values = [scores.get(prefix + figure) for prefix in columns]
        lines.append(" | ".join([f"| {figure}", *("" if v is None else f"{v:.4g}" for v in values)]) + " |")
    return lines


def _place(name: str) -> tuple[str, str]:
    """What stands before the name of a figure, and the rest."""
    prefix = next((found for found in (BY_SOURCE + GUESS, BY_SOURCE, GUESS) if name.startswith(found)), "")
    return prefix, name.removeprefix(prefix)


def _sources(made: Mapping[str, Any]) -> str:
    held_out = made.get("held_out_sources")
    return f", and {len(held_out)} of {made['sources']} sources as wholes ({', '.join(held_out)})" if held_out else ""


def _knows(made: Mapping[str, Any]) -> str:
    """Where what the net knows comes from."""
    if made["recipe"]["student"] == PRUNED:
        return (
            "It began as its teacher with channels left out, so it knows what these weights had learnt; then it "
            "learned what the teacher said of these sounds. No labels were used."
        )
    return (
        "It knows what the teacher said of these sounds, and nothing else: it was not trained on AudioSet or any other "
        "labelled set."
    )


def _left_out(made: Mapping[str, Any]) -> str:
    own = made["recipe"].get("embedding") == "own"
    return " (by the approximation that served in training and is left out of these weights)" if own else ""


def _processes(count: int) -> str:
    return "one process" if count == 1 else f"{count} processes, by torchrun"


def _table(sources: Sequence[Mapping[str, Any]], held_out: Sequence[str]) -> list[str]:
    """A line per source; what it does not say is left empty, and what nothing was learnt from is marked."""
    lines = []
    for source in sources:
        licences = source.get("licences") or ""
        words = ", ".join(map(str, licences)) if isinstance(licences, (list, tuple)) else str(licences)
        name = source.get("name")
        name = f"{name} (held out)" if name in held_out else name
        said = [name, *(source.get(key) for key in ("version", "hours", "files"))]
        cells = ["" if value is None else str(value) for value in said]
        lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in [*cells, words]) + " |")
    return lines
