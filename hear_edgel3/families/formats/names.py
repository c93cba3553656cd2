"""The names of tensors as training programs save them, which wrap a net in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

_Value = TypeVar("_Value")

# DataParallel and DistributedDataParallel, Lightning modules, torch.compile.
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")


def without_prefixes(tensors: Mapping[str, _Value]) -> dict[str, _Value]:
    """Takes off what all names begin with because the net was a part of something when it was saved.

    Args:
        tensors: By name.

    Returns:
        The same values; names that have no such prefix in common stay as they are.
    """
    found = dict(tensors)
    while found:
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in found)), None)
        if prefix is None:
            break
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    # A part of a net that was compiled alone has it inside its name.
    plain = {name.replace("._orig_mod.", "."): value for name, value in found.items()}
    return plain if len(plain) == len(found) else found
