"""Writes the seeded checkpoints as safetensors: ``python -m support.write_weights FOLDER`` (from the folder tests)."""

from __future__ import annotations

import argparse
from pathlib import Path

from hear_edgel3.weights.file import encode
from support import dymn_files, mobilenetv3_reference, ssondo_files, synthetic
from support.mobilenetv3_reference import Spec

MOBILENETV3 = {"mn01_as": Spec(0.1), "mn04_as": Spec(0.4), "mn10_as": Spec(1.0), "mn10_as_hop_15": Spec(1.0)}
DYMN = ("dymn04_as", "dymn04_replace_se_as")


def write_weights(folder: Path) -> None:
    """Writes <name>.safetensors for one checkpoint of each shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in synthetic.NAMES:
        data = encode(synthetic.state(name), {"configuration": name})
        (folder / f"{name}.safetensors").write_bytes(data)


def write_mobilenetv3(folder: Path) -> None:
    """Writes <name>.safetensors for a few of the MobileNetV3 family."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in MOBILENETV3.items():
        data = encode(mobilenetv3_reference.seeded_state(spec), {"configuration": name})
        (folder / f"{name}.safetensors").write_bytes(data)


def write_dymn(folder: Path) -> None:
    """Writes <name>.safetensors for a few of the DyMN family."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DYMN:
        (folder / f"{name}.safetensors").write_bytes(dymn_files.converted(name))


def write_ssondo(folder: Path) -> None:
    """Writes <name>.safetensors for one of the S-SONDO family."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ssondo_matpac_mn.safetensors").write_bytes(ssondo_files.converted("ssondo_matpac_mn"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m support.write_weights", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    to = parser.parse_args().folder
    write_weights(to)
    write_mobilenetv3(to)
    write_dymn(to)
    write_ssondo(to)
