"""What DeepSpectrumLite does to images of spectrograms: CutMix and SpecAugment, as much as SapAugment says.

CutMix: Yun et al. 2019. SpecAugment: Park et al. 2019. SapAugment: Hu et al. 2021, "Learning a sample adaptive policy
for data augmentation". Where a frame or a mask lies is uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hear_edgel3._checks import check_between, check_positive, check_whole, is_pair, number_of, shown
from hear_edgel3._extras import require
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.draws import Draws


def strengths(losses: torch.Tensor, a: float, s: float) -> torch.Tensor:
    """How strongly each example of a batch is augmented: the more, the lower its loss is among them.

    ``1 - I(r / n; s (1 - a), s a)`` with the rank r of the loss, 1 for the lowest, and the regularised incomplete beta
    function I. The highest loss gives 0. Equal losses rank in their order.

    Args:
        losses: (n,) of the examples as they are.
        a: Which losses count as low, from 0 (all of them, and every example is augmented fully) to 1.
        s: How sharp the border is, positive.

    Returns:
        (n,) float64 from 0 to 1, on the CPU.

    Raises:
        InvalidOption: A loss is no number.
        MissingExtra: SciPy is not installed.
    """
    if not bool(torch.isfinite(losses).all()):
        raise InvalidOption("losses must be finite to be ranked; the training has diverged: use a lower learning rate")
    n = len(losses)
    rank = torch.empty(n, dtype=torch.float64)
    rank[torch.argsort(losses.detach().cpu(), stable=True)] = torch.arange(1, n + 1, dtype=torch.float64)
    if not 0 < a < 1:  # where the function is a step
        return ((rank < n) if a == 0 else torch.zeros(n)).to(torch.float64)
    betainc = require("scipy.special", "SapAugment", "distill").betainc
    result: torch.Tensor = 1.0 - torch.from_numpy(betainc(s * (1.0 - a), s * a, (rank / n).numpy()))
    return result


def cut_mix(
    images: torch.Tensor, targets: torch.Tensor, sizes: torch.Tensor, draws: Draws
) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts a rectangle of another example of the batch, drawn for each, into each, at the place where it was.

    Args:
        images: (n, ..., height, width).
        targets: (n, ...) floating point.
        sizes: (n,) sides of the rectangles as a fraction of those of the image, 0 for none.
        draws: Where from.

    Returns:
        The images, and the targets mixed by area.
    """
    n, (height, width) = len(images), images.shape[-2:]
    if n < 2:
        return images, targets
    others = (torch.arange(n) + 1 + torch.randint(n - 1, (n,), generator=draws.torch)) % n
    rows, row_length = _stretches(height, sizes, draws)
    columns, column_length = _stretches(width, sizes, draws)
    inside = (rows[:, :, None] & columns[:, None, :]).view(n, *[1] * (images.ndim - 3), height, width)
    mixed = torch.where(inside.to(images.device), images[others.to(images.device)], images)
    taken = (row_length * column_length).to(torch.float64) / (height * width)
    kept = (1.0 - taken).to(targets.device, targets.dtype).view(-1, *[1] * (targets.ndim - 1))
    return mixed, kept * targets + (1.0 - kept) * targets[others.to(targets.device)]


def spec_augment(
    images: torch.Tensor, dim: int, n_masks: int, sizes: torch.Tensor, draws: Draws, value: float = 0.0
) -> torch.Tensor:
    """Masks some stretches of each image, which may overlap.

    Args:
        images: (n, ..., height, width).
        dim: -2 to mask frequencies, -1 for time.
        n_masks: The number of masks.
        sizes: (n,) what all masks of an image take together, as a fraction of it: each takes its part of that.
        draws: Where from.
        value: What masked values become.
    """
    size = images.shape[dim]
    for _ in range(n_masks):
        hit, _length = _stretches(size, sizes / n_masks, draws)
        shape = [len(images), *[1] * (images.ndim - 1)]
        shape[dim] = size
        images = images.masked_fill(hit.view(shape).to(images.device), value)
    return images


def _stretches(size: int, shares: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, size) bool, true within a stretch of each row at a random place; and (n,) lengths, rounded down."""
    length = (shares.to("cpu", torch.float64) * size + 1e-9).long().clamp(0, size)
    room = (size - length + 1).to(torch.float64)
    start = (torch.rand(len(shares), generator=draws.torch, dtype=torch.float64) * room).long()
    place = torch.arange(size)[None]
    return (place >= start[:, None]) & (place < (start + length)[:, None]), length


@dataclass(frozen=True)
class SapAugment:
    """Augmentation by the rank of the loss; sizes are fractions of a side, from the first to the second by strength.

    Attributes:
        a: As in :func:`strengths`.
        s: As in :func:`strengths`.
        probability: An example is augmented at all with the first of these plus the second times its strength.
        cutmix: The sizes of the frame of CutMix, or None without it.
        freq: The sizes of all frequency masks together, or None without SpecAugment.
        time: The sizes of all time masks together.
        n_freq: The number of frequency masks.
        n_time: The number of time masks.
    """

    a: float = 0.5
    s: float = 10.0
    probability: tuple[float, float] = (0.1, 0.5)
    cutmix: tuple[float, float] | None = (0.075, 0.25)
    freq: tuple[float, float] | None = (0.1, 0.3)
    time: tuple[float, float] | None = (0.1, 0.3)
    n_freq: int = 4
    n_time: int = 4

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        check_between(self.a, "a", 0, 1)
        check_positive(self.s, "s")
        if not _are_shares(self.probability):
            raise InvalidOption(f"probability must be two numbers from 0 to 1, got {shown(self.probability)}")
        for name in ("cutmix", "freq", "time"):
            sizes = getattr(self, name)
            if sizes is not None and not (_are_shares(sizes) and sizes[0] <= sizes[1]):
                raise InvalidOption(f"{name} must be two ascending numbers from 0 to 1, got {shown(sizes)}")
        for name in ("n_freq", "n_time"):
            check_whole(getattr(self, name), name, 0)

    def probabilities(self, strength: torch.Tensor) -> torch.Tensor:
        """(n,) how likely each example is augmented, from (n,) strengths; never above 1."""
        least, more = self.probability
        return (least + more * strength).clamp(max=1.0)

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor, draws: Draws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments a batch.

        Args:
            images: (n, ..., height, width) as the net gets them, frequency along the height.
            targets: (n, ...) floating point, probabilities or values.
            losses: (n,) of the images as they are.
            draws: Of this batch.

        Returns:
            Images and targets.
        """
        strength = strengths(losses, self.a, self.s)
        chance = torch.rand(len(images), generator=draws.torch, dtype=torch.float64)
        chosen = (chance < self.probabilities(strength)).to(torch.float64)

        def sizes(limits: tuple[float, float]) -> torch.Tensor:
            return chosen * (limits[0] + (limits[1] - limits[0]) * strength)

        if self.cutmix is not None:
            images, targets = cut_mix(images, targets, sizes(self.cutmix), draws)
        if self.freq is not None:
            images = spec_augment(images, -2, self.n_freq, sizes(self.freq), draws)
        if self.time is not None:
            images = spec_augment(images, -1, self.n_time, sizes(self.time), draws)
        return images, targets


def _are_shares(value: object) -> bool:
    """Whether it is a pair of numbers from 0 to 1."""
    return is_pair(value) and all(0 <= number_of(one) <= 1 for one in value)  # type: ignore[attr-defined]
