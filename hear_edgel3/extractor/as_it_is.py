"""Nets that somebody has changed: they run just as they are, whatever their engine makes of others.

Adapters, hooks and other layers are put into nets for research. What an engine makes of a net, it makes of its family's
forms, which know nothing of these.
"""

from __future__ import annotations

from itertools import chain, repeat
from operator import contains, is_, itemgetter
from typing import Any

import torch
from torch import nn

from hear_edgel3.engine.eval_mode import modules_of
from hear_edgel3.families.as_built import attributes_of, is_remembered, what_changed


class AsItIs(nn.Module):
    """A net of which nothing is known but that it can be called.

    Args:
        net: The net.
        changed: What somebody has changed in it, in words.
    """

    def __init__(self, net: nn.Module, changed: str) -> None:
        super().__init__()
        self.net = net
        self.changed = changed
        self.__dict__["training"] = False  # the net itself may be in any mode

    @property
    def example_shape(self) -> tuple[int, int] | None:
        """The mel bands and the frames of an image to trace it with; None if the net does not say."""
        shape: tuple[int, int] | None = getattr(self.net, "example_shape", None)
        return shape

    @property
    def n_mels(self) -> int | None:
        """The mel bands that it must be given; None if it takes any number."""
        bands: int | None = getattr(self.net, "n_mels", None)
        return bands

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the net makes of it."""
        result: torch.Tensor = self.net(x)
        return result


class _WithOwnFrontEnd(AsItIs):
    """One whose front end compiled kernels can compute."""

    def kernel_obstacle(self) -> str:
        """Why the kernels cannot run the net."""
        return self.changed


class Forms:
    """What to run of an extractor's parts: they themselves, unless somebody has changed what they compute."""

    def __init__(self) -> None:
        self._look: _Look | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles look for themselves."""
        return Forms, ()

    def net(self, net: nn.Module, kept: object | None = None) -> nn.Module:
        """What to run of a net.

        Args:
            net: The net.
            kept: Is not None if nobody can have changed it.
        """
        if kept is not None or not is_remembered(net):
            return net
        look = self._look
        if look is None or not look.still(net):
            look = self._look = _Look(net)
        return look.form

    def last_net(self, net: nn.Module, kept: object | None = None) -> nn.Module:
        """As :meth:`net`, or what it was when the net was last looked at, which most likely is the same."""
        look = self._look
        return look.form if look is not None and look.net is net else self.net(net, kept)

    @staticmethod
    def frontend(frontend: nn.Module) -> nn.Module:
        """What to run of a front end. Hooks on it are its engine's business."""
        return AsItIs(frontend, "its forward is another one") if "forward" in vars(frontend) else frontend


class _Look:
    """A net as it was when it was looked at closely, which takes ten times as long as to see that it is still so.

    Attributes:
        net: The net.
        form: What to run of it.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self._variant = getattr(net, "variant", None)
        self._modules = modules_of(net)
        self._kinds = list(map(type, self._modules))
        own = list(map(vars, self._modules))
        self._attributes = [(itemgetter(*names), vars(m)) for m in self._modules if (names := [*attributes_of(m)])]
        self._values = [get(of) for get, of in self._attributes]
        self._own = own
        self._forwards = self._forwards_now()
        self._hooks = [hooks for m in self._modules for hooks in (m._forward_hooks, m._forward_pre_hooks)]
        self._hooked = self._hooked_now()
        # Those of TorchScript are no dictionaries.
        tables: list[Any] = [table for m in self._modules for table in (m._parameters, m._buffers)]
        self._tables = [table for table in tables if table and isinstance(table, dict)]
        self._numbers = self._held()
        changed = what_changed(net)
        self.form = net if changed is None else _as_it_is(net, changed)

    def still(self, net: nn.Module) -> bool:
        """Whether it is this net, and computes what it did but for the numbers in it."""
        if net is not self.net:
            return False
        modules = modules_of(net)
        if len(modules) != len(self._modules) or not all(map(is_, modules, self._modules)):
            return False
        numbers = self._held()
        if len(numbers) != len(self._numbers) or not all(map(is_, numbers, self._numbers)):
            return False
        return (
            list(map(type, modules)) == self._kinds
            and self._hooked_now() == self._hooked
            and self._forwards_now() == self._forwards
            and self._values_now() == self._values
            and getattr(net, "variant", None) == self._variant
        )

    def _held(self) -> list[Any]:
        return list(chain.from_iterable(map(dict.values, self._tables)))

    def _hooked_now(self) -> list[list[int]]:
        return list(map(list, self._hooks)) if any(self._hooks) else []

    def _forwards_now(self) -> list[bool]:
        return list(map(contains, self._own, repeat("forward")))

    def _values_now(self) -> list[Any] | None:
        try:
            return [get(of) for get, of in self._attributes]
        except KeyError:  # one has been deleted
            return None


def _as_it_is(net: nn.Module, changed: str) -> AsItIs:
    only_images = hasattr(net, "kernel_obstacle") and not hasattr(net, "kernel_picture")
    return (_WithOwnFrontEnd if only_images else AsItIs)(net, changed)
