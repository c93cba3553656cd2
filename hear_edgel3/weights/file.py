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
from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.formats.names import without_prefixes
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.families.table import FAMILIES, settings_of
from hear_edgel3.registry.folder import FILENAME
from hear_edgel3.weights.header import (
    INT8,
    INT8_VERSION,
    METADATA_KEY,
    QUANTIZATION_KEY,
    SPARSE,
    SPARSE_INT8,
    SPARSE_VERSION,
    Quantization,
    provenance,
    quantization,
)
from hear_edgel3.weights.quantized import dequantize_state, quantize_state
from hear_edgel3.weights.sparse import compress_state, expand_state

# The types of weights that there are; others hold codes, not values.
_FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_WHOLE = (torch.int64, torch.int32)
# The keys of the provenance with what no tensor shows.
_SETTINGS = "settings"
TARGETS = "targets"
CLASSES = "classes"


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        tensors: by name; of a quantised file, what the net's are, in float32; of a sparse one with their zeros.
        provenance: where they came from; empty if another program made the file.
        sha256: of the bytes that were read.
        quantization: how the values are stored; None if they are as they stand here.
    """

    tensors: dict[str, torch.Tensor]
    provenance: dict[str, Any]
    sha256: str
    quantization: Quantization | None = None


def encode(tensors: dict[str, torch.Tensor], provenance: Mapping[str, Any]) -> bytes:
    """A weights file as bytes; the same arguments give the same bytes.

    Args:
        tensors: the net's state.
        provenance: plain values; "configuration" names the checkpoint. A digest of the tensors is added.
    """
    from safetensors.torch import save

    text = json_text({**provenance, "tensors_sha256": _digest(tensors)}, sort_keys=True)
    return save(tensors, {METADATA_KEY: text})


def encode_sparse(tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]) -> bytes:
    """A weights file in which tensors with many zeros are stored without them (:mod:`hear_edgel3.weights.sparse`).

    Whoever reads it gets the same tensors, bit by bit. Of a net that has no such tensor it is the file that
    :func:`encode` makes.

    Args:
        tensors: the net's state.
        provenance: as for :func:`encode`; how the values are stored is added.
    """
    dense = encode(dict(tensors), provenance)
    stored = compress_state(tensors)
    if stored.keys() == tensors.keys():
        return dense
    how = Quantization(SPARSE, SPARSE_VERSION, hashlib.sha256(dense).hexdigest())
    return encode(stored, {**provenance, QUANTIZATION_KEY: how.to_dict()})


def encode_quantized(
    tensors: Mapping[str, torch.Tensor],
    provenance: Mapping[str, Any],
    source_sha256: str | None = None,
    dense: bool = False,
) -> bytes:
    """A weights file with int8 weights (:mod:`hear_edgel3.weights.quantized`); whoever reads it gets float32.

    Args:
        tensors: the net's state, in floating point.
        provenance: as for :func:`encode`; how the values are stored is added.
        source_sha256: of the file with the same values before; None for the one that :func:`encode` makes of them.
        dense: whether tensors with many zeros are stored with them.

    Raises:
        WeightsCorrupt: as :func:`hear_edgel3.weights.quantized.quantize_state`.
    """
    if source_sha256 is None:
        source_sha256 = hashlib.sha256(encode(dict(tensors), provenance)).hexdigest()
    whole = quantize_state(tensors)
    stored = whole if dense else compress_state(whole)
    scheme, version = (INT8, INT8_VERSION) if stored.keys() == whole.keys() else (SPARSE_INT8, SPARSE_VERSION)
    how = Quantization(scheme, version, source_sha256)
    return encode(stored, {**provenance, QUANTIZATION_KEY: how.to_dict()})


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
        WeightsCorrupt: it is another file, not readable as safetensors, or its tensors are not the ones written; or it
            is quantised or sparse, and a part is missing or cannot be.
        WeightsMismatch: its values are in a format that this version of the package does not know.
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
        WeightsCorrupt, WeightsMismatch: as for :func:`read_weights`.
    """
    found = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, found):
        raise WeightsCorrupt(
            f"{source} has the wrong checksum: expected sha256 {sha256}, found {found}; it was damaged or replaced and "
            f"was not loaded"
        )
    tensors = load_stored(data, source)
    origin = provenance(io.BytesIO(data))
    if sha256 is None and origin.get("tensors_sha256", written := _digest(tensors)) != written:
        raise WeightsCorrupt(f"{source} is damaged: its values are not the ones that were written; fetch it again")
    stored = quantization(origin, source)
    if stored is not None and stored.sparse:
        tensors = expand_state(tensors, source)
    if stored is not None and stored.int8:
        tensors = dequantize_state(tensors, source)
    return WeightsFile(tensors, origin, found, stored)


