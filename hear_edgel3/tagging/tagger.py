"""What is heard in a clip: probabilities of the classes that a net, or several together, were trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from hear_edgel3.audio.file import AudioFile, naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import mono, pieces
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import load
from hear_edgel3.families.schema import Checkpoint, Local, SceneRule
from hear_edgel3.framing.rules import EdgeL3Framing, check_positive
from hear_edgel3.registry.labels import labels
from hear_edgel3.registry.names import BUILT_IN, list_configurations, resolve
from hear_edgel3.tagging.tags import ClipTags, mean_logits

if TYPE_CHECKING:
    from hear_edgel3.tagging.stream import TagStream
    from hear_edgel3.tagging.tags import WindowTags

# Without windows, a clip of up to this long is one pass of the net, as EfficientAT's inference.py has it whatever the
# length; a longer one is the mean of the logits of windows of ten seconds, so that memory stays bounded.
LONGEST_WHOLE_S = 60
_MEAN_WINDOW_S, _MEAN_HOP_S = 10, 2.5


class Tagger:
    """One or several nets that tag clips together: their logits are averaged.

    Args:
        configurations: a configuration's name (or folder), or several with the same classes; the built-in one if not
            given.
        weights: as for :func:`hear_edgel3.load`: a file (one per configuration), or a folder for all.
        engine: as for :func:`hear_edgel3.load`.

    Attributes:
        extractors: the nets, in the order of ``configurations``.
        labels: their classes.

    Raises:
        UnknownConfiguration: no such name.
        InvalidOption: a net has no classifier, their classes differ, or there is no such engine.
        MissingExtra: what the engine needs is not installed.
        WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: see :mod:`hear_edgel3.weights`.
    """

    def __init__(
        self,
        configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
        weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        engine: str = "auto",
    ) -> None:
        names = [configurations] if isinstance(configurations, (str, os.PathLike)) else list(configurations)
        if not names:
            raise InvalidOption("name at least one configuration to tag with")
        rows: list[Checkpoint] = []
        for name in names:
            row = resolve(name).checkpoint
            if row not in rows:
                rows.append(row)
        for row in rows:
            if row.labels is None:
                able = [n for n in list_configurations() if resolve(n).checkpoint.labels is not None]
                raise InvalidOption(f"{row.name} has no classifier and cannot tag; these can: {', '.join(able)}")
        lists = {row.labels for row in rows if row.labels is not None}
        if len(lists) > 1:
            which = ", ".join(f"{row.name} has {row.labels}" for row in rows)
            raise InvalidOption(f"an ensemble needs nets with the same classes, but {which}")
        files = _one_each([row.name for row in rows], weights)
        self.labels = labels(lists.pop())
        nets = [row.folder if isinstance(row, Local) else row.name for row in rows]
        self.extractors = [
            load(net, file, features=["logits"], engine=engine) for net, file in zip(nets, files, strict=True)
        ]

    @property
    def configurations(self) -> tuple[str, ...]:
        """Names of the checkpoints."""
        return tuple(extractor.configuration.checkpoint.name for extractor in self.extractors)

    def to(self, device: str | torch.device) -> Tagger:
        """Moves the nets to a device."""
        for extractor in self.extractors:
            extractor.to(device)
        return self

    def tag_file(self, path: str | os.PathLike[str], window: float | None = None, hop: float | None = None) -> ClipTags:
        """Tags a file, in memory independent of its length.

        Args:
            path: a file in any format libsndfile reads, at any rate, with any number of channels.
            window: seconds per window; None for the clip as a whole: one pass up to a minute, else the mean of the
                logits of windows of 10 s every 2.5 s.
            hop: seconds between windows; None for a quarter of ``window``.

        Raises:
            AudioFileError: the file is missing, damaged or not audio.
            InvalidAudio: a sample is not finite.
            InvalidOption: ``window`` or ``hop`` cannot be used.
        """
        check_windows(window, hop)

        def ask(extractor: Extractor) -> tuple[np.ndarray, float]:
            with AudioFile(path) as file:
                rate = check_rate(file.sample_rate, "the file's sample rate")
                return _logits(extractor, file.blocks(), rate, window, hop)

        with naming(path):
            return self._ask_all(ask, window, hop)

    def tag_samples(
        self, audio: Any, sample_rate: int, window: float | None = None, hop: float | None = None
    ) -> ClipTags:
        """Tags one clip given as an array.

        Args:
            audio: (n_samples,) or (n_samples, channels), floats in [-1, 1] or integers at their full scale.
            sample_rate: its rate in Hz.
            window: as for :meth:`tag_file`.
            hop: as for :meth:`tag_file`.

        Raises:
            InvalidAudio: wrong shape or type, or not finite.
            InvalidOption: the rate, ``window`` or ``hop`` cannot be used.
        """
        check_windows(window, hop)
        samples, rate = mono(audio), check_rate(sample_rate)
        return self._ask_all(lambda e: _logits(e, pieces(samples), rate, window, hop), window, hop)

    @overload
    def stream(
        self, blocks: None = None, *, sample_rate: int | None = None, window: float = 1.0, hop: float | None = None
    ) -> TagStream: ...

    @overload
    def stream(
        self, blocks: Iterable[Any], *, sample_rate: int | None = None, window: float = 1.0, hop: float | None = None
    ) -> Iterator[WindowTags]: ...

    def stream(
        self,
        blocks: Iterable[Any] | None = None,
        *,
        sample_rate: int | None = None,
        window: float = 1.0,
        hop: float | None = None,
    ) -> TagStream | Iterator[WindowTags]:
        """Tags audio that arrives block by block, each window as soon as it is complete.

        Args:
            blocks: as for :meth:`hear_edgel3.Extractor.stream`.
            sample_rate: their rate in Hz, 1000 to 768000; None for what the first net is fed (48000).
            window: seconds per window.
            hop: seconds between windows; None for a quarter of ``window``.

        Returns:
            Of blocks, an iterator of tags; else an object with ``feed(block)`` and ``finish()``.

        Raises:
            InvalidOption: the rate, ``window`` or ``hop`` cannot be used.
            InvalidAudio: (while iterating) a block has the wrong shape or type or is not finite.
        """
        from hear_edgel3.tagging.stream import TagStream

        check_windows(window, hop)
        stream = TagStream(self, sample_rate, window_framing(self.extractors[0], window, hop))
        return stream if blocks is None else stream.follow(blocks)

    def _ask_all(
        self, ask: Callable[[Extractor], tuple[np.ndarray, float]], window: float | None, hop: float | None
    ) -> ClipTags:
        answers = [ask(extractor) for extractor in self.extractors]
        logits = mean_logits([logits for logits, _ in answers])
        duration = answers[0][1]
        starts, ends = np.zeros(1), np.array([duration])
        if window is not None:
            framing = window_framing(self.extractors[0], window, hop)
            rate = self.extractors[0].net_sample_rate
            starts = np.arange(len(logits)) * framing.hop / rate
            # With gaps between windows, the last one may lie behind the clip altogether: it says nothing.
            within = starts < max(duration, 1 / rate)
            logits, starts = logits[within], starts[within]
            ends = starts + framing.window / rate
        return ClipTags(self.configurations, self.labels, starts, ends, logits, duration)


def tag(
    path: str | os.PathLike[str],
    configurations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    window: float | None = None,
    hop: float | None = None,
) -> ClipTags:
    """Tags a file: which of the classes are heard in it. For many files make a :class:`Tagger` once.

    Args:
        path: a file in any format libsndfile reads, at any rate, with any number of channels.
        configurations: as for :class:`Tagger`; the logits of several are averaged.
        weights: as for :class:`Tagger`.
        window: as for :meth:`Tagger.tag_file`.
        hop: as for :meth:`Tagger.tag_file`.

    Returns:
        The tags; ``.top(10)`` has the most probable ones with label, MID and probability.

    Raises:
        As :class:`Tagger` and :meth:`Tagger.tag_file`.
    """
    check_windows(window, hop)
    return Tagger(configurations, weights).tag_file(path, window, hop)


def check_windows(window: float | None, hop: float | None) -> None:
    """Raises InvalidOption if windows of these lengths in seconds cannot be placed."""
    if window is None:
        if hop is not None:
            raise InvalidOption(f"hop={hop!r} goes with a window; give `window` (--window) too")
        return
    if check_positive(window, "window", "seconds") > LONGEST_WHOLE_S:
        raise InvalidOption(f"window={window!r} is more than {LONGEST_WHOLE_S} s; use a shorter one")
    if window < 0.02:
        raise InvalidOption(f"window={window!r} is less than 0.02 s; use a longer one")
    if hop is not None and check_positive(hop, "hop", "seconds") < 0.001:
        raise InvalidOption(f"hop={hop!r} is less than 0.001 s; use a longer one")


def window_framing(extractor: Extractor, window: float, hop: float | None) -> EdgeL3Framing:
    """EfficientAT's windowed_inference.py: the first window starts with the clip, the last reaches its end."""
    rate = extractor.net_sample_rate
    return EdgeL3Framing(int(window * rate), rate, window / 4 if hop is None else hop, center=False)


