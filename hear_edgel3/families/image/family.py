"""The image family, for the table: each of its parts is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.image.rows import ROWS, architecture, check_architecture, shape
from hear_edgel3.families.protocols import Family

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from hear_edgel3.families.image.checkpoint import read_checkpoint

    return read_checkpoint(data, source, row)


IMAGE = Family(
    name="image",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    read_upstream=_read_upstream,
    shape=shape,
)
