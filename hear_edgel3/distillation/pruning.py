"""Pruning: which channels of a trained net matter least to what it puts out, for what they cost.

The importance of a channel is the diagonal of the Gauss-Newton matrix of the distillation loss in a gate on it (Theis
et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018; Molchanov et al., "Importance Estimation
for Neural Network Pruning", CVPR 2019), estimated by gradients of random directions of the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hear_edgel3.errors import InvalidOption

STEP = 8  # channels that are left out at once
# What parameters and multiply-accumulates count for while there are too many of both. Where channels were left out for
# one of them alone, leaving others out for the other one saves of the first again, more than was needed: which order
# loses least is tried.
MIXES = ((1.0, 1.0), (3.0, 1.0), (1.0, 3.0), (10.0, 1.0), (1.0, 10.0), (1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class Limits:
    """What a pruned net may cost; None for as much as it does.

    Attributes:
        parameters: The most parameters.
        macs: The most multiply-accumulates for ten seconds.
    """

    parameters: int | None
    macs: int | None


def importance(
    net: Any,
    groups: Mapping[str, torch.nn.Module],
    images: Sequence[torch.Tensor],
    scale: torch.Tensor,
    n_classes: int,
    logits_weight: float,
) -> dict[str, torch.Tensor]:
    """How much the distillation loss would rise if a channel was left out.

    Args:
        net: In eval mode; puts out the embedding, and the logits behind it.
        groups: The modules whose outputs (n, channels, ...) may be left out, by name.
        images: Batches of inputs.
        scale: (D,) What each value of the embedding is divided by in the loss.
        n_classes: The size of the logits; 0 if there are none.
        logits_weight: The weight of the loss on logits, where that on the embedding has 1.

    Returns:
        For each group (channels,) float64.
    """
    size = len(scale)
    values: dict[str, torch.Tensor] = {}

    def keeping(name: str) -> Callable[..., None]:
        def keep(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:  # noqa: ARG001
            output.retain_grad()
            values[name] = output

        return keep

    hooks = [module.register_forward_hook(keeping(name)) for name, module in groups.items()]
    generator = torch.Generator().manual_seed(0)  # of random directions, always the same
    found: dict[str, torch.Tensor] = {}
    count = 0
    try:
        with torch.enable_grad():
            for batch in images:
                outputs = net(batch)
                embedding, logits = outputs[:, :size], outputs[:, size:]
                weights = math.sqrt(2 / size) / scale
                direction = torch.randn(embedding.shape, generator=generator) * weights
                total = (direction.to(embedding) * embedding).sum()
                if n_classes:
                    p = torch.sigmoid(logits.detach())
                    curvature = torch.sqrt(logits_weight / n_classes * p * (1 - p))
                    signs = torch.randn(logits.shape, generator=generator).to(logits)
                    total = total + (signs * curvature * logits).sum()
                net.zero_grad(set_to_none=True)
                total.backward()
                for name, value in values.items():
                    assert value.grad is not None
                    # The gradient of a gate on the channel, for each example.
                    gate = value.detach() * value.grad
                    gate = gate.flatten(2).sum(dim=2) if gate.ndim > 2 else gate
                    found[name] = found.get(name, torch.zeros(())) + gate.double().square().sum(dim=0)
                count += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        net.zero_grad(set_to_none=True)
    return {name: total / count for name, total in found.items()}


def check_limits(
    sizes: Mapping[str, int],
    floors: Mapping[str, int],
    cost: Callable[[Mapping[str, int]], tuple[int, int]],
    limits: Limits,
) -> None:
    """Says beforehand what :func:`choose` would find after long work.

    Args:
        sizes: The channels of every group.
        floors: As for :func:`choose`.
        cost: As for :func:`choose`.
        limits: What the net may cost.

    Raises:
        InvalidOption: The net cannot become so small, or is not larger than that.
    """
    full = cost(sizes)
    if all(
        limit is None or value <= limit for value, limit in zip(full, (limits.parameters, limits.macs), strict=True)
    ):
        raise InvalidOption(
            f"the net has {full[0]:,} parameters and {full[1]:,} MACs per 10 s, which is no more than what was asked "
            f"for: there is nothing to prune"
        )
    least: dict[str, int] = {}
    for name, size in sizes.items():
        least[name] = size
        while least[name] - STEP >= max(STEP, floors.get(name, STEP)):
            least[name] -= STEP
    smallest = cost(least)
    if any(
        limit is not None and value > limit
        for value, limit in zip(smallest, (limits.parameters, limits.macs), strict=True)
    ):
        raise _too_small(limits, smallest)


def _too_small(limits: Limits, smallest: tuple[int, int]) -> InvalidOption:
    asked = ", ".join(
        f"{value:,} {what}"
        for value, what in zip((limits.parameters, limits.macs), ("parameters", "MACs per 10 s"), strict=True)
        if value is not None
    )
    return InvalidOption(
        f"the net cannot be pruned to {asked}: at {smallest[0]:,} parameters and {smallest[1]:,} MACs per 10 s there "
        f"is nothing left that may be left out; ask for more, or for a student of another width"
    )


def choose(
    importances: Mapping[str, torch.Tensor],
    floors: Mapping[str, int],
    cost: Callable[[Mapping[str, int]], tuple[int, int]],
    limits: Limits,
) -> dict[str, torch.Tensor]:
    """The channels that stay: those are left out, by eights, that matter least for what they cost, until limits hold.

    With two limits this is done for several weights of them (:data:`MIXES`), and that is taken by which least is lost.

    Args:
        importances: For each group (channels,).
        floors: The fewest channels that must stay, by group; eight where nothing is said.
        cost: Parameters and multiply-accumulates, given the channels of every group.
        limits: What the net may cost.

    Returns:
        For each group (kept,) int64, ascending.

    Raises:
        InvalidOption: the net cannot become so small.
    """
    order = {name: torch.argsort(values, stable=True) for name, values in importances.items()}
    # What is lost when so many of a group's channels are left out.
    losses = {
        name: [0.0, *torch.cumsum(importances[name][order[name]].double(), dim=0).tolist()] for name in importances
    }
    mixes = MIXES if limits.parameters is not None and limits.macs is not None else MIXES[:1]
    full = {name: len(values) for name, values in importances.items()}
    tried = [_cut(losses, full, floors, cost, limits, mix) for mix in mixes]
    best = min(tried, key=lambda sizes: sum(losses[name][full[name] - size] for name, size in sizes.items()))
    return {name: order[name][full[name] - size :].sort().values for name, size in best.items()}


def _cut(
    losses: Mapping[str, Sequence[float]],
    full: Mapping[str, int],
    floors: Mapping[str, int],
    cost: Callable[[Mapping[str, int]], tuple[int, int]],
    limits: Limits,
    mix: tuple[float, float],
) -> dict[str, int]:
    """The channels that stay of each group, given what each limit counts for while neither holds."""
    sizes = dict(full)
    while True:
        now = cost(sizes)
        over = [
            limit is not None and value > limit
            for value, limit in zip(now, (limits.parameters, limits.macs), strict=True)
        ]
        if not any(over):
            return sizes
        counts = mix if all(over) else (float(over[0]), float(over[1]))
        best: tuple[float, str] | None = None
        for name, size in sizes.items():
            if size - STEP < max(STEP, floors.get(name, STEP)):
                continue
            less = cost({**sizes, name: size - STEP})
            # What is saved, as a part of what there is, of that which is too much.
            saved = sum(count * (a - b) / a for count, a, b in zip(counts, now, less, strict=True))
            if saved <= 0:
                continue
            gone = full[name] - size
            lost = losses[name][gone + STEP] - losses[name][gone]
            if best is None or lost / saved < best[0]:
                best = (lost / saved, name)
        if best is None:
            raise _too_small(limits, now)
        sizes[best[1]] -= STEP
