"""EfficientAT checkpoints (PyTorch) of DyMN nets to the tensors of this family's net: the names agree."""

from __future__ import annotations

import torch

from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.families.mobilenetv3.checkpoint import expected_state, fitted
from hear_edgel3.families.schema import Published

# Tells all published widths apart.
_LAST_NORM = "out_c.1.weight"
_LAST_LAYER = ("classifier.5.weight", "classifier.5.bias")


def read_checkpoint(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """Reads an upstream file and checks it against the row it is said to be.

    Of nets that were not trained on AudioSet the classifier's last layer, whatever its classes, is left out. The
    temperature stands in no such file; it is the row's.

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
    state = read_state_dict(data, source)
    if row.net.arguments["n_classes"] is None:
        state = {name: value for name, value in state.items() if name not in _LAST_LAYER}
    expected = expected_state(row)
    arguments = row.net.arguments
    blocks = arguments.get("use_dy_blocks", "all")
    intro = (
        f"{source} is not a checkpoint of {row.name}: expected {len(expected)} tensors of a DyMN of width "
        f"{arguments['width_mult']:g} with {'all blocks' if blocks == 'all' else 'the blocks of ' + blocks} dynamic"
    )
    return fitted(state, expected, source, intro, _found(state, expected))


def _found(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    """What tells a file apart from what was expected, in words."""
    if _LAST_NORM not in state:
        net = "a MobileNetV3's" if "features.0.0.weight" in state else "not a DyMN's"
        return [f"{len(state)} that are {net} ({', '.join(sorted(state)[:3])}, ...)"]
    found = [f"{len(state)} tensors"]
    channels, wanted = state[_LAST_NORM].numel(), expected[_LAST_NORM].numel()
    if channels != wanted:
        found.append(f"a last convolution of {channels} channels instead of {wanted}")
    dynamic = sum(name.endswith("context_gen.joint_conv.weight") for name in state)
    if dynamic != sum(name.endswith("context_gen.joint_conv.weight") for name in expected):
        found.append(f"{dynamic} dynamic blocks")
    return found
