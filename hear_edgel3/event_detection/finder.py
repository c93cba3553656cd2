"""Events of files and arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, overload

import torch

from hear_edgel3._checks import check_made
from hear_edgel3.audio.channels import EACH, MEAN, check_channel
from hear_edgel3.audio.file import AudioFile, naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import channels_of, mono, pieces
from hear_edgel3.audio.source import SoundSource
from hear_edgel3.errors import InvalidOption
from hear_edgel3.event_detection.event import Event
from hear_edgel3.event_detection.request import EventOptions, event_rows
from hear_edgel3.families.schema import Local
from hear_edgel3.framing.rules import CoveringFraming
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import BUILT_IN
from hear_edgel3.tagging.answering import AnsweringNet
from hear_edgel3.tagging.reading import read
from hear_edgel3.tagging.request import one_each
from hear_edgel3.tagging.tagger import common_labels
from hear_edgel3.tagging.together import NetsTogether
from hear_edgel3.timeline import EventDecoder, EventRules, Found, slices_of


class EventFinder:
    """One or several nets that find events together: their logits are averaged.

    Args:
        configuration: A configuration's name, or the folder of a detector, or several with the same classes; the
            built-in one if not given.
        weights: As for :func:`hear_edgel3.load`: a file (one per configuration), or a folder for all.
        engine: As for :func:`hear_edgel3.load`.
        options: What is asked; or, in place of that, its attributes by their names.
        more: The attributes of :class:`EventOptions`.

    Attributes:
        net: The net, or nets.
        groups: The classes, or groups of classes, that are told.
        rules: What makes an event.
        framing: Where its windows lie, at its rate.

    Raises:
        UnknownConfiguration: There is no such name.
        InvalidOption: A net has no classes, nets do not fit together, or an option cannot be used.
        WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: See :mod:`hear_edgel3.weights`.
    """

    def __init__(
        self,
        configuration: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
        weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
        engine: str = "auto",
        options: EventOptions | None = None,
        **more: Any,
    ) -> None:
        if options is not None and more:
            raise InvalidOption(f"give options, or {', '.join(more)} by themselves, but not both")
        asked = _options_of(more) if options is None else options
        check_made(asked, "options", EventOptions, "EventOptions, which say what is asked of events")
        rows = event_rows(configuration)
        files = one_each(rows, weights)
        window, hop = asked.windows_together(rows)
        nets = [AnsweringNet(row, file, engine) for row, file in zip(rows, files, strict=True)]
        if nets[0].extractor.labels is None:
            raise InvalidOption(f"nobody has named the classes of {rows[0].name}, so it cannot tell events")
        labels = common_labels([net.extractor for net in nets])
        self.net = NetsTogether(nets)
        outputs = self.net.outputs
        self.groups = asked.groups_of(labels, outputs)
        of_audioset = not any(isinstance(row, Local) and row.classes for row in rows)
        self.rules: EventRules = asked.rules_for(self.groups, outputs, of_audioset)
        rate = self.net.net_sample_rate
        self.framing = CoveringFraming(int(window * rate), rate, hop, center=False, within=True)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes, or groups of classes, that are told."""
        return self.groups.labels

    def to(self, device: str | torch.device) -> EventFinder:
        """Moves the nets to a device."""
        self.net.to(device)
        return self

    @overload
    def find_file(  # type: ignore[overload-overlap]
        self, path: SoundSource, *, channel: Literal["each"]
    ) -> list[list[Event]]: ...

    @overload
    def find_file(self, path: SoundSource, *, channel: int | str = MEAN) -> list[Event]: ...

    def find_file(self, path: SoundSource, *, channel: int | str = MEAN) -> list[Event] | list[list[Event]]:
        """The events of a file, in memory independent of its length but for what is found.

        Args:
            path: As for :meth:`hear_edgel3.Tagger.tag_file`.
            channel: What of its channels: "mean" of all, the number of one, from 0, or "each" of them by itself.

        Returns:
            The events by their start; of each channel, a list of them.

        Raises:
            AudioFileError: The file is missing, damaged or not audio.
            InvalidAudio: A sample is not finite.
            InvalidOption: The file has no such channel.
        """
        with AudioFile(path, channel=check_channel(channel, each=True)) as file:
            if file.channel == EACH:
                return [self.find_opened(one) for one in file.each()]
            return self.find_opened(file)

    def find_opened(self, file: AudioFile) -> list[Event]:
        """The events of an audio file that is open, at its beginning, or a clip of one; seconds are of that."""
        with naming(file.name):
            return self._find(file.blocks(), check_rate(file.sample_rate, "the file's sample rate"))

    @overload
    def find_samples(self, audio: Any, sample_rate: int, *, channel: Literal["each"]) -> list[list[Event]]: ...

    @overload
    def find_samples(self, audio: Any, sample_rate: int, *, channel: int | str = MEAN) -> list[Event]: ...

    def find_samples(
        self, audio: Any, sample_rate: int, *, channel: int | str = MEAN
    ) -> list[Event] | list[list[Event]]:
        """The events of an array.

        Args:
            audio: (n_samples,) or (n_samples, channels), floats in [-1, 1] or integers at their full scale.
            sample_rate: Its rate in Hz.
            channel: As for :meth:`find_file`.

        Returns:
            As :meth:`find_file`.

        Raises:
            InvalidAudio: Wrong shape or type, or not finite.
            InvalidOption: The rate or the channel cannot be used.
        """
        if check_channel(channel, each=True) == EACH:
            return [self.find_samples(audio, sample_rate, channel=one) for one in range(channels_of(audio))]
        return self._find(pieces(mono(audio, check_channel(channel))), check_rate(sample_rate))

    def _find(self, blocks: Iterable[torch.Tensor], sample_rate: int) -> list[Event]:
        path = self.net.window_path(self.framing, sample_rate)
        pass_ = Pass(self)
        for windows in path.groups(blocks):
            pass_.take(windows)
        return pass_.finish(float(path.duration))


