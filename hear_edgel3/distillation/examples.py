"""What the student learns from: inputs of its net beside the teacher's answers, computed once and kept on disk.

A shard holds all variants of some clips, in one safetensors file, grouped by length. Shards are written whole, so that
a distillation that is interrupted while they are made goes on with the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.audio.resample import resample
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.stderr import say
from hear_edgel3.distillation.broad import BroadClips
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.student import Learner
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.errors import AudioFileError, InvalidAudio
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.training.clip import Clip
from hear_edgel3.training.sounds import Sounds

_CLIPS_PER_SHARD = 64
_AT_ONCE_SECONDS = 80.0
_READERS = 4
_LOUDEST = 1.0
_MOST_AMPLIFIED = 10.0
_AT_AN_END = 0.3


@dataclass(frozen=True)
class Example:
    """One variant of one clip.

    Attributes:
        length: Its length in seconds; all examples of one length have inputs of one shape.
        shard: The path of its file.
        row: Its place among those of its length.
    """

    length: float
    shard: Path
    row: int


@dataclass(frozen=True)
class Batch:
    """Some examples of one length.

    Attributes:
        inputs: (n, n_mels, n_frames) The inputs of the student's net.
        embedding: (n, D) The teacher's embeddings.
        logits: (n, n_classes) The teacher's logits, or None.
        seconds: The length of each example.
    """

    inputs: torch.Tensor
    embedding: torch.Tensor
    logits: torch.Tensor | None
    seconds: float

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        logits = None if self.logits is None else self.logits.to(device)
        return Batch(self.inputs.to(device), self.embedding.to(device), logits, self.seconds)


class Examples:
    """All variants of all clips of one part (train or validation).

    Args:
        shards: their files, in order.

    Attributes:
        clips: For each clip its variants, the unchanged one first.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        from safetensors import safe_open

        self._files: dict[Path, Any] = {}
        clips: dict[tuple[Path, int], list[Example]] = {}
        for shard in shards:
            self._files[shard] = safe_open(shard, framework="pt")
            for clip, _view, milliseconds, row in self._files[shard].get_tensor("places").tolist():
                clips.setdefault((shard, clip), []).append(Example(milliseconds / 1000, shard, row))
        self.clips = list(clips.values())

    def read(self, examples: Sequence[Example]) -> Batch:
        """Reads examples of one length."""

        def stacked(what: str) -> torch.Tensor:
            rows = [
                self._files[e.shard].get_slice(f"{round(1000 * e.length)}.{what}")[e.row : e.row + 1] for e in examples
            ]
            return torch.cat(rows).float()

        key = f"{round(1000 * examples[0].length)}.logits"
        has_logits = key in self._files[examples[0].shard].keys()  # noqa: SIM118
        logits = stacked("logits") if has_logits else None
        return Batch(stacked("inputs"), stacked("embedding"), logits, examples[0].length)

    def embeddings(self) -> torch.Tensor:
        """(n, D) the teacher's embeddings of everything."""
        return torch.cat([part.float() for part in self._all("embedding")])

    def mean_probabilities(self) -> torch.Tensor | None:
        """(n_classes,) the mean of the teacher's probabilities over everything, or None if it has no classes."""
        total, n = torch.zeros(()), 0
        for part in self._all("logits"):
            total, n = total + torch.sigmoid(part.double()).sum(dim=0), n + len(part)
        return total / n if n else None

    def _all(self, what: str) -> Iterator[torch.Tensor]:
        for file in self._files.values():
            for key in sorted(file.keys()):
                if key.endswith(f".{what}"):
                    yield file.get_tensor(key)


