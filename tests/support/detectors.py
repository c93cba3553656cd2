"""Small folders of detectors, as ``hear-edgel3 train`` leaves them: a net, perhaps a head, and classes of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.registry import folder as local
from hear_edgel3.weights.file import encode, read_tensors
from support import dymn_files, signals, synthetic
from support.folders import DYMN, L3, MOBILENETV3

TINY = Path(local.__file__).parents[1] / "checkpoints" / "tiny"
CLASSES = ("dog", "cat", "a bell, far away")
# The rates of the nets of `detector`, by what it calls them.
RATES = {"tiny": 32000, "sea_64": 8000, "small": 32000, "small_l3": 8000, "small_dymn": 32000, "own": 32000}


def base_of(kind: str, gain: float = dymn_files.GAIN, **changes: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What ``configuration.json`` says of a net, and its state.

    Args:
        kind: "tiny" (the built-in one), "sea_64" (seeded weights), "small", "small_l3" and "small_dymn" (a small one of
            each family), or "own" (a small one whose classifier has the classes).
        gain: Of the weights of a DyMN: with more of it more depends on the sound, and roundings grow.
        changes: Of the architecture of a small one.
    """
    common = {"format": 1, "summary": "a detector", "licence": "CC0", "citation": "nobody", "labels": None}
    if kind == "tiny":
        values = json.loads((TINY / "configuration.json").read_text())
        kept = {key: values[key] for key in ("family", "architecture", "default_features")}
        return {**common, **kept}, read_tensors(TINY / "model.safetensors")[0]
    if kind == "sea_64":
        row = synthetic.row("sea_64")
        front = row.frontend.arguments
        shape = {**row.net.arguments, **front, "channels": list(row.net.arguments["channels"])}
        return {**common, "family": "l3", "architecture": shape}, synthetic.state("sea_64")
    families = {"small_l3": ("l3", L3), "small_dymn": ("dymn", DYMN)}
    family, shape = families.get(kind, ("mobilenetv3", MOBILENETV3))
    if kind == "own":
        shape = {**shape, "n_classes": len(CLASSES)}
    shape = {**shape, **changes}
    values = {**common, "family": family, "architecture": shape}
    row = local.make_row({**values, "name": "x", "weights_file": "x", "weights_sha256": "0" * 64}, Path("x"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net: Any = row.net.build()
        if family == "dymn":
            net.load_state_dict(dymn_files.seeded(net, gain=gain))
        else:
            _hear(net, row)
    return values, net.state_dict()


def write_net(
    folder: Path, kind: str = "small_dymn", words: str = "", gain: float = dymn_files.GAIN, **architecture: Any
) -> Path:
    """Writes a net of a kind of `base_of`, with AudioSet's classes, without a head or classes of its own."""
    folder.mkdir(parents=True)
    values, state = base_of(kind, gain, **architecture)
    weights = folder / "model.safetensors"
    weights.write_bytes(encode(dict(state), {"configuration": "small"}))
    labels = "audioset" if values["architecture"].get("n_classes") else None
    values |= {"name": "small", "labels": labels, "default_features": words, "weights_file": weights.name}
    (folder / "configuration.json").write_text(json.dumps({**values, "weights_sha256": sha256_of(weights)}))
    return folder


def _hear(net: Any, row: Any) -> None:
    """Has what it puts out depend on the sound, as fresh weights all but do not."""
    images = row.frontend.build().eval()(torch.from_numpy(signals.windows(row.net_sample_rate)))
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        net.train()(images)
        last = getattr(net, "classifier", [None])[-1]
        if isinstance(last, torch.nn.Linear):
            last.weight /= net.eval()(images).std()
            last.bias.normal_()


def write_detector(
    folder: Path,
    kind: str = "small",
    targets: str = "single",
    classes: tuple[str, ...] = CLASSES,
    words: str = "",
    mlp: bool = False,
    name: str = "mine",
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Writes a detector.

    Args:
        folder: To write it to.
        kind: As for `base_of`.
        targets: What its outputs are.
        classes: Their names.
        words: Of the embedding that the head is on.
        mlp: Whether the head is an mlp that standardises.
        name: What it is called.
        seed: Of the head.
        changes: Other values of ``configuration.json``.
    """
    folder.mkdir(parents=True)
    values, state = base_of(kind)
    values |= {"name": name, "weights_file": "model.safetensors", "weights_sha256": "0" * 64}
    values |= {"classes": list(classes), "targets": targets, "head": None}
    if kind != "own":
        plain = {key: value for key, value in values.items() if key not in ("classes", "targets", "head")}
        row = local.make_row(plain, folder)
        layout = _layout(row.vocabulary.read(row, words).size, len(classes), mlp)
        head = _seeded(layout, row, state, words, seed)
        values["head"] = {"layout": layout.to_dict(), "words": words}
        state = {
            **{f"net.{key}": value for key, value in state.items()},
            **{f"head.{key}": value for key, value in head.state_dict().items()},
        }
    weights = folder / "model.safetensors"
    weights.write_bytes(encode(dict(state), {"configuration": name}))
    values = {**values, "weights_sha256": sha256_of(weights), **changes}
    (folder / "configuration.json").write_text(json.dumps(values))
    return folder


def _layout(inputs: int, outputs: int, mlp: bool) -> HeadLayout:
    if mlp:
        return HeadLayout("mlp", inputs, outputs, 6, "arelu", 0.25, standardize=True)
    return HeadLayout("linear", inputs, outputs)


def _seeded(layout: HeadLayout, row: Any, state: dict[str, torch.Tensor], words: str, seed: int) -> Head:
    """A head whose outputs are of scale 1 and depend on the sound."""
    head = make_head(layout, seed)
    features = row.vocabulary.read(row, words)
    net = row.net.make(**{**row.net.arguments, **features.arguments})
    net.load_state_dict(state)
    with torch.no_grad():
        images = row.frontend.build().eval()(torch.from_numpy(signals.windows(row.net_sample_rate)))
        embeddings = net.eval()(images)
        if layout.standardize:
            head.standardize(embeddings.mean(dim=0), embeddings.std(dim=0))
        outputs = head.eval()(embeddings)
        head.output.weight *= 2 / outputs.std()
        head.output.bias -= 2 * outputs.mean(dim=0) / outputs.std()
    return head


def straight(folder: Path, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a detector's net puts out for (n, samples) at its own rate: its embeddings and its outputs, plainly."""
    values = json.loads((folder / "configuration.json").read_text())
    row = local.read_folder(folder)
    state = read_tensors(folder / "model.safetensors")[0]
    images = row.frontend.build().eval()(torch.from_numpy(np.ascontiguousarray(samples)).float())
    with torch.no_grad():
        if values["head"] is None:
            net: Any = row.net.build()
            net.load_state_dict(state)
            found = net.eval()(images).numpy()
            return found, found
        plain = {key: value for key, value in values.items() if key not in ("classes", "targets", "head")}
        plain = {key: value for key, value in plain.items() if key not in ("temperature", "thresholds")}
        base = local.make_row(plain, folder)
        features = base.vocabulary.read(base, values["head"]["words"])
        net = base.net.make(**{**base.net.arguments, **features.arguments})
        net.load_state_dict({key[4:]: value for key, value in state.items() if key.startswith("net.")})
        head = Head(HeadLayout.from_dict(values["head"]["layout"]))
        head.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("head.")})
        embeddings = net.eval()(images)
        return embeddings.numpy(), head.eval()(embeddings).numpy()
