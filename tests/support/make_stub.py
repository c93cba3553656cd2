"""Writes ``hear_edgel3/__init__.pyi``, which tells type checkers of the package's lazy names and HEAR modules.

``python -m support.make_stub`` (from the folder tests) writes it; a test compares it with what is there.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import hear_edgel3
from hear_edgel3.extractor.loading import load

STUB = Path(hear_edgel3.__file__).parent / "__init__.pyi"
_HEADER = "# Made by `python -m support.make_stub` (in the folder tests) from the table of checkpoints; do not edit."


def stub() -> str:
    """The text of the stub."""
    where = {**hear_edgel3._LAZY, "__version__": "hear_edgel3._version"}
    where["list_configurations"] = hear_edgel3.list_configurations.__module__
    imports = [f"from hear_edgel3 import {name} as {name}" for name in hear_edgel3._ROOMS]
    imports += sorted(f"from {where[name]} import {name} as {name}" for name in hear_edgel3.__all__)
    options = [p for p in inspect.signature(load).parameters.values() if p.name not in ("name", "weights")]
    defaults = [json.dumps(p.default) if p.default else p.default for p in options]
    lines = [f"        {p.name}: {p.annotation} = {value}," for p, value in zip(options, defaults, strict=True)]
    return "\n".join(
        [
            _HEADER,
            "import os",
            "from collections.abc import Sequence",
            "from typing import Any, Protocol",
            "",
            "import torch",
            "",
            *imports,
            "",
            "class HearModule(Protocol):",
            "    def load_model(",
            "        self,",
            '        model_file_path: str | os.PathLike[str] = "",',
            "        *,",
            *lines,
            "    ) -> Extractor: ...",
            "    def get_timestamp_embeddings(",
            "        self, audio: Any, model: Extractor, hop_ms: float | None = None",
            "    ) -> tuple[torch.Tensor, torch.Tensor]: ...",
            "    def get_scene_embeddings(self, audio: Any, model: Extractor) -> torch.Tensor: ...",
            "",
            "# Configurations with features (mn10_as_all_se_clf1, ...) are modules too, too many to list.",
            *(f"{name}: HearModule" for name in hear_edgel3.list_configurations()),
            "",
        ]
    )


if __name__ == "__main__":
    STUB.write_text(stub())
