"""The net that is trained further: a copy, with its head or a classifier of its own, and its parameters in groups."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor import Extractor
from hear_edgel3.families.schema import Configuration
from hear_edgel3.heads import Head
from hear_edgel3.registry.names import with_classes, with_features

_DEPTHS = 4


class Model(nn.Module):
    """A net, and a head behind it if it has one."""

    def __init__(self, net: nn.Module, head: Head | None) -> None:
        super().__init__()
        self.net = net
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, C) outputs of (n, n_mels, n_frames) images."""
        found: torch.Tensor = self.net(images)
        return found if self.head is None else self.head(found)


@dataclass(frozen=True, eq=False)
class TunedNet:
    """What is trained, and what it hears with.

    Attributes:
        model: The net with its head.
        frontend: Its front end.
        configuration: Of the net.
        head_names: The names of the parameters of the first phase.
    """

    model: Model
    frontend: nn.Module
    configuration: Configuration
    head_names: frozenset[str]


def make_tuned_net(extractor: Extractor, head: Head | None, n_classes: int, seed: int) -> TunedNet:
    """A copy of a net, with its head, or with a new last layer of its own classifier.

    Raises:
        InvalidOption: It has no classifier of its own, or the head does not fit.
    """
    configuration = extractor.configuration
    if head is None:
        row = configuration.checkpoint
        if row.n_classes is None:
            raise InvalidOption(f"{configuration.name} has no classifier of its own; choose a head")
        configuration = with_features(with_classes(configuration, n_classes), ["logits"])
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            net = configuration.net.build()
        before = extractor.net.state_dict()
        taken = {k: v for k, v in before.items() if k in net.state_dict() and net.state_dict()[k].shape == v.shape}
        fresh = set(net.state_dict()) - set(taken)
        net.load_state_dict(taken, strict=False)
        names = frozenset(f"net.{name}" for name, _ in net.named_parameters() if name in fresh)
        model = Model(net.float(), None)
    else:
        if head.layout.inputs != configuration.embedding_size or head.layout.outputs != n_classes:
            raise InvalidOption(
                f"the head makes {head.layout.outputs} outputs of {head.layout.inputs} values, but {configuration.name}"
                f" puts out {configuration.embedding_size}, and there are {n_classes} classes"
            )
        model = Model(copy.deepcopy(extractor.net).float(), copy.deepcopy(head))
        names = frozenset(f"head.{name}" for name, _ in head.named_parameters())
    _rest_what_is_unused(model)
    return TunedNet(model, copy.deepcopy(extractor.frontend).eval(), configuration, names)


def _rest_what_is_unused(model: Model) -> None:
    """Has the parameters learn that outputs depend on, and no others: those of layers behind the features rest."""
    model.requires_grad_(True)
    with torch.enable_grad():
        images = torch.zeros(1, *model.net.example_shape)  # type: ignore[misc]
        model.eval()(images).sum().backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that learn at one rate.

    Attributes:
        parameters: Which.
        is_head: Whether they learn in the first phase too.
        decays: Whether they are weights.
        factor: Of the learning rate.
    """

    parameters: list[nn.Parameter]
    is_head: bool
    decays: bool
    factor: float = 1.0


def make_groups(tuned: TunedNet, share: float, layer_decay: float) -> list[Group]:
    """The parameters that learn, by their rates; the others are frozen for good."""
    named = list(tuned.model.named_parameters())
    head = [p for name, p in named if name in tuned.head_names]
    net = [p for name, p in named if name not in tuned.head_names and p.requires_grad]
    n_frozen = len(net) - max(1, round(share * len(net)))
    for parameter in net[:n_frozen]:
        parameter.requires_grad_(False)
    net = net[n_frozen:]
    groups = [Group([p for p in head if (p.ndim > 1) == decays], True, decays) for decays in (True, False)]
    for depth, part in enumerate(np.array_split(np.arange(len(net)), _DEPTHS)):
        factor = layer_decay ** (1 - depth / (_DEPTHS - 1))
        some = [net[i] for i in part]
        groups += [
            Group([p for p in some if (p.ndim > 1) == decays], False, decays, factor) for decays in (True, False)
        ]
    return [group for group in groups if group.parameters]


def keep_zeros(tuned: TunedNet) -> None:
    """Has the zeros of a pruned net stay zeros: they get no gradient."""
    if tuned.configuration.checkpoint.zeros <= 0:
        return
    for parameter in tuned.model.net.parameters():
        if parameter.ndim > 1 and parameter.requires_grad and bool((parameter == 0).any()):
            mask = (parameter.detach() != 0).to(parameter.dtype)
            parameter.register_hook(partial(_kept, mask))  # type: ignore[no-untyped-call]


def _kept(mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return gradient * mask
