"""Files and folders that this package has written, once more: with int8 weights, or stored otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.distillation.result import CARD, CURVES
from hear_edgel3.errors import ConfigurationError, InvalidOption, OutputError
from hear_edgel3.families.schema import Checkpoint, Configuration, Local
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import with_classes
from hear_edgel3.training.metrics import METRICS
from hear_edgel3.weights.file import (
    WeightsFile,
    check_tensors,
    decode,
    encode,
    encode_quantized,
    encode_sparse,
    own_settings,
    read_for,
)
from hear_edgel3.weights.header import INT8, QUANTIZATION_KEY, Quantization, own_labels

_NOTE = """
## Quantised

The weights here are stored as int8 with a scale for each output channel, and were made from those with sha256
`{sha256}`. Figures above are of these.
"""


@dataclass(frozen=True)
class Quantized:
    """A weights file with int8 weights, not yet written.

    Attributes:
        row: the checkpoint, with the classes that its file names.
        data: the file.
        before: the file that it was made of.
        after: what a reader of ``data`` gets.
        how: the values are stored.
    """

    row: Checkpoint
    data: bytes
    before: WeightsFile
    after: dict[str, torch.Tensor]
    how: Quantization


def with_own_classes(row: Checkpoint, file: WeightsFile, source: str) -> Checkpoint:
    """A checkpoint with the classes that a file names, if its net was trained further on others."""
    classes = own_labels(file.provenance, source)
    if classes is None:
        return row
    configuration = Configuration(row.name, row, row.vocabulary.read(row, ""))
    return with_classes(configuration, len(classes), own_settings(row, file.provenance)).checkpoint


def read_fitting(row: Checkpoint, path: Path, sha256: str | None = None) -> tuple[Checkpoint, WeightsFile]:
    """Reads a weights file and checks that it fits its checkpoint.

    Returns:
        The checkpoint, with the file's own classes if it has some, and what the file holds.

    Raises:
        WeightsCorrupt: it is not a sound weights file.
        WeightsMismatch: it is of another net.
    """
    file = read_for(row, path, sha256)
    row = with_own_classes(row, file, str(path))
    with torch.device("meta"):
        net = row.net.build()
    check_tensors(file.tensors, net, row.name, str(path))
    return row, file


def quantize_file(row: Checkpoint, path: Path, sha256: str | None = None, dense: bool = False) -> Quantized:
    """Quantises a weights file that this package has written.

    Args:
        row: the checkpoint that it is for.
        path: the file.
        sha256: what it must be; None if that is not known.
        dense: whether the zeros of pruned nets are stored too.

    Raises:
        InvalidOption: it is quantised already.
        WeightsCorrupt, WeightsMismatch: as for :func:`read_fitting`.
    """
    return quantized(*read_fitting(row, path, sha256), str(path), dense)


def stored_otherwise(row: Checkpoint, path: Path, dense: bool) -> bytes | None:
    """A weights file that this package has written, with the zeros of pruned nets or without them.

    Args:
        row: the checkpoint that it is for.
        path: the file.
        dense: whether the zeros are stored too.

    Returns:
        The file, which has the same values bit by bit; None if the one that is there is no different, or has int8
        weights, which are made from others.

    Raises:
        WeightsCorrupt, WeightsMismatch: as for :func:`read_fitting`.
    """
    _, file = read_fitting(row, path)
    if file.quantization is not None and file.quantization.int8:
        return None
    data = (encode if dense else encode_sparse)(file.tensors, origin_of(file))
    return None if hashlib.sha256(data).hexdigest() == file.sha256 else data


def origin_of(file: WeightsFile) -> dict[str, Any]:
    """A file's own words on where its values come from, less those on how they are stored."""
    return {key: value for key, value in file.provenance.items() if key not in ("tensors_sha256", QUANTIZATION_KEY)}


def quantized(row: Checkpoint, file: WeightsFile, source: str, dense: bool = False) -> Quantized:
    """The same weights as a file with int8 ones.

    Args:
        row: the checkpoint, with the classes of the file.
        file: what a weights file holds that this package has written.
        source: what to call it in errors.
        dense: whether the zeros of pruned nets are stored too.

    Raises:
        InvalidOption: it is quantised already.
        WeightsCorrupt: as for :func:`hear_edgel3.weights.quantized.quantize_state`.
    """
    how = file.quantization
    if how is not None and how.int8:
        raise InvalidOption(f"{source} has {how.in_words} weights already; give the file of the float ones")
    data = encode_quantized(file.tensors, origin_of(file), file.sha256, dense)
    after = decode(data, source)
    assert after.quantization is not None
    return Quantized(row, data, file, after.tensors, after.quantization)


def quantize_folder(row: Local, output: Path, dense: bool = False) -> Quantized:
    """Writes a folder like the one that a net made here lives in, with int8 weights.

    The description names the new weights; card, curves and metrics come along, and the card says what was done.

    Args:
        row: the net.
        output: the new folder, which does not exist yet or is empty.
        dense: whether the zeros of pruned nets are stored too.

    Returns:
        What was written.

    Raises:
        InvalidOption: the net is quantised already.
        OutputError: the folder is not empty, or cannot be written.
        WeightsCorrupt, WeightsMismatch: as for :func:`read_fitting`.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output} is there already; give a new folder for the quantised {row.name}")
    small = quantize_file(row, row.weights_path, row.weights_sha256, dense)
    description = row.folder / local.FILENAME
    try:
        values = json.loads(description.read_text(encoding="utf-8"))
        made = values.setdefault("made", {})
    except (OSError, ValueError, RecursionError) as error:  # it was sound when the row was read
        raise ConfigurationError(f"{description} cannot be read: {error}") from error
    values["weights_sha256"] = hashlib.sha256(small.data).hexdigest()
    made["quantized"], made["quantized_from_sha256"] = INT8, small.before.sha256
    try:
        output.mkdir(parents=True, exist_ok=True)
        with atomic_write(output / row.weights_file) as file:
            file.write(small.data)
        for name in (CURVES, METRICS):
            if (row.folder / name).is_file():
                shutil.copyfile(row.folder / name, output / name)
        card = row.folder / CARD
        if card.is_file():
            with atomic_write(output / CARD) as file:
                file.write(card.read_bytes() + _NOTE.format(sha256=small.before.sha256).encode())
        with atomic_write(output / local.FILENAME) as file:  # last: without it the folder is none
            file.write((json_text(values, indent=1) + "\n").encode())
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write the folder {output}: {error.strerror or error}") from error
    return small
