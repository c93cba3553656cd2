"""From a configuration's name to an extractor that is ready to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hear_edgel3.extractor.extractor import Extractor, WeightsInfo, check_options
from hear_edgel3.families.schema import Configuration
from hear_edgel3.registry.names import BUILT_IN, resolve, with_classes, with_features, with_logits
from hear_edgel3.weights.file import own_settings, put_into, read_for
from hear_edgel3.weights.header import own_labels
from hear_edgel3.weights.locate import find


def load(
    name: str | os.PathLike[str] = BUILT_IN,
    weights: str | os.PathLike[str] | None = None,
    sample_rate: int | None = None,
    features: Sequence[str] | None = None,
    engine: str = "auto",
    hop_ms: float | None = None,
) -> Extractor:
    """Loads a configuration.

    Args:
        name: a configuration's name; :func:`hear_edgel3.list_configurations` has them all. Or the path of a folder that
            ``hear-edgel3 distill`` or ``train`` has made. The default is the built-in one, which needs no download.
        weights: a safetensors file, or a folder that has one; None to find or fetch it. Names that all begin with
            ``module.``, ``model.``, ``net.`` or ``_orig_mod.`` are taken without that. A file of a net that was trained
            further on other classes has their names in it, if ``hear-edgel3 weights convert --labels`` has made it.
        sample_rate: rate in Hz of the audio you will feed, 8000 to 192000 or the net's own; None for the
            configuration's default. Audio is converted to the net's rate inside.
        features: words for the features to extract, as they would follow the name (``["all_se", "clf1"]``), for
            families that have a choice; the L3 family has none.
        engine: what runs the net: "torch" (batch norm folded), "numba" (compiled kernels, for L3, MobileNetV3, DyMN
            and nets of inverted residuals that see pictures, on the CPU), "onnxruntime", "openvino", "eager" (the plain
            module), or "auto": numba for these on the CPU in float32 where it is installed, else torch.
        hop_ms: default distance of timestamp embeddings in milliseconds; None for the configuration's.

    Returns:
        An extractor on the CPU in eval mode.

    Raises:
        UnknownConfiguration: no such name.
        ConfigurationError: the folder's description is damaged.
        InvalidOption: an option has a value that cannot be used.
        MissingExtra: what the engine needs is not installed.
        WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: see :mod:`hear_edgel3.weights`.
    """
    configuration = resolve(name)
    if features is not None:
        configuration = with_features(configuration, features)
    return load_configuration(configuration, weights, sample_rate, engine, hop_ms)


def load_configuration(
    configuration: Configuration,
    weights: str | os.PathLike[str] | None = None,
    sample_rate: int | None = None,
    engine: str = "auto",
    hop_ms: float | None = None,
    logits: bool = False,
) -> Extractor:
    """As :func:`load`, of a configuration that was resolved already.

    Args:
        configuration: The configuration.
        weights: As for :func:`load`.
        sample_rate: As for :func:`load`.
        engine: As for :func:`load`.
        hop_ms: As for :func:`load`.
        logits: Whether the logits of the net's own classifier come behind the features.

    Raises:
        As :func:`load`.
    """
    row = configuration.checkpoint
    check_options(row, sample_rate, engine, hop_ms)  # before anything is fetched
    found = find(row, weights)
    file = read_for(row, found.path, found.sha256)
    classes = own_labels(file.provenance, str(found.path))
    if classes is not None:
        configuration = with_classes(configuration, len(classes), own_settings(row, file.provenance))
        row = configuration.checkpoint
    if logits:
        configuration = with_logits(configuration)
    # An ordinary model on the CPU, whatever mode, default device or default type the caller has set.
    with torch.inference_mode(False), torch.device("cpu"):
        with NoInitialValues():
            net = configuration.net.build()
        if torch.get_default_dtype() != torch.float32:
            net.float()
        put_into(net, row, file, found.path)
        info = WeightsInfo(str(found.path), file.sha256)
        extractor = Extractor(
            configuration, configuration.frontend.build(), net, sample_rate, engine, hop_ms, info, classes
        )
    extractor.eval()
    extractor.keep()
    return extractor


class NoInitialValues(TorchFunctionMode):
    """Nets that are made within have any values at first: theirs come from a file.

    So nothing is drawn from the caller's generator of random numbers.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Leaves out what fills tensors at random, alone or for torch.nn.init."""
        given = kwargs or {}
        if func in _RANDOM or (getattr(func, "__module__", None) == nn.init.__name__ and func not in _CONSTANT):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


_RANDOM = (torch.Tensor.normal_, torch.Tensor.uniform_)
_CONSTANT = (nn.init.constant_, nn.init.zeros_, nn.init.ones_)
