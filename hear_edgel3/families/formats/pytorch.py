"""Reads the tensors of a PyTorch checkpoint. Only tensors and plain containers are unpickled; nothing is executed."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping

import torch

from hear_edgel3.errors import WeightsCorrupt

# A zip archive, as torch.save writes it since 1.6, or a pickle.
_MAGIC = (b"PK", b"\x80")
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
    if not data.startswith(_MAGIC):
        raise WeightsCorrupt(
            f"{source} is not a PyTorch checkpoint (.pt): {len(data)} bytes that start with {data[:8]!r}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on old pickles, and on bytes that are none
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not with torch's own words, which advise to load it all the same.
        raise WeightsCorrupt(
            f"{source} holds more than tensors and plain containers, or is damaged, and was not loaded ({len(data)} "
            f"bytes); save its state_dict() alone"
        ) from error
    except Exception as error:  # what the unpickler says of damaged bytes has no common base
        raise WeightsCorrupt(f"{source} is a damaged or truncated PyTorch checkpoint ({len(data)} bytes)") from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsCorrupt(f"{source} is not a state dict: expected named tensors, found {type(loaded).__name__}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsCorrupt(f"{source} is not a state dict: {name!r} is {type(value).__name__}, not a tensor")
        if value.layout is not torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise WeightsCorrupt(f"{source}: {name} is not a dense tensor of real numbers")
    return dict(loaded)
