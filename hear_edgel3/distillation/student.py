"""The net that a distillation trains, with its front end, and how it becomes a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from hear_edgel3.distillation.recipe import Recipe, student_of
from hear_edgel3.distillation.target_scale import TargetScale
from hear_edgel3.families.schema import Published
from hear_edgel3.families.table import FAMILIES


class Kind(Protocol):
    """What is asked of a student's kind when it is taught and written down."""

    @property
    def title(self) -> str:
        """What such a net is called."""

    @property
    def window_ms(self) -> float | None:
        """The only length of its clips, or None."""

    def default_features(self, options: Any) -> str:
        """The words that choose its embedding."""

    def describe(self, options: Any) -> str:
        """What tells it from others."""


class Learner(Protocol):
    """A net to train, whichever way it is made; its attributes are those of :class:`StudentNet`."""

    @property
    def family(self) -> str:
        """The name of its family."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def published_architecture(self) -> Mapping[str, Any]:
        """The arguments that describe the net that is published."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields of a row."""

    @property
    def sample_rate(self) -> int:
        """Of the samples that ``frontend`` takes."""

    @property
    def frontend(self) -> nn.Module:
        """Turns samples into the net's input."""

    @property
    def net(self) -> nn.Module:
        """Puts out the embedding in the scale in which it is learnt, and the logits behind it."""

    @property
    def n_classes(self) -> int | None:
        """The size of the logits, or None."""

    @property
    def origin(self) -> Published | None:
        """The checkpoint of whose weights its own are a part; None if they are all its own."""

    @property
    def hears_what_was_asked(self) -> bool:
        """Whether it learns from the very images that the teacher was asked about."""

    def train(self, measuring: bool) -> None:
        """Makes the net ready for an epoch."""

    def finished(self, state: dict[str, torch.Tensor], target_scale: TargetScale, own: bool) -> dict[str, torch.Tensor]:
        """The state to publish."""


class StudentNet:
    """A net of a width of its own to train.

    Args:
        recipe: What says its family and its shape.
        embedding_size: The values of the embedding that it learns.
        n_classes: The size of the logits that it could learn, or None.

    Attributes:
        family: The name of its family.
        kind: What the family says of its students.
        architecture: The arguments of the family's architecture function while the net learns.
        published_architecture: The arguments that describe the net that is published.
        fields: The fields of a row that follow from ``architecture``.
        sample_rate: The rate of the samples that ``frontend`` takes, in Hz.
        frontend: The module that turns samples into the net's input.
        net: The module that turns that into the embedding, with the logits behind it if there are any.
        n_classes: The size of the logits that it learns, or None.
        hears_what_was_asked: Whether it learns from the very images that the teacher was asked about; else parts of
            them are hidden from it, and they are turned in time.
        origin: The checkpoint of whose weights its own are a part: none.
    """

    hears_what_was_asked = False
    origin: Published | None = None

    def __init__(self, recipe: Recipe, embedding_size: int, n_classes: int | None) -> None:
        self.family = recipe.student
        self.kind = student_of(recipe.student)
        self.n_classes = n_classes if self.kind.tags else None
        self.architecture = self.kind.architecture(recipe, embedding_size, self.n_classes)
        own = recipe.embedding == "own"
        self.published_architecture = (
            self.kind.architecture(recipe, None, self.n_classes) if own else dict(self.architecture)
        )
        self.fields: dict[str, Any] = FAMILIES[self.family].architecture(**self.architecture)
        self.sample_rate: int = self.fields["net_sample_rate"]
        self.frontend: nn.Module = self.fields["frontend"].build().eval()
        self.net: nn.Module = self.fields["net"].build()
        self.kind.prepare(self.net)

    def expect(self, probabilities: torch.Tensor) -> None:
        """Begins with the classes' mean probabilities (n_classes,), which would otherwise take long to learn."""
        self.kind.expect(self.net, probabilities)

    def train(self, measuring: bool) -> None:
        """Makes the net ready for an epoch.

        Args:
            measuring: Whether batch norm uses the statistics of each batch, and takes their mean over the epoch; else
                it keeps what it has. The families' own moving average takes hundreds of steps to forget where it began,
                and a small distillation has fewer; a faster one would hang on the lengths of the last few batches.
        """
        self.net.train()
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(measuring)
                if measuring:
                    module.momentum = None
                    module.reset_running_stats()

    def finished(self, state: dict[str, torch.Tensor], target_scale: TargetScale, own: bool) -> dict[str, torch.Tensor]:
        """The state to publish: with outputs in the teacher's own scale, or without them.

        Args:
            state: The state of the trained net.
            target_scale: The scale in which it was trained.
            own: Whether the student's own layers are its embedding, and the approximation is left out.
        """
        last = self.kind.approximation
        result = {name: value.detach().clone() for name, value in state.items() if "num_batches_tracked" not in name}
        if own:
            return {name: value for name, value in result.items() if not name.startswith(f"{last}.")}
        weight, bias = result[f"{last}.weight"], result[f"{last}.bias"]
        scale, offset = target_scale.scale.to(weight.device), target_scale.offset.to(weight.device)
        result[f"{last}.weight"] = weight * scale.view(-1, *([1] * (weight.ndim - 1)))
        result[f"{last}.bias"] = bias * scale + offset
        return result
