"""Which stretches of which files are learnt from, and which are held out."""

from __future__ import annotations

import os
import random
from collections.abc import Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hear_edgel3.audio.file import naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.disk.paths import path_of_text, text_of
from hear_edgel3.disk.stderr import say
from hear_edgel3.distillation.held_out import Size, choose_sources
from hear_edgel3.distillation.origins import sources_of
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import AudioFileError, InvalidAudio, InvalidOption
from hear_edgel3.sources.item import Identities, Item
from hear_edgel3.sources.lister import list_items
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.sources.shards import is_packed
from hear_edgel3.training.clip import Clip

# Less says nothing about how sounds differ; it is far too little for a good net, too.
MINIMUM_SECONDS = 60.0
_MINIMUM_FILES = 4
_SHORTEST_CLIP = 0.05
_MOST_OF_A_SOURCE = 100


@dataclass(frozen=True)
class Corpus:
    """What a distillation learns from, and what it is measured with.

    Attributes:
        train: The clips to learn from, in random order.
        validation: The clips to measure with, which are of other files.
        n_files: The number of files that clips were taken from.
        seconds: The length of all clips together.
        by_source: The clips of sources that are held out as wholes: at most 100 of each, chosen at random.
        held_out: The names of these sources, in order.
        n_sources: The number of all sources.
        note: What the user should know of them.
    """

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    n_files: int
    seconds: float
    by_source: tuple[Clip, ...] = ()
    held_out: tuple[str, ...] = ()
    n_sources: int = 1
    note: str = ""


def find_corpus(inputs: Sequence[str], recipe: Recipe) -> Corpus:
    """Looks at all audio files that sources mean, and chooses clips; where a table says which, it is these.

    A file that cannot be read is named on stderr and left out.

    Raises:
        AudioFileError: an input does not exist or has no audio at all.
        InvalidAudio: there is too little of it, or would be without the sources that are held out.
        InvalidOption: there is no source of a name that is to be held out.
    """
    durations: dict[Path, float] = {}
    clips: dict[Path, list[Clip]] = {}
    items = _items(inputs)
    sources = sources_of([path_of_text(item.file) for item in items], inputs)
    with closing(ItemOpener("")) as opener:
        for item in items:
            path = path_of_text(item.file)
            try:
                with naming(path), opener.open(item) as file:
                    check_rate(file.sample_rate, "the file's sample rate")
                    durations[path] = file.duration
                    clips.setdefault(path, []).extend(_clips_of(item, file.duration, recipe, sources[path]))
            except (AudioFileError, InvalidOption) as error:
                say(f"left out: {error}")
    found_in = {path: sources[path] for path, found in clips.items() if found}
    total = sum(clip.seconds for found in clips.values() for clip in found)
    heard = sum(durations.values())
    if total < MINIMUM_SECONDS or len(found_in) < _MINIMUM_FILES:
        raise InvalidAudio(
            f"{', '.join(inputs)}: clips of {total:.0f} s in {len(found_in)} files, taken from {heard:.0f} s of audio, "
            f"are too little to distill from; at least {MINIMUM_SECONDS:.0f} s in {_MINIMUM_FILES} files are needed, "
            f"and hours of diverse sound for a good net"
        )
    sizes: dict[str, Size] = {}
    for path, source in found_in.items():
        size = sizes.get(source, Size(0, 0.0))
        sizes[source] = Size(size.n_files + 1, size.seconds + sum(clip.seconds for clip in clips[path]))
    choice = choose_sources(sizes, recipe.hold_out_sources, recipe.seed, Size(_MINIMUM_FILES, MINIMUM_SECONDS))
    rng = random.Random(recipe.seed)  # noqa: S311 - not for secrets
    usable = [path for path, source in found_in.items() if source not in choice.names]
    rng.shuffle(usable)
    held_out = min(max(1, round(recipe.validation * len(usable))), len(usable) - 1)
    validation = _flat(clips[path] for path in usable[:held_out])
    train = _flat(clips[path] for path in usable[held_out:])
    rng.shuffle(train)
    by_source = _some_of_each(clip for path, found in clips.items() if sources[path] in choice.names for clip in found)
    return Corpus(
        tuple(train), tuple(validation), len(found_in), total, by_source, choice.names, len(sizes), choice.note
    )


def _items(inputs: Sequence[str]) -> list[Item]:
    """The audio files and clips of sources, each once, in the order of their names.

    Raises:
        AudioFileError: a source gives none, or is a tar file in which one cannot go from place to place.
    """
    listing = list_items(inputs)
    if listing.failures:
        raise listing.failures[0][1]
    for note in listing.notes:
        say(f"hear-edgel3: {note}")
    same = Identities(os.getcwd())
    items: dict[Hashable, Item] = {}
    for item in listing.items:
        if item.shard is not None and is_packed(item.shard):
            raise AudioFileError(
                f"{item.shard} is compressed, and clips are read in random order: unpack it, or give it as a .tar"
            )
        if item.error is not None:
            say(f"left out: {item.error}")
            continue
        items.setdefault(same.of_target(item) if item.shard is None else same.of(item), item)
    return sorted(items.values(), key=lambda item: (text_of(path_of_text(item.file)), item.start or 0.0))


def _clips_of(item: Item, duration: float, recipe: Recipe, source: str) -> list[Clip]:
    """What is learnt from in a file, or in a clip of one: that very clip, unless it is long.

    Raises:
        AudioFileError: the clip begins behind the file's end.
    """
    longest = recipe.lengths[-1]
    start = item.start or 0.0
    if item.is_clip:
        if start >= duration:
            raise AudioFileError(
                f"{item.name}: the clip begins at {start:g} s, and the file ends at {duration:g} s; give a list "
                f"without starts and ends if files are cut already"
            )
        duration = min(duration, duration if item.end is None else item.end) - start
    whole = item._replace(start=None, end=None)
    if duration < _SHORTEST_CLIP:
        return []
    if duration < 2 * longest:
        if item.is_clip:
            return [Clip(whole, start, duration, source)]
        # One clip, from the middle of what is a little too long.
        return [Clip(whole, max(0.0, (duration - longest) / 2), min(duration, longest), source)]
    count = min(recipe.clips_per_file, int(duration / longest))
    step = (duration - longest) / max(1, count - 1)
    return [Clip(whole, start + i * step, longest, source) for i in range(count)]


def _some_of_each(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Clips of which no source has so many that it alone decides."""
    by_source: dict[str, list[Clip]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, []).append(clip)
    chosen: list[Clip] = []
    for source, some in by_source.items():
        rng = random.Random(source)  # noqa: S311 - not for secrets
        chosen += some if len(some) <= _MOST_OF_A_SOURCE else rng.sample(some, _MOST_OF_A_SOURCE)
    return tuple(chosen)


def _flat(parts: Iterable[Sequence[Clip]]) -> list[Clip]:
    return [clip for part in parts for clip in part]
