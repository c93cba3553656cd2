"""The clips of a corpus as samples: decoded once, kept on disk in shards, and mapped into memory when they are read.

A shard holds some clips one after the other as 16-bit integers, each with a scale of its own, so that neither a soft
clip loses its resolution nor a loud one its peaks. Shards are written whole, so that making them can be interrupted,
and goes on with the next one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.resample import resample
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import AudioFileError, InvalidAudio
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.training.clip import Clip

_CLIPS_PER_SHARD = 128
_READERS = 4
_TOP = 32767
_KEYS = frozenset(["clips", "ends", "samples", "scales"])


class Sounds:
    """Clips that were decoded. It may be read from many threads at once.

    Args:
        clips: All clips, in the order of the shards.
        shards: Their files, in order.
        sample_rate: Of the samples, in Hz.

    Attributes:
        clips: Those that could be read, in order.
        places: Where each of these is in the list of all clips.
        sample_rate: Of the samples, in Hz.
        of_source: For each source, by name in order, the numbers of its clips.
        seconds: The length of all clips together.

    Raises:
        InvalidAudio: No clip could be read.
    """

    def __init__(self, clips: Sequence[Clip], shards: Sequence[Path], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._samples: list[npt.NDArray[np.int16]] = []
        heard: list[int] = []
        # The shard of each clip, where its samples begin and end there, and what they are multiplied with.
        stretches: list[tuple[int, int, int, float]] = []
        for number, shard in enumerate(shards):
            held, first = _opened(shard), 0
            self._samples.append(held["samples"])
            for clip, end, scale in zip(held["clips"], held["ends"], held["scales"], strict=True):
                heard.append(int(clip))
                stretches.append((number, first, int(end), float(scale)))
                first = int(end)
        if not heard:
            raise InvalidAudio(f"none of the {len(clips)} clips could be read; see the messages above")
        self.clips = tuple(clips[place] for place in heard)
        self.places = tuple(heard)
        self._stretches = tuple(stretches)
        sources: dict[str, list[int]] = {}
        for i, one in enumerate(self.clips):
            sources.setdefault(one.source, []).append(i)
        self.of_source: Mapping[str, npt.NDArray[np.int64]] = MappingProxyType(
            {name: np.array(sources[name], dtype=np.int64) for name in sorted(sources)}
        )
        self.seconds = sum(end - first for _, first, end, _ in stretches) / sample_rate

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.clips)

    def length(self, number: int) -> int:
        """The number of samples of a clip, which is at least one."""
        _, first, end, _ = self._stretches[number]
        return end - first

    def read(self, number: int, start: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """Samples of a clip.

        Args:
            number: Of the clip.
            start: The samples that lie before.
            count: How many; None for all. Fewer are given where the clip ends before.

        Returns:
            (n,) as the file has them, to 16 bits of the clip's peak.
        """
        shard, first, end, scale = self._stretches[number]
        last = end if count is None else min(end, first + start + count)
        return self._samples[shard][first + start : last] * np.float32(scale)


def make_sounds(clips: Sequence[Clip], folder: Path, sample_rate: int, quiet: bool = False) -> Sounds:
    """Decodes clips to mono, unless the shards are there already.

    A clip that cannot be read is named on stderr and left out; so is a shard that is damaged, which is made again.

    Args:
        clips: Any number of them; the samples of one shard are in memory at once.
        folder: Where shards are kept, below a folder for just these clips; it is made if need be. An hour takes 230 MB
            at 32 kHz.
        sample_rate: What to convert the samples to, in Hz.
        quiet: Without the progress bar.

    Raises:
        InvalidOption: The rate is not a whole number that can be converted to.
        InvalidAudio: No clip could be read.
        OutputError: A shard cannot be written (the disk is full, for example); those before it are kept.
    """
    from tqdm import tqdm

    check_rate(sample_rate, "sample_rate")
    sizes = {clip.path: clip.size for clip in clips}
    # Not where the audio is, so that it can be moved.
    known = [(clip.path.name, clip.start, clip.seconds, sizes[clip.path], *_channel(clip.item)) for clip in clips]
    kept = folder / f"sounds-{fingerprint(known, sample_rate)}"
    make_folder(kept)
    starts = range(0, len(clips), _CLIPS_PER_SHARD)
    shards = [kept / f"{start // _CLIPS_PER_SHARD:06d}.safetensors" for start in starts]
    with tqdm(
        total=len(clips), desc="decoding", unit="clip", file=sys.stderr, disable=quiet, dynamic_ncols=True
    ) as bar:
        for start, shard in zip(starts, shards, strict=True):
            part = clips[start : start + _CLIPS_PER_SHARD]
            if not _is_sound(shard):
                data = _shard(part, start, sample_rate)
                with atomic_write(shard) as file:
                    file.write(data)
            bar.update(len(part))
    return Sounds(clips, shards, sample_rate)


def _channel(item: Item) -> tuple[int | str, ...]:
    """The channel that is heard, where one is stated."""
    return () if item.channel is None else (item.channel,)


def _shard(clips: Sequence[Clip], number: int, sample_rate: int) -> bytes:
    """A shard as bytes; ``number`` is that of its first clip."""
    from safetensors.numpy import save

    with closing(ItemOpener("")) as opener, ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda clip: _decoded(clip, sample_rate, opener), clips))
    heard = [(number + i, *sound) for i, sound in enumerate(found) if sound is not None]
    samples = [part for _, part, _ in heard]
    return save(
        {
            "clips": np.array([i for i, _, _ in heard], dtype=np.int64),
            "ends": np.cumsum([len(part) for part in samples], dtype=np.int64),
            "scales": np.array([scale for _, _, scale in heard], dtype=np.float32),
            "samples": np.concatenate([np.zeros(0, dtype=np.int16), *samples]),
        }
    )


def _decoded(clip: Clip, sample_rate: int, opener: ItemOpener) -> tuple[npt.NDArray[np.int16], float] | None:
    """Samples and the scale that they are multiplied with; None for what cannot be read."""
    try:
        with opener.open(clip.item) as file:
            sound = resample(file.stretch(clip.start, clip.seconds), file.sample_rate, sample_rate).float().numpy()
    except (AudioFileError, InvalidAudio) as error:
        say(f"left out: {error}")
        return None
    # What is softer than any recording would make a scale that is next to nothing.
    scale = max(float(np.abs(sound).max()), 1e-9) / _TOP
    return np.rint(sound / np.float32(scale)).astype(np.int16), scale


def _opened(shard: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a shard; its samples are mapped, the others read."""
    with shard.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    found: dict[str, npt.NDArray[Any]] = {}
    kinds = {"I64": np.int64, "F32": np.float32, "I16": np.int16}
    for key in _KEYS:
        first, last = header[key]["data_offsets"]
        kind, shape = kinds[header[key]["dtype"]], tuple(header[key]["shape"])
        if first == last:  # nothing cannot be mapped
            found[key] = np.zeros(shape, kind)
            continue
        mapped = np.memmap(shard, kind, "r", 8 + size + first, shape)
        # A plain view of the same pages, of which slices cost less.
        found[key] = mapped.view(np.ndarray) if key == "samples" else np.array(mapped)
    return found


def _is_sound(shard: Path) -> bool:
    """Whether a shard is there and whole; one that was damaged is named and made again."""
    from safetensors import SafetensorError, safe_open

    if not shard.is_file():
        return False
    try:
        with safe_open(shard, framework="numpy") as file:
            if set(file.keys()) >= _KEYS:
                ends, n = file.get_tensor("ends"), file.get_slice("samples").get_shape()[0]
                counts = {len(ends), len(file.get_tensor("clips")), len(file.get_tensor("scales"))}
                if len(counts) == 1 and n == (ends[-1] if len(ends) else 0):
                    return True
    except (SafetensorError, OSError):
        pass
    say(f"damaged, made again: {shard}")
    return False
