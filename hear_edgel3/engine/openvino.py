"""OpenVINO, for nets in float32 on the CPU. Needs openvino and onnx.

It keeps the number of threads that torch has when the net is compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import nn

from hear_edgel3._extras import require
from hear_edgel3.engine import exported


def check_installed() -> None:
    """Raises MissingExtra if something is not installed."""
    exported.check_installed("openvino")


def obstacle(net: nn.Module) -> str | None:
    """Why it cannot run a net, or None."""
    return exported.obstacle(net)


def pays(net: nn.Module) -> str | None:  # noqa: ARG001
    """It is never taken unless it is asked for."""
    return None


def compile_net(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net; agrees with torch to 1e-4 of an embedding's peak (observed 1e-6)."""
    openvino = require("openvino", 'engine="openvino"', "openvino")

    core = openvino.Core()
    # Without the hint it takes bfloat16 where the machine has it, which is off by a hundredth.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(exported.to_onnx(net)), "CPU", settings)
    mine = threading.local()  # a request runs one thing at a time

    def run(x: torch.Tensor) -> torch.Tensor:
        if not hasattr(mine, "request"):
            mine.request = compiled.create_infer_request()
        # A copy: the next call overwrites what the request holds.
        return torch.from_numpy(mine.request.infer({0: x.detach().float().contiguous().numpy()})[0].copy())

    return run
