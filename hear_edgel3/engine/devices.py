"""Where a net may be moved, and what its numbers may be there."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hear_edgel3._checks import shown
from hear_edgel3.engine.seen import first_parameter
from hear_edgel3.errors import InvalidOption


def check_move(*args: Any, **kwargs: Any) -> None:
    """Checks the arguments of :meth:`torch.nn.Module.to`, of which torch says in riddles that they make no sense.

    The device meta, where a net has shapes and no numbers, is one of those that there are.

    Raises:
        InvalidOption: They name no device or type, a device that is not there, or a type that nets cannot have.
    """
    asked = ", ".join([*map(shown, args), *(f"{name}={shown(value)}" for name, value in kwargs.items())])
    # Plain numbers of these types would be taken for the type of numbers that they are of.
    plain = [one for one in (*args[:1], kwargs.get("device"), kwargs.get("dtype")) if isinstance(one, _NUMBERS)]
    try:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
    except (TypeError, RuntimeError) as error:
        raise _no_such(asked) from error
    if plain:
        raise _no_such(asked)
    if dtype is not None and not dtype.is_floating_point:
        raise InvalidOption(
            f"a net cannot have numbers of the type {str(dtype).removeprefix('torch.')}, but floating-point ones only: "
            f"torch.float32, torch.float16 or torch.bfloat16"
        )
    if device is not None and device.type not in ("cpu", "meta"):
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, ImportError) as error:  # AssertionError: torch without CUDA
            raise InvalidOption(f"device {str(device)!r} cannot be used: {_first_line(error)}") from error


def device_of(net: nn.Module, name: str) -> torch.device:
    """Where a net is.

    Args:
        net: The net.
        name: What it is called in the error.

    Raises:
        InvalidOption: Nowhere: it has shapes, and no numbers.
    """
    try:
        device = first_parameter(net).device
    except StopIteration:  # of a net without numbers, as somebody may have put one in
        device = torch.device("cpu")
    if device.type == "meta":
        raise InvalidOption(f"{name} is on the device meta, which holds shapes and no numbers; load it again")
    return device


_NUMBERS = (bool, float, complex)


def _no_such(asked: str) -> InvalidOption:
    return InvalidOption(
        f"device {asked} cannot be used: torch knows no device, or type of numbers, that is called so; give 'cpu', "
        f"'cuda' or 'cuda:1', for example"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
