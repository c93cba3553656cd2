"""What a student is trained by: how far its outputs are from the teacher's."""

from __future__ import annotations

import torch
from torch import nn

from hear_edgel3.distillation.examples import Batch
from hear_edgel3.distillation.target_scale import TargetScale


class DistillationLoss:
    """Mean squared error of the embedding in its scale, and binary cross-entropy with the teacher's probabilities.

    The second is the loss of Schmid et al. 2023 with its weight on the teacher alone; there are no labels here.
    """

    def __init__(self, target_scale: TargetScale, has_logits: bool, logits_weight: float, device: torch.device) -> None:
        self.target_scale = TargetScale(
            target_scale.mean.to(device),
            None if target_scale.components is None else target_scale.components.to(device),
            target_scale.scale.to(device),
        )
        self.has_logits = has_logits
        self.logits_weight = logits_weight

    def parts(self, outputs: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) losses of each example on the embedding and on the logits."""
        size = self.target_scale.size
        wanted = self.target_scale.targets(batch.embedding)
        on_embedding = (outputs[:, :size].float() - wanted).square().mean(dim=1)
        if not self.has_logits:
            return on_embedding, torch.zeros_like(on_embedding)
        assert batch.logits is not None
        on_logits = nn.functional.binary_cross_entropy_with_logits(
            outputs[:, size:].float(), torch.sigmoid(batch.logits), reduction="none"
        ).mean(dim=1)
        return on_embedding, on_logits

    def __call__(self, on_embedding: torch.Tensor, on_logits: torch.Tensor) -> torch.Tensor:
        """The loss, of both parts."""
        return on_embedding.mean() + self.logits_weight * on_logits.mean()
