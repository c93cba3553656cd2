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
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.registry import folder as local
from hear_edgel3.weights.file import encode, encode_quantized

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
    """Writes the weights, then the description that names them, then the card.

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
    data = encode_quantized(state, origin) if quantized else encode(state, origin)
    with atomic_write(folder / WEIGHTS) as file:
        file.write(data)
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
    with atomic_write(folder / local.FILENAME) as file:
        file.write((json_text(values, indent=1) + "\n").encode())
    if curves is not None:
        with atomic_write(folder / CURVES) as file:
            file.write(curves)
    with atomic_write(folder / CARD) as file:
        file.write(card(values, sources, curves is not None, description.notice).encode())


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
    scores = "\n".join(f"| {key} | {value:.4g} |" for key, value in made["scores"].items())
    lines = [
        f"# {description['name']}",
        "",
        f"{description['summary']}. Licence of the weights: {description['licence']}.",
        "",
        *([f"{made['notice']}.", ""] if made.get("notice") else []),
        f"Distilled by hear_edgel3 {made['version']} from `{made['teacher']}` (weights sha256 "
        f"`{made['teacher_sha256']}`) on {made['hours']:.2f} hours of unlabelled audio from {made['files']} files, of "
        f"which {made['validation_files_percent']:.0f} % were held out. It knows what the teacher said of these "
        f"sounds, and nothing else: it was not trained on AudioSet or any other labelled set.",
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
        "On the held-out files, with the weights as they are stored:",
        "",
        "| | |",
        "|---|---|",
        scores,
        "",
        f"`r2` is the fraction of the variance of the teacher's embedding that is explained{_left_out(made)}, "
        f"`top1_agreement` the fraction of clips with the same most probable class. The curves are in `metrics.csv`.",
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
        lines += [*_table(sources), "", "Hours are of the files; at most a few clips were taken of each.", ""]
    return "\n".join(lines)


def _left_out(made: Mapping[str, Any]) -> str:
    own = made["recipe"].get("embedding") == "own"
    return " (by the approximation that served in training and is left out of these weights)" if own else ""


def _processes(count: int) -> str:
    return "one process" if count == 1 else f"{count} processes, by torchrun"


def _table(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line per source; what it does not say is left empty."""
    lines = []
    for source in sources:
        licences = source.get("licences") or ""
        words = ", ".join(map(str, licences)) if isinstance(licences, (list, tuple)) else str(licences)
        said = [source.get(key) for key in ("name", "version", "hours", "files")]
        cells = ["" if value is None else str(value) for value in said]
        lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in [*cells, words]) + " |")
    return lines
