"""What is right for sounds that are learnt from: losses, figures, and what is better than what it began with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from hear_edgel3.labels import Kind, Labelled
from hear_edgel3.scores.ranking import Ranking
from hear_edgel3.training.mixing import Mix

_MOST_WEIGHT = 10.0
_TEMPERATURES = tuple(2.0 ** (power / 4) for power in range(-20, 21))


@dataclass(frozen=True, eq=False)
class Targets:
    """What is right for some sounds.

    Attributes:
        kind: What that is.
        values: (n,) int64 numbers of classes, or (n, C) float32.
        known: (n, C) bool, which of several labels are stated; None if all are.
        weights: (C,) float32, what each class, or number, weighs in the loss.
        scale: (C,) float32, what numbers are divided by before they are compared.
    """

    kind: Kind
    values: torch.Tensor
    known: torch.Tensor | None
    weights: torch.Tensor
    scale: torch.Tensor

    def of(self, numbers: torch.Tensor) -> Targets:
        """Those of some of the sounds."""
        known = None if self.known is None else self.known[numbers]
        return Targets(self.kind, self.values[numbers], known, self.weights, self.scale)

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        known = None if self.known is None else self.known.to(device)
        return Targets(self.kind, self.values.to(device), known, self.weights.to(device), self.scale.to(device))

    def figures(self, outputs: torch.Tensor) -> dict[str, float]:
        """How good outputs (n, C) are.

        Returns:
            ``validation_loss``, and by the kind ``accuracy`` and ``balanced_accuracy``; ``mAP``; or ``mae`` and ``r2``.
        """
        outputs = outputs.double()
        if self.kind is Kind.SINGLE:
            weight = self.weights.double()[self.values]
            losses = functional.cross_entropy(outputs, self.values, reduction="none")
            right = (outputs.argmax(dim=1) == self.values).double().numpy()
            of = self.values.numpy()
            return {
                "validation_loss": float((losses * weight).sum() / weight.sum().clamp_min(1e-12)),
                "accuracy": float(right.mean()),
                "balanced_accuracy": float(np.mean([right[of == one].mean() for one in np.unique(of)])),
            }
        wanted = self.values.double()
        if self.kind is Kind.SEVERAL:
            losses = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
            known = torch.ones_like(wanted, dtype=torch.bool) if self.known is None else self.known
            found = []
            for i in range(wanted.shape[1]):
                rows = known[:, i].numpy()
                right = (wanted[:, i] > 0.5).numpy()[rows]
                if right.any():
                    ranking = Ranking(right, outputs[:, i].numpy()[rows])
                    found.append(float(ranking.ap_and_auc(np.ones((1, len(right))))[0][0]))
            loss = float((losses * known).sum() / known.sum().clamp_min(1))
            return {"validation_loss": loss, "mAP": float(np.mean(found)) if found else math.nan}
        error = (outputs - wanted) / self.scale.double()
        spread = ((wanted - wanted.mean(dim=0)) / self.scale.double()).square().mean().clamp_min(1e-12)
        loss = float(error.square().mean())
        return {
            "validation_loss": loss,
            "mae": float((outputs - wanted).abs().mean()),
            "r2": float(1 - loss / spread),
        }


def losses_of(targets: Targets, outputs: torch.Tensor) -> torch.Tensor:
    """(n,) float64 losses of outputs, to compare heads by sound for sound.

    Of classes cross entropy, which sees more than what is right and wrong, at the temperature that suits the outputs
    best, so that how sure a head is of all of them does not matter; of numbers the squared error, scaled.

    Args:
        targets: What is right.
        outputs: (n, C) of the same sounds.
    """
    outputs = outputs.double()
    if targets.kind is Kind.NUMBERS:
        return ((outputs - targets.values.double()) / targets.scale.double()).square().mean(dim=1)
    return min((_losses(targets, outputs / t) for t in _TEMPERATURES), key=lambda found: float(found.mean()))


def _losses(targets: Targets, logits: torch.Tensor) -> torch.Tensor:
    """(n,) losses of logits of classes."""
    if targets.kind is Kind.SINGLE:
        weights = targets.weights.double()[targets.values]
        return functional.cross_entropy(logits, targets.values, reduction="none") * weights
    wanted = targets.values.double()
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    known = torch.ones_like(wanted) if targets.known is None else targets.known.double()
    return (losses * known).sum(dim=1) / known.sum(dim=1).clamp_min(1.0)


SCORE = {Kind.SINGLE: "balanced_accuracy", Kind.SEVERAL: "mAP"}


def start_is_better(kind: Kind, start: Mapping[str, float], end: Mapping[str, float], n: int) -> bool:
    """Whether what training began with is better than what it led to by more than one standard error of its score.

    Not by less: the same sounds may have chosen how its head was fitted, which flatters it.

    Args:
        kind: Of the targets.
        start: The figures of what training began with.
        end: Those of the epoch that counts otherwise.
        n: The sounds that were measured with.
    """
    if kind is Kind.NUMBERS or not math.isfinite(start[SCORE[kind]]):
        return start["validation_loss"] < end["validation_loss"]
    score = start[SCORE[kind]]
    return score > end[SCORE[kind]] + math.sqrt(score * (1.0 - score) / n)


def make_targets(labelled: Labelled, rows: np.ndarray, learnt: np.ndarray, balanced: bool) -> Targets:
    """What is right for some sounds.

    Args:
        labelled: The set.
        rows: The numbers of these sounds.
        learnt: The numbers of those that are learnt from, by which classes are weighted and numbers scaled.
        balanced: Whether classes weigh the same.
    """
    n_classes, kind = len(labelled.classes), labelled.kind
    weights, scale = np.ones(n_classes, np.float32), np.ones(n_classes, np.float32)
    if kind is Kind.NUMBERS:
        spread = labelled.targets[learnt].std(axis=0)
        scale = np.where(spread > 1e-6 * np.maximum(1.0, np.abs(labelled.targets[learnt]).max(axis=0)), spread, 1.0)
    elif balanced:
        counts = labelled.positives(learnt).astype(np.float64)
        if kind is Kind.SINGLE:
            has = counts > 0
            weights = np.where(has, counts.sum() / (has.sum() * np.maximum(counts, 1)), 0.0).clip(max=_MOST_WEIGHT)
        else:
            known = np.full(n_classes, len(learnt)) if labelled.mask is None else labelled.mask[learnt].sum(axis=0)
            weights = np.where(counts > 0, (known - counts) / np.maximum(counts, 1), 1.0).clip(1.0, _MOST_WEIGHT)
    values = labelled.targets[rows]
    return Targets(
        kind,
        torch.from_numpy(values.astype(np.int64 if kind is Kind.SINGLE else np.float32)),
        None if labelled.mask is None else torch.from_numpy(labelled.mask[rows]),
        torch.from_numpy(np.asarray(weights, np.float32)),
        torch.from_numpy(np.asarray(scale, np.float32)),
    )


def loss_of(outputs: torch.Tensor, targets: Targets, mix: Mix | None, smoothing: float) -> torch.Tensor:
    """The loss of a batch: cross entropy, binary cross entropy over what is known, or squared error of scaled numbers.

    Args:
        outputs: (n, C).
        targets: Of these.
        mix: How the clips were mixed with one another; never for numbers.
        smoothing: The share of a label that is spread over all classes.
    """
    outputs = outputs.float()
    if targets.kind is Kind.NUMBERS:
        return ((outputs - targets.values) / targets.scale).square().mean()
    if targets.kind is Kind.SINGLE:
        n_classes = outputs.shape[1]
        wanted = functional.one_hot(targets.values, n_classes).float()
        wanted = (1 - smoothing) * wanted + smoothing / n_classes
        wanted = wanted * targets.weights[targets.values][:, None]
        if mix is not None:
            wanted = mix.of(wanted)
        return -(wanted * functional.log_softmax(outputs, dim=1)).sum(dim=1).mean()
    wanted = (1 - smoothing) * targets.values + smoothing / 2
    known = torch.ones_like(wanted) if targets.known is None else targets.known.float()
    if mix is not None:
        wanted, known = mix.of(wanted), known * known[mix.partner.to(known.device)]
    losses = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none", pos_weight=targets.weights)
    return (losses * known).sum() / known.sum().clamp_min(1.0)
