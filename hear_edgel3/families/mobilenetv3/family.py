"""The MobileNetV3 family, for the table: each of its parts is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.mobilenetv3.rows import (
    ROWS,
    architecture,
    canonical,
    check_architecture,
    shape,
    with_classes,
)
from hear_edgel3.families.protocols import Family

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.protocols import Pruner, Student
    from hear_edgel3.families.schema import Published


def _read_upstream(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    from hear_edgel3.families.mobilenetv3.checkpoint import read_checkpoint

    return read_checkpoint(data, source, row)


def _student() -> Student:
    from hear_edgel3.families.mobilenetv3.student import MobileNetV3Student

    return MobileNetV3Student()


def _pruner() -> Pruner:
    from hear_edgel3.families.mobilenetv3.pruning import MobileNetV3Pruner

    return MobileNetV3Pruner()


MOBILENETV3 = Family(
    name="mobilenetv3",
    rows=ROWS,
    architecture=architecture,
    check_architecture=check_architecture,
    canonical=canonical,
    read_upstream=_read_upstream,
    student=_student,
    pruner=_pruner,
    with_classes=with_classes,
    shape=shape,
    # The means of blocks over time alone say where in frequency they are high, by which words and timbres differ.
    head_words="avg_time_pool",
)
