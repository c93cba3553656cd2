"""A student that is its teacher with channels left out, refitted, and taught gently what the teacher says.

What such a net knows of sounds that it was never trained on, it has from its teacher's own weights. It learns from the
very images that the teacher is asked about, with its batch norm as it is: a net that begins near its teacher forgets
when it is asked to answer what the teacher was not asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.disk.stderr import say
from hear_edgel3.distillation.lessons import FreshLessons
from hear_edgel3.distillation.notices import origin_of
from hear_edgel3.distillation.pruning import MIXES, Limits, check_limits, choose, importance
from hear_edgel3.distillation.recipe import PrunedRecipe
from hear_edgel3.distillation.target_scale import TargetScale, make_target_scale
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.protocols import Pruner
from hear_edgel3.families.schema import Local, Published
from hear_edgel3.families.table import FAMILIES


class PrunedNet:
    """A net to train, as :class:`hear_edgel3.distillation.student.StudentNet` is one.

    Its architecture is the teacher's until :meth:`prune` has been called.

    Args:
        recipe: The options.
        teacher: Whose net it becomes a part of.

    Attributes:
        family, kind, architecture, published_architecture, fields, sample_rate, frontend, net, n_classes: As those of
            a student of a width of its own.

    Raises:
        InvalidOption: The teacher's net cannot be pruned, or not to what is asked for.
    """

    hears_what_was_asked = True

    def __init__(self, recipe: PrunedRecipe, teacher: Teacher) -> None:
        self._recipe = recipe
        configuration = teacher.extractor.configuration
        row = configuration.checkpoint
        self._pruner = _pruner(teacher)
        self._row = row
        self._check_limits()
        self._teacher = teacher
        self.family = row.family
        self.kind = _Kind(row.family, configuration.words or row.default_features)
        self.n_classes: int | None = teacher.n_classes
        self.architecture: Mapping[str, Any] = {}
        self.fields: Mapping[str, Any] = {"frontend": row.frontend}
        self.sample_rate = row.net_sample_rate
        self.frontend: nn.Module = row.frontend.build().eval()
        self.net: nn.Module = nn.Identity()

    @property
    def published_architecture(self) -> Mapping[str, Any]:
        """The same while it learns and afterwards."""
        return self.architecture

    @property
    def origin(self) -> Published | None:
        """The checkpoint that it is a part of; None if that is not a published one."""
        return origin_of(self._row)

    def _check_limits(self) -> None:
        sizes = self._pruner.sizes(self._row)
        limits = Limits(self._recipe.parameters, self._recipe.macs)
        check_limits(sizes, self._floors(sizes), self._cost, limits)

    def _cost(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Parameters, and multiply-accumulates for ten seconds."""
        fields = FAMILIES[self._row.family].architecture(**self._pruner.architecture(self._row, sizes))
        return fields["n_parameters"], fields["macs_10s"]

    def _floors(self, sizes: Mapping[str, int]) -> Mapping[str, int]:
        """The fewest channels of groups, for what is asked for."""
        limits = (self._recipe.parameters, self._recipe.macs)
        shares = [limit / full for limit, full in zip(limits, self._cost(sizes), strict=True) if limit is not None]
        return self._pruner.floors(sizes, min(1.0, *shares))

    def prune(
        self, lessons: FreshLessons, kept: Path, device: torch.device, make: bool
    ) -> tuple[TargetScale, torch.Tensor]:
        """Chooses what stays, and refits it; what is on disk already is not made again.

        Args:
            lessons: For sounds to choose and to fit by.
            kept: The folder where the pruned net is kept.
            device: Where it shall be. Choosing and fitting are done on the CPU.
            make: Whether to make it where it is not there; else it must be there.

        Returns:
            The scale of what the teacher says of these sounds, in which the student learns, and the mean of the
            probabilities (n_classes,) that it says.

        Raises:
            OutputError: It cannot be kept on disk.
        """
        recipe = self._recipe
        deciding: tuple[object, ...] = (
            recipe.parameters,
            recipe.macs,
            recipe.logits_weight,
            recipe.fit_clips,
            recipe.batch_seconds,
        )
        if recipe.parameters is not None and recipe.macs is not None:
            deciding = (*deciding, MIXES)
        path = (kept / f"pruned-{fingerprint(*deciding)}").with_suffix(".safetensors")
        if make and not _is_sound(path):
            self._make(lessons, path)
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.architecture = json.loads(file.metadata()["architecture"])
        scale = TargetScale(state.pop("target.mean"), None, state.pop("target.scale"))
        probabilities = state.pop("target.probabilities")
        fields = FAMILIES[self.family].architecture(**self.architecture)
        self.kind.n_parameters = fields["n_parameters"]
        component = fields["net"]
        arguments = {**component.arguments, **self._teacher.extractor.configuration.features.arguments}
        net = component.make(**arguments)
        net.load_state_dict(state)
        self.net = _InScale(net, scale).to(device)
        return scale, probabilities

    def _make(self, lessons: FreshLessons, path: Path) -> None:
        from safetensors.torch import save

        recipe, teacher, cpu = self._recipe, self._teacher, torch.device("cpu")
        assert self.n_classes is not None
        count = max(recipe.fit_clips, 2)
        batches = lessons.first(count, recipe.lengths[len(recipe.lengths) // 2], cpu)
        scale = make_target_scale(torch.cat([batch.embedding for batch in batches]), None)
        images = [batch.inputs for batch in batches]
        # A copy, because gradients are asked of it, and without inference mode's tensors.
        component = self._row.net
        arguments = {**component.arguments, **teacher.extractor.configuration.features.arguments}
        net: Any = component.make(**arguments)
        net.load_state_dict(teacher.extractor.net.state_dict())
        net.eval()
        groups = self._pruner.groups(net)
        with net.adding("logits"):
            importances = importance(net, groups, images, scale.scale, self.n_classes, recipe.logits_weight)
        sizes = {name: len(values) for name, values in importances.items()}
        family = FAMILIES[self.family]

        keep = choose(importances, self._floors(sizes), self._cost, Limits(recipe.parameters, recipe.macs))
        architecture = self._pruner.architecture(self._row, {name: len(some) for name, some in keep.items()})
        fields = family.architecture(**architecture)
        smaller: Any = fields["net"].make(
            **{**fields["net"].arguments, **teacher.extractor.configuration.features.arguments}
        )
        smaller.load_state_dict(self._pruner.select(net, keep))
        smaller.eval()
        self._pruner.refit(net, smaller, keep, images)
        state = {name: value.contiguous() for name, value in smaller.state_dict().items()}
        logits = torch.cat([batch.logits for batch in batches if batch.logits is not None])
        state |= {
            "target.mean": scale.mean,
            "target.scale": scale.scale,
            "target.probabilities": torch.sigmoid(logits.double()).mean(dim=0),
        }
        with atomic_write(path) as file:
            file.write(save(state, {"architecture": json.dumps(architecture)}))

    def train(self, measuring: bool) -> None:  # noqa: ARG002
        """Makes the net ready for an epoch: batch norm keeps its statistics, and nothing is dropped out."""
        self.net.eval()

    def finished(self, state: dict[str, torch.Tensor], target_scale: TargetScale, own: bool) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """The state to publish: that of the net alone, whose outputs are in the teacher's own scale."""
        return {
            name.removeprefix(_PREFIX): value.detach().clone()
            for name, value in state.items()
            if "num_batches_tracked" not in name
        }


_PREFIX = "net."


class _InScale(nn.Module):
    """A net whose embedding is put out in the scale in which it is learnt, with the logits behind it."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, net: Any, scale: TargetScale) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", scale.mean.clone(), persistent=False)
        self.register_buffer("scale", scale.scale.clone(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, D + n_classes)."""
        with self.net.adding("logits"):
            values = self.net(images)
        size = len(self.scale)
        return torch.cat([(values[:, :size] - self.mean) / self.scale, values[:, size:]], dim=1)


def _pruner(teacher: Teacher) -> Pruner:
    """What knows how a teacher's net is pruned.

    Raises:
        InvalidOption: It cannot be.
    """
    configuration = teacher.extractor.configuration
    row = configuration.checkpoint
    make = FAMILIES[row.family].pruner
    if make is None:
        able = ", ".join(name for name, family in FAMILIES.items() if family.pruner is not None)
        raise InvalidOption(
            f"{teacher.name} cannot be pruned; teachers that can are nets with tags of the families {able}"
        )
    pruner = make()
    has_head = isinstance(row, Local) and row.head is not None
    problem = "it has a head of its own" if has_head else pruner.problem(row, configuration.features)
    if problem is None and teacher.n_classes is None:
        problem = "its classes must be those of a list that comes with hear_edgel3, as AudioSet's"
    if problem is not None:
        raise InvalidOption(f"{teacher.name} cannot be pruned: {problem}")
    return pruner


def _is_sound(path: Path) -> bool:
    """Whether a pruned net is there and can be read; one that was damaged is named and made again."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            if "architecture" in (file.metadata() or {}) and "target.probabilities" in file.keys():  # noqa: SIM118
                return True
    except (SafetensorError, OSError):
        pass
    say(f"damaged, made again: {path}")
    return False


class _Kind:
    """What is asked of :class:`hear_edgel3.families.protocols.Student` when a distillation is written down."""

    tags = True
    window_ms: float | None = None

    def __init__(self, family: str, words: str) -> None:
        self._words = words
        self.n_parameters = 0
        make = FAMILIES[family].student
        self.title = family if make is None else make().title

    def default_features(self, options: object) -> str:  # noqa: ARG002
        """Those of the teacher."""
        return self._words

    def describe(self, options: Any) -> str:  # noqa: ARG002
        """What it was pruned to."""
        return f"{self.n_parameters:,} parameters"
