"""How well a net does on labelled sounds, heard whole: figures after each epoch, and what decides which is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.detectors.clips import Decoded
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.families.schema import Configuration
from hear_edgel3.framing.path import NetInput, windows_of_clips
from hear_edgel3.labels import Kind
from hear_edgel3.scores.ranking import Ranking

# Samples of windows that run through the net at once.
_AT_ONCE = 1 << 20
_A_LITTLE = 1e-3


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


SCORE = {Kind.SINGLE: "balanced_accuracy", Kind.SEVERAL: "mAP"}


def deciding(kind: Kind, row: Mapping[str, float]) -> float:
    """The figure that is the lowest in the best epoch: what the score lacks, and a little of the loss for equal ones.

    The loss alone would choose nets that are less sure before those that are right more often.
    """
    loss = row["validation_loss"]
    if kind is Kind.NUMBERS or not math.isfinite(row[SCORE[kind]]):
        return loss
    return 1.0 - row[SCORE[kind]] + _A_LITTLE * (loss / (1.0 + loss) if math.isfinite(loss) else 1.0)


@torch.no_grad()
def outputs_of(
    net: Callable[[torch.Tensor], torch.Tensor],
    frontend: nn.Module,
    configuration: Configuration,
    sounds: Decoded,
    device: torch.device,
) -> torch.Tensor:
    """(n, C) float32 outputs of sounds on the CPU, each heard whole, as scene embeddings are made.

    Args:
        net: Makes outputs (n, C) of images.
        frontend: Makes images of samples.
        configuration: Whose rule says what windows of a sound are heard.
        sounds: At the net's rate.
        device: Of the net.
    """
    rule, rate = scene_framing(configuration), sounds.sample_rate
    path = NetInput(configuration.name, rate, configuration.checkpoint.padding == "reflection", torch.device("cpu"))
    result: list[torch.Tensor | None] = [None] * len(sounds)
    for numbers in _of_one_length(sounds.lengths):
        samples = torch.from_numpy(np.stack([sounds.read(i) for i in numbers]))
        count, groups = windows_of_clips(samples, rule, rate, path, lambda window: max(1, _AT_ONCE // max(1, window)))
        found = torch.cat([net(frontend(group.to(device))).float().cpu() for group in groups])
        means = found.view(len(numbers), count, -1).mean(dim=1, dtype=torch.float64).float()
        for number, mean in zip(numbers, means, strict=True):
            result[number] = mean
    return torch.stack([one for one in result if one is not None])


def _of_one_length(lengths: np.ndarray) -> Iterator[list[int]]:
    """Numbers of sounds that are equally long, not too many at once."""
    order = np.argsort(lengths, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        most = max(1, _AT_ONCE // max(1, int(lengths[some[0]])))
        for first in range(0, len(some), most):
            yield some[first : first + most].tolist()
