"""Optional dependencies, imported when something needs them."""

from __future__ import annotations

import importlib
from typing import Any

from hear_edgel3.errors import MissingExtra


def require(module: str, purpose: str, extra: str, package: str | None = None) -> Any:
    """Imports a module of an optional dependency.

    Args:
        module: Its full name, for example ``usearch.index``.
        purpose: What it is needed for, as the error's subject: ``drawing tags``.
        extra: The extra of this package that brings it.
        package: What it is installed as; None where that is the first part of the module's name.

    Returns:
        The module.

    Raises:
        MissingExtra: It is not installed.
    """
    top = module.partition(".")[0]
    try:
        importlib.import_module(top)  # also when the module itself was imported before
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(purpose, package or top, extra) from error
