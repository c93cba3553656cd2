"""Costs by name."""

from __future__ import annotations

from hear_edgel3.extractor.complexity import Complexity, complexity_of
from hear_edgel3.registry.names import resolve


def costs_of(name: str) -> Complexity:
    """Those of a configuration, whose family tells its layers."""
    found = complexity_of(resolve(name))
    assert found is not None, name
    return found
