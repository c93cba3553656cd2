"""Weights of pruned nets without their zeros: what is left of a tensor, and how far it is from one value to the next.

The format, which docs/weights_format.md describes for readers in other languages too. A tensor called NAME is stored
as three:

- ``NAME``, unsigned bytes of shape (bytes of a value, values that are left): the first byte of every value, then the
  second byte of every value, and so on. Bytes that are alike lie side by side so, which is what makes zip archives and
  compressed downloads of such a file smaller.
- ``NAME.gaps``, unsigned bytes of one axis: below 255, so many zeros are skipped and a value follows; 255 skips as many
  zeros, and no value follows. The zeros behind the last value are skipped by whole 255s too, and fewer than 255 are
  left over: so a byte stands for 255 values at most, and a small file cannot describe a large tensor.
- ``NAME.shape``, int32 of one axis.

A zero is a value all of whose bits are: what is read is what was there, bit by bit. Negative zeros are values like
others; but where there are many, as a mask that weights are multiplied with leaves them, they are skipped too, and a
fourth part says which ones they are:

- ``NAME.signs``, unsigned bytes of one axis: a bit for each place that is skipped, from each byte's lowest bit on, set
  for a negative zero; what is left of the last byte is not set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from hear_edgel3.errors import WeightsCorrupt

GAPS, SHAPE, SIGNS = ".gaps", ".shape", ".signs"
# Skips this many zeros without a value behind them.
_SKIP = 255
# Tensors of fewer values are left alone: the names of their parts take what they save.
FEWEST = 2048
# A tensor is stored so if that takes this part of its bytes or less. Nets that nobody has pruned have none such, and
# their files stay as they are.
_WORTH = 0.9
# All tensors of a file together, in float32: what a download may have at most.
MOST_BYTES = 1 << 30
_MOST_AXES = 8
# What a value's bytes are. float64 and bfloat16 are left alone.
_TYPES = {4: torch.float32, 2: torch.float16, 1: torch.int8}
_BITS = {torch.float32: "<u4", torch.float16: "<u2", torch.int8: "<u1"}
# The bits of a negative zero.
_NEGATIVE = {torch.float32: 1 << 31, torch.float16: 1 << 15}


@torch.no_grad()
def compress_state(state: Mapping[str, torch.Tensor], fewest: int = FEWEST) -> dict[str, torch.Tensor]:
    """The tensors of a net, without the zeros of those that have many.

    Args:
        state: a net's ``state_dict``, or what :func:`hear_edgel3.weights.quantized.quantize_state` has made of it; on
            any device.
        fewest: values that a tensor must have to be stored so; any number makes a file of the same format.

    Returns:
        What is stored: for each tensor the three or four of the format where that takes less, else the tensor itself;
        all on the CPU and contiguous.
    """
    stored: dict[str, torch.Tensor] = {}
    ambiguous = any(name.endswith((GAPS, SHAPE, SIGNS)) for name in state)  # as the parts of tensors are called
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        large = value.dtype in _BITS and value.ndim >= 2 and value.numel() >= max(1, fewest)
        parts = _compressed(value) if large and not ambiguous else None
        if parts is None:
            stored[name] = value
        else:
            stored |= {name + ending: part for ending, part in parts.items()}
    return stored


def _compressed(value: torch.Tensor) -> dict[str, torch.Tensor] | None:
    """The parts of a tensor by the endings of their names; None if they are not much smaller."""
    bits = value.reshape(-1).numpy().view(_BITS[value.dtype])
    places = np.flatnonzero(bits)
    signs = None
    negative = _NEGATIVE.get(value.dtype)
    if negative is not None:
        is_value = bits[places] != negative
        n_values = int(np.count_nonzero(is_value))
        # A byte of its own and one for the gap, or a bit for each zero?
        if (len(places) - n_values) * (bits.itemsize + 1) > (len(bits) - n_values) / 8:
            places = places[is_value]
            signs = np.packbits(np.delete(bits, places) == negative, bitorder="little")
    # The zeros before each value, and those behind the last one.
    zeros = np.diff(places, prepend=-1, append=len(bits)) - 1
    skips, rest = np.divmod(zeros, _SKIP)
    gaps = np.full(int(skips.sum()) + len(places), _SKIP, np.uint8)
    gaps[np.cumsum(skips[:-1] + 1) - 1] = rest[:-1]
    n_bytes = len(places) * bits.itemsize + len(gaps) + (0 if signs is None else len(signs))
    if n_bytes > _WORTH * bits.nbytes:
        return None
    planes = bits[places].view(np.uint8).reshape(len(places), bits.itemsize).T
    shape = torch.tensor(value.shape, dtype=torch.int32, device="cpu")
    parts = {"": torch.from_numpy(planes.copy()), GAPS: torch.from_numpy(gaps), SHAPE: shape}
    return parts if signs is None else {**parts, SIGNS: torch.from_numpy(signs)}


def expand_state(stored: Mapping[str, torch.Tensor], source: str = "the state") -> dict[str, torch.Tensor]:
    """The inverse of :func:`compress_state`: the same tensors, bit by bit.

    Nothing is made before it is known how large all of it becomes, and that the gaps fit.

    Args:
        stored: what that returns.
        source: what to call it in errors.

    Returns:
        A tensor for each but the gaps and shapes; those that have no gaps as they stand.

    Raises:
        WeightsCorrupt: a part is missing or of another type, gaps lead beyond the end of a tensor or stop before it,
            there are more or fewer values than gaps for them or signs than zeros, or the tensors would take more than
            1 GB.
    """
    sparse = [name.removesuffix(GAPS) for name in stored if name.endswith(GAPS)]
    shapes = {name: _shape(stored, name, source) for name in sparse if name in stored}
    total = sum(math.prod(shape) for shape in shapes.values())
    if 4 * total > MOST_BYTES:
        raise WeightsCorrupt(
            f"{source} describes tensors of {total} values, which is more than {MOST_BYTES >> 20} MB, and no "
            f"checkpoint has"
        )
    for name, shape in shapes.items():
        _check_gaps(stored, name, math.prod(shape), source)
    parts = {name + ending for name in shapes for ending in (GAPS, SHAPE, SIGNS)}
    return {
        name: _expanded(value, stored[name + GAPS], shapes[name], stored.get(name + SIGNS)) if name in shapes else value
        for name, value in stored.items()
        if name not in parts
    }


def _shape(stored: Mapping[str, torch.Tensor], name: str, source: str) -> tuple[int, ...]:
    """The shape of a tensor that has gaps; the types and axes of its parts are what they must be."""
    values, gaps, shape = (stored.get(name + ending) for ending in ("", GAPS, SHAPE))
    assert values is not None
    assert gaps is not None
    if shape is None:
        raise WeightsCorrupt(f"{source}: {name} has gaps, and its shape, {name}{SHAPE}, is missing")
    if shape.dtype != torch.int32 or shape.ndim != 1 or not 1 <= len(shape) <= _MOST_AXES:
        raise WeightsCorrupt(
            f"{source}: {name}{SHAPE} is {_kind(shape)}; a shape is int32 of one axis, and has 1 to {_MOST_AXES} values"
        )
    if gaps.dtype != torch.uint8 or gaps.ndim != 1:
        raise WeightsCorrupt(f"{source}: {name}{GAPS} is {_kind(gaps)}; gaps are uint8 of one axis")
    if values.dtype != torch.uint8 or values.ndim != 2 or len(values) not in _TYPES:
        raise WeightsCorrupt(
            f"{source}: {name} has gaps, and is {_kind(values)}; its values are uint8 of shape (1, 2 or 4, values)"
        )
    found: list[int] = shape.tolist()
    if min(found) < 1:
        raise WeightsCorrupt(f"{source}: {name}{SHAPE} is {tuple(found)}; every number of a shape is at least 1")
    return tuple(found)


def _kind(value: torch.Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def _check_gaps(stored: Mapping[str, torch.Tensor], name: str, size: int, source: str) -> None:
    """Refuses gaps that do not go to the end of a tensor of so many values, or have not as many values as there are."""
    gaps = stored[name + GAPS].numpy()
    n_values = int(np.count_nonzero(gaps != _SKIP))
    if n_values != stored[name].shape[1]:
        raise WeightsCorrupt(f"{source}: {name} has {stored[name].shape[1]} values, and {name}{GAPS} is for {n_values}")
    covered = int(gaps.sum(dtype=np.int64)) + n_values
    if not size - _SKIP < covered <= size:
        where = "beyond the end" if covered > size else "not to the end"
        raise WeightsCorrupt(f"{source}: {name}{GAPS} leads {where} of {name}: to {covered} of {size} values")
    signs, n_zeros = stored.get(name + SIGNS), size - n_values
    if signs is None:
        return
    if signs.dtype != torch.uint8 or signs.shape != (-(-n_zeros // 8),) or len(stored[name]) == 1:
        raise WeightsCorrupt(
            f"{source}: {name}{SIGNS} is {_kind(signs)}; signs are uint8 of one axis, a bit for each of {n_zeros} "
            f"zeros, and of floating point"
        )


def places_of(gaps: np.ndarray) -> np.ndarray:
    """Where the values are in a flat tensor, as int32, of (n,) uint8 gaps that have been checked."""
    is_value = gaps != _SKIP
    ends = np.cumsum(gaps + is_value.astype(np.int32), dtype=np.int32)
    places: np.ndarray = ends[is_value]
    places -= 1
    return places


def _expanded(
    values: torch.Tensor, gaps: torch.Tensor, shape: tuple[int, ...], signs: torch.Tensor | None
) -> torch.Tensor:
    dtype = _TYPES[len(values)]
    bits = np.zeros(math.prod(shape), _BITS[dtype])
    places = places_of(gaps.numpy())
    if signs is not None:
        is_zero = np.ones(len(bits), np.bool_)
        is_zero[places] = False
        negative = np.unpackbits(signs.numpy(), count=len(bits) - len(places), bitorder="little")
        bits[is_zero] = negative * bits.dtype.type(_NEGATIVE[dtype])
    bits[places] = np.ascontiguousarray(values.numpy().T).view(_BITS[dtype]).reshape(-1)
    return torch.from_numpy(bits.view(np.uint8)).view(dtype).reshape(shape)
