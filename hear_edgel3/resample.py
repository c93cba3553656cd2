"""Sample-rate conversion, equal to resampy 0.2.2 ``kaiser_best``, as a polyphase filter bank.

The sparse L3 and SEA nets were published with resampy 0.2.2 in front of them, and their embeddings move (worst cosine
0.93-0.97) when another resampler takes its place. So this module computes what that version computes: a Kaiser-windowed
sinc of 64 zero crossings, tabulated at 512 points per crossing and linearly interpolated, read with a step of
``int(min(1, ratio) * 512)`` table entries. (The truncation of that step is upstream's; it makes a DC gain of up to
+0.8 %, and the nets were trained with it.)

For a rational ratio ``P / M`` the filters repeat after ``P`` outputs and ``M`` inputs, so instead of interpolating the
table for each sample we build the filters once per pair of rates and apply them as one matrix product over overlapping
blocks of input: batched, differentiable, on any device.

Source of the formulas: resampy 0.2.2, ``filters.py`` (sinc_window) and ``interpn.py`` (resample_f); J. O. Smith,
"Digital Audio Resampling Home Page", 2002.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch

from hear_edgel3.errors import InvalidAudio, InvalidOption
from hear_edgel3.tail import Tail

_NUM_ZEROS = 64
_TABLE_PER_ZERO = 512
_ROLLOFF = 0.9475937167399596
_KAISER_BETA = 14.769656459379492

MIN_RATE = 1000
MAX_RATE = 768_000

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


def check_rate(sample_rate: object, name: str = "sample_rate", lowest: int = MIN_RATE, highest: int = MAX_RATE) -> int:
    """Returns ``sample_rate`` as an int, or says why it cannot be one.

    Args:
        sample_rate: a whole number of Hz (8000.0 is accepted, "8000" is not).
        name: how to call it in the error.
        lowest: smallest rate allowed.
        highest: largest rate allowed.

    Raises:
        InvalidOption: it is not a whole number, or outside the range.
    """
    if isinstance(sample_rate, (bool, np.bool_)) or not isinstance(sample_rate, (int, float, np.integer, np.floating)):
        raise InvalidOption(f"{name} must be a whole number of Hz, got {sample_rate!r}")
    value = float(sample_rate)
    if not math.isfinite(value) or value != int(value):
        raise InvalidOption(f"{name} must be a whole number of Hz, got {sample_rate!r}")
    if not lowest <= value <= highest:
        raise InvalidOption(f"{name} must be between {lowest} and {highest} Hz, got {sample_rate!r}")
    return int(value)


def resampled_length(n_samples: int, sr_orig: int, sr_new: int) -> int:
    """Number of samples after conversion: ``int(n * float(sr_new) / sr_orig)``, as resampy counts them."""
    return n_samples if sr_orig == sr_new else int(n_samples * (float(sr_new) / sr_orig))


def minimum_samples(sr_orig: int, sr_new: int) -> int:
    """The fewest input samples that give at least one output sample."""
    n = max(1, sr_orig // sr_new)
    while resampled_length(n, sr_orig, sr_new) < 1:
        n += 1
    return n


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
    """

    sr_orig: int
    sr_new: int
    step_in: int
    step_out: int
    phases_per_unit: int  # P: every P-th output falls exactly on an input sample
    _groups: list[_PhaseGroup]
    _keep: bool
    _matrices: dict[tuple[int, torch.device, torch.dtype], torch.Tensor] = field(default_factory=dict)

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


