"""Weights in eight bits: a whole number from -127 to 127 for each value, and a scale for each output channel.

The format, which docs/weights_format.md describes for readers in other languages too:

- A weight of two or more axes and at least 2048 values, called NAME, is stored as int8 ``NAME`` and a list of scales
  ``NAME.scale``. In row-major order its values fall into as many runs of equal length as there are scales, and a value
  is its whole number times the scale of its run, in float32. The first axis of a convolution's or a linear layer's
  weight is that of the output channels, so that there is one scale for each; only rows longer than 8192 values have
  more.
- Everything else is stored as float16, or as float32 where its largest value is outside float16's normal range.
- Batch norm's counters, which say nothing of what a net computes, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hear_edgel3.errors import WeightsCorrupt

SCALE = ".scale"
COUNTER = "num_batches_tracked"
# Symmetric, as engines' own int8 kernels want weights: -128 is never written.
_MOST = 127
# Values for one scale at most. The longest row of any of our convolutions has 4608 values.
_LONGEST_RUN = 8192
# Weights with fewer values stay float16. They are those of the first layers, which everything goes through: they cost
# most in eight bits, and there are few of them (python -m tests.benchmarks.quantized).
FEWEST = 2048
# Scales tried, as fractions of the one that the largest value of a run asks for. Smaller ones cut that off and are
# finer for all others; and steps this small find where the values of a run lie nearest to whole numbers.
_FRACTIONS = (1.0, 0.5, 0.6, 0.7, 0.8, 0.85, *(0.9 + 0.004 * step for step in range(46)))
_REFINEMENTS = 2
_FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@torch.no_grad()
def quantize_state(state: Mapping[str, torch.Tensor], fewest: int = FEWEST) -> dict[str, torch.Tensor]:
    """The tensors of a net in eight bits.

    Each run's scale is the one, of those tried, that gives the least squared error, and then the best one for the whole
    numbers found. Zeros stay zero.

    Args:
        state: a net's ``state_dict``, floating point on any device; batch norm's counters may be in it.
        fewest: values that a weight must have to be stored as int8; any number makes a file of the same format.

    Returns:
        What is stored: int8 weights, their scales, and everything else as float16 or float32, all on the CPU and
        contiguous.

    Raises:
        WeightsCorrupt: a tensor is not floating point, or has values that are not finite in float32.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if name.rsplit(".", 1)[-1] == COUNTER:
            continue
        if tensor.dtype not in _FLOATING:
            raise WeightsCorrupt(
                f"{name} is of type {tensor.dtype} and cannot be quantised; weights are floating point"
            )
        value = tensor.detach().to("cpu", torch.float32).contiguous()
        if not bool(torch.isfinite(value).all()):
            raise WeightsCorrupt(f"{name} has values that are not finite and cannot be quantised")
        runs = _runs(value, fewest)
        if runs is None or name + SCALE in state:
            stored[name] = _narrowed(value)
        else:
            stored[name], stored[name + SCALE] = _quantized(value, runs)
    return stored


def dequantize_state(stored: Mapping[str, torch.Tensor], source: str = "the state") -> dict[str, torch.Tensor]:
    """The inverse of :func:`quantize_state`: what the net's tensors are, in float32.

    Args:
        stored: int8 tensors, their scales, and others.
        source: what to call it in errors.

    Returns:
        A tensor for each but the scales; those that are not int8 have their values unchanged.

    Raises:
        WeightsCorrupt: a scale is missing, has the wrong type or length, or is not a finite number above zero.
    """
    state: dict[str, torch.Tensor] = {}
    scales = {name + SCALE for name, value in stored.items() if value.dtype == torch.int8}
    for name, value in stored.items():
        if value.dtype == torch.int8:
            scale = stored.get(name + SCALE)
            if scale is None:
                raise WeightsCorrupt(f"{source}: {name} is int8, and its scale, {name}{SCALE}, is missing")
            _check_scale(scale, value, name, source)
            whole = value.reshape(len(scale), -1).to(torch.float32)
            state[name] = (whole * scale.to(torch.float32)[:, None]).reshape(value.shape)
        elif name not in scales:
            state[name] = value.to(torch.float32) if value.dtype == torch.float16 else value
    return state


