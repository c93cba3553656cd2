"""The engine of compiled sparse kernels, for nets of the L3 family on the CPU. Needs numba."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import nn

from hear_edgel3.engine import folded
from hear_edgel3.errors import MissingExtra
from hear_edgel3.nets.l3 import L3Net

# Its threads take a window each; with a few more than one, none waits long for another.
WINDOWS_PER_THREAD = 4
# Zeros from which it is taken without being asked for.
PAYS = 0.3


def check_installed() -> None:
    """Raises MissingExtra if numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        raise MissingExtra('engine="numba"', "numba", "fast")


def takes(net: nn.Module) -> bool:
    """Whether a net is of a kind that it can run."""
    return isinstance(net, L3Net)


def obstacle(net: nn.Module) -> str | None:
    """Why it cannot run a net, or None."""
    if not takes(net):
        return "it runs nets of the L3 family only"
    return folded.not_float32_on_cpu(net)


def pays(net: nn.Module) -> str | None:
    """Why it is worth taking for a net that it can run, or None."""
    weights = [p for p in net.parameters() if p.ndim == 4]
    return pays_with(1 - sum(int(p.count_nonzero()) for p in weights) / sum(p.numel() for p in weights))


def pays_with(zeros: float) -> str | None:
    """Why it is worth taking for a net with this fraction of zeros among its weights, or None."""
    if zeros < PAYS or importlib.util.find_spec("numba") is None:
        return None
    return f"{100 * zeros:.1f} % of its weights are zero"


def compile_net(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net for images of any size; agrees with float64 to 2e-6 of an embedding's peak on noise.

    Images whose rows cannot be shared out to the lanes of a vector go through torch.
    """
    from hear_edgel3.engine.lanes.compiled import native_lanes
    from hear_edgel3.engine.lanes.net import LanesNet, Plain, Settings, lanes_for

    assert isinstance(net, L3Net)
    plain_net = folded.compile_net(net)
    plain = Plain.of(net)
    made: dict[tuple[int, int], LanesNet | None] = {}

    def run(x: torch.Tensor) -> torch.Tensor:
        size = (x.shape[1], x.shape[2])
        if size not in made:
            lanes = lanes_for(size[0], sum(plain.pooled), native_lanes())
            made[size] = None if lanes is None else LanesNet(plain, *size, lanes, Settings.usual())
        compiled = made[size]
        if compiled is None:
            return plain_net(x)
        return torch.from_numpy(compiled(x.detach().float().numpy(), torch.get_num_threads()))

    return run
