"""Examples in batches of one length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hear_edgel3.distillation.examples import Batch, Example, Examples
from hear_edgel3.errors import InvalidAudio, InvalidOption


def make_batches(
    examples: Sequence[Example],
    batch_seconds: float,
    generator: torch.Generator,
    smallest: int = 1,
    multiple: int = 1,
) -> list[list[Example]]:
    """Batches of one length and about ``batch_seconds`` each, in random order.

    Those of fewer than ``smallest`` are left out; there are a multiple of ``multiple`` of them. Where there would be
    fewer than that, the largest are cut in two.

    Raises:
        InvalidAudio: There is no batch at all.
        InvalidOption: There cannot be ``multiple`` batches.
    """
    shuffled = [examples[i] for i in torch.randperm(len(examples), generator=generator).tolist()]
    by_length: dict[float, list[Example]] = {}
    for example in shuffled:
        by_length.setdefault(example.length, []).append(example)
    batches = []
    for length, some in by_length.items():
        size = max(2, int(batch_seconds / length))
        parts = [some[i : i + size] for i in range(0, len(some), size)]
        if len(parts) > 1 and len(parts[-1]) < max(2, size // 4):  # batch norm wants more than a few
            last = parts.pop()
            parts[-1] = parts[-1] + last
        batches += [part for part in parts if len(part) >= smallest]
    if not batches:
        raise InvalidAudio(
            f"no {smallest} of the {len(examples)} clips to train with have the same length ("
            f"{', '.join(f'{length:g} s' for length in sorted(by_length))}), and a batch needs as many; give more "
            f"audio, or a single one of --lengths"
        )
    while len(batches) < multiple:
        largest = max(batches, key=len)
        if len(largest) < 2 * smallest:
            raise InvalidOption(
                f"{len(examples)} clips make {len(batches)} batches of at least {smallest}, fewer than the {multiple} "
                f"processes; use fewer processes or more audio (a smaller --batch-seconds does not help)"
            )
        batches.remove(largest)
        batches += [largest[: len(largest) // 2], largest[len(largest) // 2 :]]
    order = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return order[: len(order) // multiple * multiple]


class Reader:
    """Batches from disk, one after the other."""

    def __init__(self, examples: Examples, batches: list[list[Example]], device: torch.device) -> None:
        self._examples, self._batches, self._device = examples, batches, device

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            yield self._examples.read(batch).to(self._device)
