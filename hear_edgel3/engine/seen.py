"""What a net was when it was looked at, to find out whether it still is that: asked for each window of a stream."""

from __future__ import annotations

from itertools import chain, compress
from operator import attrgetter, is_, itemgetter, methodcaller, not_
from typing import Any

import torch
from torch import nn

from hear_edgel3.engine.eval_mode import modules_of

_TABLES = itemgetter("_modules", "_parameters", "_buffers")
_VERSION = attrgetter("_version")


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
        self._attributes = [vars(module) for module in modules_of(net)]
        tables = self._tables()
        self._filled = [bool(table) for table in tables]
        self._empty = list(map(not_, self._filled))
        # Those of TorchScript are no dictionaries.
        self._values_of = dict.values if all(isinstance(table, dict) for table in tables) else methodcaller("values")
        self._held = self._values(tables)
        self._tensors = [held for held in self._held if isinstance(held, torch.Tensor)]
        self._versions = _versions(self._tensors)
        self._addresses = _addresses(self._tensors)
        self._memory = [tensor.untyped_storage() for tensor in self._tensors]

    @property
    def device(self) -> torch.device:
        """Where its first parameter is."""
        return self._tensors[0].device if self._tensors else torch.device("cpu")

    def still(self, net: nn.Module) -> bool:
        """Whether `net` is the same net, with the same numbers in the same places."""
        # The tables come in the order of the modules, of which each is the same if those before it hold the same.
        tables = self._tables()
        if net is not self._net or any(compress(tables, self._empty)):
            return False
        held = self._values(tables)
        return (
            len(held) == len(self._held)
            and all(map(is_, held, self._held))
            and _addresses(self._tensors) == self._addresses
            and _versions(self._tensors) == self._versions
            and getattr(net, "variant", None) == self._variant
        )

    def _tables(self) -> list[dict[str, Any]]:
        # Asked for anew, because what is deleted from a Sequential gives it another table.
        return list(chain.from_iterable(map(_TABLES, self._attributes)))

    def _values(self, tables: list[dict[str, Any]]) -> list[Any]:
        return list(chain.from_iterable(map(self._values_of, compress(tables, self._filled))))


def _addresses(tensors: list[torch.Tensor]) -> list[int]:
    return list(map(torch.Tensor.data_ptr, tensors))


def _versions(tensors: list[torch.Tensor]) -> list[int]:
    # _version counts in-place changes, so an optimizer step or load_state_dict is noticed.
    try:
        return list(map(_VERSION, tensors))
    except RuntimeError:  # tensors made in inference mode have no such counter, and can hardly be changed
        return [0 if t.is_inference() else t._version for t in tensors]
