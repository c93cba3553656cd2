"""What a weights file says of itself, in the header that safetensors files begin with. Imports no torch.

The format is eight bytes with the length of the header (little endian), the header, which is JSON, and the tensors'
bytes (https://huggingface.co/docs/safetensors). The header's ``__metadata__`` holds texts, of which this package writes
one: safetensors puts several into random order, and files shall depend on their contents alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.registry.labels import Label, check_labels

METADATA_KEY = "hear_edgel3"
# The format's own limit; a longer one is not a header.
_LONGEST = 100_000_000
_DEEPEST = 32


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
