"""Which weights files are on this machine. Reads headers and checksums only; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.registry.names import checkpoints
from hear_edgel3.weights.header import provenance, quantization, size_of_file
from hear_edgel3.weights.hub import cached
from hear_edgel3.weights.locate import folders

# What a converted file may be called, and what an interrupted write leaves.
_OURS = (".safetensors", ".part")


@dataclass(frozen=True)
class Stored:
    """A weights file on this machine.

    Attributes:
        path: where it is.
        place: what that is: the folder in ``$HEAR_EDGEL3_WEIGHTS``, the cache, or the Hub's cache.
        configuration: the checkpoint that it is for, by its name; None if it is no checkpoint's.
        size: in bytes.
        sha256: of the file; None if it cannot be read.
        state: "sound" as far as its header tells, or what is wrong with it.
    """

    path: Path
    place: str
    configuration: str | None
    size: int
    sha256: str | None
    state: str


def stored_weights() -> Iterator[Stored]:
    """The weights files in the places that :func:`hear_edgel3.load` looks into, in their order.

    A folder that does not exist has none. Files of the Hub are those at the registry's revisions.
    """
    names = {row.filename: row.name for row in checkpoints()}
    for folder, place in folders():
        try:
            files = sorted(path for path in folder.iterdir() if path.name.endswith(_OURS) and path.is_file())
        except OSError:
            continue
        for path in files:
            yield _stored(path, place, names.get(path.name))
    for row in checkpoints():
        there = cached(row) if row.hub.revision is not None else None
        if there is not None:
            found = _stored(there, "Hugging Face Hub's cache", row.name)
            if row.hub.sha256 not in (None, found.sha256):
                found = replace(found, state="wrong sha256")
            yield found


def _stored(path: Path, place: str, configuration: str | None) -> Stored:
    try:
        size = path.stat().st_size
        return Stored(path, place, configuration, size, sha256_of(path), _state(path, size, configuration))
    except OSError as error:
        return Stored(path, place, configuration, 0, None, f"cannot be read: {error.strerror or error}")


def _state(path: Path, size: int, configuration: str | None) -> str:
    if configuration is None:
        return "left by an interrupted write" if path.name.endswith(".part") else "no checkpoint is called so"
    with path.open("rb") as file:
        expected = size_of_file(file)
        file.seek(0)
        origin = provenance(file)
    made_for = origin.get("configuration")
    if expected is None:
        return "not a safetensors file"
    if expected != size:
        return f"damaged: {size} bytes instead of {expected}"
    if made_for is None:
        return "made by another program"
    if made_for != configuration:
        return f"made for {made_for}"
    try:
        stored = quantization(origin, path.name)
    except (WeightsCorrupt, WeightsMismatch):
        return "stored in a way that this version does not read"
    return "sound" if stored is None else f"sound, {stored.in_words} weights"
