"""Which weights of a net are put into eight bits, and which stay in float because they cost too much.

Weights alone are put into eight bits here: whoever runs the file computes in float32. It is found out by measuring: the
weights of each block are put into eight bits by themselves, and what the embeddings of some sounds lose is compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hear_edgel3.exporting.places import mean_cosine, without_mel_averages
from hear_edgel3.exporting.program import Program
from hear_edgel3.weights.quantized import SCALE, dequantize_state, quantize_state

# A net that loses less has all of its weights in eight bits; one that loses more gets blocks back in float until it
# does not, but no more of them than this share of the bytes of all weights.
ENOUGH = 0.9995
_IN_FLOAT_AT_MOST = 0.06


@dataclass(frozen=True)
class Narrowed:
    """A weight in eight bits: ``values * scale``.

    Attributes:
        values: int8, of the shape of the weight, or in rows of it.
        scale: float32, of as many axes, a value for each place of the first.
    """

    values: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        narrowed: By the name of the parameter in the program's module.
        in_float: The blocks that were given back, the most sensitive first.
        blocks: How many there are.
    """

    narrowed: dict[str, Narrowed]
    in_float: tuple[str, ...]
    blocks: int


def narrowed_weights(
    parameters: Mapping[str, torch.Tensor], rows: Mapping[str, int] | None = None
) -> dict[str, Narrowed]:
    """All weights that can be put into eight bits: small ones and biases cannot.

    Args:
        parameters: By their names.
        rows: In how many rows of equal length those are taken whose first axis is not that of outputs, by their names.
    """
    in_rows = {name: parameters[name].reshape(n, -1) for name, n in (rows or {}).items() if name in parameters}
    stored = quantize_state({**parameters, **in_rows})
    found = {}
    for name, value in stored.items():
        if value.dtype == torch.int8:
            scale = stored[name + SCALE]
            if len(scale) == len(value):
                shape = (len(value),) + (1,) * (value.ndim - 1)
                found[name] = Narrowed(value.numpy(), scale.float().reshape(shape).numpy())
    return found


def choose(
    program: Program,
    inputs: Sequence[torch.Tensor],
    takes: Callable[[np.ndarray], bool] | None = None,
    rows: Mapping[str, int] | None = None,
    in_float: Callable[[str], bool] = lambda _: False,
) -> Choice:
    """Finds the weights to put into eight bits.

    Args:
        program: What is exported. The weights of a head on its net stay in float: embeddings do not tell what it loses.
        inputs: What to measure on, batches as the program takes them.
        takes: Whether the engine has such a weight in eight bits; None for one that has all.
        rows: As for :func:`narrowed_weights`.
        in_float: Whether a parameter of such a name stays in float whatever it costs.
    """
    module = copy.deepcopy(program.module)
    parameters = {name: value for name, value in module.named_parameters() if name.startswith("net.")}
    narrowed = {
        name: one
        for name, one in narrowed_weights(parameters, rows).items()
        if (takes is None or takes(one.values)) and not in_float(name)
    }
    blocks: dict[str, list[str]] = {}
    for name in narrowed:
        blocks.setdefault(_block(name), []).append(name)
    originals = {name: parameters[name].detach().clone() for name in narrowed}
    coarse = {name: _widened(name, narrowed[name]).view_as(parameters[name]) for name in narrowed}
    images = [x if program.source == "spectrogram" else program.images(x) for x in inputs]
    places = without_mel_averages(program.card["features"])

    def use(names: Sequence[str], values: dict[str, torch.Tensor]) -> None:
        for name in names:
            parameters[name].data.copy_(values[name])

    def embeddings() -> np.ndarray:
        found = np.concatenate([module.embeddings(one).numpy() for one in images]).astype(np.float64)
        return found if places is None else found[:, places]

    exact = embeddings()
    costs, sizes = {}, {}
    for block, names in blocks.items():
        use(names, coarse)
        sizes[block] = sum(narrowed[name].values.size for name in names)
        costs[block] = (1.0 - mean_cosine(embeddings(), exact)) / sizes[block]
        use(names, originals)
    use([*narrowed], coarse)
    given_back: list[str] = []
    left = _IN_FLOAT_AT_MOST * sum(value.numel() for value in parameters.values())
    for block in sorted(costs, key=lambda one: -costs[one]):
        if mean_cosine(embeddings(), exact) >= ENOUGH:
            break
        if sizes[block] <= left:
            left -= sizes[block]
            given_back.append(block)
            use(blocks[block], originals)
    kept = {name: value for name, value in narrowed.items() if _block(name) not in given_back}
    return Choice(kept, tuple(given_back), len(blocks))


def _block(name: str) -> str:
    """The block that a parameter belongs to: "net.features.3" of "net.features.3.block.0.weight"."""
    return ".".join(name.split(".")[:3])


def _widened(name: str, narrowed: Narrowed) -> torch.Tensor:
    stored = {name: torch.from_numpy(narrowed.values), name + SCALE: torch.from_numpy(narrowed.scale.reshape(-1))}
    return dequantize_state(stored)[name]
