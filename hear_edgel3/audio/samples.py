"""From whatever a caller has - arrays of any kind, files of any format - to checked floating-point samples.

Rectified linear units and max pools turn NaN into ordinary numbers, so a bad sample would give a wrong embedding that
looks right. Everything is therefore checked here, before any arithmetic.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from hear_edgel3._checks import gives_several, shown
from hear_edgel3.audio.channels import MEAN, Mixer, warn_of_scale
from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import InvalidAudio

_MAX_CHANNELS = 64
_PIECE = 1 << 18
_CHECKED_AT_ONCE = 1 << 22
_NAMED, _SHOWN, _BYTES_SHOWN = 8, 200, 16  # parts of a list, characters, and bytes of what is no array, in errors
_LARGEST = float(torch.finfo(torch.float32).max)


def to_samples(audio: Any, name: str = "audio") -> torch.Tensor:
    """Turns an array, tensor or list of numbers into finite floating-point samples.

    Integers are scaled by their type: int8, int16 and int32 by their full scale, uint8 as unsigned 8-bit PCM (128 is
    zero). float64 stays float64; the other floats become float32.

    Args:
        audio: NumPy array, torch tensor, or (nested) sequence of numbers, of any layout in memory.
        name: how to call it in errors.

    Returns:
        float32 or float64 tensor of the same shape (tensors keep their device).

    Raises:
        InvalidAudio: not numbers, a type without a full scale, or a sample that is NaN, infinite or beyond float32.
    """
    samples = _numbers(audio, name)
    check_finite(samples, name)
    return samples


def _numbers(audio: Any, name: str) -> torch.Tensor:
    """What :func:`to_samples` does, without the check that samples are finite."""
    if _is_of_arrays(audio):
        return _together([_numbers(one, name) for one in audio], name)
    tensor = audio.detach() if isinstance(audio, torch.Tensor) else _from_array(audio, name)
    if tensor.is_nested:
        raise InvalidAudio(
            f"{name} is a nested tensor; give clips one by one, or padded: torch.nested.to_padded_tensor({name}, 0.0)"
        )
    if tensor.layout is not torch.strided or tensor.is_meta:
        raise InvalidAudio(f"{name} is a {'meta' if tensor.is_meta else 'sparse'} tensor; give a dense one, with data")
    if tensor.dtype in _FULL_SCALE:
        zero, scale = _FULL_SCALE[tensor.dtype]
        tensor = (tensor.to(torch.float64 if tensor.dtype == torch.int32 else torch.float32) - zero) / scale
    elif not tensor.dtype.is_floating_point:
        raise InvalidAudio(
            f"{name} has type {str(tensor.dtype).removeprefix('torch.')}, which has no full scale; give floats in "
            f"[-1, 1], or int8, int16, int32 or uint8 PCM"
        )
    elif tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32)
    return tensor.resolve_neg()  # NumPy has no numbers that are negative by a mark on the whole


_FULL_SCALE: dict[torch.dtype, tuple[float, float]] = {
    torch.int8: (0.0, 128.0),
    torch.uint8: (128.0, 128.0),
    torch.int16: (0.0, 32768.0),
    torch.int32: (0.0, 2147483648.0),
}


def _is_of_arrays(audio: Any) -> bool:
    """Whether it is a list of arrays or tensors, of which each has a type, a device and maybe gradients of its own."""
    return (
        isinstance(audio, (list, tuple))
        and len(audio) > 0
        and all(isinstance(one, (np.ndarray, torch.Tensor)) and one.ndim > 0 for one in audio)
    )


def _together(clips: list[torch.Tensor], name: str) -> torch.Tensor:
    if len({clip.shape for clip in clips}) > 1 or len({clip.device for clip in clips}) > 1:
        each = ", ".join(dict.fromkeys(f"{tuple(clip.shape)} on {clip.device}" for clip in clips[:_NAMED]))
        raise InvalidAudio(f"{name} is not a regular array of numbers: its parts have shapes or devices {each}")
    return torch.stack(clips)


def _bytes_in(audio: Any) -> bytes | None:
    """The first bytes of what has no type, but that NumPy would take for samples of eight bits if it can be changed."""
    if isinstance(audio, (list, tuple)) and len(audio) > 0:
        audio = audio[0]
    plain = isinstance(audio, memoryview) and isinstance(audio.obj, (bytes, bytearray)) and audio.format == "B"
    return bytes(audio[:_BYTES_SHOWN]) if plain or isinstance(audio, (bytes, bytearray)) else None


def _from_array(audio: Any, name: str) -> torch.Tensor:
    if (data := _bytes_in(audio)) is not None:
        raise InvalidAudio(
            f"{name} must be an array of samples, got {data!r}{'...' if len(data) == _BYTES_SHOWN else ''}: bytes do "
            f'not say of what type samples are; of 16-bit PCM make np.frombuffer(data, "<i2"), and of the bytes of a '
            f"file what load_audio makes of them"
        )
    if audio is None or isinstance(audio, (str, os.PathLike)):
        raise InvalidAudio(f"{name} must be an array of samples, got {shortened(repr(audio), _SHOWN)}")
    if isinstance(audio, np.ma.MaskedArray) and bool(np.ma.getmaskarray(audio).any()):
        raise InvalidAudio(f"{name} is a masked array with masked samples; fill them first: {name}.filled(0)")
    try:
        array = np.asarray(audio)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: numbers that require gradients, in a list
        raise InvalidAudio(f"{name} is not a regular array of numbers: {error}") from error
    if array.dtype == np.longdouble:
        with np.errstate(over="ignore"):  # what float64 cannot hold becomes infinite and is refused as such
            array = array.astype(np.float64)
    if array.dtype.kind not in "iuf":
        raise InvalidAudio(f"{name} has type {array.dtype}; give floats in [-1, 1], or int8, int16, int32 or uint8 PCM")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        raise InvalidAudio(f"{name} has type {array.dtype}, which has no full scale in audio; give floats in [-1, 1]")
    if isinstance(audio, (list, tuple)) and array.dtype == np.int64:
        array = array.astype(np.float64)  # plain Python numbers are sample values, not 64-bit PCM
    # Native byte order, positive strides and writable memory are what torch accepts without a complaint.
    plain = np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]).reshape(array.shape)
    # To NumPy, what has a single place along an axis is in order however far the next would be.
    if any(step < 0 or step % plain.itemsize for step in plain.strides):
        plain = plain.copy()
    return torch.from_numpy(plain)


def each_of(sounds: Any, name: str) -> Iterable[Any]:
    """Sounds, or blocks of one, that are given one by one.

    Args:
        sounds: what was given.
        name: how to call it in the error.

    Raises:
        InvalidAudio: it is something else. Text, bytes and the keys of a dictionary would be taken for sounds.
    """
    if not gives_several(sounds):
        raise InvalidAudio(f"{name} must be several arrays of samples, one by one, got {shown(sounds)}")
    several: Iterable[Any] = sounds
    return several


def check_windows(windows: Any, with_data: bool = False) -> None:
    """Checks what goes straight into a net, which takes nothing but windows as they are, and would say so in riddles.

    Args:
        windows: What was given.
        with_data: Whether they must hold numbers.

    Raises:
        InvalidAudio: It is no (n, samples) tensor of floats. Integers would be taken for floats, thousands of times
            too loud.
    """
    if isinstance(windows, torch.Tensor) and windows.dim() == 2 and windows.is_floating_point():
        if windows.layout is torch.strided and not (with_data and windows.is_meta):
            return
        kind = "sparse" if windows.layout is not torch.strided else "meta"
        raise InvalidAudio(f"windows is a {kind} tensor; give a dense one, with data")
    if isinstance(windows, torch.Tensor):
        got = f"{tuple(windows.shape)} of {str(windows.dtype).removeprefix('torch.')}"
    else:
        got = f"{type(windows).__module__}.{type(windows).__qualname__}".removeprefix("builtins.")
    raise InvalidAudio(
        f"windows must be an (n, samples) torch.Tensor of floats in [-1, 1], got {got}; scene_embeddings and "
        f"timestamp_embeddings take arrays and integers, too"
    )


def check_finite(samples: torch.Tensor, name: str, first_sample: int = 0, what: str = "clip") -> float:
    """Raises InvalidAudio naming the first sample that is NaN, infinite, or too large for float32.

    Args:
        samples: (n,) or (rows, n).
        name: how to call it in the error.
        first_sample: position of ``samples[..., 0]`` in the whole.
        what: what a row is called.

    Returns:
        The largest absolute value; 0 if there are no samples.
    """
    if samples.numel() == 0:
        return 0.0
    step = max(1, _CHECKED_AT_ONCE * samples.shape[-1] // max(1, samples.numel())) if samples.ndim > 0 else 1
    if samples.ndim > 0 and step < samples.shape[-1]:  # so that the check of a long clip stays small
        starts = range(0, samples.shape[-1], step)
        return max(check_finite(samples[..., i : i + step], name, first_sample + i, what) for i in starts)
    ordered = samples.detach()
    if not samples.is_contiguous():
        # In the order of memory, whatever that is, it takes a fifth of the time.
        ordered = (ordered.mT if samples.ndim == 2 and samples.mT.is_contiguous() else ordered).reshape(-1)
    lowest, highest = map(float, torch.aminmax(ordered))
    if lowest >= -_LARGEST and highest <= _LARGEST:  # neither is true of NaN
        return max(-lowest, highest)
    bad = ~(samples.abs() <= _LARGEST)  # also true for NaN
    place = torch.nonzero(bad)[0].tolist()
    value = float(samples[tuple(place)])
    if math.isfinite(value):
        kind = f"{value:g}, too large for float32"
    else:
        kind = "NaN" if math.isnan(value) else "infinite"
    count = int(bad.sum())
    if place:
        place[-1] += first_sample
    where = f"sample {place[-1]}" if place else "its only sample"
    if len(place) == 2 and samples.shape[0] > 1:
        where += f" of {what} {place[0]}"
    more = f" (and {count - 1} more)" if count > 1 else ""
    raise InvalidAudio(f"{name}: {where} is {kind}{more}; remove or replace such samples first")


def hear_batch(audio: Any, name: str = "audio") -> torch.Tensor:
    """Checks the input of the HEAR functions: (n_sounds, n_samples).

    Args:
        audio: the samples.
        name: how to call them in errors.

    Returns:
        The samples, float32 or float64.

    Raises:
        InvalidAudio: as :func:`to_samples`, or not two-dimensional, or without samples, or of different lengths.
    """
    if (clips := clips_of_different_lengths(audio)) is not None:
        shortest, longest = min(map(len, clips)), max(map(len, clips))
        raise InvalidAudio(
            f"{name} is {len(clips)} clips of different lengths ({shortest} to {longest} samples), which have "
            f"different numbers of timestamps: give them to timestamp_embeddings_of_each, or one by one, each as "
            f"clip[None]; filled up to one length with zeros they would get other embeddings"
        )
    samples = _numbers(audio, name)
    if samples.ndim != 2:
        hint = "; for one clip use audio[None]" if samples.ndim == 1 else ""
        raise InvalidAudio(f"{name} must have shape (n_sounds, n_samples), got {tuple(samples.shape)}{hint}")
    if samples.shape[1] == 0:
        raise InvalidAudio(f"{name} of shape {tuple(samples.shape)} has no samples")
    if samples.shape[1] <= 32 and samples.shape[0] >= 100 * samples.shape[1]:
        warnings.warn(
            f"audio of shape {tuple(samples.shape)} looks like (n_samples, channels), and is taken for (n_sounds, "
            f"n_samples); use audio.T for channels as sounds, or audio.mean(1)[None] for one mono clip",
            stacklevel=3,
        )
    warn_of_scale(check_finite(samples, name), name)
    return samples


def clips_of_different_lengths(audio: Any) -> list[Any] | None:
    """The clips of a list that cannot be one array, because they are not equally long; None for anything else."""
    if not isinstance(audio, (list, tuple)) or len(audio) < 2:
        return None
    for clip in audio:
        if isinstance(clip, (np.ndarray, torch.Tensor)):
            if clip.ndim != 1:
                return None
        elif not isinstance(clip, (list, tuple)) or any(np.ndim(sample) for sample in clip[:1]):
            return None
    return list(audio) if len({len(clip) for clip in audio}) > 1 else None


def mono(audio: Any, channel: int | str = MEAN, watch: bool = True) -> torch.Tensor:
    """Checks the input of the edgel3 functions, (n_samples,) or (n_samples, channels), and mixes it down.

    Args:
        audio: the samples.
        channel: "mean" of the channels, or the number of one, from 0.
        watch: whether to warn of channels that cancel each other, and of samples far beyond full scale.

    Returns:
        (n_samples,) float32 or float64: the mean over channels, or one of them.

    Raises:
        InvalidAudio: as :func:`to_samples`, or not one- or two-dimensional, or empty, or transposed.
        InvalidOption: there is no such channel.
    """
    samples = _numbers(audio, "audio")
    if samples.numel() == 0 and samples.ndim in (1, 2):
        raise InvalidAudio(f"audio of shape {tuple(samples.shape)} is empty")
    mixer = Mixer("audio", channel)
    mixed = _mixed_down(samples, mixer)
    if watch:
        mixer.finish()
    return mixed


def channels_of(audio: Any) -> int:
    """How many channels (n_samples,) or (n_samples, channels) have; what is wrong with them :func:`mono` says."""
    try:
        shape = audio.shape if isinstance(audio, (np.ndarray, torch.Tensor)) else np.shape(audio)
    except (ValueError, TypeError, RuntimeError):
        return 1
    return int(shape[1]) if len(shape) == 2 and shape[1] > 0 else 1


def mono_block(block: Any, first_sample: int, mixer: Mixer | None = None) -> torch.Tensor:
    """As :func:`mono`, of the next block of a stream; it may be empty.

    Args:
        block: (n,) or (n, channels).
        first_sample: samples that the stream has had before, for errors.
        mixer: the stream's; None to take the mean, and to warn of nothing.
    """
    samples = _numbers(block, "audio")
    if samples.numel() == 0 and samples.ndim in (1, 2):
        if samples.shape[0] > 0:  # time that would be lost
            raise InvalidAudio(f"audio of shape {tuple(samples.shape)} has no channels")
        return samples.new_zeros(0)
    return _mixed_down(samples, Mixer("audio") if mixer is None else mixer, first_sample)


def _mixed_down(samples: torch.Tensor, mixer: Mixer, first_sample: int = 0) -> torch.Tensor:
    if samples.ndim not in (1, 2):
        raise InvalidAudio(
            f"audio must have shape (n_samples,) or (n_samples, channels), got {samples.ndim} dimensions "
            f"{tuple(samples.shape)}"
        )
    if samples.ndim == 2 and samples.shape[1] > samples.shape[0] and samples.shape[1] > _MAX_CHANNELS:
        raise InvalidAudio(
            f"audio of shape {tuple(samples.shape)} looks like (channels, n_samples), but (n_samples, channels) is "
            f"wanted; use audio.T"
        )
    rows = samples.T if samples.ndim == 2 else samples
    peak = check_finite(rows, "audio", first_sample, "channel")
    return mixer.mix(rows if samples.ndim == 2 else rows[None], peak)


def pieces(samples: torch.Tensor) -> Iterable[torch.Tensor]:
    """Cuts (n,) samples into blocks, so that arrays can take the way of files."""
    return torch.split(samples, _PIECE)