def make_examples(
    clips: Sequence[Clip],
    folder: Path,
    recipe: Recipe,
    teacher: Teacher,
    student: Learner,
    device: torch.device,
    what: str,
    views: int | None = None,
    quiet: bool = False,
    sounds: Sounds | None = None,
) -> Examples:
    """Asks the teacher about every variant of every clip, unless a shard is there already.

    A clip that cannot be read is named on stderr and left out.

    Args:
        clips: in the order of the shards.
        folder: where shards are kept; it exists.
        recipe: what variants there are.
        teacher: on ``device``.
        student: its front end is used.
        device: where to compute.
        what: for the progress bar.
        views: variants per clip; None for the recipe's.
        quiet: without the progress bar.
        sounds: the clips' samples, of which the other variants are made if augmentation is broad; else None.

    Raises:
        OutputError: a shard cannot be written (the disk is full, for example); those before it are kept.
    """
    from tqdm import tqdm

    starts = range(0, len(clips), _CLIPS_PER_SHARD)
    shards = [folder / f"{start // _CLIPS_PER_SHARD:06d}.safetensors" for start in starts]
    maker = _Maker(recipe, teacher, student, device, recipe.views if views is None else views, sounds)
    progress = tqdm(total=len(clips), desc=what, unit="clip", file=sys.stderr, disable=quiet, dynamic_ncols=True)
    with closing(maker), progress as bar:
        for start, shard in zip(starts, shards, strict=True):
            part = clips[start : start + _CLIPS_PER_SHARD]
            if not _is_sound(shard):
                data = maker.shard(part, start)
                with atomic_write(shard) as file:
                    file.write(data)
            bar.update(len(part))
    return Examples(shards)


def sample_rate(teacher: Teacher, student: Learner) -> int:
    """The rate in Hz at which both's sounds are made; neither hears what its own rate cannot hold."""
    return max(teacher.sample_rate, student.sample_rate)


