"""Losses of the published recipes, for logits of examples that may be mixed with one another.

They are computed in float32 whatever the types of logits and targets are; in float64 where the logits are. (The
targets of EfficientAT's ESC-50 program are float64, and so is its loss: the values differ by rounding alone.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from hear_edgel3._checks import check_between, check_positive, check_word
from hear_edgel3.training.mixing import Mix


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def binary_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, mix: Mix | None = None, known: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean over all examples and classes, against mixed targets (FSD50K, AudioSet, OpenMIC).

    Args:
        logits: (n, n_classes).
        targets: (n, n_classes) from 0 to 1.
        mix: How the examples are mixed.
        known: (n, n_classes) bool, for labels that are not all known: what is unknown adds nothing, but counts in the
            mean, as in EfficientAT's OpenMIC program. It is each example's own, also where it is mixed.

    Returns:
        A scalar.
    """
    logits = _wide(logits)
    targets = targets.to(logits.dtype)
    if mix is not None:
        targets = mix.of(targets)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses if known is None else losses * known.to(losses.dtype)).mean()


def cross_entropies(logits: torch.Tensor, targets: torch.Tensor, mix: Mix | None = None) -> torch.Tensor:
    """The cross entropy of each example: by its share with its own target, by the rest with its partner's.

    Args:
        logits: (n, n_classes).
        targets: (n,) int64 numbers of classes, or (n, n_classes) probabilities.
        mix: How the examples are mixed.

    Returns:
        (n,).
    """
    logits = _wide(logits)
    if targets.is_floating_point():
        targets = targets.to(logits.dtype)
    own = functional.cross_entropy(logits, targets, reduction="none")
    if mix is None:
        return own
    share = mix.shares(own)
    others = functional.cross_entropy(logits, targets[mix.partner.to(targets.device)], reduction="none")
    return share * own + (1.0 - share) * others


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, mix: Mix | None = None) -> torch.Tensor:
    """The mean of :func:`cross_entropies` (ESC-50, DCASE 2020, DeepSpectrumLite)."""
    return cross_entropies(logits, targets, mix).mean()


@dataclass(frozen=True)
class Distillation:
    """A loss on labels and on the predictions of a teacher (Schmid et al. 2023), both binary cross entropies.

    The student's logits are not divided by the temperature, and nothing is multiplied by its square.

    Attributes:
        label_weight: The weight of the labels; the teacher has the rest. 0 is the teacher alone. (In EfficientAT's
            program it is the labels alone, against its own formula. Without a teacher, use
            :func:`binary_cross_entropy`.)
        temperature: By which the teacher's logits are divided.
    """

    label_weight: float = 0.1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        check_between(self.label_weight, "label_weight", 0, 1)
        check_positive(self.temperature, "temperature")

    def parts(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        teacher_logits: torch.Tensor,
        known: torch.Tensor,
        mix: Mix | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss on labels and that on the teacher, each with its weight.

        The second is the mean over all examples. One that the teacher has not heard adds 0 to it, whatever it is mixed
        with. Where only the partner was not heard, the partner's part is 0. (EfficientAT's program takes the last row
        of the teacher's predictions there, which belongs to another sound.)

        Args:
            logits: (n, n_classes) of the student.
            targets: (n, n_classes) from 0 to 1.
            teacher_logits: (n, n_classes); what they are where they are not known is ignored.
            known: (n,) bool: whether the teacher has heard the example.
            mix: How the examples are mixed.

        Returns:
            Two scalars, whose sum is the loss.
        """
        logits = _wide(logits)
        on_labels = binary_cross_entropy(logits, targets, mix)
        # Zeros in place of what is unknown, because what is not finite is not, times zero, either.
        answers = torch.where(known[:, None], teacher_logits.to(logits.dtype), 0.0)
        probabilities = torch.sigmoid(answers / self.temperature)
        own = self._each(logits, probabilities)
        if mix is not None:
            partner = mix.partner.to(logits.device)
            share = mix.shares(own)
            others = self._each(logits, probabilities[partner]) * known[partner].to(own.dtype)
            own = share * own + (1.0 - share) * others
        on_teacher = (own * known.to(own.dtype)).mean()
        return self.label_weight * on_labels, (1.0 - self.label_weight) * on_teacher

    def __call__(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        teacher_logits: torch.Tensor,
        known: torch.Tensor,
        mix: Mix | None = None,
    ) -> torch.Tensor:
        """The sum of :meth:`parts`."""
        on_labels, on_teacher = self.parts(logits, targets, teacher_logits, known, mix)
        return on_labels + on_teacher

    @staticmethod
    def _each(logits: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        losses = functional.binary_cross_entropy_with_logits(logits, probabilities, reduction="none")
        return losses.mean(dim=1)


def softened(
    logits: torch.Tensor, targets: torch.Tensor, teacher_logits: torch.Tensor, label_weight: float, temperature: float
) -> torch.Tensor:
    """The loss of Hinton et al. 2015 for one label each, as the system of DCASE 2023 (see ``responses``) has it.

    ``label_weight CE + (1 - label_weight) T^2 KL(teacher || student)``, with both sides' logits divided by T, and the
    divergence averaged over examples and classes, not summed over classes.

    Args:
        logits: (n, n_classes) of the student.
        targets: As in :func:`cross_entropies`.
        teacher_logits: (n, n_classes).
        label_weight: From 0 to 1; 0.02 there.
        temperature: T; 2 there.

    Returns:
        A scalar.
    """
    logits = _wide(logits)
    student = functional.log_softmax(logits / temperature, dim=1)
    teacher = functional.log_softmax(teacher_logits.to(logits.dtype) / temperature, dim=1)
    divergence = functional.kl_div(student, teacher, reduction="none", log_target=True).mean()
    on_labels = cross_entropy(logits, targets)
    return label_weight * on_labels + (1.0 - label_weight) * temperature**2 * divergence


def keras_loss(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss by Keras's name for it, for each example.

    Args:
        name: "categorical_crossentropy" (of logits: Keras's is of probabilities, which it cuts off at 1e-7),
            "binary_crossentropy" (of logits, too), "mean_squared_error" or "mse", "mean_absolute_error" or "mae", or
            "huber".
        outputs: (n, n_outputs).
        targets: (n, n_outputs).

    Returns:
        (n,): all but the first are means over the outputs.

    Raises:
        InvalidOption: There is no such loss here.
    """
    check_word(name, "the loss's name", KERAS_LOSSES)
    outputs = _wide(outputs)
    losses: torch.Tensor = KERAS_LOSSES[name](outputs, targets.to(outputs.dtype), reduction="none")
    return losses if losses.ndim == 1 else losses.mean(dim=1)


KERAS_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "categorical_crossentropy": functional.cross_entropy,
    "binary_crossentropy": functional.binary_cross_entropy_with_logits,
    "mean_squared_error": functional.mse_loss,
    "mse": functional.mse_loss,
    "mean_absolute_error": functional.l1_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}