def _logits(
    extractor: Extractor, blocks: Iterable[torch.Tensor], sample_rate: int, window: float | None, hop: float | None
) -> tuple[np.ndarray, float]:
    """(n, n_classes) logits of a clip, and its duration in seconds."""
    n_samples = 0

    def counted() -> Iterable[torch.Tensor]:
        nonlocal n_samples
        for block in blocks:
            n_samples += len(block)
            yield block

    if window is not None:
        logits = extractor.embed_stream(counted(), sample_rate, window_framing(extractor, window, hop))
    else:
        rate = extractor.net_sample_rate
        rule = SceneRule(1000 * _MEAN_HOP_S, _MEAN_WINDOW_S * rate, LONGEST_WHOLE_S * rate)
        logits = extractor.scene_of_stream(counted(), sample_rate, rule)[None]
    return logits, n_samples / sample_rate


def _one_each(
    names: list[str], weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
) -> list[str | os.PathLike[str] | None]:
    if weights is None or isinstance(weights, (str, os.PathLike)):
        if len(names) > 1 and weights is not None and not os.path.isdir(weights):
            raise InvalidOption(
                f"weights is one file, {os.fspath(weights)}, for {len(names)} configurations; give a folder, or one "
                f"file for each"
            )
        return [weights] * len(names)
    if len(weights) == 1:
        return _one_each(names, weights[0])
    if len(weights) != len(names):
        raise InvalidOption(f"{len(weights)} weights files for {len(names)} configurations ({', '.join(names)})")
    return list(weights)
