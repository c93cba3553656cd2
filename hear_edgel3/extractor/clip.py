"""Whole clips, from files or arrays at any rate.

Windows lie as the configuration's family has them: the L3 family's as in the edgel3 library, others' as in the HEAR
functions. Timestamps here are seconds, as edgel3 writes them; the HEAR functions give milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hear_edgel3._extras import require
from hear_edgel3.audio.channels import EACH, MEAN, check_channel
from hear_edgel3.audio.file import AudioFile, naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import channels_of, mono, pieces
from hear_edgel3.audio.source import SoundSource
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import file_framing, scene_framing
from hear_edgel3.extractor.loading import load
from hear_edgel3.extractor.window_net import embed_blocks, scene_of_blocks
from hear_edgel3.framing.rules import CentredFraming, CoveringFraming
from hear_edgel3.registry.names import BUILT_IN

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ClipEmbedding:
    """Embeddings of one clip.

    Attributes:
        embedding: The embeddings of its windows, (T, D) float32; of each channel, (channels, T, D).
        timestamps: The middle of each window, or its start without centring, in seconds, (T,) float64.
        configuration: The configuration's name.
        embedding_version: The version of the configuration's numbers.
        weights_sha256: The SHA-256 checksum of the weights file.
        hop_size: The distance between windows in seconds, as asked for.
        center: Whether timestamps are the middles of the windows.
        duration: How many seconds of audio there were.
        silent: Whether every sample was zero.
        channel: What of the audio's channels: "mean" of all, the number of one, from 0, or "each".
        start: Where it begins, in seconds of its file, from whose beginning its timestamps count; None for a whole one.
        end: Where it ends, in seconds of its file; None for the file's end.
    """

    embedding: np.ndarray
    timestamps: np.ndarray
    configuration: str
    embedding_version: int
    weights_sha256: str
    hop_size: float
    center: bool
    duration: float
    silent: bool
    channel: int | str = MEAN
    start: float | None = None
    end: float | None = None

    def to_pandas(self) -> pandas.DataFrame:
        """A table with a row per window, indexed by ``timestamp`` in seconds, and a column per value.

        With ``channel="each"`` the index has two levels, ``channel`` and ``timestamp``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        pd = require("pandas", "making a table", "pandas")
        if self.embedding.ndim == 2:
            return pd.DataFrame(self.embedding, index=pd.Index(self.timestamps, name="timestamp"))
        n_channels, _, size = self.embedding.shape
        index = pd.MultiIndex.from_product([range(n_channels), self.timestamps], names=["channel", "timestamp"])
        return pd.DataFrame(self.embedding.reshape(-1, size), index=index)


def embed_file(
    path: SoundSource,
    extractor: Extractor | str | os.PathLike[str] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | None = None,
    hop_size: float | None = None,
    center: bool = True,
    channel: int | str = MEAN,
) -> ClipEmbedding:
    """Decodes, mixes down, resamples and embeds a file, in memory independent of its length.

    Args:
        path: a file in any format libsndfile reads (and FFmpeg, with the extra ``media``), at any rate, with any number
            of channels; or the bytes of one, or a binary file object.
        extractor: a configuration's name (or folder), or an extractor loaded before (cheaper for many files).
        weights: for a name: as in :func:`hear_edgel3.load`.
        hop_size: seconds between windows; None for the configuration's (0.1 for the L3 family, 0.24 for pictures, else
            0.05).
        center: whether timestamps are the middles of the windows (else their starts, for the L3 family only).
        channel: what of its channels: "mean" of all, the number of one, from 0, or "each" of them by itself.

    Returns:
        The embeddings; for the L3 family the same arrays as edgel3's ``process_file``, for the others those of
        ``timestamp_embeddings`` at this hop.

    Raises:
        AudioFileError: the file is missing, damaged or not audio.
        InvalidAudio: a sample is not finite, or the clip is too short.
        InvalidOption: the hop is not a positive number of seconds, or the file has no such channel.
    """
    model = _loaded(extractor, weights)
    file_framing(model.configuration, hop_size, center)  # what is wrong with options is said first
    with AudioFile(path, channel=check_channel(channel, each=True)) as file:
        return embed_opened(file, model, hop_size=hop_size, center=center)