def _check_scale(scale: torch.Tensor, value: torch.Tensor, name: str, source: str) -> None:
    what = f"{source}: {name}{SCALE}"
    if scale.dtype not in (torch.float16, torch.float32):
        raise WeightsCorrupt(f"{what} is of type {scale.dtype}; scales are float16 or float32")
    length = len(scale) if scale.ndim == 1 else 0
    if not length or not value.ndim or not value.numel() or length % len(value) or value.numel() % length:
        raise WeightsCorrupt(
            f"{what} has shape {tuple(scale.shape)}, and {name} {tuple(value.shape)}: there must be one scale for each "
            f"output channel, or for each of several equal parts of it"
        )
    wide = scale.to(torch.float32)
    if not bool((torch.isfinite(wide) & (wide > 0)).all()):
        raise WeightsCorrupt(f"{what} has values that are not finite numbers above zero")


def _runs(value: torch.Tensor, fewest: int) -> int | None:
    """How many scales a tensor gets, or None if it stays in floating point."""
    if value.ndim < 2 or value.numel() < max(1, fewest):
        return None
    row = value.numel() // len(value)
    parts = -(-row // _LONGEST_RUN)
    while row % parts:
        parts += 1
    runs = len(value) * parts
    return runs if value.numel() + 2 * runs < 2 * value.numel() else None


def _fits_half(largest: float) -> bool:
    """Whether values up to this one lose nothing that matters as float16.

    One of them loses at most 2^-11 of itself or 2^-25, and then 2^-25 is at most 2^-11 of the largest.
    """
    limits = torch.finfo(torch.float16)
    return largest == 0 or limits.smallest_normal <= largest <= limits.max


def _narrowed(value: torch.Tensor) -> torch.Tensor:
    largest = float(value.abs().max()) if value.numel() else 0.0
    return value.to(torch.float16) if _fits_half(largest) else value.clone()


def _quantized(value: torch.Tensor, runs: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = value.reshape(runs, -1)
    wanted = rows.abs().amax(1) / _MOST
    dtype = torch.float16 if _fits_half(float(wanted.max())) else torch.float32
    limits = torch.finfo(dtype)
    # float16 keeps its subnormal numbers wherever it goes; float32's are flushed to zero by some machines.
    least, most = (2.0**-24 if dtype == torch.float16 else limits.smallest_normal), limits.max

    def stored(scale: torch.Tensor) -> torch.Tensor:
        return scale.clamp(least, most).to(dtype).to(torch.float32)

    best = stored(wanted)
    whole, error = _rounded(rows, best)
    for fraction in _FRACTIONS[1:]:
        best, whole, error = _better(rows, stored(wanted * fraction), best, whole, error)
    for _ in range(_REFINEMENTS):
        # The scale with the least squared error for the whole numbers as they are.
        overlap, square = (rows.double() * whole).sum(1), whole.double().square().sum(1)
        fitted = torch.where(square > 0, overlap / square.clamp_min(1), best.double()).to(torch.float32)
        best, whole, error = _better(rows, stored(fitted), best, whole, error)
    # Any scale does for zeros; the same for all of them.
    best = torch.where((whole == 0).all(1), torch.ones_like(best), best)
    return whole.to(torch.int8).reshape(value.shape), best.to(dtype)


def _rounded(rows: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers, as float32, and each run's squared error, as float64 so that equal runs have equal ones."""
    whole = (rows / scale[:, None]).round_().clamp_(-_MOST, _MOST)
    return whole, (whole * scale[:, None] - rows).double().square().sum(1)


def _better(
    rows: torch.Tensor, scale: torch.Tensor, best: torch.Tensor, whole: torch.Tensor, error: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The better one of two scales for each run, with its whole numbers and error."""
    other, other_error = _rounded(rows, scale)
    better = other_error < error
    return (
        torch.where(better, scale, best),
        torch.where(better[:, None], other, whole),
        torch.where(better, other_error, error),
    )
