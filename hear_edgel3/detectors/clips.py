"""Labelled sounds as samples: decoded once, kept on disk, and planned into batches of about one length."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import AudioFileError, InvalidAudio, LabelsError, OutputError
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.training.clip import Clip
from hear_edgel3.training.sounds import Sounds, make_sounds

if TYPE_CHECKING:
    from accelerate import Accelerator

_BYTES_PER_SAMPLE = 2
# So many batches are sorted by length together: enough for little padding, few enough to mix sounds of all lengths.
_SORTED_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class Decoded:
    """Sounds that were decoded, mono, at the net's rate.

    Attributes:
        rows: (n,) int64 the number of each in its labelled set, ascending.
        lengths: (n,) int64 samples.
        sample_rate: In Hz.
        sounds: Where they are read from.
    """

    rows: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    sample_rate: int
    sounds: Sounds

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, number: int, start: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """Samples (n,) of a sound, from ``start`` on, at most ``count``."""
        return self.sounds.read(number, start, count)


def decode(
    items: Sequence[Item],
    rows: npt.NDArray[np.int64],
    folder: Path,
    sample_rate: int,
    accelerator: Accelerator,
    quiet: bool = False,
) -> Decoded:
    """Decodes sounds, unless that was done before. Of several processes the first one does it.

    A sound that cannot be read is named on stderr and left out.

    Args:
        items: Of the labelled set; relative paths are relative to the current folder.
        rows: The numbers of those that are wanted.
        folder: Where they are kept; 230 MB per hour at 32 kHz.
        sample_rate: What they are converted to, in Hz.
        accelerator: What knows the processes.
        quiet: Without the progress bar.

    Raises:
        LabelsError: None of them can be read.
        OutputError: There is no room for them.
    """
    first = accelerator.is_main_process
    clips, kept_rows = _clips(items, rows, talks=first)
    if not clips:
        raise LabelsError(f"none of the {len(rows)} sounds can be read; see the messages above")
    kept = folder / f"clips-{_identity(clips, sample_rate)}"
    make_folder(kept)
    if first:
        _check_room(clips, kept, sample_rate)
        make_sounds(clips, kept, sample_rate, quiet=quiet)
    accelerator.wait_for_everyone()
    try:
        sounds = make_sounds(clips, kept, sample_rate, quiet=True)
    except InvalidAudio as error:
        raise LabelsError(str(error)) from error
    lengths = np.array([sounds.length(i) for i in range(len(sounds))], np.int64)
    return Decoded(kept_rows[np.array(sounds.places, np.int64)], lengths, sample_rate, sounds)


def _clips(items: Sequence[Item], rows: npt.NDArray[np.int64], talks: bool) -> tuple[list[Clip], npt.NDArray[np.int64]]:
    """The stretches of files that some rows mean, and the rows of those that can be opened."""
    clips, kept = [], []
    with closing(ItemOpener("")) as opener:
        for row in rows.tolist():
            item = items[row]
            whole = item._replace(start=None, end=None)
            try:
                with opener.open(whole) as file:
                    duration = file.duration
                start = item.start or 0.0
                seconds = min(duration, duration if item.end is None else item.end) - start
                if seconds <= 0:
                    raise AudioFileError(f"{item.name} has no samples")
                clips.append(Clip(whole, start, seconds))
                kept.append(row)
            except (AudioFileError, InvalidAudio) as error:
                if talks:
                    say(f"left out: {error}")
    return clips, np.array(kept, np.int64)


def _identity(clips: Sequence[Clip], sample_rate: int) -> str:
    """A digest of what is decoded: of other bytes, or other stretches, it is another one."""
    known = []
    for clip in clips:
        item = clip.item
        path = path_of_text(item.file if item.shard is None else item.shard)
        stat = path.stat()
        channel = () if item.channel is None else (item.channel,)
        known.append((item.file, item.shard, clip.start, clip.seconds, stat.st_size, stat.st_mtime_ns, *channel))
    return fingerprint(known, sample_rate)


def _check_room(clips: Sequence[Clip], folder: Path, sample_rate: int) -> None:
    needed = sum(clip.seconds for clip in clips) * sample_rate * _BYTES_PER_SAMPLE
    there = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    free = shutil.disk_usage(folder).free
    if needed - there > free:
        raise OutputError(
            f"the decoded sounds take {needed / 1e6:.1f} MB in {folder}, and {free / 1e6:.1f} MB are free; make "
            f"room there, or choose another folder: --output of train, --state of evaluate (else TMPDIR)"
        )


@dataclass(frozen=True)
class Planned:
    """A batch that is to be made.

    Attributes:
        numbers: (n,) of the sounds.
        speeds: (n,) by how much faster each is played.
        length: The samples of each when it is made.
    """

    numbers: tuple[int, ...]
    speeds: tuple[float, ...]
    length: int


def plan_epoch(
    lengths: npt.NDArray[np.int64],
    longest: int,
    batch_size: int,
    speed: float,
    multiple: int,
    rng: np.random.Generator,
) -> list[Planned]:
    """Every sound once, in batches of sounds of about one length, in random order.

    Args:
        lengths: (n,) samples of the sounds.
        longest: The most samples of a sound in a batch; longer ones are cut.
        batch_size: Of all batches but few.
        speed: Sounds are played up to this share faster or slower; 0 for as they are.
        multiple: There are a multiple of so many batches; what remains is left out, unless there are fewer.
        rng: What is random.
    """
    n = len(lengths)
    order = rng.permutation(n)
    bound = np.log1p(speed)
    speeds = np.exp(rng.uniform(-bound, bound, n)) if speed else np.ones(n)
    heard = np.minimum(np.maximum(1, (lengths / speeds).astype(np.int64)), longest)
    batches: list[Planned] = []
    together = batch_size * _SORTED_TOGETHER
    # Without a small rest, of which a step would be all noise.
    cuts = list(range(0, n, together))
    if len(cuts) > 1 and n - cuts[-1] < together // 2:
        cuts.pop()
    for first, last in zip(cuts, [*cuts[1:], n], strict=True):
        some = order[first:last]
        some = some[np.argsort(heard[some], kind="stable")]
        count = max(1, round(len(some) / batch_size))
        for part in np.array_split(some, count):
            chosen = tuple(part.tolist())
            batches.append(Planned(chosen, tuple(speeds[part].tolist()), int(heard[part].max())))
    if len(batches) < multiple:
        parts = np.array_split(order, min(multiple, n))
        batches = [
            Planned(tuple(part.tolist()), tuple(speeds[part].tolist()), int(heard[part].max())) for part in parts
        ]
    shuffled = [batches[i] for i in rng.permutation(len(batches)).tolist()]
    return shuffled[: len(shuffled) // multiple * multiple]
