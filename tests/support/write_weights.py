"""Writes the seeded checkpoints as safetensors: ``python -m support.write_weights FOLDER`` (from the folder tests)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from support import synthetic


def write_weights(folder: Path) -> None:
    """Writes <name>.safetensors for one checkpoint of each shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in synthetic.NAMES:
        metadata = {"hear_edgel3": json.dumps({"configuration": name})}
        save_file(synthetic.state(name), folder / f"{name}.safetensors", metadata)


if __name__ == "__main__":
    write_weights(Path(sys.argv[1]))
