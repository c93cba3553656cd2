"""The extractor: front end and net, with the framing and memory bounds that turn clips into embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from hear_edgel3.audio.rates import check_rate, minimum_samples, resampled_length
from hear_edgel3.audio.resample import resample, resample_blocks
from hear_edgel3.audio.samples import hear_batch
from hear_edgel3.engine import runner as engines
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.contract import TimestampContract
from hear_edgel3.extractor.streaming import EmbeddingStream, Moment
from hear_edgel3.families.schema import Configuration, SceneRule
from hear_edgel3.framing.cutting import windows_of_batch, windows_of_stream
from hear_edgel3.framing.rules import CentredFraming, Framing, WholeClip

# DESIGN's promise for the rate that callers feed; files may have any rate that the resampler takes.
_MIN_FED_RATE, _MAX_FED_RATE = 8000, 192_000
# On a GPU; 64 windows of one second at 48 kHz.
_SAMPLES_PER_BATCH_GPU = 64 * 48000
# Longer clips are converted and cut as they are read, so that memory holds no second copy of them.
_LONGEST_AT_ONCE = 1 << 21
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


class _Counted:
    """A stream of blocks, prepared one by one, that counts the samples that have passed."""

    def __init__(self, blocks: Iterable[torch.Tensor], prepare: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._blocks = blocks
        self._prepare = prepare
        self.fed = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        for block in self._blocks:
            self.fed += len(block)
            yield self._prepare(block)


class Extractor(nn.Module):
    """Embeds audio; made by :func:`hear_edgel3.load`.

    ``frontend`` and ``net`` can be used alone, and gradients flow through :meth:`forward`. The embedding methods run in
    eval mode without gradients, in small groups of windows, so that memory does not grow with the clip. The model never
    moves itself to a device: call ``.to(...)``.

    Attributes:
        configuration: the configuration it was built from.
        frontend: (n, window) samples at ``net_sample_rate`` to the net's input.
        net: the front end's output to (n, embedding size). Of the MobileNetV3 family both take any length.
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
        self.window = configuration.window
        self.hop_ms = CentredFraming(self.window, self.net_sample_rate, row.hop_ms if hop_ms is None else hop_ms).hop_ms
        self.scene_embedding_size = configuration.embedding_size
        self.timestamp_embedding_size = configuration.embedding_size
        self.weights = weights
        self._runner = engines.Runner(engine)

    @property
    def engine(self) -> str:
        """Name of the engine that runs the net, where it is now."""
        return self._runner.choose(self.net).name

    @property
    def contract(self) -> TimestampContract:
        """What this extractor's timestamps mean."""
        return TimestampContract(
            sample_rate=self.sample_rate,
            net_sample_rate=self.net_sample_rate,
            window_ms=1000.0 * self.window / self.net_sample_rate,
            hop_ms=self.hop_ms,
            centred=True,
            first_ms=0.0,
            last="the largest k * hop_ms that is not beyond the clip's duration",
            padding=self._describe_padding(),
            minimum_samples=self._minimum_samples(self.sample_rate),
            scene=self._describe_scene(),
        )

    def _describe_padding(self) -> str:
        if not self._reflect:
            return "zeros, half a window on each side"
        return (
            f"the clip's reflection, half a window on each side; a clip of {self.window // 2} or fewer samples at "
            f"{self.net_sample_rate} Hz is first followed by zeros up to {self.window // 2 + 1}"
        )

    def _describe_scene(self) -> str:
        rule = self.configuration.checkpoint.scene
        seconds = "" if rule.window is None else f"of {rule.window / self.net_sample_rate:g} s "
        text = f"mean of the embeddings of windows {seconds}centred every {rule.hop_ms:g} ms"
        if not rule.whole_up_to:
            return text
        return (
            f"one pass over the whole clip up to {rule.whole_up_to / self.net_sample_rate:g} s; beyond, the {text}, "
            f"with the clip's reflection beyond its ends"
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Embeds windows at the net's rate, with gradients, in the module's own train or eval mode.

        Args:
            windows: (n, window) floating point in [-1, 1], at ``net_sample_rate``; of any length for the MobileNetV3
                family.

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
        framing = self.timestamp_framing(hop_ms)
        duration = Fraction(samples.shape[1], self.sample_rate)
        embeddings = self._embed_batch(samples, framing, duration)
        times = framing.timestamps_ms(embeddings.shape[1], duration).to(samples.device)
        return embeddings, times.expand(samples.shape[0], -1).contiguous()

    def timestamp_framing(self, hop_ms: float | None = None) -> CentredFraming:
        """Where the windows of timestamp embeddings lie.

        Args:
            hop_ms: as for :meth:`timestamp_embeddings`.

        Raises:
            InvalidOption: the hop is not a positive number of milliseconds.
        """
        hop = self.hop_ms if hop_ms is None else hop_ms
        return CentredFraming(self.window, self.net_sample_rate, hop, self._reflect)

    @overload
    def stream(
        self, blocks: None = None, *, sample_rate: int | None = None, hop_ms: float | None = None
    ) -> EmbeddingStream: ...

    @overload
    def stream(
        self, blocks: Iterable[Any], *, sample_rate: int | None = None, hop_ms: float | None = None
    ) -> Iterator[Moment]: ...

    def stream(
        self, blocks: Iterable[Any] | None = None, *, sample_rate: int | None = None, hop_ms: float | None = None
    ) -> EmbeddingStream | Iterator[Moment]:
        """The timestamp embeddings of audio that arrives block by block, each as soon as its window is complete.

        Args:
            blocks: (n,) or (n, channels) each, of any length, floats in [-1, 1] or integers at their full scale; None
                to feed them one by one.
            sample_rate: their rate in Hz, 1000 to 768000; default ``self.sample_rate``.
            hop_ms: as for :meth:`timestamp_embeddings`.

        Returns:
            Of blocks, an iterator of (timestamp_ms, embedding); else an object with ``feed(block)`` and ``finish()``.

        Raises:
            InvalidOption: the rate or the hop cannot be used.
            InvalidAudio: (while iterating) a block has the wrong shape or type or is not finite, or all blocks together
                are too short.
        """
        stream = EmbeddingStream(self, sample_rate, hop_ms)
        return stream if blocks is None else stream.follow(blocks)

    def scene_embeddings(self, audio: Any) -> torch.Tensor:
        """One embedding per clip, by the rule in ``contract.scene``: a mean over windows, or one pass over all of it.

        Args:
            audio: as for :meth:`timestamp_embeddings`.

        Returns:
            (n, D) float32 on the device of ``audio``.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
        """
        samples = hear_batch(audio)
        n_samples = resampled_length(samples.shape[1], self.sample_rate, self.net_sample_rate)
        framing = self._scene_framing(n_samples, self.configuration.checkpoint.scene)
        return self._embed_batch(samples, framing, Fraction(samples.shape[1], self.sample_rate)).mean(dim=1)

    def _scene_framing(self, n_samples: int, rule: SceneRule) -> Framing:
        """Windows of the scene embedding of a clip of ``n_samples`` at the net's rate."""
        if n_samples <= rule.whole_up_to:
            return WholeClip(n_samples)
        window = self.window if rule.window is None else rule.window
        return CentredFraming(window, self.net_sample_rate, rule.hop_ms, self._reflect)

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
        return self._embed_windows(self.windows(blocks, sample_rate, framing))

    def scene_of_stream(
        self, blocks: Iterable[torch.Tensor], sample_rate: int, rule: SceneRule | None = None
    ) -> np.ndarray:
        """One embedding of a clip that arrives in blocks, in memory independent of its length.

        Args:
            blocks: (n,) tensors of checked mono samples.
            sample_rate: their rate in Hz.
            rule: how it comes about; None for the configuration's own, as in :meth:`scene_embeddings`.

        Returns:
            (D,) float32.

        Raises:
            InvalidAudio: the clip is too short for one sample at the net's rate.
        """
        rule = self.configuration.checkpoint.scene if rule is None else rule
        embedding: np.ndarray = self._embed_windows(self.windows(blocks, sample_rate, rule)).mean(axis=0)
        return embedding

    def windows(
        self, blocks: Iterable[torch.Tensor], sample_rate: int, where: Framing | SceneRule, group: int | None = None
    ) -> Iterator[torch.Tensor]:
        """The windows that one clip's embeddings are made of, for :meth:`embed_windows`.

        Neither the front end nor the net runs here, so that other threads than the net's can do it.

        Args:
            blocks: (n,) tensors of checked mono samples.
            sample_rate: their rate in Hz.
            where: a framing at the net's rate, or the rule of a scene embedding, which is the mean over its windows.
            group: windows to yield at once; None for :meth:`windows_at_once`.

        Yields:
            (at most ``group``, window) float32 at ``net_sample_rate``, on the net's device.

        Raises:
            InvalidAudio: the clip is too short for one sample at the net's rate.
        """
        stream = _Counted(blocks, self._on_my_device)
        at_net_rate: Iterator[torch.Tensor] = (
            block.float() for block in resample_blocks(iter(stream), sample_rate, self.net_sample_rate)
        )
        if isinstance(where, SceneRule):
            first: list[torch.Tensor] = []
            n_samples = 0
            for block in at_net_rate:
                first.append(block)
                n_samples += len(block)
                if n_samples > where.whole_up_to:
                    break
            at_net_rate = itertools.chain(first, at_net_rate)
            framing = self._scene_framing(n_samples, where)
        else:
            framing = where

        def total(n_samples: int) -> int:
            self.check_length(stream.fed, sample_rate)
            return framing.count(n_samples, Fraction(stream.fed, sample_rate))

        group = self.windows_at_once(framing.window) if group is None else group
        return windows_of_stream(at_net_rate, framing, total, group)

    def _embed_windows(self, groups: Iterator[torch.Tensor]) -> np.ndarray:
        """(T, D) embeddings of groups of windows."""
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
        result = np.empty((row, tables[0].shape[1]), np.float32)
        for start in range(0, row, _ROWS_PER_TABLE):
            table = tables.pop(0)  # so that no second copy of everything is held
            result[start : start + _ROWS_PER_TABLE] = table[: row - start]
        return result

    @property
    def _parameter(self) -> torch.Tensor:
        return next(self.net.parameters())

    @property
    def _reflect(self) -> bool:
        """Whether windows see the clip's reflection beyond its ends."""
        return self.configuration.checkpoint.padding == "reflection"

    def windows_at_once(self, window: int) -> int:
        """How many windows of ``window`` samples to run through the net at once; more would only cost memory."""
        row = self.configuration.checkpoint
        if self._parameter.device.type == "cpu":
            at_once = self._runner.windows(self.net, row.windows_per_batch) * row.window
        else:
            at_once = _SAMPLES_PER_BATCH_GPU
        return max(1, at_once // max(1, window))

    def _on_my_device(self, samples: torch.Tensor) -> torch.Tensor:
        device = self._parameter.device
        return (samples.float() if device.type == "mps" else samples).to(device)  # mps has no float64

    def _minimum_samples(self, sample_rate: int) -> int:
        """Samples of the shortest clip that can be embedded."""
        return 1 if self._reflect else minimum_samples(sample_rate, self.net_sample_rate)

    def check_length(self, n_samples: int, sample_rate: int) -> None:
        """Raises InvalidAudio if a clip of ``n_samples`` at ``sample_rate`` is too short to be embedded."""
        if self._reflect:  # clips that are too short are followed by zeros
            return
        if resampled_length(n_samples, sample_rate, self.net_sample_rate) < 1:
            raise InvalidAudio(
                f"audio of {n_samples} samples at {sample_rate} Hz is too short; {self.configuration.name} needs at "
                f"least {minimum_samples(sample_rate, self.net_sample_rate)}"
            )

    def _embed_batch(self, samples: torch.Tensor, framing: Framing, duration: Fraction) -> torch.Tensor:
        """(n, T, D) embeddings of (n, samples) at ``sample_rate``, on the device of ``samples``."""
        n_clips, n_samples = samples.shape
        self.check_length(n_samples, self.sample_rate)
        count = framing.count(resampled_length(n_samples, self.sample_rate, self.net_sample_rate), duration)
        shape = (n_clips * count, self.timestamp_embedding_size)
        result = torch.empty(shape, dtype=torch.float32, device=samples.device)
        row = 0
        with self._evaluating():
            for group in self._groups_of_batch(samples, framing, count):
                result[row : row + len(group)] = self._embed(group)
                row += len(group)
        return result.reshape(n_clips, count, self.timestamp_embedding_size)

    def _groups_of_batch(self, samples: torch.Tensor, framing: Framing, count: int) -> Iterator[torch.Tensor]:
        """The windows of all clips, in groups that run through the net at once."""
        group = self.windows_at_once(framing.window)
        if framing.window < samples.shape[1] > _LONGEST_AT_ONCE:
            for clip in samples:
                pieces = (self._on_my_device(piece) for piece in torch.split(clip, _LONGEST_AT_ONCE // 8))
                converted = (b.float() for b in resample_blocks(pieces, self.sample_rate, self.net_sample_rate))
                yield from windows_of_stream(converted, framing, lambda n_samples: count, group)  # noqa: ARG005
            return
        yield from windows_of_batch(self._convert(samples), framing, count, group)

    def _convert(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, samples) at ``sample_rate`` to float32 at the net's rate."""
        moved = self._on_my_device(samples)
        if resampled_length(samples.shape[1], self.sample_rate, self.net_sample_rate) < 1:
            return moved[:, :0].float()
        return resample(moved, self.sample_rate, self.net_sample_rate).float()

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        """Embeds windows as the embedding methods do: in eval mode without gradients, on the device of the net.

        Args:
            windows: (n, window) float32 at ``net_sample_rate``, ``windows_at_once`` of them at most.

        Returns:
            (n, D) float32 on the device of ``windows``.
        """
        with self._evaluating():
            return self._embed(self._on_my_device(windows)).to(windows.device)

    def _embed(self, windows: torch.Tensor) -> torch.Tensor:
        return self._runner.embed(self.net, self.frontend, windows).float()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Eval mode without gradients; the caller's mode comes back afterwards."""
        training = [module for module in engines.modules_of(self) if module.training]
        if training:
            self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True
