"""What EfficientAT does to sounds before its nets are trained with them: gain, crop, roll, and mixing of two.

Functions that change sounds are told what to do; functions whose name begins with ``draw`` choose it. In order: gain,
crop or zeros, roll, mixing; in the recipe of DCASE 2020 the roll comes first, which makes no difference to the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hear_edgel3._checks import check_between, check_flags, check_positive, check_whole
from hear_edgel3.training.draws import Draws


def draw_gains(n: int, most: int, draws: Draws) -> torch.Tensor:
    """(n,) int64 whole decibels from ``-most`` to ``most - 1``, all as likely; zeros, undrawn, where ``most`` is 0."""
    if not most:
        return torch.zeros(n, dtype=torch.int64)
    return torch.randint(2 * most, (n,), generator=draws.torch) - most


def gain(samples: torch.Tensor, decibels: torch.Tensor) -> torch.Tensor:
    """Makes sounds louder or softer; nothing is clipped.

    Args:
        samples: (n, n_samples) floating point.
        decibels: (n,).
    """
    factors = torch.pow(10.0, decibels.to(torch.float64) / 20.0)
    return samples * factors.to(samples.device, samples.dtype)[:, None]


def draw_crop(n_samples: int, length: int, draws: Draws) -> int:
    """Where a random part of a sound begins; 0, undrawn, where the sound is not longer than the part."""
    if n_samples <= length:
        return 0
    return int(torch.randint(0, n_samples - length + 1, (1,), generator=draws.torch))


def fit(samples: torch.Tensor, length: int, start: int = 0) -> torch.Tensor:
    """The part of (..., n_samples) from ``start`` on that is ``length`` long, with zeros behind what is too short."""
    part = samples[..., start : start + length]
    return torch.nn.functional.pad(part, (0, length - part.shape[-1]))


def draw_rolls(n: int, most: int, draws: Draws) -> torch.Tensor:
    """(n,) int64 whole samples from ``-most`` to ``most``, all as likely; zeros, undrawn, where ``most`` is 0."""
    if not most:
        return torch.zeros(n, dtype=torch.int64)
    return torch.tensor([int(draws.numpy.randint(-most, most + 1)) for _ in range(n)], dtype=torch.int64)


def roll(samples: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Shifts sounds in a circle.

    Args:
        samples: (n, n_samples).
        shifts: (n,) int64 samples by which each comes later.
    """
    place = torch.arange(samples.shape[1], device=samples.device)
    return samples.gather(1, (place[None] - shifts.to(samples.device)[:, None]) % samples.shape[1])


@dataclass(frozen=True)
class Partner:
    """Another sound of the data set, to be mixed in.

    Attributes:
        number: Of the sound: any one of the data set, also the same one again, which is then augmented anew.
        share: How much stays of the first sound, at least a half.
    """

    number: int
    share: float


def draw_partner(n_items: int, probability: float, alpha: float, draws: Draws) -> Partner | None:
    """The partner of one sound, or None if it stays alone.

    Args:
        n_items: The sounds of the data set.
        probability: Of getting one. Where it is 0, nothing is drawn.
        alpha: Shares come from Beta(alpha, alpha), folded.
        draws: Where from.
    """
    if not probability or float(torch.rand(1, generator=draws.torch)) >= probability:
        return None
    number = int(torch.randint(n_items, (1,), generator=draws.torch))
    share = float(draws.numpy.beta(alpha, alpha))
    return Partner(number, max(share, 1.0 - share))


