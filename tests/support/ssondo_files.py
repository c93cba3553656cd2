"""Checkpoints of S-SONDO's students with seeded weights, in their authors' layout, as the originals' outputs were made.

The weights are the generator's of :mod:`support.dymn_files`, under the authors' names.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch

from hear_edgel3.families.dymn.blocks import DynamicConvolution
from hear_edgel3.families.table import settings_of
from hear_edgel3.weights.file import encode
from support import dymn_files
from support.synthetic import row

State = dict[str, torch.Tensor]

SEED = 20240
GAINS = {"ssondo_matpac_mn": 2.0, "ssondo_matpac_dymn": 3.5}
_LAYERS = {"classifier.2": "classification_head.mlp.0", "classifier.5": "classification_head.mlp.3"}
# The seven linear heads: classes, and the seed of each.
HEADS = {
    "esc50": (50, 20241),
    "fsd50k": (200, 20242),
    "gtzan": (10, 20243),
    "magna-tag-a-tune": (50, 20244),
    "nsynth": (11, 20245),
    "openmic": (20, 20246),
    "us8k": (10, 20247),
}


def upstream_name(name: str) -> str:
    """What the authors call a tensor of our net."""
    layer, _, which = name.rpartition(".")
    return f"student_model.{_LAYERS[layer]}.{which}" if layer in _LAYERS else f"student_model.model.{name}"


@functools.cache
def state(name: str) -> State:
    """The tensors of a row's net, seeded by the authors' names."""
    with torch.device("meta"):
        net = row(name).net.build()
    inputs = {
        f"{layer}.weight": module.kernel_shape[1] * module.kernel_shape[2] * module.kernel_shape[3]
        for layer, module in net.named_modules()
        if isinstance(module, DynamicConvolution)
    }
    return {
        key: dymn_files.tensor(upstream_name(key), tuple(value.shape), inputs.get(key), SEED, GAINS[name])
        for key, value in net.state_dict().items()
    }


def head(name: str) -> State:
    """The tensors of a linear head."""
    n_classes, seed = HEADS[name]
    shapes = {"probe.linear_probe.weight": (n_classes, 960), "probe.linear_probe.bias": (n_classes,)}
    return {key: dymn_files.tensor(key, shape, None, seed, 2.7) for key, shape in shapes.items()}


def training_config(name: str) -> dict[str, Any]:
    """The settings as the authors' repository has them."""
    student: dict[str, Any] = {"sr": 32000, "width_mult": 1.0, "strides": [2, 2, 2, 2]}
    student |= {"reduced_tail": False, "dilated": False, "input_dim_f": 128, "input_dim_t": 624}
    if name.endswith("_mn"):
        student |= {"model_name": "mn10_im", "relu_only": False, "se_dims": "c", "se_agg": "max", "se_r": 4}
    else:
        student |= {"model_name": "dymn10_im", "pretrain_final_temp": 30}
    return {
        "student_model": student,
        "preprocess": {
            "logmelspec": {"win_len": 0.032, "hop_len": 0.016, "n_mels": 128, "f_min": 50, "f_max": 16000},
            "slice_audio": {"win_len": 10, "step_size": 10},
        },
        "classification_head": {
            "head_type": "mlp",
            "n_classes": 3840,
            "pooling": "mean",
            "activation_att": "sigmoid",
            "last_activation": None,
        },
    }


def checkpoint(name: str, **changes: Any) -> dict[str, Any]:
    """What is in a Lightning file.

    Args:
        name: Of the row.
        changes: Other values of the settings, by the names of their places with ``__`` for dots.
    """
    config = copy.deepcopy(training_config(name))
    for path, value in changes.items():
        *places, last = path.split("__")
        at = config
        for place in places:
            at = at[place]
        at[last] = value
    tensors = {upstream_name(key): value for key, value in state(name).items()}
    return {
        "epoch": 99,
        "global_step": 12345,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**tensors, "teacher_model.x": torch.zeros(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}],
        "training_config": config,
    }


def converted(name: str) -> bytes:
    """A converted file of a checkpoint."""
    settings = {"settings": found} if (found := settings_of(row(name))) else {}
    return encode(state(name), {"configuration": name, **settings})
