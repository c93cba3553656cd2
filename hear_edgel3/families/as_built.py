"""Whether a net is still what its class has made it, or somebody has changed what it computes.

A net's folded form, its form as arrays and whatever else is worked out from its layers are made by who knows which
layers there are. A researcher puts others among them: adapters, hooks, activations, strides. Such a net computes what
its ``forward`` says, and none of these forms may stand for it. Parameters and buffers may change as they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from hear_edgel3._computed import COMPUTING, computes_parameters, is_parametrized

# Attributes that say nothing of what a module computes in eval mode. A DyMN's temperature is a part of its variant.
_WITHOUT_MEANING = frozenset(("training", "inplace", "in_place", "momentum", "p", "tau"))
_SIMPLE = (bool, int, float, str, tuple, type(None))


@dataclass(frozen=True)
class _Layer:
    """What a module was when its net was made.

    Attributes:
        kind: Its class.
        attributes: Those that decide, beside the numbers in it, what it computes.
        shapes: Of its parameters; None of those that it can have and has not.
        buffers: Whether it has each of those that it can have.
    """

    kind: type
    attributes: dict[str, Any]
    shapes: dict[str, tuple[int, ...] | None]
    buffers: dict[str, bool]


class Built:
    """What a net's modules were when it was made.

    Args:
        layers: By their names in it. Nobody changes them, so that copies of a net share them.
    """

    def __init__(self, layers: dict[str, _Layer]) -> None:
        self.layers = layers

    def __deepcopy__(self, memo: dict[int, Any]) -> Built:
        return self


def remember(net: nn.Module) -> None:
    """Notes what a net is. The class of a net does that where it has made all of its modules.

    Args:
        net: Of its own attributes none is noted: its class knows which of these may change, and calls them its variant.
    """
    net.__dict__["_built"] = Built({})  # so that it is known for a net
    net.__dict__["_built"] = Built({name: _layer(module) for name, module in _named(net)})


def is_remembered(net: nn.Module) -> bool:
    """Whether it is known what a net was when it was made."""
    return "_built" in vars(net)


def attributes_of(module: nn.Module) -> dict[str, Any]:
    """Those that decide, beside the numbers in a module, what it computes in eval mode."""
    if is_remembered(module):
        return {}
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, _SIMPLE) and name not in _WITHOUT_MEANING and not name.startswith("_")
    }


def hooks_of(module: nn.Module) -> list[Any]:
    """What somebody has called before and after a module, which may change what goes in and comes out."""
    before = [hook for hook in module._forward_pre_hooks.values() if not isinstance(hook, COMPUTING)]
    return [*before, *module._forward_hooks.values()]


def what_changed(net: nn.Module) -> str | None:
    """What a net has that its class has not given it.

    Args:
        net: If it has a method ``unused()``, that gives the modules in it that have no part in what it computes.

    Returns:
        One of its differences, in words; None if there is none, or nobody has called :func:`remember`.
    """
    built: Built | None = getattr(net, "_built", None)
    if built is None:
        return None
    unused = {id(module) for module in getattr(net, "unused", list)()}
    left_out: set[str] = set()
    found: dict[str, nn.Module] = {}
    for name, module in _named(net):
        if id(module) in unused:
            left_out.add(name)
        elif not _within(name, left_out):
            found[name] = module
    for name, module in found.items():
        called = name or type(net).__name__
        layer = built.layers.get(name)
        if layer is None:
            return f"{called} is a layer that it was not made with"
        if hooks_of(module):
            return f"{called} has hooks"
        if "forward" in vars(module):
            return f"{called} has another forward"
        if not _still(module, layer):
            return f"{called} is another layer than it was made with"
    missing = [name for name in built.layers if name not in found and not _within(name, left_out)]
    return f"{missing[0]} is missing" if missing else None


def _within(name: str, outer: set[str]) -> bool:
    return name in outer or any(name.startswith(f"{one}.") for one in outer)


def _named(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """A module and those in it, but for what computes parameters of them; one that is in two places comes twice."""
    yield name, module
    computes = is_parametrized(module)
    for inner, child in module._modules.items():
        if child is not None and not (computes and inner == "parametrizations"):
            yield from _named(child, f"{name}.{inner}" if name else inner)


def _layer(module: nn.Module) -> _Layer:
    shapes = {name: None if held is None else tuple(held.shape) for name, held in module._parameters.items()}
    buffers = {name: held is not None for name, held in module._buffers.items()}
    return _Layer(_kind(module), attributes_of(module), shapes, buffers)


def _still(module: nn.Module, layer: _Layer) -> bool:
    if _kind(module) is not layer.kind:
        return False
    missing = object()
    if any(getattr(module, name, missing) != value for name, value in layer.attributes.items()):
        return False
    if computes_parameters(module):  # it has other parameters in place of these
        return True
    now = _layer(module)
    return now.shapes == layer.shapes and now.buffers == layer.buffers


def _kind(module: nn.Module) -> type:
    # PyTorch makes a module that computes a parameter one of a class of its own.
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
