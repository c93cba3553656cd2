"""The filters of the resampler, one per phase."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from hear_edgel3.audio.polyphase import Polyphase

_NUM_ZEROS = 64


_TABLE_PER_ZERO = 512


_ROLLOFF = 0.9475937167399596


_KAISER_BETA = 14.769656459379492


# Work space of one matrix product, in elements of float64 (32 MB), so that memory does not grow with the clip.
_BLOCK_ELEMENTS = 4_000_000


# Filter banks larger than this (only odd ratios such as 44101 -> 48000 make them) are rebuilt in pieces, not kept.
_MAX_CACHED_ELEMENTS = 8_000_000


@lru_cache(maxsize=1)
def _half_window() -> np.ndarray:
    """Right half of the windowed sinc: (32769,) float64, from resampy 0.2.2's ``kaiser_best`` parameters."""
    n = _TABLE_PER_ZERO * _NUM_ZEROS
    t = np.linspace(0, _NUM_ZEROS, n + 1)
    taper = np.kaiser(2 * n + 1, _KAISER_BETA)[n:]
    window: np.ndarray = _ROLLOFF * np.sinc(_ROLLOFF * t) * taper
    return window


@dataclass(frozen=True)
class _PhaseGroup:
    """Consecutive output phases that share one matrix: ``outputs = input_block @ matrix``."""

    first: int  # phase of the first column
    count: int  # number of regular columns
    offset: int  # first input sample of the block, relative to the period's first input sample (<= 0 or more)
    taps: int  # input samples in the block


