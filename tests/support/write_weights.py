"""Writes the seeded checkpoints as safetensors: ``python -m support.write_weights FOLDER`` (from the folder tests)."""

from __future__ import annotations

import sys
from pathlib import Path

from hear_edgel3.checkpoint_file import encode
from support import synthetic


def write_weights(folder: Path) -> None:
    """Writes <name>.safetensors for one checkpoint of each shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in synthetic.NAMES:
        data = encode(synthetic.state(name), {"configuration": name})
        (folder / f"{name}.safetensors").write_bytes(data)


if __name__ == "__main__":
    write_weights(Path(sys.argv[1]))
