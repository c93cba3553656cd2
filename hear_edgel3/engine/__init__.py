"""Engines: ways to run a net for embeddings. A new one is one module here and one entry in ``_ENGINES``.

An engine takes a net in eval mode and returns a callable that gives the same numbers (to its stated tolerance).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hear_edgel3.engine import eager, folded
from hear_edgel3.errors import InvalidOption

Compiled = Callable[[torch.Tensor], torch.Tensor]

_ENGINES: dict[str, Callable[[nn.Module], Compiled]] = {"torch": folded.compile_net, "eager": eager.compile_net}
_AUTO = "torch"


def names() -> list[str]:
    """Values that the ``engine`` option takes."""
    return ["auto", *_ENGINES]


class Runner:
    """Runs a net through an engine, compiling it again whenever its parameters have changed or moved.

    Changes made behind autograd's back (through ``.data``) are the one kind that cannot be noticed.

    Args:
        engine: one of :func:`names`.

    Raises:
        InvalidOption: there is no such engine.
    """

    def __init__(self, engine: str = "auto") -> None:
        if engine not in names():
            raise InvalidOption(f"engine must be one of {', '.join(names())}; got {engine!r}")
        self.engine = _AUTO if engine == "auto" else engine
        self._compiled: tuple[tuple[object, ...], Compiled] | None = None

    def __getstate__(self) -> dict[str, object]:
        """What is pickled: not the compiled net, which can be made again."""
        return {**self.__dict__, "_compiled": None}

    def __call__(self, net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Runs ``net``, which is in eval mode and keeps its parameters, on ``x``."""
        # Not net.parameters(), which takes as long as a small net's first layers to look for doubles.
        kept = [tensors for module in net.modules() for tensors in (module._parameters, module._buffers)]
        tensors = [t for some in kept for t in some.values() if t is not None]
        # _version counts in-place changes, so an optimizer step or load_state_dict is noticed.
        # Tensors made in inference mode have no such counter, and can hardly be changed.
        versions = [0 if t.is_inference() else t._version for t in tensors]
        state = (
            id(net),
            getattr(net, "variant", None),
            *((t.data_ptr(), v, t.device, t.dtype) for t, v in zip(tensors, versions, strict=True)),
        )
        if self._compiled is None or self._compiled[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                self._compiled = (state, _ENGINES[self.engine](net))
        return self._compiled[1](x)
