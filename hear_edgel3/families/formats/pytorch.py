"""Reads the tensors of a PyTorch checkpoint. Only tensors and plain containers are unpickled; nothing is executed."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping

import torch

from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.families.formats.names import without_prefixes

# A zip archive, as torch.save writes it since 1.6, or a pickle.
_ZIP = b"PK"
_MAGIC = (_ZIP, b"\x80")
# A safetensors file: eight bytes with the length of the header, which is JSON.
_LENGTH, _HEADER = 8, b"{"
# Where training programs put the parameters when they save more than them.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_state_dict(data: bytes, source: str) -> dict[str, torch.Tensor]:
    """The state dict in a file that ``torch.save`` wrote.

    Args:
        data: bytes of a .pt, .pth or .ckpt file: a state dict, or a dict that has one under "state_dict",
            "model_state_dict" or "model". Or of a .safetensors file. What all names begin with because the net was part
            of something else is taken off.
        source: how to call it in errors.

    Raises:
        WeightsCorrupt: not such a file, truncated, or with anything in it but tensors and plain containers.
    """
    if data[_LENGTH:].startswith(_HEADER):
        return without_prefixes(_safetensors(data, source))
    loaded = read_plain(data, source)
    found = _plain(loaded)
    for key in _WRAPPERS:
        if found is not None and isinstance(found.get(key), Mapping):
            found = _plain(found[key])
            break
    return without_prefixes(named_tensors(found or loaded, source))


def read_plain(
    data: bytes, source: str, stand_ins: Mapping[str, type] | None = None, advice: str = "save its state_dict() alone"
) -> object:
    """What ``torch.save`` wrote, if it is tensors and plain containers.

    Args:
        data: bytes of the file.
        source: how to call it in errors.
        stand_ins: harmless classes that take the place of those that the file names, by full name.
        advice: what to do with a file that holds more.

    Raises:
        WeightsCorrupt: not such a file, truncated, or with more in it.
    """
    if not data.startswith(_MAGIC):
        raise WeightsCorrupt(
            f"{source} is not a PyTorch checkpoint (.pt): {len(data)} bytes that start with {data[:8]!r}"
        )
    if data.startswith(_ZIP):
        _check_room(data, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on old pickles, and on bytes that are none
            with torch.serialization.safe_globals([(kind, name) for name, kind in (stand_ins or {}).items()]):
                loaded: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
                return loaded
    except pickle.UnpicklingError as error:
        # Not with torch's own words, which advise to load it all the same.
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise WeightsCorrupt(
            f"{source} holds more than tensors and plain containers{f' ({found[1]})' if found else ''}, or is damaged, "
            f"and was not loaded ({len(data)} bytes); {advice}"
        ) from error
    except Exception as error:  # what the unpickler says of damaged bytes has no common base
        raise WeightsCorrupt(f"{source} is a damaged or truncated PyTorch checkpoint ({len(data)} bytes)") from error


def named_tensors(loaded: object, source: str) -> dict[str, torch.Tensor]:
    """A plain dict of what is a state dict.

    Args:
        loaded: what was read.
        source: how to call the file in errors.

    Raises:
        WeightsCorrupt: it is none.
    """
    found = _plain(loaded)
    if not found:
        raise WeightsCorrupt(f"{source} is not a state dict: expected named tensors, found {type(loaded).__name__}")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsCorrupt(f"{source} is not a state dict: {name!r} is {type(value).__name__}, not a tensor")
        if value.layout is not torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise WeightsCorrupt(f"{source}: {name} is not a dense tensor of real numbers")
    return found


def _plain(loaded: object) -> dict[str, torch.Tensor] | None:
    """A plain dict of the same, or None; what is saved with an OrderedDict can hide its methods."""
    return dict(dict.items(loaded)) if isinstance(loaded, dict) else None


def _check_room(data: bytes, source: str) -> None:
    """Refuses archives whose entries are larger together than the file: torch.save packs nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except Exception as error:  # what it says of damaged bytes has no common base
        raise WeightsCorrupt(f"{source} is a damaged or truncated PyTorch checkpoint ({len(data)} bytes)") from error
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed or sum(entry.file_size for entry in entries) > len(data):
        raise WeightsCorrupt(
            f"{source} was packed by another program than torch.save, and may unpack to any size; save it again with "
            f"torch.save(net.state_dict(), ...)"
        )


def _safetensors(data: bytes, source: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: of a type that torch does not have
        raise WeightsCorrupt(f"{source} is a damaged safetensors file: {error}") from error
