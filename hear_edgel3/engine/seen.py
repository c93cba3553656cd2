"""What a net was when it was looked at, to find out whether it still is that: asked for each window of a stream."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from operator import attrgetter, is_, itemgetter, methodcaller
from typing import Any

import numpy as np
import torch
from torch import nn

from hear_edgel3.engine.eval_mode import modules_of

_TABLES = itemgetter("_modules", "_parameters", "_buffers")
_MODULES, _PARAMETERS = itemgetter("_modules"), itemgetter("_parameters")
_VERSION = attrgetter("_version")
# Bytes that are fetched at once; and, roughly, those of an object of Python, of a tensor's own memory and of that in
# which a storage says where its numbers are.
_LINE, _OBJECT, _TENSOR, _STORAGE = 64, 48, 192, 64


class Seen:
    """A net as it is now: its modules, parameters and buffers, and how often these were written.

    It holds their memory until it is let go, so that what takes their place is never found at the same address, as
    what ``net.half().float()`` makes could be.

    Args:
        net: Is not changed.
    """

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._variant = getattr(net, "variant", None)
        # The tables themselves are held, as asking each module for its three takes a third of the time. It is asked for
        # one: what is deleted from a Sequential gives it other `_modules`, and what restores a module's state gives it
        # another one of each.
        attributes = [_attributes(module) for module in modules_of(net)]
        self._inner = [a for a in attributes if a["_modules"]]
        self._inner_tables = list(map(_MODULES, self._inner))
        self._outer = [a for a in attributes if not a["_modules"]]
        self._outer_tables = list(map(_PARAMETERS, self._outer))
        tables = list(chain.from_iterable(map(_TABLES, attributes)))
        self._filled = [table for table in tables if table]
        self._empty = [table for table in tables if not table]
        # Those of TorchScript are no dictionaries.
        self._values_of = dict.values if all(isinstance(table, dict) for table in tables) else methodcaller("values")
        self._held = self._values()
        self._tensors = [held for held in self._held if isinstance(held, torch.Tensor)]
        self._versions = _versions(self._tensors)
        self._addresses = _addresses(self._tensors)
        self._memory = [tensor.untyped_storage() for tensor in self._tensors]
        self._fetch: Callable[[np.ndarray], None] | None = None

    def fetch_with(self, fetch: Callable[[np.ndarray], None]) -> None:
        """Has what :meth:`still` looks at brought near the processor first, from where a run of the net has driven it.

        That is some hundred kilobytes in small pieces: fetched one after the other they take as long again as looking.

        Args:
            fetch: Takes (n,) int64 addresses; it reads nothing itself, and does not mind any that do not exist.
        """
        objects = chain(self._inner, self._outer, self._filled, self._empty, self._held)
        places = [(id(held), _OBJECT) for held in objects]
        places += [(tensor._cdata, _TENSOR) for tensor in self._tensors]
        places += [(memory._cdata, _STORAGE) for memory in self._memory]
        lines = {(first + i) // _LINE for first, size in places for i in (*range(0, size, _LINE), size - 1)}
        self._lines = np.array(sorted(lines), np.int64) * _LINE
        self._fetch = fetch
        fetch(self._lines)  # now, as it may have to be compiled

    @property
    def device(self) -> torch.device:
        """Where its first parameter is."""
        return self._tensors[0].device if self._tensors else torch.device("cpu")

    def of(self, net: nn.Module) -> bool:
        """Whether it was `net` that was looked at."""
        return net is self._net

    def still(self, net: nn.Module) -> bool:
        """Whether `net` is the same net, with the same numbers in the same places."""
        if self._fetch is not None:
            self._fetch(self._lines)
        # The tables come in the order of the modules, of which each is the same if those before it hold the same.
        if net is not self._net or any(self._empty) or not self._tables_still():
            return False
        held = self._values()
        return (
            len(held) == len(self._held)
            and all(map(is_, held, self._held))
            and _addresses(self._tensors) == self._addresses
            and _versions(self._tensors) == self._versions
            and getattr(net, "variant", None) == self._variant
        )

    def _tables_still(self) -> bool:
        return all(map(is_, map(_MODULES, self._inner), self._inner_tables)) and all(
            map(is_, map(_PARAMETERS, self._outer), self._outer_tables)
        )

    def _values(self) -> list[Any]:
        return list(chain.from_iterable(map(self._values_of, self._filled)))


def _attributes(module: nn.Module) -> dict[str, Any]:
    own = vars(module)
    # What was traced has its tables in a module of TorchScript.
    return own if "_modules" in own else vars(module._actual_script_module)


def first_parameter(net: nn.Module) -> torch.Tensor:
    """The one that ``next(net.parameters())`` gives, which looks at all of its first layers' names on the way.

    Raises:
        StopIteration: it has none.
    """
    if (found := _first(net)) is None:
        raise StopIteration
    return found


def _first(module: nn.Module) -> torch.Tensor | None:
    for parameter in module._parameters.values():
        if parameter is not None:
            return parameter
    for inner in module._modules.values():
        if inner is not None and (found := _first(inner)) is not None:
            return found
    return None


def _addresses(tensors: list[torch.Tensor]) -> list[int]:
    return list(map(torch.Tensor.data_ptr, tensors))


def _versions(tensors: list[torch.Tensor]) -> list[int]:
    # _version counts in-place changes, so an optimizer step or load_state_dict is noticed.
    try:
        return list(map(_VERSION, tensors))
    except RuntimeError:  # tensors made in inference mode have no such counter, and can hardly be changed
        return [0 if t.is_inference() else t._version for t in tensors]
