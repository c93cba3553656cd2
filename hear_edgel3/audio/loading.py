"""A sound file as an array, at any rate."""

from __future__ import annotations

import numpy as np

from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.audio.file import AudioFile, naming
from hear_edgel3.audio.rates import check_rate, minimum_samples
from hear_edgel3.audio.resample import resample_blocks
from hear_edgel3.audio.source import SoundSource
from hear_edgel3.errors import InvalidAudio


def load_audio(
    path: SoundSource,
    sample_rate: int,
    *,
    channel: int | str = MEAN,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Decodes a sound file, or a part of one, mixes it down and brings it to a rate, as the package's commands do.

    Args:
        path: A file in any format libsndfile reads (and FFmpeg, with the extra ``media``), at any rate, with any number
            of channels; or the bytes of one, or a binary file object.
        sample_rate: The rate wanted, in Hz, 1000 to 768000: ``extractor.sample_rate`` for an extractor's methods.
        channel: What of its channels: "mean" of all, or the number of one, from 0.
        start: Where the part begins, in seconds; None for the beginning.
        end: Where it ends, in seconds of the file; None for the end.

    Returns:
        (n_samples,) float32, full scale at 1. All of it is held in memory; for long files there is
        :func:`hear_edgel3.embed_file`, which holds a few seconds.

    Raises:
        AudioFileError: The file is missing, damaged or not audio, or the part lies behind its end.
        InvalidAudio: A sample is not finite, or the clip is too short for a sample at that rate.
        InvalidOption: The rate or the channel cannot be used.
    """
    rate = check_rate(sample_rate)
    with AudioFile(path, channel=check_channel(channel), start=start, end=end) as file:
        return read_opened(file, rate)


def read_opened(file: AudioFile, sample_rate: int) -> np.ndarray:
    """All of a file, or clip of one, that is open, as :func:`load_audio` gives it.

    Args:
        file: The file, at its beginning.
        sample_rate: The rate wanted, in Hz.

    Raises:
        AudioFileError, InvalidAudio, InvalidOption: As :func:`load_audio`.
    """
    with naming(file.name):
        own = check_rate(file.sample_rate, "the file's sample rate")
        blocks = [block.float().numpy() for block in resample_blocks(file.blocks(), own, sample_rate)]
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(samples):
        raise InvalidAudio(
            f"{file.name} is too short to convert from {own} to {sample_rate} Hz; at least "
            f"{minimum_samples(own, sample_rate)} samples are needed"
        )
    return samples
