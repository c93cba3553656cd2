"""What pictures of spectrograms are made with: DeepSpectrumLite's configuration variables, by their own names.

There are two presets. ``recommended`` is what did best in this project's comparison; ``compat`` is the pipeline of
DeepSpectrumLite as its example configuration has it. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hear_edgel3.errors import InvalidOption

COLOR_MAPS = ("viridis", "cividis", "inferno", "magma", "plasma")
RESIZE_METHODS = ("bilinear", "lanczos3", "lanczos5", "bicubic", "gaussian", "nearest", "area", "mitchellcubic")
_MOST = {"num_mel_bins": 1024, "image_width": 4096, "image_height": 4096, "sample_rate": 192_000}
_LONGEST_FRAME = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How a picture is made of a stretch of sound; durations are in seconds.

    Attributes:
        sample_rate: In Hz, of the samples.
        normalize_audio: Whether each window is first scaled to a peak of -3 dB; silence stays silence.
        stft_window_size: Of a frame.
        stft_hop_size: From a frame to the next.
        stft_fft_length: Of the Fourier transform: longer frames are cut to it, shorter ones are filled up with zeros.
        lower_edge_hertz: Where the lowest mel band begins.
        upper_edge_hertz: Where the highest one ends.
        num_mel_bins: Mel bands.
        num_mfccs: MFCCs to show instead of mel bands; 0 for these.
        cep_lifter: The lifter of MFCCs; 0 for none.
        db_scale: Whether powers are in decibels (for MFCCs relative to the window's loudest), or as they are (for MFCCs
            natural logarithms).
        top_db: The decibels below the window's loudest that are kept; None for all. Not DeepSpectrumLite's.
        single_precision: Whether spectrograms are computed in float32 as DeepSpectrumLite computes them, where
            ``stft_fft_length`` is a power of two in samples: then its decibels come out, with what it rounded in quiet
            bands. Not DeepSpectrumLite's.
        color_map: The map from what is least to what is most in the window: viridis, cividis, inferno, magma, plasma.
        image_width: Of the picture, along time.
        image_height: Of the picture, along frequency.
        resize_method: bilinear, lanczos3, lanczos5, bicubic, gaussian, nearest, area, or mitchellcubic.
        anti_alias: Whether making it smaller takes all values into account; no matter for nearest and area.
    """

    sample_rate: int = 16000
    normalize_audio: bool = False
    stft_window_size: float = 0.032
    stft_hop_size: float = 0.008
    stft_fft_length: float = 0.032
    lower_edge_hertz: float = 0.0
    upper_edge_hertz: float = 8000.0
    num_mel_bins: int = 128
    num_mfccs: int = 0
    cep_lifter: int = 0
    db_scale: bool = True
    top_db: float | None = 80.0
    single_precision: bool = False
    color_map: str = "viridis"
    image_width: int = 224
    image_height: int = 224
    resize_method: str = "bilinear"
    anti_alias: bool = True

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name in ("normalize_audio", "db_scale", "single_precision", "anti_alias"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidOption(f"{name} must be true or false, got {getattr(self, name)!r}")
        for name in ("sample_rate", "num_mel_bins", "image_width", "image_height"):
            _whole(name, getattr(self, name), 1, _MOST[name])
        _whole("num_mfccs", self.num_mfccs, 0, self.num_mel_bins)
        _whole("cep_lifter", self.cep_lifter, 0, 1024)
        for name in ("stft_window_size", "stft_hop_size", "stft_fft_length", "upper_edge_hertz"):
            _number(name, getattr(self, name), positive=True)
        _number("lower_edge_hertz", self.lower_edge_hertz)
        if self.top_db is not None:
            _number("top_db", self.top_db, positive=True)
        _one_of("color_map", self.color_map, COLOR_MAPS)
        _one_of("resize_method", self.resize_method, RESIZE_METHODS)
        top = self.sample_rate / 2
        if not self.lower_edge_hertz < self.upper_edge_hertz <= top:
            raise InvalidOption(
                f"lower_edge_hertz ({self.lower_edge_hertz:g}) must be below upper_edge_hertz "
                f"({self.upper_edge_hertz:g}), and that at most half the sample_rate ({top:g})"
            )
        for name, least in (("frame_length", 2), ("hop_length", 1), ("n_fft", 2)):
            if not least <= getattr(self, name) <= _LONGEST_FRAME:
                option = {"frame_length": "stft_window_size", "hop_length": "stft_hop_size"}.get(
                    name, "stft_fft_length"
                )
                raise InvalidOption(
                    f"{option} of {getattr(self, option):g} s is {getattr(self, name)} samples at {self.sample_rate} "
                    f"Hz; it must be from {least} to {_LONGEST_FRAME}"
                )

    @property
    def frame_length(self) -> int:
        """The samples of a frame."""
        return _samples(self.stft_window_size, self.sample_rate)

    @property
    def hop_length(self) -> int:
        """The samples from a frame to the next."""
        return _samples(self.stft_hop_size, self.sample_rate)

    @property
    def n_fft(self) -> int:
        """The points of the Fourier transform."""
        return _samples(self.stft_fft_length, self.sample_rate)

    @property
    def n_bands(self) -> int:
        """The rows of a spectrogram: MFCCs, or mel bands."""
        return self.num_mfccs or self.num_mel_bins

    def n_frames(self, n_samples: int) -> int:
        """The frames of a window, which are those that lie in it; of a shorter one than a frame there is one."""
        return 1 + max(0, n_samples - self.frame_length) // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """The options as plain values."""
        return dataclasses.asdict(self)


def _samples(seconds: float, sample_rate: int) -> int:
    """``int(seconds * sample_rate)`` of the decimal number that was written, so that 0.008 s are 128 samples."""
    return int(Fraction(repr(float(seconds))) * sample_rate)


def _whole(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidOption(f"{name} must be a whole number from {least} to {most}, got {value!r}")


def _number(name: str, value: object, positive: bool = False) -> None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not isinstance(value, (int, float)) or value < 0 or (positive and value == 0):
        raise InvalidOption(f"{name} must be a {'positive ' if positive else ''}number, got {value!r}")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidOption(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


RECOMMENDED = PictureOptions()
COMPAT = PictureOptions(
    normalize_audio=True,
    stft_window_size=0.128,
    stft_hop_size=0.064,
    stft_fft_length=0.128,
    top_db=None,
    single_precision=True,
    resize_method="nearest",
    anti_alias=False,
)
PRESETS = {"recommended": RECOMMENDED, "compat": COMPAT}
# What makes a spectrogram of samples; the others make a picture of that.
SPECTROGRAM = (
    *("sample_rate", "normalize_audio", "stft_window_size", "stft_hop_size", "stft_fft_length", "lower_edge_hertz"),
    *("upper_edge_hertz", "num_mel_bins", "num_mfccs", "cep_lifter", "db_scale", "top_db", "single_precision"),
)
PICTURE = ("color_map", "image_width", "image_height", "resize_method", "anti_alias")
_NAMES = tuple(field.name for field in dataclasses.fields(PictureOptions))


def options_of(preset: str = "recommended", given: Mapping[str, Any] | None = None) -> PictureOptions:
    """The options of a preset, some of them replaced.

    Args:
        preset: "recommended" or "compat".
        given: Others, by name.

    Raises:
        InvalidOption: There is no such preset or option, or a value cannot be used.
    """
    _one_of("preset", preset, tuple(PRESETS))
    unknown = [name for name in given or {} if name not in _NAMES]
    if unknown:
        raise InvalidOption(f"there is no option {unknown[0]!r} of pictures; there are {', '.join(_NAMES)}")
    return dataclasses.replace(PRESETS[preset], **(given or {}))
