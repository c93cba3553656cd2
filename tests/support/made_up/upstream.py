"""The layout of the made-up authors' files: NumPy's .npz, one array for each tensor, named in their own way."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import torch

from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.schema import Published


def read(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name.replace("/", "."): torch.from_numpy(file[name]) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsCorrupt(f"{source} is not an .npz file: {error}") from error
    size = row.net.arguments["size"]
    if len(arrays.get("head.bias", ())) != size:
        raise WeightsMismatch(f"{source} is not a checkpoint of {row.name}: it has not {size} values")
    return arrays


def write(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace(".", "/"): value.numpy() for name, value in state.items()})
    return buffer.getvalue()