def mix_waveforms(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Mixes sounds in pairs; each loses its mean first, and the mixture loses its own.

    Only call it for sounds that have partners: the mean of the others stays.

    Args:
        first: (n, n_samples) floating point.
        second: (n, n_samples).
        share: (n,) of the first.
    """
    kept = share.to(first.device, first.dtype)[:, None]
    first, second = (x - x.mean(dim=1, keepdim=True) for x in (first, second))
    mixed = kept * first + (1.0 - kept) * second
    return mixed - mixed.mean(dim=1, keepdim=True)


def mix_targets(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The targets (n, n_classes) of mixed sounds: both, each by its share (n,) or what that leaves."""
    kept = share.to(first.device, first.dtype)[:, None]
    return kept * first + (1.0 - kept) * second


def mix_known_targets(
    first: torch.Tensor,
    first_known: torch.Tensor,
    second: torch.Tensor,
    second_known: torch.Tensor,
    share: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The targets of mixed sounds whose labels are known for some classes only, as in OpenMIC.

    Args:
        first: (n, n_classes) relevances, from 0 to 1; what they are where they are not known is ignored.
        first_known: (n, n_classes) bool.
        second: As ``first``, of the partners.
        second_known: As ``first_known``.
        share: (n,) of the first.

    Returns:
        The relevances, where those that are not known count as 0, and whether either sound's is known.
    """
    mixed = mix_targets(first * first_known.to(first.dtype), second * second_known.to(second.dtype), share)
    return mixed, first_known | second_known


@dataclass(frozen=True)
class WaveformAugmentation:
    """What is done to the samples of a clip.

    Attributes:
        gain: The most decibels by which it is made softer; one less, by which it is made louder; 0 for none.
        roll: The most samples by which it is shifted; 0 for none.
        mixup: The probability that it is mixed with another clip; 0 for none.
        mixup_alpha: Shares come from Beta(alpha, alpha).
        roll_first: Whether the roll comes before the gain.
    """

    gain: int = 0
    roll: int = 0
    mixup: float = 0.0
    mixup_alpha: float = 2.0
    roll_first: bool = False

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name in ("gain", "roll"):
            check_whole(getattr(self, name), name, 0)
        check_between(self.mixup, "mixup", 0, 1)
        check_positive(self.mixup_alpha, "mixup_alpha")
        check_flags(roll_first=self.roll_first)

    def alone(self, samples: torch.Tensor, length: int | None, random_crop: bool, draws: Draws) -> torch.Tensor:
        """One clip, without a partner.

        Args:
            samples: (n_samples,).
            length: To which it is cut, or filled up with zeros; None for its own.
            random_crop: Whether it is cut at a random place, not at its start.
            draws: Where from.

        Returns:
            (length,).
        """
        x = samples[None]
        if self.roll_first:
            x = roll(x, draw_rolls(1, self.roll, draws))
        x = gain(x, draw_gains(1, self.gain, draws))
        if length is not None:
            x = fit(x, length, draw_crop(x.shape[1], length, draws) if random_crop else 0)
        if not self.roll_first:
            x = roll(x, draw_rolls(1, self.roll, draws))
        return x[0]

    def __call__(
        self,
        number: int,
        n_items: int,
        read: Callable[[int], torch.Tensor],
        length: int | None,
        random_crop: bool,
        draws: Draws,
    ) -> tuple[torch.Tensor, Partner | None]:
        """A clip of a data set as it is learnt from.

        A partner of another length is cut, or filled up with zeros, to that of the clip. (So is every clip whose
        ``length`` is given; EfficientAT cannot mix others.)

        Args:
            number: Of the clip.
            n_items: The clips of the data set.
            read: Gives the samples (n_samples,) of a clip by its number.
            length: As in :meth:`alone`.
            random_crop: As in :meth:`alone`.
            draws: Of this item.

        Returns:
            (length,) samples, and the partner, with whose targets the clip's are to be mixed: with :func:`mix_targets`
            or :func:`mix_known_targets`.
        """
        partner = draw_partner(n_items, self.mixup, self.mixup_alpha, draws)
        first = self.alone(read(number), length, random_crop, draws)
        if partner is None:
            return first, None
        second = fit(self.alone(read(partner.number), length, random_crop, draws), len(first))
        return mix_waveforms(first[None], second[None], torch.tensor([partner.share]))[0], partner
