"""The files that hold converted weights: safetensors, with one metadata key that says where the weights came from.

Nothing in such a file is ever executed. Its bytes depend on the tensors and the provenance alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.schema import Checkpoint, Published
from hear_edgel3.weights.header import METADATA_KEY, provenance


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        tensors: by name.
        provenance: where they came from; empty if another program made the file.
        sha256: of the bytes that were read.
    """

    tensors: dict[str, torch.Tensor]
    provenance: dict[str, Any]
    sha256: str


def encode(tensors: dict[str, torch.Tensor], provenance: Mapping[str, Any]) -> bytes:
    """A weights file as bytes; the same arguments give the same bytes.

    Args:
        tensors: the net's state.
        provenance: plain values; "configuration" names the checkpoint. A digest of the tensors is added.
    """
    from safetensors.torch import save

    text = json_text({**provenance, "tensors_sha256": _digest(tensors)}, sort_keys=True)
    return save(tensors, {METADATA_KEY: text})


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, shapes, types and values, whatever the layout of the file."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read_weights(path: Path, sha256: str | None = None) -> WeightsFile:
    """Reads a weights file, once: what is checked is what is returned, whatever replaces the file meanwhile.

    Args:
        path: of the file.
        sha256: what it must be; None to trust the digest inside the file, where it has one.

    Raises:
        WeightsCorrupt: it is another file, not readable as safetensors, or its tensors are not the ones written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unsound(str(path), error) from error
    return decode(data, str(path), sha256)


def decode(data: bytes, source: str, sha256: str | None = None) -> WeightsFile:
    """What the bytes of a weights file say.

    Args:
        data: the whole file.
        source: what to call it in errors.
        sha256: as for :func:`read_weights`.

    Raises:
        WeightsCorrupt: as for :func:`read_weights`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    found = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, found):
        raise WeightsCorrupt(
            f"{source} has the wrong checksum: expected sha256 {sha256}, found {found}; it was damaged or replaced and "
            f"was not loaded"
        )
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: of a type that torch does not have
        raise _unsound(source, error) from error
    origin = provenance(io.BytesIO(data))
    if sha256 is None and origin.get("tensors_sha256", written := _digest(tensors)) != written:
        raise WeightsCorrupt(f"{source} is damaged: its values are not the ones that were written; fetch it again")
    return WeightsFile(tensors, origin, found)


def _unsound(source: str, error: Exception) -> WeightsCorrupt:
    return WeightsCorrupt(
        f"{source} is not a sound safetensors file ({error}); if it came from a download or a copy, delete it and "
        f"fetch it again"
    )


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and provenance of a weights file, as :func:`read_weights` reads it."""
    file = read_weights(path)
    return file.tensors, file.provenance


def load_into(net: nn.Module, row: Checkpoint, path: Path, sha256: str | None = None) -> str:
    """Reads ``path`` and puts its tensors into ``net``, all or nothing.

    Args:
        net: what the weights are for.
        row: its checkpoint.
        path: the weights file.
        sha256: what the file's must be; None if that is not known.

    Returns:
        The file's sha256.

    Raises:
        WeightsCorrupt: not a sound weights file, or a value is not finite.
        WeightsMismatch: made for another checkpoint, or names or shapes differ from the net's.
    """
    try:
        file = read_weights(path, sha256)
    except WeightsCorrupt as error:
        if not isinstance(row, Published):
            raise
        raise WeightsCorrupt(f"{error} (python -m weights_convert {row.name} makes it anew in the cache)") from error
    made_for = file.provenance.get("configuration")
    if isinstance(made_for, str) and made_for != row.name:
        raise WeightsMismatch(f"{path} holds the weights of {made_for}, not of {row.name}")
    check_tensors(file.tensors, net, row.name, str(path))
    net.load_state_dict(file.tensors, strict=False)  # names were compared above; batch counters may be absent
    return file.sha256


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
