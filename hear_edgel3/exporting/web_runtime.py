"""What runs a net in a browser: two files of the npm package onnxruntime-web, fetched once and kept in the cache.

They are not in this package: they have fourteen megabytes. The package's version, the checksum that npm has of it, and
the checksums of the two files are written down here, so that it does not matter where they come from.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import tarfile
from pathlib import Path

from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import DownloadError, WeightsCorrupt
from hear_edgel3.weights.cache import offline
from hear_edgel3.weights.download import fetch

VERSION = "1.30.0"
# As `npm view onnxruntime-web@1.30.0 dist.integrity` tells it.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# By the name that a page calls them: where they are in the package, and the sha256 of their bytes. Servers that do not
# know .mjs send it as something that browsers do not run.
FILES = {
    "ort.wasm.bundle.min.js": (
        "dist/ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "ort-wasm-simd-threaded.wasm": (
        "dist/ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}
# The package as a file that `npm pack` wrote, for machines without a network.
VARIABLE = "HEAR_EDGEL3_ONNXRUNTIME_WEB"
# npm's own variable for another registry than the public one.
REGISTRY_VARIABLE = "npm_config_registry"
_REGISTRY = "https://registry.npmjs.org"

_log = logging.getLogger(__name__)


def runtime_files() -> dict[str, bytes]:
    """The files by the names that a page calls them, out of the cache, the file in the variable, or the registry.

    Raises:
        DownloadError: They are nowhere, and cannot be fetched.
        WeightsCorrupt: What came is not the package.
        OutputError: The cache cannot be written.
    """
    folder = cache_folder() / f"onnxruntime-web-{VERSION}"
    kept = {name: _kept(folder / name, sha256) for name, (_, sha256) in FILES.items()}
    found = {name: data for name, data in kept.items() if data is not None}
    if len(found) == len(FILES):
        return found
    given = os.environ.get(VARIABLE)
    tarball, origin = _given(Path(given)) if given else _fetched()
    found = _unpacked(tarball, origin)
    make_folder(folder)
    for name, data in found.items():
        with atomic_write(folder / name) as file:
            file.write(data)
    return found


def _kept(path: Path, sha256: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _given(path: Path) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise DownloadError(
            f"{path}, which ${VARIABLE} names, cannot be read: {error.strerror or error}; {_how()}"
        ) from error


def _fetched() -> tuple[bytes, str]:
    registry = os.environ.get(REGISTRY_VARIABLE) or os.environ.get(REGISTRY_VARIABLE.upper()) or _REGISTRY
    url = f"{registry.rstrip('/')}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    if offline():
        raise DownloadError(f"a page needs {url}, and the network is switched off (HF_HUB_OFFLINE); {_how()}")
    _log.warning("downloading %s (33 MB, once)", url)
    try:
        return fetch(url, cache_folder() / f"onnxruntime-web-{VERSION}.tgz.part"), url
    except DownloadError as error:
        raise DownloadError(f"{error}; {_how()}") from error


def _how() -> str:
    return f"`npm pack onnxruntime-web@{VERSION}` writes it to a file, which ${VARIABLE} can name"


def _unpacked(tarball: bytes, origin: str) -> dict[str, bytes]:
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode("ascii")
    if found != INTEGRITY:
        raise WeightsCorrupt(
            f"{origin} is not the package onnxruntime-web {VERSION}: expected {INTEGRITY}, found {found} "
            f"({len(tarball)} bytes); nothing was written"
        )
    files = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as package:
        for name, (place, _) in FILES.items():
            file = package.extractfile(f"package/{place}")
            assert file is not None  # by its checksum
            files[name] = file.read()
    return files
