"""What the line of the table would name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.protocols import Family
from support.made_up.rows import ROWS, architecture, canonical, check_architecture

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.protocols import Student
    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from support.made_up.upstream import read

    return read(data, source, row)


def _student() -> Student:
    from support.made_up.student import MurmurStudent

    return MurmurStudent()


MURMUR = Family(
    name="murmur",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    canonical=canonical,
    read_upstream=_read_upstream,
    student=_student,
)
