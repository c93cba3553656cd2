"""A module that notes when it hands out what is inside, so that nobody looks at what nobody can have changed."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.modules import module as of_modules

_TABLES = ("_parameters", "_buffers", "_modules")
# What is called with each part of every module that is made, and may keep it: torch.nn.modules.module registers these.
_CALLED_WITH_PARTS = tuple(f"_global_{part}_registration_hooks" for part in ("module", "parameter", "buffer"))
# Where an object has its attributes: what `__dict__` is for objects of other classes.
_ATTRIBUTES = nn.Module.__dict__["__dict__"]

_Self = TypeVar("_Self", bound="KeepsModules")


def _attributes(module: nn.Module) -> dict[str, Any]:
    return cast(dict[str, Any], _ATTRIBUTES.__get__(module))


class KeepsModules(nn.Module):
    """A module whose inner ones are reached through it alone, and that notes when it hands one out.

    Finding out whether a net has changed takes as long as embedding a window, as its hundreds of tensors lie in as many
    places. A net that was made here, and of which nobody else has been handed a part, cannot have changed. Whatever
    gives somebody a module, a parameter or a buffer of it, torch's own methods too, comes by it in one of three ways:
    by its name, from ``_modules``, or from ``__dict__``. Each of these notes it, once and for all, before it does.

    Whoever makes one has its modules, so these are taken for handed out until :meth:`keep`.
    """

    def __init__(self) -> None:
        _attributes(self)["_handed_out"] = True
        super().__init__()

    def keep(self) -> None:
        """Says that nobody else has the modules inside: for who has made them and lets go of them.

        Where something is called with what modules are made of, that has them, and they stay handed out.
        """
        if not any(getattr(of_modules, hooks, None) for hooks in _CALLED_WITH_PARTS):
            _attributes(self).update(_handed_out=False, _kept_as=object())

    @property
    def kept(self) -> object | None:
        """What is the same object as before only if what is inside cannot have changed since; None if anybody has it.

        Whoever keeps something that was made of a net asks for this before making it.
        """
        attributes = _attributes(self)
        return None if attributes.get("_handed_out", True) else cast(object, attributes["_kept_as"])

    def own(self, name: str) -> nn.Module:
        """A module inside, for who neither changes it nor hands it on.

        It is what the attribute of that name is. Where the class or the object itself has one that comes before what is
        inside, somebody else has that.
        """
        attributes = _attributes(self)
        if name in attributes.get("_modules", ()) and name not in attributes and not hasattr(type(self), name):
            return cast(nn.Module, attributes["_modules"][name])
        self._hand_out()
        return cast(nn.Module, getattr(self, name))

    def _hand_out(self) -> dict[str, Any]:
        attributes = _attributes(self)
        attributes["_handed_out"] = True
        return attributes

    @property
    def __dict__(self) -> dict[str, Any]:
        """All of its attributes, and so its modules."""
        return self._hand_out()

    @__dict__.setter
    def __dict__(self, attributes: dict[str, Any]) -> None:
        _ATTRIBUTES.__set__(self, attributes)
        self._hand_out()

    @property
    def _modules(self) -> dict[str, nn.Module | None]:
        return cast(dict[str, "nn.Module | None"], self._hand_out()["_modules"])

    @_modules.setter
    def _modules(self, modules: dict[str, nn.Module | None]) -> None:
        self._hand_out()["_modules"] = modules

    def __getattr__(self, name: str) -> torch.Tensor | nn.Module:
        """A module, parameter or buffer."""
        attributes = _attributes(self)
        for table in _TABLES:
            if name in attributes.get(table, ()):
                return cast("torch.Tensor | nn.Module", self._hand_out()[table][name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute. What is no part of a net hands nothing out."""
        attributes = _attributes(self)
        if isinstance(value, (nn.Module, torch.Tensor)) or any(name in attributes.get(table, ()) for table in _TABLES):
            super().__setattr__(name, value)
        else:
            object.__setattr__(self, name, value)

    def train(self: _Self, mode: bool = True) -> _Self:
        """As that of every module, of which this one's are kept."""
        if self.kept is None:
            return super().train(mode)
        for module in self._inside():
            module.train(mode)
        self.training = mode
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """As that of every module, of which this one's are kept."""
        attributes = _attributes(self)
        if self.kept is None or attributes["_parameters"] or attributes["_buffers"]:
            return super().to(*args, **kwargs)
        try:
            for module in self._inside():
                module.to(*args, **kwargs)
        finally:
            attributes["_kept_as"] = object()  # they may be others now
        return self

    def _inside(self) -> list[nn.Module]:
        return [module for module in _attributes(self)["_modules"].values() if module is not None]
