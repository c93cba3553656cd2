"""Where converted weights are looked for, and whether the network may be used to find them."""

from __future__ import annotations

# A folder of converted files that is looked into before the cache.
FOLDER_VARIABLE = "HEAR_EDGEL3_WEIGHTS"


def offline() -> bool:
    """Whether the user has forbidden the network (``HF_HUB_OFFLINE`` or ``TRANSFORMERS_OFFLINE``)."""
    from huggingface_hub import constants  # its attributes are loaded lazily: `huggingface_hub.constants` may not exist

    return bool(constants.HF_HUB_OFFLINE)
