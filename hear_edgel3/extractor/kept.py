"""A module that notes when it hands out what is inside, so that nobody looks at what nobody can have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import nn
from torch.nn.modules import module as of_modules

from hear_edgel3.engine.devices import check_move

# torch's registries of what is called with all that modules are made of.
_CALLED_WITH_PARTS = (
    "_global_module_registration_hooks",
    "_global_parameter_registration_hooks",
    "_global_buffer_registration_hooks",
)

_Self = TypeVar("_Self", bound="KeepsModules")


class Inside(dict[str, Any]):
    """The modules inside another one, by name. It notes when somebody takes one out, or puts one in.

    Attributes:
        handed_out: Whether somebody has.
        kept_as: Another object whenever they may have changed though nobody has been handed one.
    """

    __slots__ = ("handed_out", "kept_as")

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__(modules)
        self.handed_out = False
        self.kept_as = object()

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
        """Copies and pickles are plain dictionaries: whoever makes one has its modules."""
        return dict, (self.copy(),)


def _noted(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def noted(self: Inside, *args: Any, **kwargs: Any) -> Any:
        self.handed_out = True
        return method(self, *args, **kwargs)

    return noted


# All methods but those by which one learns no more than names: `in` and len(). dict() and the like call keys() of a
# dictionary that has its own __iter__.
for _name in (
    *("__getitem__", "__iter__", "__reversed__", "__or__", "__ror__", "get", "items", "keys", "values", "copy"),
    *("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"),
):
    setattr(Inside, _name, _noted(_name))


class KeepsModules(nn.Module):
    """A module whose inner ones are reached through it alone, and that notes when it hands one out.

    Finding out whether a net has changed takes as long as embedding a window, as its hundreds of tensors lie in as many
    places. A net that was made here, and of which nobody else has been handed a part, cannot have changed. Whatever
    gives somebody a module, a parameter or a buffer of it, torch's own methods too, takes a module out of the table
    ``_modules``, which notes it, once and for all.

    Whoever makes one has its modules, so these are taken for handed out until :meth:`keep`.
    """

    def keep(self) -> None:
        """Says that nobody else has the modules inside: for who has made them and lets go of them.

        Where something is called with what modules are made of, that has them, and they stay handed out.
        """
        if not any(getattr(of_modules, hooks, None) for hooks in _CALLED_WITH_PARTS):
            self.__dict__["_modules"] = Inside(dict(self._modules))

    @property
    def kept(self) -> object | None:
        """What is the same object as before only if what is inside cannot have changed since; None if anybody has it.

        Whoever keeps something that was made of a net asks for this before making it.
        """
        modules = self._modules
        return modules.kept_as if isinstance(modules, Inside) and not modules.handed_out else None

    def own(self, name: str) -> nn.Module:
        """A module inside, for who neither changes it nor hands it on.

        It is what the attribute of that name is. Where the class or the object itself has one that comes before what is
        inside, somebody else has that.
        """
        modules = self._modules
        if name in modules and name not in self.__dict__ and not hasattr(type(self), name):
            return cast(nn.Module, dict.__getitem__(modules, name))
        if isinstance(modules, Inside):
            modules.handed_out = True
        return cast(nn.Module, getattr(self, name))

    def train(self: _Self, mode: bool = True) -> _Self:
        """As that of every module, of which this one's are kept."""
        if self.kept is None:
            return super().train(mode)
        for module in self._inside():
            module.train(mode)
        self.training = mode
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """As that of every module, of which this one's are kept.

        Raises:
            InvalidOption: There is no such device here, or a net cannot have such numbers.
        """
        check_move(*args, **kwargs)
        modules = self._modules
        if not isinstance(modules, Inside) or modules.handed_out or self._parameters or self._buffers:
            return super().to(*args, **kwargs)
        try:
            for module in self._inside():
                module.to(*args, **kwargs)
        finally:
            modules.kept_as = object()  # they may be others now
        return self

    def _inside(self) -> list[nn.Module]:
        return [module for module in dict.values(self._modules) if module is not None]
