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
    example = torch.zeros(2, n_mels, n_frames, dtype=torch.float32, device="cpu")
    return traced(in_eval_mode(exportable(net)), example, "x", axes, {"y": {0: "n"}})


def traced(
    module: nn.Module, example: torch.Tensor, source: str, axes: dict[int, str], outputs: dict[str, dict[int, str]]
) -> bytes:
    """A module as an ONNX file.

    Args:
        module: Of one input, in eval mode; what it does depends on an input's size by its shape alone.
        example: What it is traced with.
        source: The name of the input.
        axes: The axes of the input that may have other sizes later, and what they are called.
        outputs: By the name of each output, in their order, the same of it.
    """
    file = io.BytesIO()
    with _exporting, warnings.catch_warnings():
        # That there is a newer exporter, which needs two more packages; and that sizes are traced, as they shall be.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=[source],
            output_names=list(outputs),
            dynamic_axes={source: axes, **outputs},
        )
    return file.getvalue()


def exportable(net: nn.Module) -> nn.Module:
    """The form of a net that can be exported: its batch norms folded, unless it has a form of its own."""
    make = getattr(net, "exportable", None)
    if make is None:
        return folded.folded_module(net)
    result: nn.Module = make()
    return result
