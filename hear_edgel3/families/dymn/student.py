"""How nets of the DyMN family are distilled: as a MobileNetV3, and at the temperature that published nets have."""

from __future__ import annotations

from typing import Any

from hear_edgel3.families.dymn.rows import AUDIOSET_TAU
from hear_edgel3.families.mobilenetv3.student import MobileNetV3Student
from hear_edgel3.families.protocols import StudentOptions


class DyMNStudent(MobileNetV3Student):
    """A DyMN with the approximation of the teacher's embedding as one more output.

    It learns at the temperature that it is used at: a distillation may end after any epoch, and a schedule that has not
    come to its end would publish another net than the one that was scored.
    """

    title = "DyMN"

    def architecture(
        self, options: StudentOptions, embedding_size: int | None, n_classes: int | None
    ) -> dict[str, Any]:
        """The arguments of :func:`hear_edgel3.families.dymn.rows.architecture`."""
        return {**super().architecture(options, embedding_size, n_classes), "tau": AUDIOSET_TAU}
