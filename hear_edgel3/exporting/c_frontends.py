"""What of front ends a C library needs: their constants as C text, and how many frames they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import array, number
from hear_edgel3.families.kernel_description import HasKernelSpectrogram, MelDecibels
from hear_edgel3.families.kernel_residuals import HasKernelLogMel, LogMelSpectrogram


@dataclass(frozen=True)
class FrontendInC:
    """A front end.

    Attributes:
        sources: The files with its code, in order.
        text: Its constants.
        first: Samples that its first frame takes; every hop behind them there is another one.
        minimum: Samples; shorter clips are followed by zeros up to that many.
        hop_length: Samples from frame to frame.
        n_fft: The points of its DFT.
        n_mels: Mel bands.
        n_bytes: What its constants take.
    """

    sources: tuple[str, ...]
    text: str
    first: int
    minimum: int
    hop_length: int
    n_fft: int
    n_mels: int
    n_bytes: int

    def n_frames(self, samples: int) -> int:
        """The frames of so many samples."""
        return (max(samples, self.minimum) - self.first) // self.hop_length + 1

    def frames_in_c(self) -> str:
        """The same as an expression in C, of ``samples``."""
        least = f"((size_t)(samples) < {self.minimum} ? {self.minimum} : (size_t)(samples))"
        return f"(({least} - {self.first}) / {self.hop_length} + 1)"


def frontend_in_c(frontend: nn.Module, name: str) -> FrontendInC:
    """A front end.

    Args:
        frontend: It, in eval mode.
        name: What to call it in errors.

    Raises:
        InvalidOption: There is no such form of it.
    """
    described: LogMelSpectrogram | MelDecibels | None = None
    if isinstance(frontend, HasKernelLogMel):
        described, (window, bank) = frontend.kernel_log_mel(), frontend.kernel_constants()
    elif isinstance(frontend, HasKernelSpectrogram):
        described, (window, bank) = frontend.kernel_spectrogram(), frontend.constants()
    if described is None or not _is_size(described.n_fft) or len(window) % 2:
        raise InvalidOption(
            f"the front end of {name} has no form in C: those of MobileNetV3, DyMN, S-SONDO and L3 have, if their DFT "
            f"is of a power of two points; use --to onnx"
        )
    n_fft, hop_length = described.n_fft, described.hop_length
    if isinstance(described, LogMelSpectrogram):
        ends = "reflected_ends.c" if described.centred else "whole_frames.c"
        sources: tuple[str, ...] = (ends, "log_mel.c")
        first, minimum = 1 if described.centred else described.win_length, described.least
        names = ("EMPHASIS", "FLOOR", "SHIFT", "FACTOR")
        values = (described.emphasis, described.floor, described.shift, described.factor)
        own = "".join(f"#define {one} {number(value)}\n" for one, value in zip(names, values, strict=True))
    else:
        sources, first, minimum = ("decibels.c",), 1, 1
        own = (
            f"#define LEAST_POWER {number(described.amin**2)}\n#define RANGE_DB {number(described.dynamic_range_db)}f\n"
        )
    cosines = np.cos(2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft)
    cosines[n_fft // 4] = 0.0
    mel, n_bytes = _mel_bank(bank.numpy().astype(np.float32))
    text = (
        f"enum {{ FFT_SIZE = {n_fft}, FRAME_SIZE = {len(window)}, FRAME_HOP = {hop_length} }};\n{own}"
        + "/* cos(2 pi i / FFT_SIZE) */\n"
        + array("double", "COSINES", cosines)
        + array("float", "WINDOW", window.numpy())
        + mel
    )
    n_bytes += 8 * len(cosines) + 4 * len(window)
    return FrontendInC(sources, text, first, minimum, hop_length, n_fft, len(bank), n_bytes)


def _is_size(n_fft: int) -> bool:
    """Whether the library's DFT can have so many points."""
    return n_fft >= 8 and not n_fft & (n_fft - 1)


def _mel_bank(bank: np.ndarray) -> tuple[str, int]:
    """A mel bank (n_mels, bins) without its zeros, and what it takes."""
    first, count, place, weights, total = [], [], [], [], 0
    for row in bank:
        used = np.flatnonzero(row)
        begin, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        first.append(begin)
        count.append(end - begin)
        place.append(total)
        weights.append(row[begin:end])
        total += end - begin
    text = (
        array("short", "MEL_FIRST", np.array(first))
        + array("short", "MEL_COUNT", np.array(count))
        + array("int", "MEL_PLACE", np.array(place))
        + array("float", "MEL_WEIGHTS", np.concatenate(weights))
    )
    return text, 4 * total + 8 * len(bank)
