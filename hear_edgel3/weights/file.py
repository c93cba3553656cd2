"""The files that hold converted weights: safetensors, with one metadata key that says where the weights came from.

Nothing in such a file is ever executed. Its bytes depend on the tensors and the provenance alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.schema import Checkpoint, Published

# safetensors writes several keys in random order, so there is one, whose value is sorted JSON.
_METADATA_KEY = "hear_edgel3"


def encode(tensors: dict[str, torch.Tensor], provenance: Mapping[str, Any]) -> bytes:
    """A weights file as bytes; the same arguments give the same bytes.

    Args:
        tensors: the net's state.
        provenance: plain values; "configuration" names the checkpoint. A digest of the tensors is added.
    """
    from safetensors.torch import save

    text = json.dumps({**provenance, "tensors_sha256": _digest(tensors)}, sort_keys=True)
    return save(tensors, {_METADATA_KEY: text})


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, shapes, types and values, whatever the layout of the file."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and provenance of a weights file; the provenance is empty if another program made the file.

    Raises:
        WeightsCorrupt: the file is not readable as safetensors, or its tensors are not the ones written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # clone: the file may be replaced while the model lives
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            provenance = _provenance(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsCorrupt(
            f"{path} is not a sound safetensors file ({error}); if it came from a download or a copy, delete it and "
            f"fetch it again"
        ) from error
    if provenance.get("tensors_sha256", written := _digest(tensors)) != written:
        raise WeightsCorrupt(f"{path} is damaged: its values are not the ones that were written; fetch it again")
    return tensors, provenance


def _provenance(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(_METADATA_KEY, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def load_into(net: nn.Module, row: Checkpoint, path: Path) -> None:
    """Reads ``path`` and puts its tensors into ``net``, all or nothing.

    Raises:
        WeightsCorrupt: not a sound weights file, or a value is not finite.
        WeightsMismatch: made for another checkpoint, or names or shapes differ from the net's.
    """
    try:
        tensors, provenance = read_tensors(path)
    except WeightsCorrupt as error:
        if not isinstance(row, Published):
            raise
        raise WeightsCorrupt(f"{error} (python -m weights_convert {row.name} makes it anew in the cache)") from error
    made_for = provenance.get("configuration")
    if isinstance(made_for, str) and made_for != row.name:
        raise WeightsMismatch(f"{path} holds the weights of {made_for}, not of {row.name}")
    check_tensors(tensors, net, row.name, str(path))
    net.load_state_dict(tensors, strict=False)  # names were compared above; batch counters may be absent


def check_tensors(tensors: dict[str, torch.Tensor], net: nn.Module, name: str, source: str) -> None:
    """Compares names and shapes with the net's, and refuses values that are not finite.

    Raises:
        WeightsMismatch: a name is missing or unknown, or a shape differs.
        WeightsCorrupt: a value is NaN or infinite.
    """
    expected = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    found = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors are missing ({_some(missing)})")
    if unknown:
        problems.append(f"{len(unknown)} are unknown ({_some(unknown)})")
    problems += [
        f"{key} should have shape {tuple(expected[key].shape)} but has {tuple(found[key].shape)}"
        for key in sorted(expected.keys() & found.keys())
        if expected[key].shape != found[key].shape
    ][:3]
    if problems:
        raise WeightsMismatch(f"{source} does not fit {name}: {'; '.join(problems)}")
    for key, value in found.items():
        if not bool(torch.isfinite(value).all()):
            raise WeightsCorrupt(f"{source}: {key} has values that are not finite")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
