"""The plain engine: the net just as it is written. Slower; the reference for the others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hear_edgel3.engine.eval_mode import in_eval_mode


def check_installed() -> None:
    """Nothing is missing."""


def obstacle(net: nn.Module) -> str | None:  # noqa: ARG001
    """It runs every net."""
    return None


def pays(net: nn.Module) -> str | None:  # noqa: ARG001
    """It is never taken unless it is asked for."""
    return None


def compile_net(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net itself, in eval mode whatever mode it is in when it runs."""

    def run(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = in_eval_mode(net)(x)
        return result

    return run