class _ReadPosition:
    """Upstream's read position, a running float64 sum, followed from output 0 onwards."""

    _CHUNK = 1 << 20

    def __init__(self, bank: FilterBank) -> None:
        self._step = 1.0 / bank.ratio
        self._unit = bank.phases_per_unit
        self._inputs_per_unit = bank.step_in * bank.phases_per_unit // bank.step_out
        self._needed = bank.has_late_outputs
        self._t = 0
        self._position = 0.0

    def late(self, t1: int) -> torch.Tensor | None:
        """For the whole-sample outputs from where the last call ended up to ``t1``: is each one read late?"""
        if not self._needed:
            return None
        flags = []
        while self._t < t1:
            count = min(t1 - self._t, self._CHUNK)
            # cumsum adds from left to right, so it rounds as upstream's loop does
            sums = np.cumsum(np.concatenate([[self._position], np.full(count, self._step)]))
            skip = -self._t % self._unit
            whole = np.arange(self._t + skip, self._t + count, self._unit)
            flags.append(sums[skip : count : self._unit] < whole // self._unit * self._inputs_per_unit)
            self._t += count
            self._position = float(sums[count])
        return torch.from_numpy(np.concatenate(flags) if flags else np.zeros(0, bool))


def resample(audio: torch.Tensor, sr_orig: int, sr_new: int) -> torch.Tensor:
    """Converts the sample rate as resampy 0.2.2 ``kaiser_best`` does.

    Differentiable; batched; runs on the device of ``audio``. Upstream's read position is a running float64 sum that
    drifts by up to a third of a sample in an hour; here positions are exact, and only upstream's choice of filter at
    whole input samples is followed.

    Args:
        audio: (..., n) floating point.
        sr_orig: rate of ``audio`` in Hz.
        sr_new: rate wanted in Hz.

    Returns:
        (..., int(n * sr_new / sr_orig)), dtype and device of ``audio``.

    Raises:
        InvalidOption: a rate is not a whole number between 1000 and 768000 Hz.
        InvalidAudio: the result would have no sample.
    """
    sr_orig, sr_new = check_rate(sr_orig, "sr_orig"), check_rate(sr_new, "sr_new")
    if sr_orig == sr_new:
        return audio
    n_out = resampled_length(audio.shape[-1], sr_orig, sr_new)
    if n_out < 1:
        raise InvalidAudio(
            f"audio of {audio.shape[-1]} samples is too short to convert from {sr_orig} to {sr_new} Hz; "
            f"at least {minimum_samples(sr_orig, sr_new)} are needed"
        )
    bank = filter_bank(sr_orig, sr_new)
    flat = audio.reshape(-1, audio.shape[-1])
    if flat.shape[0] == 0:
        return audio.new_zeros((*audio.shape[:-1], n_out))
    y = bank.apply(flat, 0, 0, n_out, _ReadPosition(bank).late(n_out))
    return y.reshape(*audio.shape[:-1], n_out)


class StreamResampler:
    """The same conversion, block by block: the concatenated outputs equal :func:`resample` of the whole.

    Args:
        sr_orig: rate of the input in Hz.
        sr_new: rate wanted in Hz.

    Attributes:
        lookahead: input samples that an output waits for beyond its own position, rounded up.
    """

    def __init__(self, sr_orig: int, sr_new: int) -> None:
        self._bank = filter_bank(check_rate(sr_orig, "sr_orig"), check_rate(sr_new, "sr_new"))
        self.lookahead = self._bank.lookahead
        self._position = _ReadPosition(self._bank)
        self._tail = Tail()
        self._t = 0

    def needed(self, n_outputs: int) -> int:
        """Input samples that must have come before ``n_outputs`` are complete, unless the input ends."""
        # The last one reads from its position, rounded up, on.
        position = (n_outputs - 1) * self._bank.sr_orig
        return self.lookahead - (-position // self._bank.sr_new) if n_outputs > 0 else 0

    def push(self, block: torch.Tensor) -> torch.Tensor:
        """Takes (n,) more samples and returns the outputs that are now complete."""
        self._tail.append(block)
        beyond = self._tail.received - self.lookahead
        return self._emit(beyond * self._bank.sr_new // self._bank.sr_orig + 1 if beyond >= 0 else 0)

    def flush(self) -> torch.Tensor:
        """Ends the input and returns the remaining outputs."""
        return self._emit(resampled_length(self._tail.received, self._bank.sr_orig, self._bank.sr_new))

    def _emit(self, t1: int) -> torch.Tensor:
        held, start = self._tail.samples, self._tail.start
        if t1 <= self._t:
            return held.new_zeros(0)
        t0, self._t = self._t, t1
        y = self._bank.apply(held[None], start, t0, t1, self._position.late(t1))[0]
        self._tail.forget(t1 * self._bank.sr_orig // self._bank.sr_new - self._bank.reach - 1)
        return y


def resample_blocks(blocks: Iterator[torch.Tensor], sr_orig: int, sr_new: int) -> Iterator[torch.Tensor]:
    """Converts a stream of (n,) blocks; passes them through untouched when the rates agree."""
    if sr_orig == sr_new:
        yield from blocks
        return
    stream = StreamResampler(sr_orig, sr_new)
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()
