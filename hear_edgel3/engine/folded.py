"""The default engine: torch, with batch norm folded into the convolutions and the faster memory format."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hear_edgel3.engine import eager
from hear_edgel3.engine.expected import RUNS_EVERYWHERE


def check_installed() -> None:
    """Nothing is missing."""


def obstacle(net: nn.Module) -> str | None:  # noqa: ARG001
    """It runs every net."""
    return None


def pays(net: nn.Module) -> str:  # noqa: ARG001
    """It is good for every net, on every device."""
    return RUNS_EVERYWHERE


def folded_module(net: nn.Module) -> nn.Module:
    """The net's own folded form in eval mode, or the net itself if it has none."""
    fold = getattr(net, "folded", None)
    if fold is None:
        return net
    result: nn.Module = fold()
    return result.eval()


def compile_net(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The folded form; agrees with the net itself to float32 rounding (3e-5 of an embedding's peak)."""
    folded = folded_module(net)
    return eager.compile_net(net) if folded is net else folded


def not_float32_on_cpu(net: nn.Module) -> str | None:
    """Why an engine that wants float32 on the CPU cannot run a net, or None."""
    kinds = {f"{str(p.dtype).removeprefix('torch.')} on {p.device.type}" for p in net.parameters()}
    return None if kinds == {"float32 on cpu"} else f"the net is {', '.join(sorted(kinds))}, not float32 on cpu"
