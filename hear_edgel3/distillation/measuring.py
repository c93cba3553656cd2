"""How near a net comes to its teacher, on clips that it has not learnt from; and how near a constant guess comes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

from hear_edgel3.distillation.batches import Reader, make_batches
from hear_edgel3.distillation.examples import Batch, Example, Examples
from hear_edgel3.distillation.loss import DistillationLoss

# What stands before the names of figures of clips whose sources were left out, and of those of the constant guess.
BY_SOURCE = "source_"
GUESS = "guess_"
_TEN_SECONDS = 10.0
_AT_MOST = 5  # of the student's tags, among which the teacher's first one is looked for


class Scores:
    """The figures of some outputs, gathered batch by batch.

    Args:
        loss_of: The loss, which knows the scale of the embedding.
    """

    def __init__(self, loss_of: DistillationLoss) -> None:
        self._loss_of = loss_of
        self._found: dict[str, list[torch.Tensor]] = {}

    def add(self, outputs: torch.Tensor, batch: Batch) -> None:
        """Takes the net's outputs for a batch.

        Args:
            outputs: (n, D + n_classes) Embeddings in the scale of the loss, with logits behind them if it has any.
            batch: What the teacher said, on the same device.
        """
        loss_of, size = self._loss_of, self._loss_of.target_scale.size
        outputs = outputs.float()
        on_embedding, on_logits = loss_of.parts(outputs, batch)
        wanted = loss_of.target_scale.targets(batch.embedding)
        self._keep("embedding", on_embedding)
        self._keep("logits", on_logits)
        self._keep("wanted", wanted)
        self._keep("cosine", cosine_similarity(outputs[:, :size], wanted, dim=1))
        if batch.logits is not None and loss_of.has_logits:
            for name, values in agreement(outputs[:, size:], batch.logits).items():
                self._keep(name, values)
            self._keep("ten", torch.full((len(outputs),), float(batch.seconds == _TEN_SECONDS), device=outputs.device))

    def result(self) -> dict[str, float]:
        """What :func:`measure` gives."""
        values = {key: torch.cat(parts) for key, parts in self._found.items()}
        spread = (values["wanted"] - values["wanted"].mean(dim=0)).square().mean().clamp_min(1e-12)
        result = {
            "validation_loss": float(self._loss_of(values["embedding"], values["logits"])),
            "validation_embedding_loss": float(values["embedding"].mean()),
            "validation_logits_loss": float(values["logits"].mean()),
        }
        if len(values["wanted"]) > 1:  # one clip alone has no variance
            result["r2"] = float(1 - values["embedding"].mean() / spread)
        result["cosine"] = float(values["cosine"].mean())
        if "top1_agreement" in values:
            result["top1_agreement"] = float(values["top1_agreement"].mean())
            if values["ten"].any():
                result["top1_agreement_10s"] = float(values["top1_agreement"][values["ten"] > 0].mean())
            for name in ("top1_in_five", "probability_cosine", "kl"):
                result[name] = float(values[name].mean())
        return result

    def _keep(self, name: str, values: torch.Tensor) -> None:
        self._found.setdefault(name, []).append(values.double())


def agreement(logits: torch.Tensor, wanted: torch.Tensor) -> dict[str, torch.Tensor]:
    """How far a student's tags are the teacher's, for each clip.

    Args:
        logits: (n, n_classes) The student's.
        wanted: (n, n_classes) The teacher's.

    Returns:
        (n,) each: ``top1_agreement``, 1 where both have the same most probable class; ``top1_in_five``, 1 where the
        teacher's is among the student's five; ``probability_cosine``, the cosine of both's probabilities; ``kl``, by
        how much the binary cross-entropy is above the teacher's entropy, per class: the Kullback-Leibler divergence.
    """
    logits, wanted = logits.double(), wanted.double()
    top, probabilities = wanted.argmax(dim=1, keepdim=True), wanted.sigmoid()
    n = min(_AT_MOST, logits.shape[1])
    # The entropy from logits, so that it is exact where a probability is next to nothing.
    excess = binary_cross_entropy_with_logits(logits, probabilities, reduction="none")
    excess = excess - binary_cross_entropy_with_logits(wanted, probabilities, reduction="none")
    return {
        "top1_agreement": (logits.argmax(dim=1, keepdim=True) == top).double().flatten(),
        "top1_in_five": (logits.topk(n, dim=1).indices == top).any(dim=1).double(),
        "probability_cosine": cosine_similarity(logits.sigmoid(), probabilities, dim=1),
        "kl": excess.mean(dim=1),
    }


@torch.no_grad()
def measure(
    net: nn.Module, loss_of: DistillationLoss, examples: Examples, batch_seconds: float, device: torch.device
) -> dict[str, float]:
    """How near a student comes to the teacher on the unchanged variants of some clips.

    Args:
        net: The student's net, whose outputs are in the scale of ``loss_of``. It is left in evaluation mode.
        loss_of: The loss.
        examples: Of the clips.
        batch_seconds: Seconds of audio at once.
        device: Of the net.

    Returns:
        ``validation_loss`` and its two parts; ``r2``, the fraction of the variance of the teacher's embeddings (each
        value, or all principal components, scaled to a variance of 1) that is explained; ``cosine``, the mean cosine in
        that scale; for nets with logits the means of what :func:`agreement` gives, and ``top1_agreement_10s``, that of
        the clips of ten seconds.
    """
    net.eval()
    scores = Scores(loss_of)
    for batch in Reader(examples, _batches(examples, batch_seconds), device):
        scores.add(net(batch.inputs), batch)
    return scores.result()


@torch.no_grad()
def measure_guess(
    probabilities: torch.Tensor, examples: Examples, batch_seconds: float, device: torch.device
) -> dict[str, float]:
    """How near one and the same answer to everything comes: what any net must beat.

    Args:
        probabilities: (n_classes,) The answer: the mean of what the teacher said of the training clips.
        examples: Of the clips.
        batch_seconds: Seconds of audio at once.
        device: Where to compute.

    Returns:
        The means of what :func:`agreement` gives; nothing where the examples have no logits.
    """
    guess = torch.logit(probabilities.double().to(device), 1e-12)
    found: dict[str, list[torch.Tensor]] = {}
    for batch in Reader(examples, _batches(examples, batch_seconds), device):
        if batch.logits is None:
            return {}
        for name, values in agreement(guess.expand(len(batch.logits), -1), batch.logits).items():
            found.setdefault(name, []).append(values)
    return {name: float(torch.cat(parts).mean()) for name, parts in found.items()}


def named(prefix: str, figures: Mapping[str, float]) -> dict[str, float]:
    """Figures with something before their names."""
    return {prefix + name: value for name, value in figures.items()}


def deciding_loss(figures: Mapping[str, float]) -> float:
    """The loss by which the best epoch is chosen: that of sources that were left out, where there are any."""
    return figures.get(f"{BY_SOURCE}validation_loss", figures["validation_loss"])


def _batches(examples: Examples, batch_seconds: float) -> list[list[Example]]:
    """The unchanged variants of all clips, in batches; the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    return make_batches([clip[0] for clip in examples.clips], batch_seconds, generator)
