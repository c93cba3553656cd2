"""Nets as ONNX files in memory, for the engines that take these."""

from __future__ import annotations

import importlib.util
import io
import threading
import warnings

import torch
from torch import nn

from hear_edgel3.engine import folded
from hear_edgel3.errors import MissingExtra

# Of images to trace the net with; both, and their number, may be others.
_ROWS_AND_FRAMES = {"L3Net": (64, 50), "MobileNetV3": (128, 101)}
_OPSET = 17
_exporting = threading.Lock()  # torch exports one net at a time


def check_installed(package: str) -> None:
    """Raises MissingExtra if a package, or what nets are exported with, is not installed."""
    for needed in (package, "onnx"):
        if importlib.util.find_spec(needed) is None:
            raise MissingExtra(f'engine="{package}"', needed, package)


def obstacle(net: nn.Module) -> str | None:
    """Why a net cannot be exported, or None."""
    if type(net).__name__ not in _ROWS_AND_FRAMES:
        return "it runs nets of the L3 and MobileNetV3 families only"
    return folded.not_float32_on_cpu(net)


def to_onnx(net: nn.Module) -> bytes:
    """A net in eval mode, batch norm folded, with one input (n, n_mels, n_frames) and one output (n, size)."""
    rows, frames = _ROWS_AND_FRAMES[type(net).__name__]
    axes = {0: "n", 2: "n_frames"}
    n_mels = getattr(net, "n_mels", None)
    if isinstance(n_mels, int):
        rows = n_mels
    else:
        axes[1] = "n_mels"
    file = io.BytesIO()
    with _exporting, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a newer exporter, which needs two more packages
        torch.onnx.export(
            folded.folded_module(net),
            (torch.zeros(2, rows, frames),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": {0: "n"}},
        )
    return file.getvalue()
