"""What is heard in a clip: probabilities of the classes that a net, or several together, were trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch

from hear_edgel3.audio.channels import EACH, MEAN, check_channel
from hear_edgel3.audio.file import AudioFile, naming
from hear_edgel3.audio.rates import check_rate, resampled_length
from hear_edgel3.audio.samples import channels_of, mono, pieces
from hear_edgel3.audio.source import SoundSource
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.window_net import embed_blocks
from hear_edgel3.framing.rules import CoveringFraming
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import BUILT_IN
from hear_edgel3.tagging.answering import AnsweringNet
from hear_edgel3.tagging.outputs import outputs_together
from hear_edgel3.tagging.reading import in_common_scale
from hear_edgel3.tagging.request import check_length, check_windows, one_each, tagging_rows
from hear_edgel3.tagging.stream import TagStream
from hear_edgel3.tagging.tags import ClipTags, WindowTags, mean_logits

_STREAM_WINDOW_S = 1.0


class Tagger:
    """One or several nets that tag clips together: their logits are averaged.

    Args:
        configurations: a configuration's name (or folder), or several with the same classes; the built-in one if not
            given.
        weights: as for :func:`hear_edgel3.load`: a file (one per configuration), or a folder for all.
        engine: as for :func:`hear_edgel3.load`.

    Attributes:
        extractors: The nets, in the order of ``configurations``. One that has a head makes embeddings, which its head
            then sees.
        labels: The classes of each of them.
        outputs: How their logits are read.

    Raises:
        UnknownConfiguration: no such name.
        InvalidOption: a net has no classifier, nets do not fit together, or there is no such engine.
        MissingExtra: what the engine needs is not installed.
        WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: see :mod:`hear_edgel3.weights`.
    """

    def __init__(
        self,
        configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
        weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
        engine: str = "auto",
    ) -> None:
        rows = tagging_rows(configurations)
        files = one_each(rows, weights)
        self._nets = [AnsweringNet(row, file, engine) for row, file in zip(rows, files, strict=True)]
        self.extractors = [net.extractor for net in self._nets]
        self.labels = common_labels(self.extractors)
        self.outputs = outputs_together([net.outputs for net in self._nets])
        self._only_window_ms = rows[0].only_window_ms

    @property
    def configurations(self) -> tuple[str, ...]:
        """Names of the checkpoints."""
        return tuple(extractor.configuration.checkpoint.name for extractor in self.extractors)

    def to(self, device: str | torch.device) -> Tagger:
        """Moves the nets to a device."""
        for extractor in self.extractors:
            extractor.to(device)
        return self

    @overload
    def tag_file(  # type: ignore[overload-overlap]
        self,
        path: SoundSource,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: Literal["each"],
    ) -> list[ClipTags]: ...

    @overload
    def tag_file(
        self,
        path: SoundSource,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: int | str = MEAN,
    ) -> ClipTags: ...

    def tag_file(
        self,
        path: SoundSource,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: int | str = MEAN,
    ) -> ClipTags | list[ClipTags]:
        """Tags a file, in memory independent of its length.

        Args:
            path: a file in any format libsndfile reads (and FFmpeg, with the extra ``media``), at any rate, with any
                number of channels; or the bytes of one, or a binary file object.
            window: seconds per window; None for the clip as a whole: one pass up to a minute, else the mean of the
                logits of windows of 10 s every 2.5 s. For a net with a head of somebody's own: what the head says of
                the clip's scene embedding. Nets that take windows of one length only are given that one.
            hop: seconds between windows; None for a quarter of ``window``.
            channel: what of its channels: "mean" of all, the number of one, from 0, or "each" of them by itself.

        Returns:
            The tags; of each channel, a list of them.

        Raises:
            AudioFileError: the file is missing, damaged or not audio.
            InvalidAudio: a sample is not finite.
            InvalidOption: ``window`` or ``hop`` cannot be used, or the file has no such channel.
        """
        check_windows(window, hop)
        with AudioFile(path, channel=check_channel(channel, each=True)) as file:
            if file.channel == EACH:
                return [self.tag_opened(one, window, hop) for one in file.each()]
            return self.tag_opened(file, window, hop)

    def tag_opened(self, file: AudioFile, window: float | None = None, hop: float | None = None) -> ClipTags:
        """Tags an audio file that is open, wherever it is, as :meth:`tag_file` does.

        Args:
            file: the file, at its beginning, or a clip of one; seconds count from its beginning.
            window: as for :meth:`tag_file`.
            hop: as for :meth:`tag_file`.

        Raises:
            AudioFileError, InvalidAudio, InvalidOption: as :meth:`tag_file`.
        """
        check_windows(window, hop)
        with naming(file.name):
            return self._tag(file.blocks(), check_rate(file.sample_rate, "the file's sample rate"), window, hop)

    @overload
    def tag_samples(
        self,
        audio: Any,
        sample_rate: int,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: Literal["each"],
    ) -> list[ClipTags]: ...

    @overload
    def tag_samples(
        self,
        audio: Any,
        sample_rate: int,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: int | str = MEAN,
    ) -> ClipTags: ...

    def tag_samples(
        self,
        audio: Any,
        sample_rate: int,
        window: float | None = None,
        hop: float | None = None,
        *,
        channel: int | str = MEAN,
    ) -> ClipTags | list[ClipTags]:
        """Tags one clip given as an array.

        Args:
            audio: (n_samples,) or (n_samples, channels), floats in [-1, 1] or integers at their full scale.
            sample_rate: its rate in Hz.
            window: as for :meth:`tag_file`.
            hop: as for :meth:`tag_file`.
            channel: as for :meth:`tag_file`.

        Returns:
            The tags; of each channel, a list of them.

        Raises:
            InvalidAudio: wrong shape or type, or not finite.
            InvalidOption: the rate, ``window``, ``hop`` or the channel cannot be used.
        """
        check_windows(window, hop)
        if check_channel(channel, each=True) == EACH:
            every = range(channels_of(audio))
            return [self.tag_samples(audio, sample_rate, window, hop, channel=one) for one in every]
        return self._tag(pieces(mono(audio, channel)), check_rate(sample_rate), window, hop)

    @overload
    def stream(
        self,
        blocks: None = None,
        *,
        sample_rate: int | None = None,
        window: float | None = None,
        hop: float | None = None,
        channel: int | str = MEAN,
    ) -> TagStream: ...

    @overload
    def stream(
        self,
        blocks: Iterable[Any],
        *,
        sample_rate: int | None = None,
        window: float | None = None,
        hop: float | None = None,
        channel: int | str = MEAN,
    ) -> Iterator[WindowTags]: ...

    def stream(
        self,
        blocks: Iterable[Any] | None = None,
        *,
        sample_rate: int | None = None,
        window: float | None = None,
        hop: float | None = None,
        channel: int | str = MEAN,
    ) -> TagStream | Iterator[WindowTags]:
        """Tags audio that arrives block by block, each window as soon as it is complete.

        Args:
            blocks: as for :meth:`hear_edgel3.Extractor.stream`.
            sample_rate: their rate in Hz, 1000 to 768000; None for what the first net is fed (48000).
            window: seconds per window; None for 1, or what the net takes, if that is one length only.
            hop: seconds between windows; None for a quarter of ``window``.
            channel: what of the channels: "mean" of all, or the number of one, from 0.

        Returns:
            Of blocks, an iterator of tags; else an object with ``feed(block)`` and ``finish()``.

        Raises:
            InvalidOption: the rate, ``window``, ``hop`` or the channel cannot be used.
            InvalidAudio: (while iterating) a block has the wrong shape or type or is not finite.
        """
        if window is None:
            window = _STREAM_WINDOW_S if self._only_window_ms is None else self._only_window_ms / 1000
        check_windows(window, hop)
        framing, every = self._window_framing(window, hop), [net.outputs for net in self._nets]
        stream = TagStream(self._nets, self.labels, sample_rate, framing, channel, every)
        return stream if blocks is None else stream.follow(blocks)

    def _tag(
        self, blocks: Iterable[torch.Tensor], sample_rate: int, window: float | None, hop: float | None
    ) -> ClipTags:
        """Tags one clip that arrives in blocks, which all nets get together."""
        every = [net.outputs for net in self._nets]
        if window is None:
            ways = [net.of_whole_clips for net in self._nets]
            path = ways[0][0].window_path(ways[0][1], sample_rate, self._most_at_once)
            rows = embed_blocks([embeds for embeds, _ in ways], blocks, path)
            duration = float(path.duration)
            last = path.last_weight
            answers = [net.of_scene(of_one, last)[None] for net, of_one in zip(self._nets, rows, strict=True)]
            logits = mean_logits(in_common_scale(answers, every))
            ends = np.array([duration])
            return ClipTags(self.configurations, self.labels, np.zeros(1), ends, logits, duration, self.outputs)
        framing = self._window_framing(window, hop)
        # The window behind the clip is embedded with the last ones, and left out below: how many run at once shows in
        # the last bits of all, and these are to stay as they are.
        path = self._nets[0].window_path(replace(framing, within=False), sample_rate, self._most_at_once)
        rows = embed_blocks(self._nets, blocks, path)
        count = framing.count(resampled_length(path.fed, sample_rate, framing.sample_rate), path.duration)
        logits = mean_logits(in_common_scale([of_one[:count] for of_one in rows], every))
        starts = np.arange(count) * framing.hop / framing.sample_rate
        ends = starts + framing.window / framing.sample_rate
        duration = float(path.duration)
        return ClipTags(self.configurations, self.labels, starts, ends, logits, duration, self.outputs)

    def _most_at_once(self, window: int) -> int:
        return max(net.windows_at_once(window) for net in self._nets)

    def _window_framing(self, window: float, hop: float | None) -> CoveringFraming:
        """EfficientAT's windowed_inference.py: the first window starts with the clip, the last reaches its end.

        With gaps between windows, its last one may lie behind the clip altogether; it says nothing and is left out.
        """
        for extractor in self.extractors:
            check_length(extractor.configuration.checkpoint, window)
        rate = self.extractors[0].net_sample_rate
        hop_size = window / 4 if hop is None else hop
        return CoveringFraming(int(window * rate), rate, hop_size, center=False, within=True)


def common_labels(extractors: Sequence[Extractor]) -> tuple[Label, ...]:
    """The classes that nets tag together, which may be those of their weights files.

    Raises:
        InvalidOption: They are not the same, or nobody has named them.
    """
    found = [extractor.labels for extractor in extractors]
    if found[0] is None:
        raise InvalidOption(f"nobody has named the classes of {extractors[0].configuration.name}, so it cannot tag")
    if any(labels != found[0] for labels in found):
        which = ", ".join(f"{e.configuration.checkpoint.name} {len(e.labels or ())}" for e in extractors)
        raise InvalidOption(
            f"an ensemble needs nets with the same classes, but theirs differ ({which}); tag one by one"
        )
    return found[0]


@overload
def tag(  # type: ignore[overload-overlap]
    path: SoundSource,
    configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    window: float | None = None,
    hop: float | None = None,
    channel: Literal["each"],
) -> list[ClipTags]: ...


@overload
def tag(
    path: SoundSource,
    configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    window: float | None = None,
    hop: float | None = None,
    channel: int | str = MEAN,
) -> ClipTags: ...


def tag(
    path: SoundSource,
    configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    window: float | None = None,
    hop: float | None = None,
    channel: int | str = MEAN,
) -> ClipTags | list[ClipTags]:
    """Tags a file: which of the classes are heard in it. For many files make a :class:`Tagger` once.

    Args:
        path: as for :meth:`Tagger.tag_file`.
        configurations: as for :class:`Tagger`; the logits of several are averaged.
        weights: as for :class:`Tagger`.
        window: as for :meth:`Tagger.tag_file`.
        hop: as for :meth:`Tagger.tag_file`.
        channel: as for :meth:`Tagger.tag_file`.

    Returns:
        The tags; ``.top(10)`` has the most probable ones with label, MID and probability. Of each channel, a list of
        them.

    Raises:
        As :class:`Tagger` and :meth:`Tagger.tag_file`.
    """
    check_windows(window, hop)
    return Tagger(configurations, weights).tag_file(path, window, hop, channel=channel)
