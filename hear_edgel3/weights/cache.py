"""The folder in which converted weights are kept, and whether the network may be used to fill it."""

from __future__ import annotations

import os
from pathlib import Path

# A folder of converted files that is looked into before the cache.
FOLDER_VARIABLE = "HEAR_EDGEL3_WEIGHTS"
CACHE_VARIABLE = "HEAR_EDGEL3_CACHE"


def cache_folder() -> Path:
    """Where converted files are kept: ``$HEAR_EDGEL3_CACHE``, else ``$XDG_CACHE_HOME`` or ``~/.cache``/hear_edgel3."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear_edgel3"


def offline() -> bool:
    """Whether the user has forbidden the network (``HF_HUB_OFFLINE`` or ``TRANSFORMERS_OFFLINE``)."""
    from huggingface_hub import constants  # its attributes are loaded lazily: `huggingface_hub.constants` may not exist

    return bool(constants.HF_HUB_OFFLINE)
