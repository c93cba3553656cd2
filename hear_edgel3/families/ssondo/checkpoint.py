"""S-SONDO's Lightning checkpoints to the tensors of this family's nets.

The same tensors fit nets with other front ends, segments and temperatures, and would give other numbers without any
error. The file says in ``training_config`` what it was trained with; that must be what the row says.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import torch

from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.families.formats.pytorch import named_tensors, read_plain
from hear_edgel3.families.mobilenetv3.checkpoint import expected_state, fitted, odd_ones
from hear_edgel3.families.schema import Published
from hear_edgel3.families.ssondo.rows import RATE, SEGMENT_MS, TEACHER_SIZE

_STUDENT, _NET, _HEAD = "student_model.", "student_model.model.", "student_model.classification_head.mlp."
# Where the layers of the head are in the nets of EfficientAT.
_LAYERS = {"0": "classifier.2", "3": "classifier.5"}
_PROBE = "probe.linear_probe."
_ADVICE = (
    "save what is needed of it alone: torch.save({key: checkpoint[key] for key in ('state_dict', 'training_config')}, "
    "...)"
)


class _Values(dict[str, Any]):
    """In place of what Lightning keeps hyperparameters in; nothing of it is read."""


# What a Lightning file may hold beside tensors and plain containers, and what takes its place: nothing that runs.
_STAND_INS: Mapping[str, type] = {
    "argparse.Namespace": Namespace,
    "pathlib.PosixPath": PurePosixPath,
    "pathlib._local.PosixPath": PurePosixPath,
    "lightning.fabric.utilities.data.AttributeDict": _Values,
    "lightning_fabric.utilities.data.AttributeDict": _Values,
    "pytorch_lightning.utilities.parsing.AttributeDict": _Values,
}


def read_checkpoint(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """Reads an upstream file and checks it against the row it is said to be.

    Args:
        data: bytes of the file.
        source: how to call it in errors.
        row: the checkpoint to convert to.

    Returns:
        State dict of the net: float32, and int64 counters.

    Raises:
        WeightsCorrupt: the file is not a sound PyTorch file, or holds objects of classes that are not known to be
            harmless.
        WeightsMismatch: its settings, or its names or shapes, are not those of ``row``.
    """
    loaded = read_plain(data, source, _STAND_INS, _ADVICE)
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get("state_dict"), Mapping):
        raise WeightsMismatch(f"{source} is not a checkpoint of {row.name}: expected a Lightning file with state_dict")
    _check_settings(loaded.get("training_config"), source, row)
    state = {}
    for name, value in named_tensors(dict(loaded["state_dict"]), source).items():
        if name.startswith(_HEAD) and name.removeprefix(_HEAD).partition(".")[0] in _LAYERS:
            layer, _, which = name.removeprefix(_HEAD).partition(".")
            state[f"{_LAYERS[layer]}.{which}"] = value
        elif name.startswith(_STUDENT):
            state[name.removeprefix(_NET)] = value
    expected = expected_state(row)
    intro = f"{source} is not a checkpoint of {row.name}: expected {len(expected)} tensors under {_STUDENT}"
    return fitted(state, expected, source, intro, lambda: [f"{len(state)}", *odd_ones(state, expected)])


def read_head(data: bytes, source: str, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Reads one of the linear heads.

    Args:
        data: bytes of the .pth file.
        source: how to call it in errors.
        inputs: values of the embedding that it is on.

    Returns:
        Its weight (classes, inputs) and bias (classes,), both float32.

    Raises:
        WeightsCorrupt: the file is not a sound PyTorch file of tensors.
        WeightsMismatch: it is no linear head on so many values.
    """
    found = named_tensors(read_plain(data, source), source)
    weight, bias = found.get(f"{_PROBE}weight"), found.get(f"{_PROBE}bias")
    if weight is None or bias is None or set(found) != {f"{_PROBE}weight", f"{_PROBE}bias"}:
        raise WeightsMismatch(
            f"{source} is no linear head of S-SONDO: expected {_PROBE}weight and {_PROBE}bias alone, found "
            f"{', '.join(sorted(found)[:4])}"
        )
    if weight.ndim != 2 or weight.shape[1] != inputs or bias.shape != weight.shape[:1]:
        raise WeightsMismatch(
            f"{source} is a head of shape {tuple(weight.shape)} with {tuple(bias.shape)} biases: expected one on "
            f"{inputs} values"
        )
    return weight.float().contiguous(), bias.float().contiguous()


def _check_settings(found: object, source: str, row: Published) -> None:
    if not isinstance(found, Mapping):
        raise WeightsMismatch(
            f"{source} has no training_config, so nothing shows which front end it was trained with; {row.name} needs "
            f"a file that says it"
        )
    problems = []
    for path, wanted in _expected(row).items():
        value: Any = found
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        allowed, needed = (wanted[0], wanted[1:]) if isinstance(wanted, tuple) else (wanted, ())
        if value is None and None in needed:
            continue
        if not _same(value, allowed):
            problems.append(f"{path} is {value!r} instead of {allowed!r}")
    name = str(_at(found, "student_model", "model_name"))
    kind = "dymn" if "dy" in name else "mobilenetv3" if "mn" in name else "another net"
    if kind != ("dymn" if "tau" in row.net.arguments else "mobilenetv3"):
        problems.insert(0, f"student_model.model_name is {name!r}, {kind}")
    if problems:
        raise WeightsMismatch(
            f"{source} is not a checkpoint of {row.name}, by its training_config: {'; '.join(problems[:4])}"
        )


def _expected(row: Published) -> dict[str, Any]:
    """What must stand in a file; a tuple holds None besides where it need not."""
    front = row.frontend.arguments
    net = row.net.arguments
    settings: dict[str, Any] = {
        "student_model.sr": RATE,
        "student_model.width_mult": net["width_mult"],
        "student_model.strides": list(net["strides"]),
        "student_model.reduced_tail": (False, None),
        "student_model.dilated": (False, None),
        "student_model.relu_only": (False, None),
        "preprocess.logmelspec.win_len": front["n_fft"] / RATE,
        "preprocess.logmelspec.hop_len": front["hop_length"] / RATE,
        "preprocess.logmelspec.n_mels": front["n_mels"],
        "preprocess.logmelspec.f_min": front["fmin"],
        # None is half the rate.
        "preprocess.logmelspec.f_max": (front["fmax"], None) if front["fmax"] == RATE / 2 else front["fmax"],
        "preprocess.slice_audio.win_len": SEGMENT_MS / 1000,
        "preprocess.slice_audio.step_size": SEGMENT_MS / 1000,
        "classification_head.head_type": "mlp",
        "classification_head.n_classes": TEACHER_SIZE,
    }
    if "tau" in net:
        # Which the authors' code takes for 1 if it is missing.
        settings["student_model.pretrain_final_temp"] = (net["tau"], None) if net["tau"] == 1 else net["tau"]
    else:
        settings["student_model.se_dims"] = (["c"], None)
        settings["student_model.se_r"] = (4, None)
    return settings


def _same(found: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        given = list(found) if isinstance(found, (list, tuple, str)) else None
        return given == wanted
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        number = isinstance(found, (int, float)) and not isinstance(found, bool)
        return number and abs(float(found) - wanted) <= 1e-9 * abs(wanted)  # type: ignore[arg-type]
    return type(found) is type(wanted) and found == wanted


def _at(values: object, *keys: str) -> object:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
