"""Folders that distillation makes, small and seeded, and changes to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import soundfile
import torch

from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.registry import folder as local
from hear_edgel3.weights.file import encode
from support import signals

MOBILENETV3 = {"width_mult": 0.05, "n_classes": 527, "n_mels": 32, "n_teacher": 6}
DYMN = {"tau": 1.0, "width_mult": 0.1, "n_classes": 527, "n_mels": 32}
L3 = {
    "channels": [8, 8, 8, 8, 8, 8, 8, 5],
    "final_norm": False,
    "sample_rate": 8000,
    "n_fft": 1024,
    "hop_length": 160,
    "n_mels": 32,
}


def make_folder(folder: Path, family: str = "mobilenetv3", **changes: Any) -> Path:
    """A folder of a small net with seeded weights."""
    folder.mkdir(parents=True)
    architecture = {"mobilenetv3": MOBILENETV3, "l3": L3}[family]
    values = {
        "format": 1,
        "name": "small",
        "family": family,
        "summary": "a small net",
        "architecture": architecture,
        "labels": "audioset" if family == "mobilenetv3" else None,
        "default_features": "teacher" if family == "mobilenetv3" else "",
        "weights_file": "net.safetensors",
        "weights_sha256": "0" * 64,
        "licence": "CC0",
        "citation": "nobody",
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = local.make_row(values, folder).net.build()
    weights = folder / "net.safetensors"
    weights.write_bytes(encode(net.state_dict(), {"configuration": values["name"]}))
    (folder / "configuration.json").write_text(json.dumps({**values, "weights_sha256": sha256_of(weights)}))
    return folder


def change(folder: Path, **changes: Any) -> None:
    """Other values in the description; ... leaves one out; the keys of "architecture" are changed one by one."""
    path = folder / "configuration.json"
    values = json.loads(path.read_text())
    architecture = changes.pop("architecture", {})
    if isinstance(architecture, dict):
        architecture = {**values["architecture"], **architecture}
        architecture = {key: value for key, value in architecture.items() if value is not ...}
    values = {**values, "architecture": architecture, **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def write_second(path: Path) -> Path:
    """A second of sound."""
    soundfile.write(path, signals.clip(1.0, 16000), 16000)
    return path
