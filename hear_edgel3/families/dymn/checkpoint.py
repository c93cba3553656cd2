"""EfficientAT checkpoints (PyTorch) of DyMN nets to the tensors of this family's net: the names agree."""

from __future__ import annotations

import torch

from hear_edgel3.families.mobilenetv3.checkpoint import odd_ones, read_fitted
from hear_edgel3.families.schema import Published

# Tells all published widths apart.
_LAST_NORM = "out_c.1.weight"
_OF_DYNAMIC_BLOCK = "context_gen.joint_conv.weight"


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
    arguments = row.net.arguments
    blocks = arguments.get("use_dy_blocks", "all")
    which = "all blocks" if blocks == "all" else f"the blocks of {blocks}"
    kind = f"a DyMN of width {arguments['width_mult']:g} with {which} dynamic"
    return read_fitted(data, source, row, kind, _differences)


def _differences(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], _row: Published) -> list[str]:
    if _LAST_NORM not in state:
        net = "a MobileNetV3's" if "features.0.0.weight" in state else "not a DyMN's"
        return [f"{len(state)} that are {net} ({', '.join(sorted(state)[:3])}, ...)"]
    found = [f"{len(state)} tensors"]
    channels, wanted = state[_LAST_NORM].numel(), expected[_LAST_NORM].numel()
    if channels != wanted:
        found.append(f"a last convolution of {channels} channels instead of {wanted}")
    dynamic, to_be = (sum(name.endswith(_OF_DYNAMIC_BLOCK) for name in names) for names in (state, expected))
    if dynamic != to_be:
        found.append(f"{dynamic} dynamic blocks")
    return found if len(found) > 1 else [*found, *odd_ones(state, expected)]
