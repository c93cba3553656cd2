"""``hear-edgel3 info``: everything known about one configuration."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.engine.expected import expected
from hear_edgel3.errors import ConfigurationError, WeightsCorrupt, WeightsMismatch
from hear_edgel3.exporting.targets import MODULES, fixed_s_of, target_of, target_of_file
from hear_edgel3.extractor.complexity import complexity_of
from hear_edgel3.extractor.contract import contract_of
from hear_edgel3.families.schema import Checkpoint, Component, Local, Published
from hear_edgel3.families.table import settings_of
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.header import provenance, quantization
from hear_edgel3.weights.locate import at_hand, origin

_TARGETS = {
    "single": "one class is right: softmax",
    "several": "any number of classes is right: sigmoid",
    "numbers": "numbers are guessed",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "info",
        help="describe a configuration",
        description="Describes a configuration: timestamps, size, cost in operations and memory, licence, citation, "
        "and where its weights come from. Of what `export` wrote: what is in it.",
    )
    options.add_name(parser, "NAME|FOLDER|FILE", "as `hear-edgel3 list` shows it, a folder, or what `export` wrote")
    options.add_json(parser, "print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the description."""
    target = target_of_file(arguments.name)
    if target is None and os.path.isfile(arguments.name):
        endings = ", ".join(dict.fromkeys(one.SUFFIX for one in map(target_of, MODULES) if not one.FOLDER))
        raise ConfigurationError(
            f"{arguments.name} is a file, but none that `hear-edgel3 export` writes: those end in {endings}"
        )
    facts = describe(arguments.name) if target is None else describe_file(arguments.name, target)
    if arguments.json:
        put(json_text(facts, indent=1))
        return 0
    readable = _readable_configuration(facts) if target is None else _readable_file(facts)
    for key, value in readable.items():
        if isinstance(value, dict):
            put(f"{key.replace('_', ' ')}:")
            width = max([19, *map(len, value)])
            for inner, inner_value in value.items():
                put(f"  {inner.replace('_', ' '):<{width}}  {inner_value}")
        elif value is not None:
            put(f"{key.replace('_', ' '):<22} {value}")
    return 0


def _readable_configuration(facts: dict[str, Any]) -> dict[str, Any]:
    size = f"{facts['size_mb']} in memory, as float32"
    detector = _readable_detector(facts["detector"])
    settings = None if facts["settings"] is None else ", ".join(f"{k} {v:g}" for k, v in facts["settings"].items())
    return {**facts, "size_mb": size, "settings": settings, "complexity": _readable(facts), "detector": detector}


def _readable(facts: dict[str, Any]) -> dict[str, str]:
    """The figures of ``complexity`` in sentences with units; sizes are decimal, 1 MB is a million bytes."""
    costs, timestamps = facts["complexity"], facts["timestamps"]
    if "macs_1s" not in costs:
        return {"MACs, one pass over 10 s": f"{_billions(costs['macs_10s'])} of the whole net"}
    lines = {}
    for seconds in ("1s", "10s"):
        whole, features = costs[f"macs_{seconds}"], costs[f"macs_features_{seconds}"]
        part = "" if features == whole else f", {_billions(features)} of them for these features"
        lines[f"MACs, one pass over {seconds[:-1]} s"] = f"{_billions(whole)} of the whole net{part}"
    window, longest = timestamps["window_ms"], costs["memory_input_ms"]
    lines["MACs of a scene embedding of 10 s"] = (
        f"{_billions(costs['macs_scene_10s'])} for these features, by the rule of scene above"
    )
    lines["MACs of timestamp embeddings"] = (
        f"{_billions(costs['macs_timestamps_1s'])} per second of audio: {_billions(costs['macs_window'])} for a window "
        f"of {window:g} ms every {timestamps['hop_ms']:g} ms"
    )
    lines["receptive field"] = (
        f"{costs['receptive_field_frames']} frames ({costs['receptive_field_ms']:.0f} ms) by "
        f"{costs['receptive_field_bands']} of {costs['mel_bands']} mel bands for each value before global pooling; "
        "that and any squeeze-and-excitation see all of the window or clip"
    )
    for length, key in {longest: "memory", window: "memory_window"}.items():
        lines[f"memory for {length / 1000:g} s"] = (
            f"{_megabytes(costs[key + '_fp32'])} in fp32, {_megabytes(costs[key + '_fp16'])} in fp16: peak of "
            f"activations of one {'window' if length == window else 'clip'}, without parameters and front end"
        )
    return lines


