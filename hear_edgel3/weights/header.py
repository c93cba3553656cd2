"""What a weights file says of itself, in the header that safetensors files begin with. Imports no torch.

The format is eight bytes with the length of the header (little endian), the header, which is JSON, and the tensors'
bytes (https://huggingface.co/docs/safetensors). The header's ``__metadata__`` holds texts, of which this package writes
one: safetensors puts several into random order, and files shall depend on their contents alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.registry.labels import Label, check_labels

METADATA_KEY = "hear_edgel3"
# The format's own limit; a longer one is not a header.
_LONGEST = 100_000_000
_DEEPEST = 32
# Where a header says how its values are stored, and what it may say there (see hear_edgel3.weights.quantized and
# hear_edgel3.weights.sparse). The key is older than formats that lose nothing: versions of this package that do not
# know these look there, and refuse them by name.
QUANTIZATION_KEY = "quantization"
INT8, INT8_VERSION = "int8", 1
SPARSE, SPARSE_INT8, SPARSE_VERSION = "sparse", "sparse-int8", 1
_VERSIONS = {INT8: INT8_VERSION, SPARSE: SPARSE_VERSION, SPARSE_INT8: SPARSE_VERSION}


@dataclass(frozen=True)
class Quantization:
    """How the values of a weights file are stored, where they are not as the net has them.

    Attributes:
        scheme: the name of the format.
        version: of the format.
        source_sha256: the checksum of the file with the values before; None if it does not say.
    """

    scheme: str
    version: int
    source_sha256: str | None

    @property
    def sparse(self) -> bool:
        """Whether zeros are left out."""
        return self.scheme in (SPARSE, SPARSE_INT8)

    @property
    def int8(self) -> bool:
        """Whether values are in eight bits, and so not those of the net before."""
        return self.scheme in (INT8, SPARSE_INT8)

    @property
    def in_words(self) -> str:
        """How weights are stored, for people: "int8", "sparse" or "sparse int8"."""
        return self.scheme.replace("-", " ")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a header."""
        return {"scheme": self.scheme, "version": self.version, "source_sha256": self.source_sha256}


def quantization(origin: Mapping[str, Any], source: str) -> Quantization | None:
    """How the values of a file are stored; None if they are as the net has them.

    Args:
        origin: what the file says of itself.
        source: what to call it in errors.

    Raises:
        WeightsCorrupt: what it says cannot be read.
        WeightsMismatch: it is a format that this version of the package does not know.
    """
    found = origin.get(QUANTIZATION_KEY)
    if found is None:
        return None
    scheme, version, before = (
        (found.get(key) for key in ("scheme", "version", "source_sha256"))
        if isinstance(found, Mapping)
        else (None,) * 3
    )
    if (
        not isinstance(scheme, str)
        or not isinstance(version, int)
        or isinstance(version, bool)
        or not isinstance(before, str | None)
    ):
        raise WeightsCorrupt(
            f"{source} does not say in which format its values are quantised, but {shortened(repr(found))}"
        )
    if _VERSIONS.get(scheme) != version:
        known = ", ".join(f"{name!r}, version {number}" for name, number in _VERSIONS.items())
        raise WeightsMismatch(
            f"{source} holds values of the format {shortened(repr(scheme))}, version {version}, and this version of "
            f"hear-edgel3 reads {known}; update it, or convert the weights again"
        )
    return Quantization(scheme, version, before)


def provenance(file: BinaryIO) -> dict[str, Any]:
    """Where the weights in a file came from, as the converter or a training wrote it.

    Args:
        file: opened at its beginning.

    Returns:
        Plain values; empty if another program made the file, or if there is no header.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST:
        return {}
    found = _json(file.read(length))
    metadata = found.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    return _json(text) if isinstance(text, str) else {}


def own_labels(origin: Mapping[str, Any], source: str) -> tuple[Label, ...] | None:
    """The classes that a converted file names, because its net was trained further on classes of somebody's own.

    Args:
        origin: what the file says of itself.
        source: what to call it in errors.

    Raises:
        WeightsCorrupt: they are not a list of names.
    """
    found = origin.get("labels")
    if found is None:
        return None
    try:
        return check_labels([Label(str(name), str(mid)) for name, mid in found], f"{source}, labels")
    except (TypeError, ValueError) as error:
        raise WeightsCorrupt(f"{source} has a damaged list of classes: {error}") from error


def size_of_file(file: BinaryIO) -> int | None:
    """How many bytes a file must have by its header, or None if it has no header.

    Args:
        file: opened at its beginning.
    """
    length = int.from_bytes(file.read(8), "little")
    header = _json(file.read(length)) if 0 < length <= _LONGEST else {}
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (LookupError, TypeError, ValueError):
        return None
    return 8 + length + max(ends) if ends else None


def _json(text: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and not _is_deep(found) else {}


def _is_deep(values: object) -> bool:
    """Whether something is nested more deeply than whoever goes down level by level can follow."""
    level = [values]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
    return bool(level)
