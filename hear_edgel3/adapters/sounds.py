"""Sounds as a dataset for PyTorch's loaders."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from hear_edgel3._checks import check_positive, several_paths
from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.audio.loading import read_opened
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.disk.paths import text_of
from hear_edgel3.errors import AudioFileError, InvalidOption
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items
from hear_edgel3.sources.opening import ItemOpener

Sources = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Sound(TypedDict):
    """One sound of a :class:`SoundDataset`.

    Attributes:
        samples: (n_samples,) float32 at the dataset's rate, full scale at 1.
        file: The file it is from, as the sources name it.
        start: Where it begins, in seconds of the file.
        seconds: How long it is; what follows in ``samples``, if anything does, are zeros.
    """

    samples: torch.Tensor
    file: str
    start: float
    seconds: float


class Sounds(TypedDict):
    """Several sounds, as :meth:`SoundDataset.as_lists` puts them together; each has as many values as there are."""

    samples: list[torch.Tensor]
    file: list[str]
    start: list[float]
    seconds: list[float]


class SoundDataset(Dataset[Sound]):
    """Sounds of files, folders, tables and shards: decoded, mixed down and at one rate.

    It can be used from several worker processes. Sounds of one length are batched by PyTorch's loader as they are; for
    sounds of different lengths give it ``collate_fn=SoundDataset.as_lists``, and the lists to
    ``extractor.scene_embeddings``: filled up with zeros to one length, they would get other embeddings.

    Args:
        sources: As for :func:`hear_edgel3.extract`: files, folders, globs, lists, tables (also with clips in them), tar
            shards of sounds, or several of these.
        sample_rate: The rate of samples in Hz, 1000 to 768000: ``extractor.sample_rate`` for an extractor's methods,
            ``extractor.net_sample_rate`` for its ``forward``.
        seconds: None for every sound as a whole; else sounds are cut into parts of this length, one behind the other,
            of which a sound's last is followed by zeros. Each file is then opened once, to see how long it is.
        channel: What of their channels: "mean" of all, or the number of one, from 0.

    Attributes:
        items: What there is to read, in order.
        sample_rate: The rate of samples.
        notes: What is to be known of the sources, for example what was left out.

    Raises:
        AudioFileError: There is nothing at a source, a file cannot be opened, or there are no sounds at all.
        InvalidOption: The rate, ``seconds`` or the channel cannot be used.
    """

    def __init__(
        self, sources: Sources, sample_rate: int, *, seconds: float | None = None, channel: int | str = MEAN
    ) -> None:
        self.sample_rate = check_rate(sample_rate)
        self._channel = check_channel(channel)
        self._n_samples: int | None = None
        if seconds is not None:
            self._n_samples = round(check_positive(seconds, "seconds", "seconds") * self.sample_rate)
            if self._n_samples < 1:
                raise InvalidOption(f"seconds={seconds!r} is less than a sample at {self.sample_rate} Hz")
        self._opener: tuple[int, ItemOpener] | None = None
        names = several_paths(sources, "sources")
        listing = list_items(names)
        if listing.failures:
            raise listing.failures[0][1]
        self.notes = [*listing.notes, *listing.channel_notes(self._channel)]
        self.items: list[Item] = listing.items
        if seconds is not None:
            self.items = [part for item in listing.items for part in self._parts(item, float(seconds))]
        if not self.items:
            raise AudioFileError(f"there are no sounds in {', '.join(map(text_of, names)) or 'no sources at all'}")

    def _parts(self, item: Item, seconds: float) -> list[Item]:
        with self._open().open(item) as file:
            start = item.start or 0.0
            end = file.duration if item.end is None else min(item.end, file.duration)
            # What is shorter than half a sample of the file is none.
            count = max(1, math.ceil((end - start) / seconds - 0.5 / file.sample_rate / seconds))
        if count == 1:
            return [item]
        bounds = [start + i * seconds for i in range(count)]
        return [item._replace(start=at, end=min(at + seconds, end)) for at in bounds]

    def _open(self) -> ItemOpener:
        """This process's own way to files: a forked one must not share its parent's."""
        if self._opener is None or self._opener[0] != os.getpid():
            self._opener = os.getpid(), ItemOpener(os.getcwd(), self._channel)
        return self._opener[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opener": None}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sound:
        """Reads a sound.

        Raises:
            AudioFileError: It is damaged, or not there any more.
            InvalidAudio: A sample is not finite, or it is too short for a sample at the rate.
            IndexError: There is no such sound.
        """
        item = self.items[index]
        with self._open().open(item) as file:
            samples = read_opened(file, self.sample_rate)
        n = len(samples)
        if self._n_samples is not None:
            n = min(n, self._n_samples)  # the end of a part is rounded at the file's rate
            samples = np.pad(samples[:n], (0, self._n_samples - n))
        return Sound(
            samples=torch.from_numpy(samples), file=item.file, start=item.start or 0.0, seconds=n / self.sample_rate
        )

    @staticmethod
    def as_lists(sounds: Sequence[Sound]) -> Sounds:
        """Puts sounds of any lengths together, as lists: a ``collate_fn`` for PyTorch's loader."""
        return Sounds(
            samples=[sound["samples"] for sound in sounds],
            file=[sound["file"] for sound in sounds],
            start=[sound["start"] for sound in sounds],
            seconds=[sound["seconds"] for sound in sounds],
        )
