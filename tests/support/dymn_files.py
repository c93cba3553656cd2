"""Nets and checkpoints of the DyMN family with seeded weights, as the originals' outputs were made with them.

Each tensor depends on its name, its shape and a seed alone: uniform numbers of NumPy's frozen MT19937 stream, of which
the first four bytes of a SHA-256 are the seed. Nothing in it is trained.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hear_edgel3.families.dymn.blocks import DynamicConvolution
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.table import settings_of
from hear_edgel3.weights.file import encode
from support.synthetic import row

State = dict[str, torch.Tensor]

SEED, GAIN = 20240, 2.7
# Of files, whose nets hear any sound: with the larger one, some have activations grow beyond what float32 tells apart.
FILE_GAIN = 2.3
# Factors of a standard deviation by what stands in a name: (words, factor).
_FACTORS = (
    (("residuals", "coef_net"), 6.0),
    (("conv_f", "conv_t"), 3.0),
    (("classifier",), 8.0),
)


def tensor(name: str, shape: tuple[int, ...], fan_in: int | None, seed: int = SEED, gain: float = GAIN) -> torch.Tensor:
    """The values of one tensor; of the kernels of dynamic convolutions, whose shape hides it, the inputs are needed."""
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.tensor(1000)
    if last == "lambdas":
        return torch.tensor([1.0] * (shape[0] // 2) + [0.5] * (shape[0] // 2))
    if last == "init_v":
        return torch.tensor([1.0] + [0.0] * (shape[0] - 1))
    number = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "little")
    u = np.random.RandomState(number).random_sample(math.prod(shape)).reshape(shape) * 2 - 1
    if last == "running_mean":
        values = 0.3 * u
    elif last == "running_var":
        values = 1.0 + 0.6 * u
    elif len(shape) == 1 and last == "weight":
        values = 1.0 + 0.4 * u
    elif last == "bias":
        values = (1.0 if any(word in name for word in _FACTORS[0][0]) else 0.25) * u
    else:
        factor = next((factor for words, factor in _FACTORS if any(word in name for word in words)), gain)
        values = factor * (1.0 / (fan_in or math.prod(shape[1:]))) ** 0.5 * u
    return torch.from_numpy(values.astype(np.float32))


def seeded(net: torch.nn.Module, seed: int = SEED, gain: float = GAIN) -> State:
    """A state dict of a net, which may be on the device "meta"."""
    inputs = {
        f"{name}.weight": math.prod(module.kernel_shape[1:])
        for name, module in net.named_modules()
        if isinstance(module, DynamicConvolution)
    }
    return {
        name: tensor(name, tuple(value.shape), inputs.get(name), seed, gain) for name, value in net.state_dict().items()
    }


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def build(seed: int = SEED, gain: float = GAIN, **arguments: Any) -> DyMN:
    """A net with seeded weights, in eval mode."""
    net = DyMN(**{"tau": 1.0, "width_mult": 0.4, **arguments})
    net.load_state_dict(seeded(net, seed, gain))
    return net.eval()


@functools.cache
def state(name: str) -> State:
    """What is in the authors' file of a checkpoint."""
    arguments = row(name).net.arguments
    with torch.device("meta"):
        net = DyMN(**{**arguments, "n_classes": arguments["n_classes"] or 1000})
    return seeded(net, gain=FILE_GAIN)


def converted(name: str, **provenance: Any) -> bytes:
    """A converted file of a checkpoint."""
    arguments = row(name).net.arguments
    kept = {key: value for key, value in state(name).items() if arguments["n_classes"] or "classifier.5" not in key}
    return encode(kept, {"configuration": name, "settings": settings_of(row(name)), **provenance})