class Pass:
    """One recording on its way through a finder: windows in, events out.

    Args:
        finder: The finder.
        keep: Whether events are kept until the end; else each call gives those that are over.
    """

    def __init__(self, finder: EventFinder, keep: bool = True) -> None:
        self._net = finder.net
        self._groups = finder.groups
        framing = finder.framing
        self._window = framing.window / framing.sample_rate
        self._hop = framing.hop / framing.sample_rate
        self._at_once = finder.net.windows_at_once(framing.window)
        self._decoder = EventDecoder(finder.rules, self._hop)
        self._count = 0
        self._keep = keep
        self._kept: list[Found] = []

    @property
    def delay(self) -> int:
        """How many windows must follow one before it is looked at."""
        return self._decoder.delay

    def take(self, windows: torch.Tensor) -> list[Event]:
        """Takes (n, window) more windows.

        Returns:
            The events that are over now, if they are not kept.
        """
        found: list[Found] = []
        for some in torch.split(windows, self._at_once):
            logits = self._net.embed_windows(some).cpu().numpy()
            of_groups = self._groups.probabilities(read(self._net.outputs, logits))
            starts, ends = slices_of(self._count, len(of_groups), self._window, self._hop)
            self._count += len(of_groups)
            found += self._decoder.push(starts, ends, of_groups)
        return self._hand_out(found)

    def finish(self, duration: float) -> list[Event]:
        """Ends it.

        Args:
            duration: Of the recording, in seconds.

        Returns:
            All events by their start, if they were kept; else the last ones.
        """
        found = self._hand_out(self._decoder.finish(duration))
        return [self._event(one) for one in sorted(self._kept)] if self._keep else found

    def _hand_out(self, found: list[Found]) -> list[Event]:
        if self._keep:
            self._kept += found
            return []
        return [self._event(one) for one in found]

    def _event(self, found: Found) -> Event:
        label = self._groups.labels[found.place]
        return Event(found.start, found.end, label.name, label.mid, found.score)


def _options_of(more: Mapping[str, Any]) -> EventOptions:
    known = EventOptions.__dataclass_fields__
    if unknown := [name for name in more if name not in known]:
        raise InvalidOption(f"there is no option {unknown[0]!r} of events; the options are {', '.join(known)}")
    make: Callable[..., EventOptions] = EventOptions
    return make(**more)


@overload
def events(
    path: SoundSource,
    configuration: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    channel: Literal["each"],
    **options: Any,
) -> list[list[Event]]: ...


@overload
def events(
    path: SoundSource,
    configuration: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    channel: int | str = MEAN,
    **options: Any,
) -> list[Event]: ...


def events(
    path: SoundSource,
    configuration: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = BUILT_IN,
    *,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None] | None = None,
    channel: int | str = MEAN,
    **options: Any,
) -> list[Event] | list[list[Event]]:
    """The events of a recording: which classes are heard, each from when to when.

    For many recordings make an :class:`~hear_edgel3.event_detection.EventFinder` once, or use ``hear-edgel3 events``.

    Args:
        path: As for :meth:`hear_edgel3.Tagger.tag_file`.
        configuration: As for :class:`~hear_edgel3.event_detection.EventFinder`; the logits of several are averaged.
        weights: As for :class:`~hear_edgel3.event_detection.EventFinder`.
        channel: What of its channels: "mean" of all, the number of one, from 0, or "each" of them by itself.
        options: The attributes of :class:`~hear_edgel3.event_detection.EventOptions`: ``classes=["Bird"]``,
            ``threshold=0.4``, ``min_length=0.5`` and others.

    Returns:
        The events by their start, each with ``start``, ``end``, ``label``, ``mid`` and ``score``; of each
        channel, a list of them.

    Raises:
        As :class:`~hear_edgel3.event_detection.EventFinder` and its ``find_file``.
    """
    return EventFinder(configuration, weights, **options).find_file(path, channel=channel)
