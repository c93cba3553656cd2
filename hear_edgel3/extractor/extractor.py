"""The extractor: front end and net, with the framing and memory bounds that turn clips into embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.file import naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import check_windows, clips_of_different_lengths, each_of, hear_batch
from hear_edgel3.engine import runner as engines
from hear_edgel3.engine.devices import device_of
from hear_edgel3.extractor.as_it_is import Forms
from hear_edgel3.extractor.contract import TimestampContract, contract_of, rate_fed
from hear_edgel3.extractor.finite import check_embeddings, check_size
from hear_edgel3.extractor.framings import scene_framing, timestamp_framing
from hear_edgel3.extractor.kept import KeepsModules
from hear_edgel3.extractor.steps import watch_steps
from hear_edgel3.extractor.streaming import EmbeddingStream, Moment
from hear_edgel3.extractor.window_net import mean_of_windows
from hear_edgel3.families.schema import Checkpoint, Configuration, Local
from hear_edgel3.framing.path import NetInput, WindowPath, weight_of_last, windows_of_clips
from hear_edgel3.framing.rules import CentredFraming, WindowRule, check_hop_ms
from hear_edgel3.registry.labels import Label, labels

# On a GPU; 64 windows of one second at 48 kHz.
_SAMPLES_PER_BATCH_GPU = 64 * 48000


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights an extractor runs.

    Attributes:
        path: The file they were read from.
        sha256: The SHA-256 checksum of that file.
    """

    path: str
    sha256: str


def check_options(row: Checkpoint, sample_rate: int | None, engine: str, hop_ms: float | None) -> None:
    """Checks what an extractor can be made with.

    Raises:
        InvalidOption: An option has a value that cannot be used.
        MissingExtra: What the engine needs is not installed.
    """
    rate_fed(row, sample_rate)
    check_hop_ms(row.hop_ms if hop_ms is None else hop_ms, row.net_sample_rate)
    engines.check_engine(engine)


