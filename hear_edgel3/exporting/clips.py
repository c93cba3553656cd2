"""The sounds that an exported file is proven on: synthetic ones of many kinds, and somebody's own.

Recorded sounds alone would not do: they hide what a DFT in float32 does to pure tones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.audio.resample import resample_blocks
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.sources.lister import list_items
from hear_edgel3.sources.opening import ItemOpener

# Of a file of somebody's own, so that a long one takes no longer than a short one.
LONGEST_S = 10
# Of all files of somebody's own together, because all of them are kept in memory: ten minutes are 77 MB at 32 kHz. And
# of windows, of which what the net puts out is kept, however short they are.
_MOST_S, _MOST_WINDOWS = 600, 6000
_SAMPLED_S = 1.0


@dataclass(frozen=True)
class ProofClip:
    """A sound.

    Attributes:
        kind: "tone", "silence", "click", "synthetic" (everything else that is made here) or "own".
        name: What it is called in reports.
        samples: (n_samples,) float32 at the net's rate.
    """

    kind: str
    name: str
    samples: np.ndarray


def synthetic_clips(sample_rate: int, n_samples: int, seed: int = 0) -> list[ProofClip]:
    """Tones, silence, clicks, and what sounds more like recordings, the same ones every time.

    Args:
        sample_rate: The net's rate in Hz.
        n_samples: The length of each.
        seed: Of the noise in them, and of the pitches of notes. Tones, silence and clicks are always the same.
    """
    t = np.arange(n_samples) / sample_rate
    random = np.random.default_rng(seed)
    found: list[tuple[str, str, np.ndarray]] = []
    for share in (0.005, 0.0275, 0.125, 0.25, 0.4):  # the fourth in the middle of a bin, and so of no other
        for level in (0.9, 0.01):
            hertz = share * sample_rate
            found.append(("tone", f"tone {hertz:g} Hz at {level:g}", level * np.sin(2 * np.pi * hertz * t)))
    found.append(("silence", "silence", np.zeros(n_samples)))
    found.append(("silence", "all but silence", 1e-6 * random.standard_normal(n_samples)))
    click, clicks = np.zeros(n_samples), np.zeros(n_samples)
    click[n_samples // 2] = 1.0
    clicks[:: max(1, sample_rate // 50)] = 0.8
    found += [("click", "a click", click), ("click", "50 clicks a second", clicks)]
    found.append(("click", "a step", np.where(np.arange(n_samples) < n_samples // 3, 0.0, 0.7)))
    noise = random.standard_normal(n_samples)
    pink = np.fft.irfft(np.fft.rfft(noise) / np.sqrt(np.arange(n_samples // 2 + 1) + 1.0), n_samples)
    found.append(("synthetic", "white noise", 0.1 * noise))
    found.append(("synthetic", "pink noise", 0.3 * pink / np.abs(pink).max()))
    found.append(("synthetic", "clipped noise", np.clip(noise, -1, 1)))
    for number, pitch in enumerate((110.0 + 40 * seed, 330.0 + 90 * seed, 880.0 - 210 * seed)):
        swaying = pitch * t + 0.3 * np.sin(2 * np.pi * 5 * t)
        partials = [np.sin(2 * np.pi * k * swaying) / k for k in range(1, 9) if k * pitch < sample_rate / 2]
        note = 0.3 * sum(partials, np.zeros(n_samples)) * np.exp(-3 * (t % 0.4)) + 0.003 * noise
        found.append(("synthetic", f"notes {number + 1}", note))
    sweep = 50 * (0.45 * sample_rate / 50) ** (t / max(t[-1], 1e-9))
    found.append(("synthetic", "sweep", 0.5 * np.sin(2 * np.pi * np.cumsum(sweep) / sample_rate)))
    bursts = 0.4 * noise * (np.sin(2 * np.pi * 3 * t) > 0.6) + 0.01 * random.standard_normal(n_samples)
    found.append(("synthetic", "bursts", bursts))
    return [ProofClip(kind, name, samples.astype(np.float32)) for kind, name, samples in found]


def usual_samples(length: int | None, sample_rate: int) -> int:
    """The samples of most windows that are listened to: the only length that a file takes, or a second."""
    return length or int(_SAMPLED_S * sample_rate)


@dataclass(frozen=True)
class OwnClips:
    """Sounds of somebody's own.

    Attributes:
        clips: They.
        note: What the user should know, if not all was taken that there is.
    """

    clips: Sequence[ProofClip] = ()
    note: str | None = None


def sounds_read(folder: str | os.PathLike[str], place: Path) -> list[str]:
    """The files that sounds of somebody's own are in, if something is to be written where a file is already.

    Args:
        folder: As for :func:`own_clips`.
        place: Where something is to be written. Nothing is listed where there is no file that could be lost.

    Raises:
        AudioFileError: As :func:`own_clips`.
    """
    if not place.is_file():
        return []
    items = list_items([os.fspath(folder)]).items
    return [os.fspath(folder), *(item.file if item.shard is None else item.shard for item in items)]


def own_clips(folder: str, sample_rate: int, n_samples: int) -> OwnClips:
    """The first seconds of recordings, in windows that lie one behind the other; the last is filled up with zeros.

    However many there are, no more than ten minutes are taken: of more than sixty files fewer seconds each, and where
    a window each would be too much, of every so-many-th file.

    Args:
        folder: Sources as for :func:`hear_edgel3.sources.lister.list_items`.
        sample_rate: The net's rate in Hz.
        n_samples: The length of the windows.

    Raises:
        AudioFileError: It is not there, or a folder without audio, or a file cannot be read.
        InvalidAudio: There is no audio.
    """
    listing = list_items([folder])
    for _, reason in listing.failures:
        raise reason
    if not listing.items:
        raise InvalidAudio(f"there is no audio in {folder} to check with, or to calibrate on")
    there, of_each = len(listing.items), -(-LONGEST_S * sample_rate // n_samples)
    most = max(1, min(_MOST_WINDOWS, _MOST_S * sample_rate // n_samples))
    items, windows = listing.items, min(of_each, max(1, most // there))
    if there > most:
        items = [items[i * there // most] for i in range(most)]
    taken = min(LONGEST_S * sample_rate, windows * n_samples)
    found = []
    with closing(ItemOpener("")) as opener:
        for item in items:
            with opener.open(item) as file:
                heard, wanted = [], taken
                for block in resample_blocks(file.blocks(watch=False), file.sample_rate, sample_rate):
                    heard.append(block)
                    wanted -= len(block)
                    if wanted <= 0:
                        break
                samples = torch.cat(heard)[:taken].float().numpy()
                name = file.name
            for number in range(max(1, -(-len(samples) // n_samples))):
                window = samples[number * n_samples : (number + 1) * n_samples]
                found.append(ProofClip("own", name, np.pad(window, (0, n_samples - len(window)))))
    note = None
    if windows < of_each or there > most:
        files = (
            f"{most} of the {there} files, spread evenly over them," if there > most else f"each of the {there} files"
        )
        note = (
            f"{folder}: no more than {_MOST_S / 60:g} minutes, or {_MOST_WINDOWS} windows, are taken: of {files} the "
            f"first {taken / sample_rate:g} s{'; the others were not read' if there > most else ''}"
        )
    return OwnClips(found, note)