def load_stored(data: bytes, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a weights file as they are stored: codes, scales and what zeros leave, if it has such.

    Args:
        data: the whole file.
        source: what to call it in errors.

    Raises:
        WeightsCorrupt: it is not a sound safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: of a type that torch does not have
        raise _unsound(source, error) from error


def _unsound(source: str, error: Exception) -> WeightsCorrupt:
    return WeightsCorrupt(
        f"{source} is not a sound safetensors file ({error}); if it came from a download or a copy, delete it and "
        f"fetch it again"
    )


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and provenance of a weights file, as :func:`read_weights` reads it."""
    file = read_weights(path)
    return file.tensors, file.provenance


def read_for(row: Checkpoint, path: Path, sha256: str | None = None) -> WeightsFile:
    """Reads a weights file that is to be a checkpoint's.

    Args:
        row: the checkpoint.
        path: the weights file.
        sha256: what the file's must be; None if that is not known.

    Raises:
        WeightsCorrupt: not a sound weights file.
        WeightsMismatch: made for another checkpoint, or for outputs or classes that are others than its folder says; in
            a format that this version does not know, or with fewer values than the checkpoint's net has.
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
    check_settings(row, file.provenance, str(path))
    _check_targets(row, file.provenance, path)
    _check_classes(row, file, path)
    values = sum(value.numel() for value in file.tensors.values())
    # A folder may describe a net of any size; none is built that its own weights could not fill.
    if isinstance(row, Local) and values < row.n_parameters:
        raise WeightsMismatch(
            f"{path} has {values} values, and {row.folder} describes a net of {row.n_parameters} parameters"
        )
    return file


def own_settings(row: Checkpoint, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a net that was trained further, as its file says them; :func:`check_settings` was called.

    Args:
        row: The checkpoint that it was.
        provenance: What the file says of itself.
    """
    return dict(provenance[_SETTINGS]) if settings_of(row) else {}


def check_settings(row: Checkpoint, provenance: Mapping[str, Any], source: str) -> None:
    """Checks that a file says the settings of its weights, and that those of a published checkpoint are its row's.

    Raises:
        WeightsMismatch: the file says none; or others, and it does not name classes of its own, either.
        WeightsCorrupt: what it says cannot be.
    """
    expected = settings_of(row)
    if not expected or isinstance(row, Local):  # whose settings stand beside the checksum of its weights
        return
    found = provenance.get(_SETTINGS)
    words = ", ".join(f"{name} {value:g}" for name, value in expected.items())
    if not isinstance(found, Mapping):
        raise WeightsMismatch(
            f"{source} does not say whether it is for {words}, as {row.name} is; with another the same weights give "
            f"other results; convert the authors' file: hear-edgel3 weights convert {row.name}"
        )
    if provenance.get("labels") is None:
        if dict(found) != expected:
            raise WeightsMismatch(f"{source} is for {dict(found)!r}, and {row.name} has {words}")
        return
    problem = settings_problem(row, found)
    if problem is not None:
        raise WeightsCorrupt(f"{source} does not say what its net is like: {problem}")


def _check_targets(row: Checkpoint, provenance: Mapping[str, Any], path: Path) -> None:
    """Checks that a detector's outputs are what its weights were trained for; those of earlier versions do not say it.

    Raises:
        WeightsMismatch: They are not: the description was changed.
    """
    found = provenance.get(TARGETS)
    if not isinstance(row, Local) or not row.classes or not isinstance(found, str) or found == row.targets:
        return
    raise WeightsMismatch(
        f'{row.folder / FILENAME} says "targets": "{row.targets}", and {path} was trained for "{found}", so what it '
        f'puts out would be read wrongly; write "targets": "{found}" there again, or train a detector for '
        f'"{row.targets}"'
    )


def _check_classes(row: Checkpoint, file: WeightsFile, path: Path) -> None:
    """Checks that a detector's classes are those that its weights were trained for, in their order.

    Weights of earlier versions do not say it. The folder's own are known by their checksum, and their classes may have
    got other names there; but not each other's.

    Raises:
        WeightsCorrupt: What the file says are no names of classes.
        WeightsMismatch: They are others.
    """
    found = file.provenance.get(CLASSES)
    if not isinstance(row, Local) or not row.classes or found is None:
        return
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise WeightsCorrupt(f"{path} does not say which classes it is for, but {shortened(repr(found))}")
    description = row.folder / FILENAME
    pairs = list(enumerate(zip(found, row.classes, strict=False), 1))
    if file.sha256 == row.weights_sha256:
        moved = next((pair for pair in pairs if pair[1][0] != pair[1][1] and pair[1][1] in found), None)
        if moved is not None:
            number, (name, called) = moved
            raise WeightsMismatch(
                f"{description} calls class {number} {called!r}, and {path} was trained with {name!r} in its place, so "
                f"that one class would be taken for another; bring the names there into the order {', '.join(found)}"
            )
        return
    if found == list(row.classes):
        return
    number, (name, called) = next((pair for pair in pairs if pair[1][0] != pair[1][1]), (0, ("", "")))
    what = (
        f"class {number} is {name!r} there, and {called!r} in {description}"
        if number
        else f"there are {len(found)} there, and {len(row.classes)} in {description}"
    )
    raise WeightsMismatch(
        f"{path} holds the weights of a detector of other classes than {row.folder}: {what}; give the weights that "
        f"belong to this folder, or the folder that these weights belong to as the configuration"
    )


def settings_problem(row: Checkpoint, settings: Mapping[str, Any]) -> str | None:
    """Why settings cannot be those of a net like a row's, or None if they can."""
    expected = settings_of(row)
    if set(settings) != set(expected):
        return f"expected {', '.join(expected) or 'no settings'}, got {', '.join(map(str, settings)) or 'none'}"
    try:
        FAMILIES[row.family].check_architecture({**expected, **settings})
    except (KeyError, TypeError, ValueError) as error:
        return str(error)
    return None


def put_into(net: nn.Module, row: Checkpoint, file: WeightsFile, path: Path) -> None:
    """Puts a file's tensors into ``net``, all or nothing.

    Args:
        net: what the weights are for.
        row: its checkpoint.
        file: what was read.
        path: what to call it in errors.

    Raises:
        WeightsCorrupt, WeightsMismatch: as :func:`check_tensors`.
    """
    tensors = without_prefixes(file.tensors)
    check_tensors(tensors, net, row.name, str(path))
    net.load_state_dict(tensors, strict=False)  # names were compared above; batch counters may be absent


def check_tensors(tensors: Mapping[str, torch.Tensor], net: nn.Module, name: str, source: str) -> None:
    """Compares names, shapes and types with the net's, and refuses values that cannot be right once they are in it.

    Args:
        tensors: what is to be put into the net, in any precision.
        net: where to; it may be on the device "meta".
        name: of the checkpoint, for errors.
        source: what to call the file in errors.

    Raises:
        WeightsMismatch: a name is missing or unknown, or a shape differs.
        WeightsCorrupt: a type is not one that weights have, a value is NaN, infinite or beyond the net's own type, or a
            variance is negative.
    """
    own = net.state_dict()
    expected = {k: v for k, v in own.items() if not _is_counter(k)}
    found = {k: v for k, v in tensors.items() if not _is_counter(k)}
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors are missing ({_some(missing)})")
    if unknown:
        problems.append(f"{len(unknown)} are unknown ({_some(unknown)})")
    problems += [
        f"{key} should have shape {tuple(own[key].shape)} but has {tuple(tensors[key].shape)}"
        for key in sorted(own.keys() & tensors.keys())
        if own[key].shape != tensors[key].shape
    ][:3]
    if problems:
        raise WeightsMismatch(f"{source} does not fit {name}: {'; '.join(problems)}")
    for key, value in tensors.items():
        if _is_counter(key):
            if value.dtype not in _WHOLE:
                raise WeightsCorrupt(f"{source}: {key} should be a whole number, but is {value.dtype}")
            continue
        if value.dtype not in _FLOATING:
            raise WeightsCorrupt(
                f"{source}: {key} is of type {value.dtype}; weights are float32, float64, float16 or bfloat16"
            )
        # As it will be in the net: a float64 may be finite here, and infinite there.
        inside = value.to(expected[key].dtype)
        if not bool(torch.isfinite(inside).all()):
            raise WeightsCorrupt(f"{source}: {key} has values that are not finite")
        if key.endswith("running_var") and bool((inside < 0).any()):
            raise WeightsCorrupt(f"{source}: {key} has negative values, and is a variance")


def _is_counter(name: str) -> bool:
    """Whether a tensor is one of batch norm's counters, which some programs leave out."""
    return name.endswith("num_batches_tracked")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
