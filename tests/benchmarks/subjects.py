"""Extractors with seeded weights, for benchmarks: neither time nor memory depends on what a net has learned."""

from __future__ import annotations

import numpy as np
import torch

from hear_edgel3 import load
from hear_edgel3.engine.table import NAMES
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.names import resolve
from support import dymn_files, synthetic
from support import mobilenetv3_reference as reference

MASKS = ("uniform", "early")
# Zeros per layer as the authors' own example prunes L3-Net: less in early layers.
_EARLY = (1.0, 0.30, 0.30, 0.25, 0.40, 0.20, 0.20, 0.15)


def densities(weights: list[int], zeros: float, mask: str) -> list[float]:
    """The fraction of each layer's weights that is not zero; the first layer is dense.

    Args:
        weights: of each layer.
        zeros: fraction of all weights that is zero.
        mask: "uniform", or "early" for early layers that are denser.
    """
    shape = [1.0, *([1.0] * 7 if mask == "uniform" else _EARLY[1:])]
    low, high = 0.0, 100.0
    for _ in range(80):
        factor = (low + high) / 2
        found = [1.0, *(min(1.0, factor * d) for d in shape[1:])]
        kept = sum(d * n for d, n in zip(found, weights, strict=True)) / sum(weights)
        low, high = (low, factor) if kept > 1 - zeros else (factor, high)
    return found


def pruned_net(name: str, mask: str) -> L3Net:
    """The net of a sparse configuration with random weights and zeros at random places."""
    row = resolve(name).checkpoint
    net = row.net.build()
    assert isinstance(net, L3Net)
    rs = np.random.RandomState(0)
    shapes = [tuple(conv.weight.shape) for conv in net.convs]
    kept = densities([int(np.prod(shape)) for shape in shapes], row.zeros, mask)
    with torch.no_grad():
        for conv, shape, density in zip(net.convs, shapes, kept, strict=True):
            # Of a scale that lets activations neither vanish nor explode.
            values = rs.randn(*shape) * np.sqrt(2 / (9 * shape[1] * density))
            conv.weight.copy_(torch.from_numpy(values * (rs.rand(*shape) < density)))
            conv.bias.zero_()
        net.input_norm.running_mean.fill_(-40.0)
        net.input_norm.running_var.fill_(400.0)
    return net.eval()


def net_of(name: str, mask: str = "uniform") -> torch.nn.Module:
    """The net of a configuration."""
    configuration = resolve(name)
    if name.startswith("sparse"):
        return pruned_net(name, mask)
    net = configuration.net.build()
    if name.startswith("sea"):
        net.load_state_dict(synthetic.state(name), strict=False)
    elif isinstance(configuration.checkpoint, Local):  # it has its own weights, and maybe a layout of its own
        net = load(name).net
    elif isinstance(net, DyMN):
        net.load_state_dict(dymn_files.seeded(net, gain=dymn_files.FILE_GAIN))
    else:
        arguments = configuration.net.arguments
        spec = reference.Spec(arguments["width_mult"], arguments["head"], strides=arguments["strides"])
        net.load_state_dict(reference.seeded_state(spec))
    return net.eval()


def extractor_of(name: str, net: torch.nn.Module, engine: str = "auto", sample_rate: int | None = None) -> Extractor:
    """An extractor that is fed at the net's own rate, or at another."""
    configuration = resolve(name)
    row = configuration.checkpoint
    found = Extractor(configuration, row.frontend.build(), net, sample_rate or row.net_sample_rate, engine).eval()
    found.keep()  # as `load` does: no benchmark changes a net
    return found


def engines_for(net: torch.nn.Module) -> list[str]:
    """Engines that are installed and can run a net, but for the plain one."""
    from hear_edgel3.engine.runner import Runner
    from hear_edgel3.errors import InvalidOption, MissingExtra

    found = []
    for name in NAMES:
        if name not in ("auto", "eager"):
            try:
                Runner(name).choose(net)
            except (InvalidOption, MissingExtra):
                continue
            found.append(name)
    return found
