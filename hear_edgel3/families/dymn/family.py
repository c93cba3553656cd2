"""The DyMN family, for the table: each of its parts is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.dymn.rows import ROWS, architecture, canonical, check_architecture, shape, with_classes
from hear_edgel3.families.protocols import Family

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.protocols import Student
    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from hear_edgel3.families.dymn.checkpoint import read_checkpoint

    return read_checkpoint(data, source, row)


def _student() -> Student:
    from hear_edgel3.families.dymn.student import DyMNStudent

    return DyMNStudent()


DYMN = Family(
    name="dymn",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    canonical=canonical,
    read_upstream=_read_upstream,
    student=_student,
    with_classes=with_classes,
    settings=("tau",),
    shape=shape,
)
