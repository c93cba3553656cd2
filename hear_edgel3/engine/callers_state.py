"""What a caller has asked torch for, and what is made here all the same.

Whoever calls a function that trains or measures gets the same of it, whatever the caller's default type and device are,
and whether autocast, inference mode or ``torch.no_grad`` is on. All of that is switched for the thread that calls, and
for no other, so that nobody else notices: not even the default type, which torch keeps for the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from hear_edgel3.engine.runner import without_autocast

_MAKERS: frozenset[Callable[..., Any]] = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.linspace, torch.logspace, torch.eye)
)
# Of these the values decide: whole numbers and truths stay what they are.
_MAKERS_OF_VALUES: frozenset[Callable[..., Any]] = frozenset((torch.tensor, torch.full, torch.arange))


@contextmanager
def own_state() -> Iterator[None]:
    """What is computed within is computed as if the caller had asked torch for nothing. Also a decorator."""
    usual = torch.empty(0)
    with ExitStack() as switched:
        switched.enter_context(torch.inference_mode(False))
        switched.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            switched.enter_context(without_autocast(torch.device(device)))
        # Only where they are needed: torch's functions take longer under such modes.
        if usual.device.type != "cpu":
            switched.enter_context(torch.device("cpu"))
        if usual.dtype != torch.float32:
            switched.enter_context(_Float32())
        yield


class _Float32(TorchFunctionMode):  # type: ignore[misc, unused-ignore]
    """float32 is the default type of what is made."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = {} if kwargs is None else kwargs
        if given.get("dtype") is None and (
            func in _MAKERS or (func in _MAKERS_OF_VALUES and _has_fractions([*args, *given.values()]))
        ):
            given = {**given, "dtype": torch.float32}
        return func(*args, **given)


def _has_fractions(values: Any) -> bool:
    """Whether there is a number of Python's own with a point in (nested) lists, of which torch takes its default."""
    if isinstance(values, (list, tuple)):
        return any(_has_fractions(value) for value in values)
    return type(values) is float
