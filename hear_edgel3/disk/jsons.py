"""JSON as this package writes it: any program can read it, and a terminal may show it. And as people write it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

# Characters that JSON allows in strings, but that a terminal may obey, or that are no text (halves of pairs).
_OBEYED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(value: Any, **how: Any) -> str:
    """A value as JSON.

    Numbers that are not finite become null: JSON has none. Control characters, and what is no Unicode, are escaped.

    Args:
        value: As for ``json.dumps``.
        how: As for ``json.dumps``, like ``indent``.
    """
    try:
        text = json.dumps(value, allow_nan=False, **how)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, **how)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which the last of equal names would count without a word: for ``object_pairs_hook``.

    Raises:
        ValueError: A name is there twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value