def _readable_detector(detector: dict[str, Any] | None) -> dict[str, str] | None:
    """What is known of classes of somebody's own, in words."""
    if detector is None:
        return None
    names, thresholds = detector["classes"], detector["thresholds"]
    what = "numbers" if detector["targets"] == "numbers" else "classes"
    lines = {"targets": _TARGETS[detector["targets"]], what: f"{len(names)}: {', '.join(names)}"}
    head = detector["head"]
    if head is not None:
        hidden = f", a hidden layer of {head['units']} with {head['activation']}" if head["units"] else ""
        scaled = ", after standardising" if head["standardize"] else ""
        lines["head"] = f"{head['kind']}, from {head['inputs']} values to {head['outputs']}{hidden}{scaled}"
    else:
        lines["head"] = "none: the net's own classifier"
    if what == "classes":
        lines["temperature"] = f"{detector['temperature']:.4g}"
        lines["thresholds"] = (
            "none"
            if thresholds is None
            else ", ".join(
                f"{name} {'none' if least is None else f'{least:.3g}'}"
                for name, least in zip(names, thresholds, strict=True)
            )
        )
    return lines


def _billions(count: int) -> str:
    return f"{count / 1e9:.4g} G"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"


def describe(name: str) -> dict[str, Any]:
    """What is known about a configuration, as plain values.

    Raises:
        UnknownConfiguration: there is no such name.
    """
    configuration = resolve(name)
    row = configuration.checkpoint
    engine = expected(configuration.kernels, row.zeros)
    costs = complexity_of(configuration)
    return {
        "name": configuration.name,
        "family": row.family,
        "summary": row.summary,
        "embedding_size": configuration.embedding_size,
        "features": configuration.features.description or None,
        "settings": _settings(row) or None,
        "embedding_version": row.embedding_version,
        "parameters": row.n_parameters,
        "size_mb": round(4 * row.n_parameters / 1e6, 2),
        "engine": engine.name,
        "engine_reason": engine.reason,
        "timestamps": contract_of(configuration).to_dict(),
        "complexity": {"parameters": row.n_parameters, "macs_10s": row.macs_10s} if costs is None else costs.to_dict(),
        "detector": _detector(row),
        **_origin(row),
    }


def _settings(row: Checkpoint) -> dict[str, Any]:
    """What changes results and stands in no tensor, also of the net that a head is on."""
    inside = row.net.arguments.get("net")
    return settings_of(replace(row, net=inside) if isinstance(inside, Component) else row)


def describe_file(path: str, target: str) -> dict[str, Any]:
    """What an exported file consists of and costs, and what it says of itself, as plain values.

    Raises:
        ConfigurationError: It is not a file that was exported here, or damaged.
        MissingExtra: What reads it is not installed.
    """
    file, module = Path(path), target_of(target)
    card = module.read_card(file)
    return {"file": path, "target": target, "bytes": module.size_of(file), **module.describe(file, card), "card": card}