class _Maker:
    """Makes shards."""

    def __init__(
        self,
        recipe: Recipe,
        teacher: Teacher,
        student: Learner,
        device: torch.device,
        views: int,
        sounds: Sounds | None,
    ) -> None:
        self._recipe = recipe
        self._teacher = teacher
        self._student = student
        self._device = device
        self._opener = ItemOpener("")
        self._views = views
        self._in_windows = student.kind.window_ms is not None
        self._rate = sample_rate(teacher, student)
        self._sounds = sounds
        self._numbers = {} if sounds is None else {place: number for number, place in enumerate(sounds.places)}
        self._broad: dict[float, BroadClips] = {}
        if sounds is not None:
            self._broad = {length: BroadClips(sounds, self._rate, length, recipe.seed) for length in recipe.lengths}

    def close(self) -> None:
        """Closes what is open of the sources."""
        self._opener.close()

    def shard(self, clips: Sequence[Clip], number: int) -> bytes:
        """A shard as bytes.

        Args:
            clips: whose.
            number: of the first of them, for what is random.
        """
        from safetensors.torch import save

        with ThreadPoolExecutor(_READERS) as pool:
            sounds = list(pool.map(self._sound_of, clips, range(number, number + len(clips))))
        heard = [sound for sound in sounds if sound is not None]
        by_length: dict[float, list[tuple[int, int, torch.Tensor]]] = {length: [] for length in self._recipe.lengths}
        for i, sound in enumerate(sounds):
            if sound is not None:
                for view in range(self._views):
                    rng = np.random.default_rng((self._recipe.seed, number + i, view))
                    if view and self._broad:
                        length, variant = self._broad_clip((number + i) * self._views + view, rng)
                    else:
                        length, variant = self._variant(sound, heard, view, rng)
                    by_length[length].append((i, view, variant))
        tensors: dict[str, torch.Tensor] = {}
        places: list[tuple[int, int, int, int]] = []
        for length, variants in by_length.items():
            if variants:
                key = round(1000 * length)
                tensors.update({f"{key}.{k}": v for k, v in self._ask([v for _, _, v in variants], length).items()})
                places += [(i, view, key, row) for row, (i, view, _) in enumerate(variants)]
        tensors["places"] = torch.tensor(sorted(places), dtype=torch.int64).reshape(-1, 4)
        return save(tensors)

    def _sound_of(self, clip: Clip, place: int) -> torch.Tensor | None:
        """A clip's samples, from where they were decoded to or from its file; None for what cannot be read."""
        if self._sounds is None:
            return self._read(clip)
        number = self._numbers.get(place)
        return None if number is None else torch.from_numpy(self._sounds.read(number))

    def _read(self, clip: Clip) -> torch.Tensor | None:
        try:
            with self._opener.open(clip.item) as file:
                return resample(file.stretch(clip.start, clip.seconds), file.sample_rate, self._rate).float()
        except (AudioFileError, InvalidAudio) as error:
            say(f"left out: {error}")
            return None

    def _variant(
        self, sound: torch.Tensor, others: Sequence[torch.Tensor], view: int, rng: np.random.Generator
    ) -> tuple[float, torch.Tensor]:
        """A variant of a sound, and its length in seconds: zeros fill it up."""
        lengths = self._recipe.lengths
        seconds = len(sound) / self._rate
        whole = next((length for length in lengths if length >= seconds - 1e-3), lengths[-1])
        if view == 0:
            return whole, self._placed(sound, whole, 0.0)
        length = float(rng.choice([candidate for candidate in lengths if candidate <= whole]))
        result = self._placed(sound, length, rng.random())
        if rng.random() < self._recipe.mix:
            other = self._placed(others[int(rng.integers(len(others)))], length, rng.random())
            ratio = min(_level(result) / _level(other), _MOST_AMPLIFIED)
            result = result + other * float(10 ** (rng.uniform(-15, 5) / 20) * ratio)
        result = result * float(10 ** (rng.uniform(-1, 1) * self._recipe.gain_db / 20))
        result = self._at_an_end(result, rng)
        peak = float(result.abs().max())
        return length, result * (_LOUDEST / peak) if peak > _LOUDEST else result

    def _broad_clip(self, number: int, rng: np.random.Generator) -> tuple[float, torch.Tensor]:
        """A broad clip, and its length in seconds."""
        length = float(rng.choice(self._recipe.lengths))
        return length, self._at_an_end(torch.from_numpy(self._broad[length].clip(number)), rng)

    def _at_an_end(self, sound: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """The sound; if the student hears windows, sometimes moved, with zeros where it was."""
        if not self._in_windows or rng.random() >= _AT_AN_END:
            return sound
        # Its windows reach beyond the ends of clips, where they see zeros.
        outside = int(rng.uniform(0, 0.5) * len(sound))
        return torch.nn.functional.pad(sound, (outside, -outside) if rng.random() < 0.5 else (-outside, outside))

    def _placed(self, sound: torch.Tensor, length: float, position: float) -> torch.Tensor:
        """A stretch of the sound, or the sound between zeros; ``position`` from 0 to 1 says which, or where."""
        n_samples = round(length * self._rate)
        spare = n_samples - len(sound)
        if spare <= 0:
            start = int(position * -spare)
            return sound[start : start + n_samples]
        before = int(position * spare)
        return torch.nn.functional.pad(sound, (before, spare - before))

    def _ask(self, variants: Sequence[torch.Tensor], length: float) -> dict[str, torch.Tensor]:
        found: dict[str, list[torch.Tensor]] = {"inputs": [], "embedding": [], "logits": []}
        for group in _groups(variants, max(1, int(_AT_ONCE_SECONDS / length))):
            clips = torch.stack(list(group)).to(self._device)
            heard = resample(clips, self._rate, self._teacher.sample_rate).float()
            answer = self._teacher.ask(heard, windows=self._in_windows)
            with torch.inference_mode():
                inputs = self._student.frontend(resample(clips, self._rate, self._student.sample_rate).float())
            found["inputs"].append(inputs.half().cpu())
            found["embedding"].append(answer.embedding.float().cpu())
            if answer.logits is not None and self._student.n_classes is not None:
                found["logits"].append(answer.logits.half().cpu())
        return {key: torch.cat(parts).contiguous() for key, parts in found.items() if parts}


def _is_sound(shard: Path) -> bool:
    """Whether a shard is there and can be read; one that was damaged is made again."""
    from safetensors import SafetensorError, safe_open

    if not shard.is_file():
        return False
    try:
        with safe_open(shard, framework="pt") as file:
            return "places" in file.keys()  # noqa: SIM118
    except (SafetensorError, OSError):
        say(f"damaged, made again: {shard}")
        return False


def _level(sound: torch.Tensor) -> float:
    """Root mean square, never zero."""
    return float(sound.square().mean().sqrt().clamp_min(1e-4))


def _groups(items: Sequence[torch.Tensor], size: int) -> Iterator[Sequence[torch.Tensor]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
