"""Front ends that may be given other settings after they were made, as ``frontend.fmax = 8000.0``."""

from __future__ import annotations

from typing import Any

from torch import nn


class FreshConstants(nn.Module):
    """A module that keeps in ``_constants`` what it has worked out of its public attributes, as long as these stay."""

    _constants: dict[Any, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        """As of every module; what was worked out of an attribute is not kept when it becomes another one."""
        super().__setattr__(name, value)
        if not name.startswith("_") and name != "training" and "_constants" in self.__dict__:
            self._constants.clear()
