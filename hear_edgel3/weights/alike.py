"""Weights files whose tensors are stored as those of another file are, where they are the same.

A net that was made of one with int8 weights, and left as it was, takes no more room than that one. Nothing is
rounded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from hear_edgel3.weights.file import decode, encode, load_stored
from hear_edgel3.weights.header import QUANTIZATION_KEY
from hear_edgel3.weights.quantized import SCALE
from hear_edgel3.weights.sparse import GAPS, SHAPE, SIGNS

# What may stand behind the name of a tensor in the names of its parts.
_ENDINGS = tuple(scale + part for scale, part in product(("", SCALE), ("", GAPS, SHAPE, SIGNS)))


def encode_alike(
    tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any], path: Path, names: Mapping[str, str]
) -> bytes:
    """A weights file in which tensors that are those of another file, bit by bit, are stored as there.

    Whoever reads it gets the tensors that were given. If none of them is stored otherwise in that file, it is the file
    that :func:`hear_edgel3.weights.file.encode` makes.

    Args:
        tensors: The net's state, contiguous, on the CPU.
        provenance: As for ``encode``; how the values are stored is added.
        path: The other file.
        names: What tensors may be called there, by their names here; the others are stored as they are.

    Raises:
        WeightsCorrupt, WeightsMismatch: The other file is damaged, or in a format that is not known.
    """
    dense = encode(dict(tensors), provenance)
    try:
        data = path.read_bytes()
    except OSError:  # it was there when the net was loaded; without it the file is larger, and says the same
        return dense
    other = decode(data, str(path))
    if other.quantization is None:
        return dense
    raw = load_stored(data, str(path))
    stored: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        there = names.get(name, "")
        same = there in other.tensors and _equal(value, other.tensors[there])
        parts = _parts(raw, other.tensors, there) if same else {"": value}
        stored |= {name + ending: part for ending, part in parts.items()}
    if all(name in tensors and value.dtype == tensors[name].dtype for name, value in stored.items()):
        return dense
    how = replace(other.quantization, source_sha256=hashlib.sha256(dense).hexdigest())
    return encode(stored, {**provenance, QUANTIZATION_KEY: how.to_dict()})


def _parts(raw: Mapping[str, torch.Tensor], there: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The parts of a tensor by what stands behind its name; those that are tensors themselves are none."""
    return {
        ending: raw[name + ending]
        for ending in _ENDINGS
        if name + ending in raw and (not ending or name + ending not in there)
    }


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same bit by bit."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.reshape(-1).view(torch.uint8).equal(other.contiguous().reshape(-1).view(torch.uint8))
    )
