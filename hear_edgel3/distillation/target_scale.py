"""The scale in which a student learns its teacher's embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TargetScale:
    """How the student's outputs relate to the teacher's embedding: ``components @ (embedding - mean) / scale``.

    The student learns these numbers, of which each has about the same weight; they are turned back into the teacher's
    own scale when the student is done.

    Attributes:
        mean: (D,) The mean of the teacher's embeddings of the training clips.
        components: (d, D) The leading principal axes, or None for all D values as they are.
        scale: (d,) What the embeddings are divided by.
    """

    mean: torch.Tensor
    components: torch.Tensor | None
    scale: torch.Tensor

    @property
    def size(self) -> int:
        """Values that the student puts out."""
        return len(self.scale)

    def targets(self, embedding: torch.Tensor) -> torch.Tensor:
        """(n, D) embeddings of the teacher to (n, d) numbers to learn."""
        centred = embedding - self.mean
        if self.components is not None:
            centred = centred @ self.components.T
        return centred / self.scale

    @property
    def offset(self) -> torch.Tensor:
        """(d,) what is added to the student's scaled outputs: the mean, or nothing for principal components."""
        return self.mean if self.components is None else torch.zeros_like(self.scale)


def make_target_scale(embeddings: torch.Tensor, size: int | None) -> TargetScale:
    """The scale of some of the teacher's embeddings.

    Args:
        embeddings: (n, D) The teacher's embeddings, float32.
        size: The values of the student's embedding; None, or D, for the teacher's own.
    """
    exact = embeddings.double()
    mean = exact.mean(dim=0)
    deviation = (exact - mean).square().mean(dim=0).sqrt()
    if size is None or size == embeddings.shape[1]:
        # Values that never change must not be blown up.
        return TargetScale(mean.float(), None, deviation.clamp_min(1e-3 * float(deviation.mean()) + 1e-12).float())
    # Of equally weighted values; one scale for all components, so that the first ones count most, as they should.
    _, vectors = torch.linalg.eigh((exact - mean).T @ (exact - mean) / len(exact))
    components = vectors.flip(1)[:, :size].T.contiguous()
    # The sign of an axis is arbitrary: its largest value is made positive.
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    components = components * largest.sign()
    spread = ((exact - mean) @ components.T).square().mean().sqrt().clamp_min(1e-12)
    return TargetScale(mean.float(), components.float(), spread.float().expand(size).clone())
