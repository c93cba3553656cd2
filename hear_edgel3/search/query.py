"""What is searched for, as an embedding: made from audio just as the dataset's own embeddings were."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.errors import DatasetError, UnknownConfiguration

if TYPE_CHECKING:
    import torch


class QueryEmbedder:
    """Embeds queries for a dataset.

    Args:
        description: What made the embeddings of the dataset.
        config: The configuration, where its name does not find it: the folder of a net of one's own.
        weights: The weights, as for :func:`hear_edgel3.load`.
        channel: What of the files' channels the dataset is of: "mean" of all, or the number of one. Of a query with
            several channels the same is heard; one channel alone is heard as it is.

    Raises:
        DatasetError: the configuration, or its weights, are not what made the dataset.
        UnknownConfiguration, WeightsNotFound, ...: it cannot be loaded, see :func:`hear_edgel3.load`.
    """

    def __init__(
        self,
        description: Description,
        config: str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        channel: int | str = MEAN,
    ) -> None:
        from hear_edgel3.extractor.loading import load
        from hear_edgel3.registry.names import resolve

        try:
            configuration = resolve(description.configuration if config is None else config)
        except UnknownConfiguration as error:
            if config is not None:
                raise
            raise UnknownConfiguration(
                f"the dataset was made with {description.configuration}, and {error}; if it is a net of your own, give "
                f"its folder (--config)"
            ) from error
        if configuration.name != description.configuration:
            raise DatasetError(
                f"the dataset was made with {description.configuration}, not with {configuration.name}: their "
                f"embeddings cannot be compared"
            )
        version = configuration.checkpoint.embedding_version
        if version != description.embedding_version:
            raise DatasetError(
                f"the dataset has embeddings of {description.configuration} version {description.embedding_version}, "
                f"and this hear_edgel3 makes version {version}: they cannot be compared; extract it again, or give the "
                f"folder of the net that made it (--config), or use its hear_edgel3 ({description.package_version})"
            )
        self._extractor = load(description.configuration if config is None else config, weights=weights)
        sha256 = self._extractor.weights.sha256 if self._extractor.weights is not None else ""
        if sha256 != description.weights_sha256:
            raise DatasetError(
                f"the dataset was made with other weights of {description.configuration} (sha256 "
                f"{description.weights_sha256[:12]}..., here {sha256[:12]}...); give those with weights= (--weights)"
            )
        self._hop_ms = description.hop_ms
        self._channel = channel

    def of_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """(D,) float32 of a file: its scene embedding, or the mean over its timestamps where the dataset has these.

        Raises:
            AudioFileError: the file is missing, damaged or not audio.
            InvalidAudio: a sample is not finite, or the clip is too short.
            InvalidOption: it has several channels, and not the one that the dataset is of.
        """
        from hear_edgel3.audio.file import AudioFile, naming
        from hear_edgel3.audio.rates import check_rate

        with naming(path), AudioFile(path) as file:
            if file.channels > 1:
                file.channel = self._channel
            return self._embed(file.blocks(), check_rate(file.sample_rate, "the file's sample rate"))

    def of_samples(self, audio: Any, sample_rate: int) -> np.ndarray:
        """(D,) float32 of one clip, as :meth:`of_file`.

        Args:
            audio: (n_samples,) or (n_samples, channels), floats in [-1, 1] or integers at their full scale.
            sample_rate: its rate in Hz.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
            InvalidOption: the rate cannot be used, or there are several channels, and not the one of the dataset.
        """
        from hear_edgel3.audio.rates import check_rate
        from hear_edgel3.audio.samples import channels_of, mono, pieces

        samples = mono(audio, self._channel if channels_of(audio) > 1 else MEAN)
        return self._embed(pieces(samples), check_rate(sample_rate))

    def _embed(self, blocks: Iterable[torch.Tensor], sample_rate: int) -> np.ndarray:
        from hear_edgel3.extractor.framings import scene_framing, timestamp_framing
        from hear_edgel3.extractor.window_net import scene_of_blocks

        configuration = self._extractor.configuration
        scenes = self._hop_ms is None
        rule = scene_framing(configuration) if scenes else timestamp_framing(configuration, self._hop_ms)
        path = self._extractor.window_path(rule, sample_rate)
        return scene_of_blocks(self._extractor, blocks, path)
