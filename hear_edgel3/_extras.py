"""Optional dependencies, imported when something needs them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hear_edgel3.errors import MissingExtra


def require(module: str, purpose: str, extra: str, package: str | None = None) -> Any:
    """Imports a module of an optional dependency, without what some tell their makers then.

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
        with _silent(top):
            importlib.import_module(top)  # also when the module itself was imported before
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(purpose, package or top, extra) from error


@contextmanager
def _silent(top: str) -> Iterator[None]:
    """Keeps a package from reporting its use while it is imported, and from numbering the user's machine."""
    if top == "onnxruntime":
        # It looks at that once, when it is loaded. Whoever has set it otherwise is heard.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if top != "openvino" or "openvino_telemetry" in sys.modules:
        yield
        return
    # OpenVINO reports through a package of its own, and does without where that is not installed. Its other ways out
    # are a file in the user's home and the variables of CI services, which are not this package's to set.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["openvino_telemetry"]
