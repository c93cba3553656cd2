"""The L3 family, for the table: each of its parts is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.l3.rows import ROWS, architecture, check_architecture, shape
from hear_edgel3.families.protocols import Family

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.protocols import Student
    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from hear_edgel3.families.l3.checkpoint import read_checkpoint

    return read_checkpoint(data, source, row)


def _student() -> Student:
    from hear_edgel3.families.l3.student import L3Student

    return L3Student()


L3 = Family(
    name="l3",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    read_upstream=_read_upstream,
    student=_student,
    shape=shape,
)
