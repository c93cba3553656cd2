"""Checkpoints of the MobileNetV3 family in the authors' own file layouts, seeded."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.families.schema import Checkpoint
from support.synthetic import row

State = dict[str, torch.Tensor]


LAST = ("classifier.5.weight", "classifier.5.bias")


def seeded(net: torch.nn.Module) -> State:
    """Values for the parameters of a net that keep its activations finite."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for i, (key, value) in enumerate(net.state_dict().items()):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(1000 + i)
        elif value.ndim == 1:
            state[key] = torch.rand(value.shape, generator=generator) * 0.5 + 0.5
        else:
            state[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
    return state


def variant(**arguments: Any) -> State:
    """A state dict of a net with other arguments than any row has."""
    with torch.device("meta"):
        net = MobileNetV3(**arguments)
    return seeded(net)


@functools.cache
def _state(name: str, n_classes: int) -> State:
    arguments = row(name).net.arguments
    return variant(width_mult=arguments["width_mult"], head=arguments["head"], n_classes=n_classes)


def state(name: str, n_classes: int | None = 527) -> State:
    """The state dict in the authors' file of a checkpoint; without a last layer if `n_classes` is None."""
    found = dict(_state(name, n_classes or 527))
    return found if n_classes is not None else {k: v for k, v in found.items() if k not in LAST}


def pt(value: object, zipped: bool = True) -> bytes:
    """What torch.save writes, now or (not zipped) before PyTorch 1.6."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def read(path: Path) -> tuple[State, dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["hear_edgel3"])


def assert_same(found: State, expected: State) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == (torch.int64 if key.endswith("num_batches_tracked") else torch.float32), key
        assert found[key].shape == value.shape, key
        assert found[key].detach().numpy().tobytes() == value.numpy().tobytes(), key


def with_upstream(name: str, **values: str | None) -> Checkpoint:
    found = row(name)
    return dataclasses.replace(found, upstream=dataclasses.replace(found.upstream, **values))