class Extractor(KeepsModules):
    """Embeds audio; made by :func:`hear_edgel3.load`.

    ``frontend`` and ``net`` can be used alone, and gradients flow through :meth:`forward`. The embedding methods
    compute as in eval mode, without gradients, in small groups of windows, so that memory does not grow with the clip.
    The model never moves itself to a device: call ``.to(...)``. To other rooms of the package it is a
    :class:`~hear_edgel3.extractor.window_net.WindowNet`.

    The embedding methods neither mind nor change whether the model is in train mode, nor torch's autocast and default
    type; they can be called from several threads.

    Attributes:
        configuration: The configuration it was built from.
        frontend: Makes the net's input of (n, window) samples at ``net_sample_rate``.
        net: Makes (n, embedding size) of the front end's output. Those of MobileNetV3, DyMN and S-SONDO take
            any length.
        sample_rate: The rate in Hz of the audio to feed.
        net_sample_rate: The rate in Hz inside.
        window: How many samples at ``net_sample_rate`` a window has.
        hop_ms: The default distance of timestamp embeddings in milliseconds.
        weights: Where the weights came from, or None for a net with none loaded.
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
        own_labels: tuple[Label, ...] | None = None,
    ) -> None:
        super().__init__()
        row = configuration.checkpoint
        self.configuration = configuration
        self.frontend = frontend
        self.net = net
        self.net_sample_rate = row.net_sample_rate
        self.sample_rate = rate_fed(row, sample_rate)
        self.window = configuration.window
        self.hop_ms = check_hop_ms(row.hop_ms if hop_ms is None else hop_ms, self.net_sample_rate)
        self.weights = weights
        self._own_labels = own_labels
        self._scene_framing = scene_framing(configuration)
        self._runner = engines.Runner(engine)
        self._forms = Forms()

    @property
    def labels(self) -> tuple[Label, ...] | None:
        """The classes that the net's logits are of, or None if it has no classifier, or nobody has named its classes.

        They are the configuration's, or those in the weights file, where the net was trained further on others. Those
        of a folder's own are names without machine identifiers.
        """
        row = self.configuration.checkpoint
        if isinstance(row, Local) and row.classes:
            return tuple(Label(name, "") for name in row.classes)
        name = row.labels
        return self._own_labels if self._own_labels is not None or name is None else labels(name)

    @property
    def embedding_size(self) -> int:
        """How many values an embedding has, of a scene or of a moment."""
        return self.configuration.embedding_size

    @property
    def scene_embedding_size(self) -> int:
        """How many values a scene embedding has."""
        return self.configuration.embedding_size

    @property
    def timestamp_embedding_size(self) -> int:
        """How many values a timestamp embedding has."""
        return self.configuration.embedding_size

    @property
    def engine(self) -> str:
        """Name of the engine that runs the net, where it is now."""
        return self._runner.choose(self._forms.net(self.own("net"), self.kept)).name

    @property
    def contract(self) -> TimestampContract:
        """What this extractor's timestamps mean."""
        return contract_of(self.configuration, self.sample_rate, self.hop_ms)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Embeds windows at the net's rate, with gradients, in the module's own train or eval mode.

        Args:
            windows: (n, window) floating point in [-1, 1], at ``net_sample_rate``; of any length for MobileNetV3,
                DyMN and S-SONDO.

        Returns:
            (n, embedding size).

        Raises:
            InvalidAudio: Wrong shape or type.
        """
        check_windows(windows)
        embedding: torch.Tensor = self.net(self.frontend(windows))
        return embedding

    def timestamp_embeddings(
        self, audio: Any, hop_ms: float | None = None, *, sample_rate: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings at regular times.

        Args:
            audio: (n, samples): floats in [-1, 1], or integers at their full scale.
            hop_ms: distance between timestamps in milliseconds; default ``self.hop_ms``.
            sample_rate: rate of ``audio`` in Hz, 1000 to 768000; default ``self.sample_rate``. An array does not know
                its rate: at another one than it is said to have it would give plausible nonsense.

        Returns:
            (n, T, D) float32 embeddings and (n, T) float32 timestamps in milliseconds: 0, hop, 2 hop, ... up to the
            clip's duration, each the middle of its window; both on the device of ``audio``.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
            InvalidOption: the hop is not a positive number of milliseconds, or the rate cannot be used.
        """
        rate = self._rate(sample_rate)
        return self._timestamps(hear_batch(audio), self._timestamp_framing(hop_ms), rate)

    def timestamp_embeddings_of_each(
        self, clips: Sequence[Any], hop_ms: float | None = None, *, sample_rate: int | None = None
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Embeddings at regular times of clips of any lengths, each as it has them alone.

        Args:
            clips: (samples,) each, or the rows of one array.
            hop_ms: as for :meth:`timestamp_embeddings`.
            sample_rate: of all of them, as for :meth:`timestamp_embeddings`.

        Returns:
            For each clip (T, D) float32 embeddings and (T,) float32 timestamps in milliseconds, on its device.

        Raises:
            InvalidAudio: a clip, which is named, has the wrong shape or type, is not finite, or is too short.
            InvalidOption: as :meth:`timestamp_embeddings`.
        """
        rate, framing = self._rate(sample_rate), self._timestamp_framing(hop_ms)
        found = []
        for i, clip in enumerate(each_of(clips, "clips")):
            name = f"clip {i} of clips"
            embeddings, times = self._timestamps(_one_clip(clip, name), framing, rate, name)
            found.append((embeddings[0], times[0]))
        return found

    def _timestamps(
        self, samples: torch.Tensor, framing: CentredFraming, sample_rate: int, name: str = "audio"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = self._embed_clips(samples, framing, sample_rate, name)
        times = framing.timestamps_ms(embeddings.shape[1], Fraction(samples.shape[1], sample_rate))
        return embeddings, times.to(samples.device).expand(samples.shape[0], -1).contiguous()

    def _timestamp_framing(self, hop_ms: float | None) -> CentredFraming:
        return timestamp_framing(self.configuration, self.hop_ms if hop_ms is None else hop_ms)

    def _rate(self, sample_rate: int | None) -> int:
        return self.sample_rate if sample_rate is None else check_rate(sample_rate)

    @overload
    def stream(
        self,
        blocks: None = None,
        *,
        sample_rate: int | None = None,
        hop_ms: float | None = None,
        channel: int | str = MEAN,
    ) -> EmbeddingStream: ...

    @overload
    def stream(
        self,
        blocks: Iterable[Any],
        *,
        sample_rate: int | None = None,
        hop_ms: float | None = None,
        channel: int | str = MEAN,
    ) -> Iterator[Moment]: ...

    def stream(
        self,
        blocks: Iterable[Any] | None = None,
        *,
        sample_rate: int | None = None,
        hop_ms: float | None = None,
        channel: int | str = MEAN,
    ) -> EmbeddingStream | Iterator[Moment]:
        """The timestamp embeddings of audio that arrives block by block, each as soon as its window is complete.

        Args:
            blocks: (n,) or (n, channels) each, of any length, floats in [-1, 1] or integers at their full scale; None
                to feed them one by one.
            sample_rate: their rate in Hz, 1000 to 768000; default ``self.sample_rate``.
            hop_ms: as for :meth:`timestamp_embeddings`.
            channel: what of the channels: "mean" of all, or the number of one, from 0.

        Returns:
            Of blocks, an iterator of (timestamp_ms, embedding); else an object with ``feed(block)`` and ``finish()``.

        Raises:
            InvalidOption: the rate, the hop or the channel cannot be used.
            InvalidAudio: (while iterating) a block has the wrong shape or type or is not finite, or all blocks together
                are too short.
        """
        framing = timestamp_framing(self.configuration, self.hop_ms if hop_ms is None else hop_ms)
        stream = EmbeddingStream(self, sample_rate, framing, channel)
        return stream if blocks is None else stream.follow(blocks)

    def scene_embeddings(self, audio: Any, *, sample_rate: int | None = None) -> torch.Tensor:
        """One embedding per clip, by the rule in ``contract.scene``: a mean over windows, or one pass over all of it.

        Args:
            audio: as for :meth:`timestamp_embeddings`; or a list of (samples,) clips of any lengths, of which each is
                embedded as it would be alone. (Filled up with zeros to one length, they would get other embeddings.)
            sample_rate: as for :meth:`timestamp_embeddings`.

        Returns:
            (n, D) float32 on the device of ``audio``.

        Raises:
            InvalidAudio: wrong shape or type, not finite, or too short.
            InvalidOption: the rate cannot be used.
        """
        framing, rate = self._scene_framing, self._rate(sample_rate)
        clips = clips_of_different_lengths(audio)
        if clips is None:
            return self._scenes(hear_batch(audio), framing, rate)
        batches = [_one_clip(clip, f"clip {i} of audio") for i, clip in enumerate(clips)]
        return torch.cat([self._scenes(batch, framing, rate, f"clip {i} of audio") for i, batch in enumerate(batches)])

    def _scenes(self, samples: torch.Tensor, rule: WindowRule, sample_rate: int, name: str = "audio") -> torch.Tensor:
        embeddings = self._embed_clips(samples, rule, sample_rate, name)
        return mean_of_windows(embeddings, weight_of_last(rule, samples.shape[1], sample_rate, self.net_sample_rate))

    @property
    def _device(self) -> torch.device:
        """Where the net is."""
        return device_of(self.own("net"), self.configuration.name)

    @property
    def _reflect(self) -> bool:
        """Whether windows see the clip's reflection beyond its ends."""
        return self.configuration.checkpoint.padding == "reflection"

    def _embed_clips(
        self, samples: torch.Tensor, rule: WindowRule, sample_rate: int, name: str = "audio"
    ) -> torch.Tensor:
        """(n, T, D) embeddings of (n, samples) at ``sample_rate``, on the device of ``samples``."""
        device = self._device
        with naming(name):
            net = self._net_input(device)
            count, groups = windows_of_clips(samples, rule, sample_rate, net, partial(self._at_once, device))
        n_clips, size = samples.shape[0], self.timestamp_embedding_size

        def clip_of(window: int) -> str:
            return f"clip {window // count} of {name}" if n_clips > 1 else name

        finite = sample_rate == self.net_sample_rate  # these samples are, and windows cut from them
        rows = _joined(self._embed_groups(groups, device, clip_of, finite), n_clips * count, size, samples.device)
        return rows.reshape(n_clips, count, size)

    def _embed_groups(
        self, groups: Iterator[torch.Tensor], device: torch.device, clip_of: Callable[[int], str], finite: bool
    ) -> Iterator[torch.Tensor]:
        """The embeddings of groups of windows, of which `finite` says that they are known to be."""
        done = 0
        ready: Callable[[torch.Tensor], torch.Tensor] | None = None
        for group in groups:
            ready = ready or self._ready(device)  # the net is looked at once, however many groups there are

            def clip_of_next(number: int, done: int = done) -> str:
                return clip_of(done + number)

            found = self._embed(group, ready, clip_of_next, finite)
            check_size(found, self.configuration)
            yield found
            done += group.shape[0]

    def _net_input(self, device: torch.device) -> NetInput:
        return NetInput(
            self.configuration.name,
            self.net_sample_rate,
            takes_nothing=self._reflect,  # clips that are too short are followed by zeros
            device=device,
        )

    def window_path(
        self,
        rule: WindowRule,
        sample_rate: int,
        group: Callable[[int], int] | None = None,
        device: torch.device | None = None,
    ) -> WindowPath:
        """The way of one clip from its samples to the windows to embed.

        Args:
            rule: Where the windows lie, at the net's rate.
            sample_rate: The clip's rate in Hz.
            group: How many windows of a length to hand out at once; None for :meth:`windows_at_once`.
            device: Where the windows are cut; None for the net's.
        """
        net = self._net_input(self._device if device is None else device)
        return WindowPath(rule, sample_rate, net, self.windows_at_once if group is None else group)

    def windows_at_once(self, window: int) -> int:
        """How many windows to embed at once; more would only cost memory.

        Args:
            window: How many samples at the net's rate each has.
        """
        return self._at_once(self._device, window)

    def _at_once(self, device: torch.device, window: int) -> int:
        row = self.configuration.checkpoint
        if device.type == "cpu":
            net = self._forms.last_net(self.own("net"), self.kept)
            at_once = self._runner.windows_at_once(net, row.windows_per_batch) * row.window
        else:
            at_once = _SAMPLES_PER_BATCH_GPU
        return max(1, at_once // max(1, window))

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        """Embeds windows as the embedding methods do: in eval mode without gradients, on the device of the net.

        Args:
            windows: (n, window) float32 samples at ``net_sample_rate``; :meth:`windows_at_once` of them at most.

        Returns:
            (n, D) float32 on the device of ``windows``, all finite.

        Raises:
            InvalidAudio: Wrong shape or type, or samples so large that the embeddings would not be finite.
            ComputationError: The embeddings are not finite for another reason.
        """
        check_windows(windows, with_data=True)
        return self._embed(windows, self._ready(self._device))

    def forget_compiled(self) -> None:
        """Has the net prepared anew for its engine when it embeds next.

        Call it after writing into ``.data`` (``weight.data[0] = 0``), which cannot be noticed. All other changes are:
        optimizer steps, ``load_state_dict``, ``.to(...)``, and writing to parameters under ``torch.no_grad()``.
        """
        self._runner.forget()

    def _ready(self, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
        """What embeds groups of windows with the net as it is now, where it is now."""
        kept = self.kept
        ready = self._runner.ready(self._forms.net(self.own("net"), kept), kept)
        watch_steps(self)
        frontend = self._forms.frontend(self.own("frontend"))
        return lambda windows: ready(frontend, windows.to(device))

    def _embed(
        self,
        windows: torch.Tensor,
        ready: Callable[[torch.Tensor], torch.Tensor],
        clip_of: Callable[[int], str] | None = None,
        finite: bool = False,
    ) -> torch.Tensor:
        with torch.no_grad():
            # Before the net runs: so what reads the samples next finds them in a cache.
            total = None if finite else windows.sum()
            found = ready(windows)
            check_embeddings(found, windows, self.configuration.name, clip_of, total)
            return found.float().to(windows.device)


def _joined(groups: Iterator[torch.Tensor], n: int, size: int, device: torch.device) -> torch.Tensor:
    """(n, size) of groups of rows, one behind the other; memory holds them once."""
    joined: torch.Tensor | None = None
    row = 0
    for group in groups:
        if group.shape[0] == n:
            return group.to(device).contiguous()
        if joined is None:
            joined = torch.empty((n, size), dtype=torch.float32, device=device)
        joined[row : row + group.shape[0]] = group
        row += group.shape[0]
    return torch.empty((0, size), dtype=torch.float32, device=device) if joined is None else joined


def _one_clip(clip: Any, name: str) -> torch.Tensor:
    """(1, samples) of one clip of a list.

    Raises:
        InvalidAudio: It is none.
    """
    return hear_batch(clip[None] if isinstance(clip, (np.ndarray, torch.Tensor)) else [clip], name)
