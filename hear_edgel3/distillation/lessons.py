"""What a student is taught, epoch by epoch: stored examples again and again, or clips that it never heard before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch

from hear_edgel3.distillation.batches import Reader, make_batches
from hear_edgel3.distillation.broad import BroadClips
from hear_edgel3.distillation.examples import Batch, Examples
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.teacher import Teacher

_AHEAD = 4  # batches that are made while one is learnt
_MAKERS = 2


class Epoch(Protocol):
    """The batches of one epoch for one process."""

    def __len__(self) -> int:
        """Their number."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches, on the device."""


class Lessons(Protocol):
    """What there is to learn.

    Attributes:
        identity: Plain values that tell one training set from another.
    """

    identity: Sequence[object]

    def epoch(self, number: int, process: int, n_processes: int, device: torch.device) -> Epoch:
        """The batches of an epoch for one of some processes, which all have as many."""


class StoredLessons:
    """Stored examples, one variant of every clip in each epoch.

    Args:
        recipe: The options.
        examples: What is stored.
    """

    def __init__(self, recipe: Recipe, examples: Examples) -> None:
        self._recipe, self._examples = recipe, examples
        self.identity: Sequence[object] = [len(examples.clips)]

    def epoch(self, number: int, process: int, n_processes: int, device: torch.device) -> Epoch:
        """As in :class:`Lessons`."""
        generator = torch.Generator().manual_seed(hash((self._recipe.seed, number)) & 0x7FFFFFFF)
        chosen = [clip[int(torch.randint(len(clip), (1,), generator=generator))] for clip in self._examples.clips]
        batches = make_batches(chosen, self._recipe.batch_seconds, generator, 2, n_processes)
        return Reader(self._examples, batches[process::n_processes], device)


class FreshLessons:
    """Broad clips that are made for each batch, none of them twice; the teacher is asked about the very same images.

    Args:
        recipe: The options.
        clips: What makes clips, for each of the recipe's lengths in seconds.
        teacher: Who is asked; the student hears with the teacher's own front end.
        n_batches: The batches of an epoch.
    """

    def __init__(self, recipe: Recipe, clips: Mapping[float, BroadClips], teacher: Teacher, n_batches: int) -> None:
        self._recipe, self._clips, self._teacher, self._n_batches = recipe, clips, teacher, n_batches
        self.identity: Sequence[object] = [n_batches]

    def epoch(self, number: int, process: int, n_processes: int, device: torch.device) -> Epoch:
        """As in :class:`Lessons`."""
        count = max(1, self._n_batches // n_processes)
        first = number * count * n_processes
        return _FreshEpoch(self, range(first + process, first + count * n_processes, n_processes), device)

    def first(self, n_clips: int, seconds: float, device: torch.device) -> list[Batch]:
        """Some clips of a stream of their own, with what the teacher says of them.

        Args:
            n_clips: How many, or a few more.
            seconds: The length of each.
            device: Where to.
        """
        size = self._size(seconds)
        numbers = [[-1 - i for i in range(start, start + size)] for start in range(0, n_clips, size)]
        return list(self._asked(((seconds, some) for some in numbers), device))

    def batches(self, numbers: Sequence[int], device: torch.device) -> Iterator[Batch]:
        """Batches by number, each made from the seed and its number alone."""
        return self._asked(map(self._plan, numbers), device)

    def _size(self, seconds: float) -> int:
        return max(2, int(self._recipe.batch_seconds / seconds))

    def _plan(self, number: int) -> tuple[float, list[int]]:
        """The length of the clips of a batch, and their numbers."""
        lengths = self._recipe.lengths
        seconds = lengths[int(np.random.default_rng((self._recipe.seed, number)).integers(len(lengths)))]
        most = self._size(lengths[0])
        return seconds, list(range(number * most, number * most + self._size(seconds)))

    def _made(self, plan: tuple[float, list[int]]) -> tuple[float, torch.Tensor]:
        seconds, numbers = plan
        # Numbers below zero are those of the other stream, far beyond all epochs.
        sounds = [self._clips[seconds].clip(number if number >= 0 else (1 << 40) - number) for number in numbers]
        return seconds, torch.from_numpy(np.stack(sounds))

    def _asked(self, plans: Iterator[tuple[float, list[int]]], device: torch.device) -> Iterator[Batch]:
        with ThreadPoolExecutor(_MAKERS) as pool:
            coming: list[Future[tuple[float, torch.Tensor]]] = []
            try:
                for plan in plans:
                    coming.append(pool.submit(self._made, plan))
                    if len(coming) > _AHEAD:
                        yield self._ask(*coming.pop(0).result(), device)
                while coming:
                    yield self._ask(*coming.pop(0).result(), device)
            finally:
                for future in coming:
                    future.cancel()

    def _ask(self, seconds: float, sounds: torch.Tensor, device: torch.device) -> Batch:
        with torch.inference_mode():
            images = self._teacher.extractor.frontend(sounds.to(device))
        answer = self._teacher.ask_of_images(images)
        # Tensors of inference mode cannot be learnt from.
        logits = None if answer.logits is None else answer.logits.clone()
        return Batch(images.clone(), answer.embedding.clone(), logits, seconds)


class _FreshEpoch:
    def __init__(self, lessons: FreshLessons, numbers: range, device: torch.device) -> None:
        self._lessons, self._numbers, self._device = lessons, numbers, device

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Batch]:
        return self._lessons.batches(self._numbers, self._device)