def _readable_file(facts: dict[str, Any]) -> dict[str, Any]:
    card = facts["card"]
    outputs = {name: " x ".join(map(_any_or, shape)) for name, shape in card["outputs"].items()}
    labels = card.get("labels")
    return {
        "file": facts["file"],
        "target": facts["target"],
        "name": card["name"],
        "part": card["part"],
        "takes": _taken(card, "n" if fixed_s_of(target_of(facts["target"])) is None else "1"),
        "puts_out": outputs,
        "classes": None if labels is None else f"{len(labels)}: {', '.join(labels[:3])}{', ...' if labels[3:] else ''}",
        "size": _megabytes(facts["bytes"]),
        "in_eight_bits": _in_eight_bits(card.get("quantization")),
        "parameters": facts["parameters"],
        "macs": f"{_billions(facts['macs_window'])} for a window of {facts['window_samples']} samples",
        "operators": facts["operators"],
        "timestamps": card["contract"],
        "licence": card["licence"],
        "citation": card["citation"],
        "weights_sha256": card["weights_sha256"],
        "embedding_version": card["embedding_version"],
        "exported_by": f"hear_edgel3 {card['version']}",
    }


def _taken(card: dict[str, Any], at_once: str) -> str:
    """The shape of what a file is given, and what that is."""
    shape = card.get("input_shape")
    behind = "..." if shape is None else ", ".join(map(_any_or, shape))
    takes = "of any length" if card["length"] is None else f"of {card['length']} samples each"
    said = f"samples at {card['sample_rate']} Hz, windows {takes}"
    if card["input"] == "spectrogram":
        said = f"images of the front end, of windows {takes}"
        if shape is not None and card["length"] is None:
            example = [card["frames"] if n is None else n for n in shape]
            said += f"; {' x '.join(map(str, example))} of {card['window']} samples at {card['sample_rate']} Hz"
    return f"({at_once}, {behind}) float32: {said}"


def _any_or(n: int | None) -> str:
    return "any" if n is None else str(n)


def _in_eight_bits(quantization: dict[str, Any] | None) -> str | None:
    if quantization is None:
        return None
    return "weights" if quantization["method"] == "weights" else "weights and activations of convolutions"


def _detector(row: Checkpoint) -> dict[str, Any] | None:
    """What a folder says of classes of somebody's own."""
    if not isinstance(row, Local) or not row.classes:
        return None
    return {
        "classes": list(row.classes),
        "targets": row.targets,
        "head": None if row.head is None else row.head.to_dict(),
        "head_features": row.default_features if row.head is not None else None,
        "temperature": row.temperature,
        "thresholds": None if row.thresholds is None else list(row.thresholds),
    }


def _origin(row: Checkpoint) -> dict[str, Any]:
    """What is known of where a checkpoint comes from."""
    common = {"reported": dict(row.reported) or None, "citation": row.citation}
    if isinstance(row, Local):
        made = {key: value for key, value in row.made.items() if not isinstance(value, dict) and value is not None}
        scores = row.made.get("scores") or None
        weights = {"from": origin(row), "sha256": row.weights_sha256, **_stored(row)}
        return {"licence": row.licence, "project": None, **common, "weights": weights, "made": made, "scores": scores}
    assert isinstance(row, Published)
    return {
        "licence": f"{row.upstream.licence}, {row.upstream.copyright}",
        "project": row.upstream.project,
        **common,
        "weights": {
            "from": origin(row),
            "hub_repository": row.hub.repo_id,
            "hub_revision": row.hub.revision or "not published yet",
            "upstream_file": row.upstream.url,
            "upstream_git_blob": row.upstream.git_blob or "not known",
            **{f"upstream_{name}": value for name, value in row.upstream.checksums.items() if name != "git_blob"},
            **_stored(row),
        },
    }


def _stored(row: Checkpoint) -> dict[str, Any]:
    """The size of the weights file on this machine, and how its values are stored, if not as floating point."""
    path = at_hand(row)
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            found = quantization(provenance(file), path.name)
            stored = {"stored_mb": round(os.fstat(file.fileno()).st_size / 1e6, 2)}
    except (OSError, WeightsCorrupt, WeightsMismatch) as error:
        return {"stored_as": f"cannot be read: {error}"}
    if found is None:
        return stored
    # The same values, their zeros left out; or others.
    computed = "and computed with as float32" if found.int8 else "the same values without their zeros"
    return {**stored, "stored_as": f"{found.in_words}, {computed}"}
