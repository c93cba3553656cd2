"""Faces of folders whose names are imported when they are first used, so that a face costs nothing (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazy_names(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """What a face needs as its ``__getattr__`` and ``__dir__``.

    Args:
        package: the face's ``__name__``.
        names: each name that it hands on, and the module inside the package that has it.
    """

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{names[name]}"), name)

    return get, lambda: sorted(names)
