"""Complexities by name."""

from __future__ import annotations

from hear_edgel3.extractor.complexity import Complexity, measure
from hear_edgel3.registry.names import resolve

_KNOWN: dict[str, Complexity] = {}


def measured(name: str) -> Complexity:
    """That of a configuration; each shape is counted once."""
    configuration = resolve(name)
    key = repr((configuration.net, configuration.checkpoint.frontend, configuration.window))
    if key not in _KNOWN:
        _KNOWN[key] = measure(configuration)
    return _KNOWN[key]