def embed_scene(
    path: SoundSource,
    extractor: Extractor | str | os.PathLike[str] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | None = None,
    channel: int | str = MEAN,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """The scene embedding of a file, or a part of it: one row, as ``hear-edgel3 extract`` writes it.

    Args:
        path: as for :func:`embed_file`.
        extractor: as for :func:`embed_file`.
        weights: as for :func:`embed_file`.
        channel: what of its channels: "mean" of all, or the number of one, from 0.
        start: where the part begins, in seconds; None for the beginning.
        end: where it ends, in seconds of the file; None for the end.

    Returns:
        (D,) float32.

    Raises:
        AudioFileError: the file is missing, damaged or not audio, or the part lies behind its end.
        InvalidAudio: a sample is not finite, or the clip is too short.
        InvalidOption: the file has no such channel.
    """
    model = _loaded(extractor, weights)
    with AudioFile(path, channel=check_channel(channel), start=start, end=end) as file, naming(file.name):
        rate = check_rate(file.sample_rate, "the file's sample rate")
        way = model.window_path(scene_framing(model.configuration), rate)
        return scene_of_blocks(model, file.blocks(), way)


def _loaded(extractor: Extractor | str | os.PathLike[str], weights: str | os.PathLike[str] | None) -> Extractor:
    if isinstance(extractor, (str, os.PathLike)):
        return load(extractor, weights=weights)
    if weights is None and isinstance(extractor, Extractor):
        return extractor
    wrong = f"got {type(extractor).__name__}" if weights is None else "and `weights` goes with a name only"
    raise InvalidOption(f"extractor must be a configuration's name or a loaded extractor, {wrong}")


def embed_opened(
    file: AudioFile, extractor: Extractor, *, hop_size: float | None = None, center: bool = True
) -> ClipEmbedding:
    """Embeds an audio file that is open, wherever it is, as :func:`embed_file` does.

    Args:
        file: the file, at its beginning. If it is a clip of one, timestamps count from the beginning of the file.
        extractor: a loaded extractor.
        hop_size: as for :func:`embed_file`.
        center: as for :func:`embed_file`.

    Raises:
        AudioFileError, InvalidAudio, InvalidOption: as :func:`embed_file`.
    """
    if file.channel == EACH:
        return _together([embed_opened(one, extractor, hop_size=hop_size, center=center) for one in file.each()])
    framing = file_framing(extractor.configuration, hop_size, center)
    with naming(file.name):
        rate = check_rate(file.sample_rate, "the file's sample rate")
        clip = _clip(extractor, file.blocks(), rate, framing, file.channel)
    if file.start is None:
        return clip
    return replace(clip, timestamps=clip.timestamps + file.start, start=file.start, end=file.end)


def embed_samples(
    audio: Any,
    sample_rate: int,
    extractor: Extractor,
    *,
    hop_size: float | None = None,
    center: bool = True,
    channel: int | str = MEAN,
) -> ClipEmbedding:
    """Embeds one clip given as an array.

    Args:
        audio: (n_samples,) or (n_samples, channels), floats in [-1, 1] or integers at their full scale.
        sample_rate: its rate in Hz.
        extractor: a loaded extractor.
        hop_size: as for :func:`embed_file`.
        center: as for :func:`embed_file`.
        channel: as for :func:`embed_file`.

    Raises:
        InvalidAudio: wrong shape or type, not finite, or too short.
        InvalidOption: the rate, the hop or the channel cannot be used.
    """
    framing = file_framing(extractor.configuration, hop_size, center)
    channel = check_channel(channel, each=True)
    if channel == EACH:
        how: dict[str, Any] = {"hop_size": hop_size, "center": center}
        every = range(channels_of(audio))
        return _together([embed_samples(audio, sample_rate, extractor, **how, channel=one) for one in every])
    return _clip(extractor, pieces(mono(audio, channel)), check_rate(sample_rate), framing, channel)


def _together(channels: list[ClipEmbedding]) -> ClipEmbedding:
    """What was found in each channel of a clip, as one."""
    embedding, silent = np.stack([one.embedding for one in channels]), all(one.silent for one in channels)
    return replace(channels[0], embedding=embedding, silent=silent, channel=EACH)


def _clip(
    model: Extractor,
    blocks: Iterable[torch.Tensor],
    sample_rate: int,
    framing: CoveringFraming | CentredFraming,
    channel: int | str,
) -> ClipEmbedding:
    silent = True

    def watched() -> Iterator[torch.Tensor]:
        nonlocal silent
        for block in blocks:
            silent = silent and not bool(block.any())
            yield block

    path = model.window_path(framing, sample_rate)
    [embedding] = embed_blocks([model], watched(), path)
    return ClipEmbedding(
        embedding,
        framing.timestamps_s(len(embedding)),
        model.configuration.name,
        model.configuration.checkpoint.embedding_version,
        model.weights.sha256 if model.weights is not None else "",
        framing.hop_size,
        framing.center,
        float(path.duration),
        silent,
        channel,
    )
