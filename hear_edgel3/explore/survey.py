"""Looks into the audio file of every clip: its spectrogram, what is heard in it, and how a page can play it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.file import AudioFile, is_truncated
from hear_edgel3.audio.headers import share_there
from hear_edgel3.dataset.file_means import FileMeans
from hear_edgel3.errors import INPUT_ERRORS
from hear_edgel3.explore import sounds, spectrograms
from hear_edgel3.explore.tags import TOP, TagSource


class Survey:
    """What is found in the audio files of a dataset. It is complete once :meth:`blocks` has been gone through.

    Args:
        means: The clips of the dataset.
        page: Where the page will be; links are as seen from there.
        audio: The folder that relative file names are relative to; None for the current one.
        tags: Who says what is heard; None for no tags.
        embed: Whether to put a preview of each clip's sound into the page.
        quiet: Whether to show no progress.
        channel: What of their channels was embedded, and is seen and heard: "mean" of all, or the number of one.

    Attributes:
        links: The address of each clip's sound; None where there is none, or where it is inside the page.
        notes: Why a clip has no spectrogram, sound or tags, by its number.
        unseen: The numbers of the clips without a spectrogram.
        classes: (n, TOP) int32, the most probable classes of each clip; -1 where unknown.
        probabilities: (n, TOP) float32, the probabilities of these classes.
        uncertainties: (n,) float32 from 0 to 1; NaN where unknown.
    """

    def __init__(
        self,
        means: FileMeans,
        page: Path,
        audio: str | os.PathLike[str] | None = None,
        tags: TagSource | None = None,
        embed: bool = False,
        quiet: bool = False,
        channel: int | str = MEAN,
    ) -> None:
        self._channel = channel
        self._means = means
        self._page = page
        self._audio = audio
        self._tags = tags
        self._embed = embed
        self._quiet = quiet
        self.links: list[str | None] = [None] * len(means.files)
        self.notes: dict[int, str] = {}
        self.unseen: list[int] = []
        self.classes = np.full((len(means.files), TOP), -1, np.int32)
        self.probabilities = np.zeros((len(means.files), TOP), np.float32)
        self.uncertainties = np.full(len(means.files), np.nan, np.float32)

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Names and contents of what goes into the page as text: ``spectrograms-3``, and ``sound-17`` of clip 17.

        Little is held in memory at a time.
        """
        waiting: list[np.ndarray] = []
        n_blocks = 0
        for i in self._with_progress():
            path = sounds.audio_path(self._means.files[i], self._audio)
            samples = self._read_beginning(i, path)
            if samples is None:
                waiting.append(np.zeros((spectrograms.BANDS, spectrograms.FRAMES), np.uint8))
            else:
                waiting.append(spectrograms.thumbnail(samples))
                if self._embed:
                    yield f"sound-{i}", sounds.preview(samples)
            if self._tags is not None and (samples is not None or not self._tags.listens):
                self._tag(i, path, self._tags)
            if len(waiting) == spectrograms.PER_BLOCK or i == len(self._means.files) - 1:
                yield f"spectrograms-{n_blocks}", spectrograms.pack(waiting)
                n_blocks += 1
                waiting.clear()

    def _read_beginning(self, i: int, path: Path) -> torch.Tensor | None:
        """(n,) samples of the clip's beginning, at the spectrograms' rate; None if it cannot be read."""
        try:
            with AudioFile(path, channel=self._channel) as file:
                start, end = self._means.spans[i] or (0.0, None)
                part = file.stretch(start, min(spectrograms.SECONDS, (end or math.inf) - start))
                samples = spectrograms.at_rate(part, file.sample_rate)
                self._note_what_is_missing(i, file, start + len(part) / file.sample_rate)
        except INPUT_ERRORS as error:
            self._note(i, str(error))
            self.unseen.append(i)
            return None
        if self._embed:
            return samples
        if sounds.is_playable(path):
            self.links[i] = sounds.link(path, self._page) + sounds.fragment(self._means.spans[i])
        else:
            ending = path.suffix or "such"
            self._note(i, f"Browsers do not play {ending} files; a page made with --embed-audio does.")
        return samples

    def _note_what_is_missing(self, i: int, file: AudioFile, read_to: float) -> None:
        """Says that a file has been cut off, which may have been since its embeddings were made."""
        start, end = self._means.spans[i] or (0.0, None)
        known = start + self._means.seconds[i] if end is None else end
        share = share_there(file.read_at, file.n_bytes)
        if is_truncated(share, 1):
            said = f"its header says {file.duration:.2f} s, {share * file.duration:.2f} s could be decoded"
        elif is_truncated(read_to - start, min(spectrograms.SECONDS, known - start)):
            said = f"its embeddings are of sound up to {known:.2f} s, it ends at {read_to:.2f} s"
        else:
            return
        self._note(i, f"{file.path} is truncated: {said}.")

    def _tag(self, i: int, path: Path, source: TagSource) -> None:
        try:
            tags = source.of_clip(path, self._means.spans[i], self._means.vectors[i])
        except INPUT_ERRORS as error:
            self._note(i, "No tags." if f"{error}." in self.notes.get(i, "") else f"No tags: {error}")
            return
        self.classes[i], self.probabilities[i] = tags.classes, tags.probabilities
        self.uncertainties[i] = tags.uncertainty

    def _note(self, i: int, text: str) -> None:
        self.notes[i] = f"{self.notes[i]} {text}" if i in self.notes else text

    def _with_progress(self) -> Iterable[int]:
        from tqdm import tqdm

        progress: Iterable[int] = tqdm(
            range(len(self._means.files)), unit="clip", file=sys.stderr, dynamic_ncols=True, disable=self._quiet
        )
        return progress
