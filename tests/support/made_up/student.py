"""How nets of the made-up family are distilled."""

from __future__ import annotations

from typing import Any

from hear_edgel3.families.protocols import Student, StudentOptions


class MurmurStudent(Student):
    title = "Murmur"
    n_mels = 16
    approximation = "head"

    def architecture(
        self, options: StudentOptions, embedding_size: int | None, n_classes: int | None
    ) -> dict[str, Any]:
        return {"channels": max(1, round(8 * options.width_mult)), "size": embedding_size}
