"""The folder in which what was made once is kept: converted weights, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "HEAR_EDGEL3_CACHE"


def cache_folder() -> Path:
    """Where it is: ``$HEAR_EDGEL3_CACHE``, else ``$XDG_CACHE_HOME`` or ``~/.cache``/hear_edgel3."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear_edgel3"
