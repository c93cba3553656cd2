"""Reads the tensors of a PyTorch checkpoint. Only tensors and plain containers are unpickled; nothing is executed."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping

import torch

from hear_edgel3.errors import WeightsCorrupt

# Where training programs put the parameters when they save more than them.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_state_dict(data: bytes, source: str) -> dict[str, torch.Tensor]:
    """The state dict in a file that ``torch.save`` wrote.

    Args:
        data: bytes of a .pt, .pth or .ckpt file: a state dict, or a dict that has one under "state_dict",
            "model_state_dict" or "model".
        source: how to call it in errors.

    Raises:
        WeightsCorrupt: not such a file, truncated, or with anything in it but tensors and plain containers.
    """
    try:
        # mmap and file paths are of no use here: the bytes have been checked already
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise WeightsCorrupt(
            f"{source} holds more than tensors and plain containers, or is damaged, and was not loaded: {reason}"
        ) from error
    # KeyError, TypeError, ...: what the unpickler says of bytes that are no pickle
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        raise WeightsCorrupt(
            f"{source} is not a PyTorch checkpoint (.pt), or is damaged or truncated: {len(data)} bytes that start "
            f"with {data[:8]!r}"
        ) from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsCorrupt(f"{source} is not a state dict: expected named tensors, found {type(loaded).__name__}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
            raise WeightsCorrupt(
                f"{source} is not a state dict: {name!r} is {type(value).__name__}, not a dense tensor"
            )
    return dict(loaded)
