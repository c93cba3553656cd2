"""The extractor: front end and net, with the framing and memory bounds that turn clips into embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from hear_edgel3 import engine as engines
from hear_edgel3.audio import hear_batch
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.framing import (
    CentredFraming,
    Framing,
    TimestampContract,
    windows_of_batch,
    windows_of_stream,
)
from hear_edgel3.registry import Configuration
from hear_edgel3.resample import check_rate, minimum_samples, resample, resample_blocks, resampled_length

# DESIGN's promise for the rate that callers feed; files may have any rate that the resampler takes.
_MIN_FED_RATE, _MAX_FED_RATE = 8000, 192_000
_WINDOWS_PER_BATCH_GPU = 64
_ROWS_PER_TABLE = 4096


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights an extractor runs.

    Attributes:
        path: the file they were read from.
        sha256: of that file.
    """

    path: str
    sha256: str


class Extractor(nn.Module):
    """Embeds audio; made by :func:`hear_edgel3.load`.

    ``frontend`` and ``net`` can be used alone, and gradients flow through :meth:`forward`. The embedding methods run in
    eval mode without gradients, in small groups of windows, so that memory does not grow with the clip. The model never
    moves itself to a device: call ``.to(...)``.

    Attributes:
        configuration: the configuration it was built from.
        frontend: (n, window) samples at ``net_sample_rate`` to the net's input.
        net: the front end's output to (n, embedding size).
        sample_rate: rate in Hz of the audio to feed.
        net_sample_rate: rate in Hz inside.
        window: samples per window at ``net_sample_rate``.
        hop_ms: default distance of timestamp embeddings in milliseconds.
        scene_embedding_size: values per scene embedding.
        timestamp_embedding_size: values per timestamp embedding.
        weights: where the weights came from, or None for a net with none loaded.
    """

    def __init__(
        self,
        configuration: Configuration,
        frontend: nn.Module,
        net: nn.Module,
        sample_rate: int | None = None,
        engine: str = "auto",
        hop_ms: float | None = None,
        weights: WeightsInfo | None = None,
    ) -> None:
        super().__init__()
        row = configuration.checkpoint
        self.configuration = configuration
        self.frontend = frontend
        self.net = net
        self.sample_rate = row.sample_rate
        if sample_rate is not None and sample_rate != row.net_sample_rate:
            self.sample_rate = check_rate(sample_rate, lowest=_MIN_FED_RATE, highest=_MAX_FED_RATE)
        elif sample_rate is not None:
            self.sample_rate = row.net_sample_rate
        self.net_sample_rate = row.net_sample_rate
        self.window = row.window
        self.hop_ms = CentredFraming(self.window, self.net_sample_rate, row.hop_ms if hop_ms is None else hop_ms).hop_ms
        self.scene_embedding_size = row.embedding_size
        self.timestamp_embedding_size = row.embedding_size
        self.weights = weights
        self._runner = engines.Runner(engine)

    @property
    def engine(self) -> str:
        """Name of the engine that runs the net."""
        return self._runner.engine

    @property
    def contract(self) -> TimestampContract:
        """What this extractor's timestamps mean."""
        row = self.configuration.checkpoint
        return TimestampContract(
            sample_rate=self.sample_rate,
            net_sample_rate=self.net_sample_rate,
            window_ms=1000.0 * self.window / self.net_sample_rate,
            hop_ms=self.hop_ms,
            centred=True,
            first_ms=0.0,
            last="the largest k * hop_ms that is not beyond the clip's duration",
            padding="zeros, half a window on each side",
            minimum_samples=minimum_samples(self.sample_rate, self.net_sample_rate),
            scene=f"mean of the embeddings of windows centred every {row.scene_hop_ms:g} ms",
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Embeds windows at the net's rate, with gradients, in the module's own train or eval mode.

        Args:
            windows: (n, window) floating point in [-1, 1], at ``net_sample_rate``.

        Returns:
            (n, embedding size).
        """
        embedding: torch.Tensor = self.net(self.frontend(windows))
        return embedding

    def timestamp_embeddings(self, audio: Any, hop_ms: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings at regular times.

        Args:
            audio: (n, samples) at ``sample_rate``: floats in [-1, 1], or integers at their full scale.
            hop_ms: distance between timestamps in milliseconds; default ``self.hop_ms``.

        Returns:
            (n, T, D) float32 embeddings and (n, T) float32 timestamps in milliseconds: 0, hop, 2 hop, ... up to the
            clip's duration, each the middle of its window; both on the device of ``audio``.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
            InvalidOption: the hop is not a positive number of milliseconds.
        """
        samples = hear_batch(audio)
        hop = self.hop_ms if hop_ms is None else hop_ms
        framing = CentredFraming(self.window, self.net_sample_rate, hop)
        duration = Fraction(samples.shape[1], self.sample_rate)
        embeddings = self._embed_batch(samples, framing, duration)
        times = framing.timestamps_ms(embeddings.shape[1], duration).to(samples.device)
        return embeddings, times.expand(samples.shape[0], -1).contiguous()

    def scene_embeddings(self, audio: Any) -> torch.Tensor:
        """One embedding per clip: the mean over windows a quarter of a second apart, as the HEAR baselines take it.

        Args:
            audio: as for :meth:`timestamp_embeddings`.

        Returns:
            (n, D) float32 on the device of ``audio``.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
        """
        samples = hear_batch(audio)
        framing = CentredFraming(self.window, self.net_sample_rate, self.configuration.checkpoint.scene_hop_ms)
        return self._embed_batch(samples, framing, Fraction(samples.shape[1], self.sample_rate)).mean(dim=1)

    def embed_stream(self, blocks: Iterable[torch.Tensor], sample_rate: int, framing: Framing) -> np.ndarray:
        """Embeds one clip that arrives in blocks, in memory independent of its length.

        Args:
            blocks: (n,) tensors of checked mono samples.
            sample_rate: their rate in Hz.
            framing: where the windows lie, at the net's rate.

        Returns:
            (T, D) float32.

        Raises:
            InvalidAudio: the clip is too short for one sample at the net's rate.
        """
        fed = 0

        def counted() -> Iterator[torch.Tensor]:
            nonlocal fed
            for block in blocks:
                fed += len(block)
                yield self._on_my_device(block)

        def total(n_samples: int) -> int:
            self._check_length(fed, sample_rate)
            return framing.count(n_samples, Fraction(fed, sample_rate))

        at_net_rate = (b.float() for b in resample_blocks(counted(), sample_rate, self.net_sample_rate))
        groups = windows_of_stream(at_net_rate, framing, total, self._group)
        # Rows are copied into a few large arrays: many small ones, kept between the large temporaries of the net,
        # would stop the allocator from reusing its memory.
        tables: list[np.ndarray] = []
        row = 0
        with self._evaluating():
            for group in groups:
                for embedding in self._embed(group).cpu().numpy():
                    if row % _ROWS_PER_TABLE == 0:
                        tables.append(np.empty((_ROWS_PER_TABLE, len(embedding)), np.float32))
                    tables[-1][row % _ROWS_PER_TABLE] = embedding
                    row += 1
        return np.concatenate(tables)[:row]

    @property
    def _parameter(self) -> torch.Tensor:
        return next(self.net.parameters())

    @property
    def _group(self) -> int:
        """Windows that run through the net at once."""
        if self._parameter.device.type == "cpu":
            return self.configuration.checkpoint.windows_per_batch
        return _WINDOWS_PER_BATCH_GPU

    def _on_my_device(self, samples: torch.Tensor) -> torch.Tensor:
        device = self._parameter.device
        return (samples.float() if device.type == "mps" else samples).to(device)  # mps has no float64

    def _check_length(self, n_samples: int, sample_rate: int) -> None:
        if resampled_length(n_samples, sample_rate, self.net_sample_rate) < 1:
            raise InvalidAudio(
                f"audio of {n_samples} samples at {sample_rate} Hz is too short; {self.configuration.name} needs at "
                f"least {minimum_samples(sample_rate, self.net_sample_rate)}"
            )

    def _embed_batch(self, samples: torch.Tensor, framing: CentredFraming, duration: Fraction) -> torch.Tensor:
        """(n, T, D) embeddings of (n, samples) at ``sample_rate``, on the device of ``samples``."""
        n_clips, n_samples = samples.shape
        self._check_length(n_samples, self.sample_rate)
        count = framing.count(resampled_length(n_samples, self.sample_rate, self.net_sample_rate), duration)
        shape = (n_clips * count, self.timestamp_embedding_size)
        result = torch.empty(shape, dtype=torch.float32, device=samples.device)
        with self._evaluating():
            moved = self._on_my_device(samples)
            converted = resample(moved, self.sample_rate, self.net_sample_rate).float()
            row = 0
            for group in windows_of_batch(converted, framing, count, self._group):
                result[row : row + len(group)] = self._embed(group)
                row += len(group)
        return result.reshape(n_clips, count, self.timestamp_embedding_size)

    def _embed(self, windows: torch.Tensor) -> torch.Tensor:
        return self._runner(self.net, self.frontend(windows)).float()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Eval mode without gradients; the caller's mode comes back afterwards."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True
