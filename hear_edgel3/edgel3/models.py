"""``edgel3.models``: loading by model type, size, training and sparsity."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.l3.rows import sea_name, sea_sizes, sparse_name, sparsities
from hear_edgel3.registry.names import resolve

if TYPE_CHECKING:
    from hear_edgel3.edgel3.embedding_model import EmbeddingModel


def configuration_name(
    model_type: str = "sparse", emb_dim: float | None = 128, retrain_type: str = "ft", sparsity: float = 95.45
) -> str:
    """Name of the configuration that edgel3's options mean.

    Args:
        model_type: "sparse" or "sea".
        emb_dim: 64, 128, 256 or 512; only read for "sea".
        retrain_type: "ft" (fine-tuned) or "kd" (distilled); only read for "sparse".
        sparsity: 53.5, 63.5, 72.3, 73.5, 81, 87, 90.5 or 95.45 (percent); only read for "sparse".

    Raises:
        InvalidOption: a value that is read is not one of these.
    """
    if model_type == "sea":
        if _number(emb_dim) not in sea_sizes():
            raise InvalidOption(f"invalid emb_dim {emb_dim!r}; it must be one of {', '.join(map(str, sea_sizes()))}")
        return sea_name(int(_number(emb_dim)))
    if model_type != "sparse":
        raise InvalidOption(f"invalid model_type {model_type!r}; it must be 'sparse' or 'sea'")
    if retrain_type not in ("ft", "kd"):
        raise InvalidOption(f"invalid retrain_type {retrain_type!r}; it must be 'ft' or 'kd'")
    for published in sparsities():
        if abs(_number(sparsity) - published) < 1e-4:  # so that float32 values and 87 are understood
            return sparse_name(str(published), retrain_type)
    raise InvalidOption(f"invalid sparsity {sparsity!r}; it must be one of {', '.join(map(str, sparsities()))}")


def _number(value: object) -> float:
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if good else float("nan")  # type: ignore[arg-type]


def load_embedding_model(
    model_type: str = "sparse",
    emb_dim: float | None = 128,
    retrain_type: str = "ft",
    sparsity: float = 95.45,
    weights: str | os.PathLike[str] | None = None,
) -> EmbeddingModel:
    """Loads a model to pass to ``get_embedding`` or ``process_file``.

    It is an extractor as :func:`hear_edgel3.load` makes them; like edgel3's Keras models it has ``output_shape``
    (``(None, 512)``), ``input_shape`` and ``predict``.

    Args:
        model_type: "sparse" or "sea".
        emb_dim: embedding size of a SEA model.
        retrain_type: "ft" or "kd", for a sparse model.
        sparsity: percent of weights pruned, for a sparse model.
        weights: a converted file, or a folder that has it; None to find or fetch it.

    Raises:
        InvalidOption: an option has a value that does not exist.
        WeightsNotFound: see :mod:`hear_edgel3.weights`.
    """
    name = configuration_name(model_type, emb_dim, retrain_type, sparsity)
    from hear_edgel3.edgel3.embedding_model import EmbeddingModel
    from hear_edgel3.extractor.loading import load

    return EmbeddingModel.of(load(name, weights=weights))


def load_embedding_model_path(
    model_type: str = "sparse",
    emb_dim: float | None = 128,
    retrain_type: str = "ft",
    sparsity: float = 95.45,
    weights: str | os.PathLike[str] | None = None,
) -> str:
    """Path of the weights file that :func:`load_embedding_model` would read with the same arguments.

    It is the converted file (``<configuration>.safetensors``), not edgel3's ``.h5``, and it exists: it is fetched and
    converted first if need be, because before that nothing is known of where it will be. It can be passed on as
    ``weights``.

    Args:
        model_type: see :func:`load_embedding_model`.
        emb_dim: see :func:`load_embedding_model`.
        retrain_type: see :func:`load_embedding_model`.
        sparsity: see :func:`load_embedding_model`.
        weights: see :func:`load_embedding_model`.

    Raises:
        InvalidOption: an option has a value that does not exist.
        WeightsNotFound: it is nowhere, and cannot be fetched; see :mod:`hear_edgel3.weights`.
    """
    name = configuration_name(model_type, emb_dim, retrain_type, sparsity)
    from hear_edgel3.weights.locate import locate

    return str(locate(resolve(name).checkpoint, weights))
