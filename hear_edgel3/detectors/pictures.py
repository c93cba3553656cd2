"""The net that a configuration file of DeepSpectrumLite asks for: one for photographs, with the file's pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import make_folder, write_together
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.image.options import PictureOptions
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import published
from hear_edgel3.weights.file import encode, read_for
from hear_edgel3.weights.locate import find

_WEIGHTS = "model.safetensors"
_OPTIONS = frozenset(field.name for field in fields(PictureOptions))
# What of a file's values makes the net and its pictures.
TAKEN = (*sorted(_OPTIONS), "basemodel_name", "chunk_size", "use_plot_images", "weights")


def check_pictures(values: Mapping[str, Any], where: str) -> None:
    """Finds out whether there is a net that sees a file's pictures.

    Args:
        values: Of one combination of the file's options, by name.
        where: What the file is called in errors.

    Raises:
        InvalidOption: There is none.
    """
    net = values["basemodel_name"]
    if values["weights"] != "imagenet":
        raise InvalidOption(f"{where} asks for {net} with random weights; only weights of imagenet are here")
    if not values["use_plot_images"]:
        raise InvalidOption(f"{where} has use_plot_images false; nets see pictures here: set it to true")
    if values["chunk_size"] < 0:
        raise InvalidOption(f"{where} has a chunk_size below 0, for whole files; give seconds, such as 4.0")
    try:
        FAMILIES["image"].architecture(**_shape(values))
    except ValueError as error:
        raise InvalidOption(f"{where}: {error}") from error


def _shape(values: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: values[name] for name in _OPTIONS if name in values}
    return {
        **{"net": values["basemodel_name"], "preset": "compat", "window_ms": 1000.0 * values["chunk_size"]},
        **options,
    }


def write_picture_net(
    values: Mapping[str, Any], folder: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None
) -> Path:
    """Writes a folder with a net and the options of its pictures, to be trained further.

    Args:
        values: Of one combination of a file's options, as :func:`check_pictures` takes them.
        folder: Where to. What is there of the kind is replaced by the same.
        weights: As for :func:`hear_edgel3.load`, of the published net.

    Returns:
        The folder.

    Raises:
        OutputError: A file cannot be written.
    """
    row = published(f"image_{values['basemodel_name']}")
    found = find(row, weights)
    state = read_for(row, found.path, found.sha256).tensors
    path, name = Path(folder), f"image{values['basemodel_name'].replace('_', '')}"
    data = encode(dict(state), {"configuration": name, "made_by": f"hear_edgel3 {__version__}", "net": row.name})
    description = {
        **{"format": local.FORMAT, "name": name, "family": row.family, "summary": row.summary},
        **{"architecture": _shape(values), "labels": None, "default_features": "", "embedding_version": 1},
        **{"weights_file": _WEIGHTS, "weights_sha256": hashlib.sha256(data).hexdigest()},
        **{"licence": row.upstream.licence, "citation": row.citation, "reported": {}, "made": {"net": row.name}},
    }
    local.make_row(description, path)  # that what is written can be read
    make_folder(path)
    write_together(path, {_WEIGHTS: data, local.FILENAME: (json_text(description, indent=1) + "\n").encode()})
    return path
