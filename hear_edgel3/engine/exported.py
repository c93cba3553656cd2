"""Nets as ONNX files in memory, for the engines that take these."""

from __future__ import annotations

import importlib.util
import io
import threading
import warnings
from typing import cast

import torch
from torch import nn

from hear_edgel3.engine import folded
from hear_edgel3.engine.eval_mode import in_eval_mode
from hear_edgel3.errors import MissingExtra

_OPSET = 17
_exporting = threading.Lock()  # torch exports one net at a time


def check_installed(package: str) -> None:
    """Raises MissingExtra if an engine's package, or the one that nets are exported with, is not installed."""
    for needed in (package, "onnx"):
        if importlib.util.find_spec(needed) is None:
            raise MissingExtra(f'engine="{package}"', needed, package)


def obstacle(net: nn.Module) -> str | None:
    """Why a net cannot be exported, or None."""
    if getattr(net, "example_shape", None) is None:
        return "the net does not say what image to trace it with (example_shape)"
    return folded.not_float32_on_cpu(net)


def to_onnx(net: nn.Module) -> bytes:
    """A net in eval mode as an ONNX file, batch norm folded.

    Its input "x" is (n, n_mels, n_frames) and its output "y" (n, size). Any number of images of any length can be
    given; those of other mel bands too, unless the net has a fixed number of them (``n_mels``).
    """
    # What it is traced with; images of other sizes, and any number of them, can be given later.
    n_mels, n_frames = cast(tuple[int, int], net.example_shape)
    axes = {0: "n", 2: "n_frames"}
    if getattr(net, "n_mels", None) is None:
        axes[1] = "n_mels"
    file = io.BytesIO()
    with _exporting, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a newer exporter, which needs two more packages
        torch.onnx.export(
            in_eval_mode(_exportable(net)),
            (torch.zeros(2, n_mels, n_frames, dtype=torch.float32, device="cpu"),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": {0: "n"}},
        )
    return file.getvalue()


def _exportable(net: nn.Module) -> nn.Module:
    """The form of a net that can be exported."""
    make = getattr(net, "exportable", None)
    if make is None:
        return folded.folded_module(net)
    result: nn.Module = make()
    return result
