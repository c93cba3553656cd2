"""The S-SONDO family, for the table: each of its parts is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.protocols import Family
from hear_edgel3.families.ssondo.heads import HEADS
from hear_edgel3.families.ssondo.rows import ROWS, architecture, canonical, check_architecture, shape

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from hear_edgel3.families.ssondo.checkpoint import read_checkpoint

    return read_checkpoint(data, source, row)


SSONDO = Family(
    name="ssondo",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    canonical=canonical,
    read_upstream=_read_upstream,
    settings=("tau",),
    heads=HEADS,
    shape=shape,
)