@dataclass
class FilterBank:
    """All filters of one pair of rates.

    Output ``t = q * step_out + p`` is column ``p`` applied to the input that starts at ``q * step_in + offset``.

    Attributes:
        sr_orig: input rate in Hz.
        sr_new: output rate in Hz.
        step_in: input samples per period.
        step_out: output samples per period.
        phases_per_unit: every so many outputs one falls exactly on an input sample.
    """

    sr_orig: int
    sr_new: int
    step_in: int
    step_out: int
    phases_per_unit: int
    _groups: list[_PhaseGroup]
    _keep: bool
    _matrices: dict[tuple[int, torch.device, torch.dtype], torch.Tensor] = field(default_factory=dict)
    _polyphase: Polyphase | None = None

    @property
    def ratio(self) -> float:
        """``sr_new / sr_orig`` in float64, rounded as upstream rounds it."""
        return float(self.sr_new) / self.sr_orig

    @property
    def _scale(self) -> float:
        return min(1.0, self.ratio)

    @property
    def reach(self) -> int:
        """Input samples that a filter reads on either side of its output's position."""
        return self.lookahead + 1

    @property
    def lookahead(self) -> int:
        """Input samples that a filter reads from its output's position on, rounded up."""
        return len(_half_window()) // int(self._scale * _TABLE_PER_ZERO)

    @property
    def has_late_outputs(self) -> bool:
        """Whether upstream's rounding of the read position changes which filter an output gets.

        Upstream adds ``1 / ratio`` up in float64. Where the exact position is a whole input sample the sum can fall
        just short of it, and then upstream takes the mirror image of the filter. With the truncated table step the two
        differ (by up to 0.8 % of the signal), so they must be told apart.
        """
        return Fraction(1.0 / self.ratio) != Fraction(self.sr_orig, self.sr_new)

    def _filters(self, phases: np.ndarray, late: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Left wing (n, W), right wing (n, W) and centre sample (n,) of the filters of ``phases``."""
        window = _half_window() * (self.ratio if self.ratio < 1 else 1.0)
        delta = np.append(np.diff(window), 0.0)
        step = int(self._scale * _TABLE_PER_ZERO)
        period = self.phases_per_unit
        units = self.step_in * period // self.step_out  # M
        centre = phases * units // period
        fraction = (phases * units % period) / period
        if late:
            centre, fraction = centre - 1, np.ones(len(phases))
        wings = []
        k = np.arange(len(window) // step + 1)
        for side in (fraction, 1.0 - fraction):
            position = self._scale * side * _TABLE_PER_ZERO
            entry = position.astype(np.int64)
            eta = position - entry
            index = entry[:, None] + k[None, :] * step
            valid = k[None, :] < ((len(window) - entry) // step)[:, None]
            index = np.where(valid, index, 0)
            wings.append(np.where(valid, window[index] + eta[:, None] * delta[index], 0.0))
        return wings[0], wings[1], centre

    def _whole_phases(self, group: _PhaseGroup) -> int:
        """How many of a group's phases fall on a whole input sample (and so may be read late)."""
        unit = self.phases_per_unit
        return -(-(group.first + group.count) // unit) + -group.first // unit

    def _matrix(self, number: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """(taps, columns) of group ``number``: the regular columns, then one late column per whole-sample phase."""
        key = (number, device, dtype)
        if key in self._matrices:
            return self._matrices[key]
        group = self._groups[number]
        phases = np.arange(group.first, group.first + group.count)
        kinds = [(phases, False)]
        if self.has_late_outputs:
            kinds.append((phases[phases % self.phases_per_unit == 0], True))
        columns = []
        for wanted, late in kinds:
            left, right, centre = self._filters(wanted, late)
            matrix = np.zeros((group.taps, len(wanted)))
            width = left.shape[1]
            for column, (first_wing, second_wing, n) in enumerate(zip(left, right, centre - group.offset, strict=True)):
                matrix[n - width + 1 : n + 1, column] = first_wing[::-1]
                matrix[n + 1 : n + 1 + width, column] = second_wing
            columns.append(matrix)
        with torch.inference_mode(False):  # kept for later calls, which may want gradients
            result = torch.from_numpy(np.concatenate(columns, axis=1)).to(device=device, dtype=dtype)
        if self._keep:
            self._matrices[key] = result
        return result

    def _compiled(self, x: torch.Tensor) -> Polyphase | None:
        """The compiled kernel, where there is one for such input."""
        wants_gradients = x.requires_grad and torch.is_grad_enabled()
        kernels_take = x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"
        if not self._keep or wants_gradients or not kernels_take:
            return None
        if self._polyphase is None:
            if importlib.util.find_spec("numba") is None:
                return None
            from hear_edgel3.audio.polyphase import Polyphase

            kinds = [(np.arange(self.phases_per_unit), False)]
            if self.has_late_outputs:
                kinds.append((np.zeros(1, np.int64), True))
            filters = [
                (int(n) - len(left) + 1, np.concatenate([left[::-1], right]))
                for phases, late in kinds
                for left, right, n in zip(*self._filters(phases, late), strict=True)
            ]
            units = self.step_in * self.phases_per_unit // self.step_out
            self._polyphase = Polyphase(self.phases_per_unit, units, filters)
        return self._polyphase

    def apply(self, x: torch.Tensor, x_start: int, t0: int, t1: int, late: torch.Tensor | None) -> torch.Tensor:
        """Output samples ``t0..t1-1`` from a stretch of input; what lies outside the stretch counts as zeros.

        Args:
            x: (batch, n) input from sample ``x_start`` on, floating point.
            x_start: position of ``x[:, 0]`` in the whole input.
            t0: first output wanted.
            t1: one past the last output wanted.
            late: for the whole-sample outputs in ``t0..t1-1``, in order, whether upstream reads them late.

        Returns:
            (batch, t1 - t0), same dtype and device as ``x``; computed in float64 where the device has it.
        """
        compiled = self._compiled(x)
        if compiled is not None:
            read_late = None if late is None else late.numpy()
            return torch.from_numpy(compiled(x.detach().resolve_neg().numpy(), x_start, t0, t1, read_late))
        dtype = torch.float32 if x.device.type == "mps" else torch.float64
        first, last = t0 // self.step_out, -(-t1 // self.step_out)
        batch = x.shape[0]
        widest = max(g.taps + g.count for g in self._groups)
        rows = max(1, _BLOCK_ELEMENTS // max(1, batch * widest))
        blocks = []
        for q0 in range(first, last, rows):
            q1 = min(last, q0 + rows)
            parts = []
            late_parts = []
            for number, group in enumerate(self._groups):
                if q1 - q0 == 1 and not t0 - group.count < q0 * self.step_out + group.first < t1:
                    # a short stretch of a long period: none of these phases is wanted
                    parts.append(x.new_zeros((batch, 1, group.count), dtype=dtype))
                    late_parts.append(parts[-1][..., : self._whole_phases(group)])
                    continue
                begin = q0 * self.step_in + group.offset - x_start
                length = (q1 - q0 - 1) * self.step_in + group.taps
                lo, hi = min(max(begin, 0), x.shape[1]), min(max(begin + length, 0), x.shape[1])
                piece = x[:, lo:hi].to(dtype)
                if hi - lo < length:
                    before = min(max(0, -begin), length)
                    piece = torch.nn.functional.pad(piece, (before, length - before - (hi - lo)))
                frames = piece.unfold(1, group.taps, self.step_in)
                product = frames @ self._matrix(number, x.device, dtype)
                parts.append(product[..., : group.count])
                late_parts.append(product[..., group.count :])
            y = torch.cat(parts, dim=-1).reshape(batch, -1)
            base = q0 * self.step_out
            cut = slice(max(t0 - base, 0), min(t1, q1 * self.step_out) - base)
            if late is not None:
                # Scatter the late columns over the whole-sample outputs that upstream reads late.
                alternative = torch.cat(late_parts, dim=-1).reshape(batch, -1)
                unit = self.phases_per_unit
                whole = y[:, ::unit]
                unit0 = base // unit  # index of the block's first whole-sample output
                wanted0 = -(-t0 // unit)  # index of the first entry of `late`
                flags = torch.zeros(whole.shape[1], dtype=torch.bool)
                a, b = max(unit0, wanted0), min(unit0 + whole.shape[1], wanted0 + len(late))
                if b > a:
                    flags[a - unit0 : b - unit0] = late[a - wanted0 : b - wanted0]
                if bool(flags.any()):
                    y = y.clone()
                    y[:, ::unit] = torch.where(flags.to(y.device), alternative, whole)
            blocks.append(y[:, cut].to(x.dtype))
        if not blocks:
            return x.new_zeros((batch, 0))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)


@lru_cache(maxsize=8)
def filter_bank(sr_orig: int, sr_new: int) -> FilterBank:
    """The filter bank of a pair of rates, built on first use and kept for the last eight pairs."""
    common = math.gcd(sr_orig, sr_new)
    units, period = sr_orig // common, sr_new // common  # M inputs make P outputs
    scale = min(1.0, float(sr_new) / sr_orig)
    wing = len(_half_window()) // int(scale * _TABLE_PER_ZERO) + 1
    # A block of input as long as the filters makes about half of each matrix useful work: repeat a short period,
    # split a long one.
    repeat = max(1, round(2 * wing / units))
    step_in, step_out = units * repeat, period * repeat
    size = step_out if repeat > 1 else max(1, min(step_out, round(2 * wing * period / units)))
    groups = []
    for first in range(0, step_out, size):
        count = min(size, step_out - first)
        start = first * units // period
        stop = (first + count - 1) * units // period
        offset = start - wing  # one sample of room for the late filters, whose centre is one sample earlier
        groups.append(_PhaseGroup(first, count, offset, stop - start + 2 * wing + 1))
    elements = sum(g.taps * (g.count + 1) for g in groups)
    return FilterBank(sr_orig, sr_new, step_in, step_out, period, groups, elements <= _MAX_CACHED_ELEMENTS)
