"""HEAR module of any folder that ``hear-edgel3 distill`` or ``train`` has made: ``load_model("path/to/folder")``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hear_edgel3._checks import check_path
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.hear import get_scene_embeddings, get_timestamp_embeddings

if TYPE_CHECKING:
    from hear_edgel3.extractor.extractor import Extractor

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str | os.PathLike[str] = "", **options: Any) -> Extractor:
    """Loads a folder for HEAR.

    Args:
        model_file_path: the folder, with ``configuration.json`` in it.
        **options: those of :func:`hear_edgel3.load`: sample_rate, features, hop_ms, engine, ...

    Returns:
        The model, on the CPU in eval mode, with sample_rate, scene_embedding_size and timestamp_embedding_size.

    Raises:
        ConfigurationError: there is no such folder, or it does not describe a configuration.
        InvalidOption: it is no path, or an option cannot be used.
    """
    from hear_edgel3.extractor.loading import load
    from hear_edgel3.registry import folder as local

    check_path(model_file_path, "model_file_path", empty=True)
    if not os.fspath(model_file_path):
        raise ConfigurationError(
            "hear_edgel3.custom has no net of its own; give the folder that `hear-edgel3 distill` or `train` made "
            "(hear-validator hear_edgel3.custom --model path/to/folder)"
        )
    return load(local.read_folder(model_file_path).folder, **options)
