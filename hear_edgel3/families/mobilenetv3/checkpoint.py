"""EfficientAT checkpoints (PyTorch) to the tensors of this family's net: the names agree.

The same parameters fit nets with other hops and numbers of mel bands, so what these are cannot be read from a file: it
follows from which published file it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.families.schema import Published

_FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_WHOLE = (torch.int64, torch.int32)
# Tells all published widths apart.
_LAST_NORM = "features.16.1.weight"
_LAST_LAYER = ("classifier.5.weight", "classifier.5.bias")


def read_checkpoint(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """Reads an upstream file and checks it against the row it is said to be.

    Of nets that were not trained on AudioSet the classifier's last layer, whatever its classes, is left out.

    Args:
        data: bytes of the file.
        source: how to call it in errors.
        row: the checkpoint to convert to.

    Returns:
        State dict of the net: float32, and int64 counters.

    Raises:
        WeightsCorrupt: the file is not a sound PyTorch file.
        WeightsMismatch: its names or shapes are not those of ``row``.
    """
    arguments = row.net.arguments
    kind = f"a net of width {arguments['width_mult']:g} with the head {arguments['head']}"
    return read_fitted(data, source, row, kind, _differences)


def read_fitted(
    data: bytes,
    source: str,
    row: Published,
    kind: str,
    differences: Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor], Published], list[str]],
) -> dict[str, torch.Tensor]:
    """Reads a file in which the tensors have the names of a row's net, as :func:`read_checkpoint` does.

    Args:
        data: as there.
        source: as there.
        row: as there.
        kind: what the net is, in words.
        differences: of the tensors of a file, and those of a row's net, what tells them apart, in words; asked only if
            they do not fit.
    """
    state = read_state_dict(data, source)
    if row.net.arguments["n_classes"] is None:
        state = {name: value for name, value in state.items() if name not in _LAST_LAYER}
    expected = expected_state(row)
    intro = f"{source} is not a checkpoint of {row.name}: expected {len(expected)} tensors of {kind}"
    return fitted(state, expected, source, intro, lambda: differences(state, expected, row))


def fitted(
    state: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    source: str,
    intro: str,
    differences: Callable[[], list[str]],
) -> dict[str, torch.Tensor]:
    """The tensors of a file in the types that a net has.

    Args:
        state: those of the file.
        expected: those of the net; only names and shapes matter.
        source: how to call the file in errors.
        intro: what was expected, in words.
        differences: what is told of the file, in words; asked if it is not what was expected.

    Raises:
        WeightsCorrupt: a type cannot be.
        WeightsMismatch: names or shapes differ.
    """
    if odd_ones(state, expected):
        raise WeightsMismatch(f"{intro}, found {', '.join(differences())}")
    return plain_types(state, expected, source)


def odd_ones(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    """In words, up to three tensors of another shape than expected, three that are missing, and three unknown ones."""
    wrong = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    return [
        *(f"{n} of shape {tuple(state[n].shape)} instead of {tuple(expected[n].shape)}" for n in wrong[:3]),
        *(f"{name} missing" for name in missing[:3]),
        *(f"{name} unknown" for name in unknown[:3]),
    ]


def plain_types(
    state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], source: str
) -> dict[str, torch.Tensor]:
    """The tensors of a file that are expected, as float32 and, for counters, int64.

    Raises:
        WeightsCorrupt: a type cannot be.
    """
    converted = {}
    for name in expected:
        value, counts = state[name], name.endswith("num_batches_tracked")
        if value.dtype not in (_WHOLE if counts else _FLOATING):
            wanted = "whole numbers" if counts else "floating-point numbers"
            raise WeightsCorrupt(f"{source}: {name} should be {wanted}, but is {value.dtype}")
        # cloned, because tensors in the file may share their memory
        converted[name] = value.to(torch.int64 if counts else torch.float32).clone().contiguous()
    return converted


def expected_state(row: Published) -> dict[str, torch.Tensor]:
    """The tensors of a row's net, without memory for their values."""
    with torch.device("meta"):
        net: Any = row.net.build()
    state: dict[str, torch.Tensor] = net.state_dict()
    return state


def _differences(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], row: Published) -> list[str]:
    if _LAST_NORM not in state:
        return [f"{len(state)} that are not a MobileNetV3's ({', '.join(sorted(state)[:3])}, ...)"]
    found = [f"{len(state)} tensors"]
    channels, wanted = state[_LAST_NORM].numel(), expected[_LAST_NORM].numel()
    if channels != wanted:
        found.append(f"a last convolution of {channels} channels instead of {wanted}, that of {_width(channels)}")
    head = _head(state)
    if head != row.net.arguments["head"]:
        found.append(f"the head {head}")
    elif channels == wanted:
        found += odd_ones(state, expected)
    return found


def _width(channels: int) -> str:
    from hear_edgel3.families.mobilenetv3.layout import make_layout

    widths = [w / 10 for w in range(1, 41) if make_layout(w / 10).last == channels]
    return f"width {' or '.join(f'{w:g}' for w in widths)}" if widths else "no width that there is"


def _head(state: dict[str, torch.Tensor]) -> str:
    if "classifier.2.weight" in state:
        return "mlp"
    if "classifier.subspace_proj.weight" in state:
        return "multihead_attention_pooling"
    return "fully_convolutional" if "classifier.0.weight" in state else "of an unknown kind"
