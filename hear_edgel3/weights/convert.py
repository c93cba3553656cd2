"""From an upstream file to a verified, byte-reproducible safetensors file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.cache import CACHE_VARIABLE, cache_folder
from hear_edgel3.errors import InvalidOption, OutputError, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats import KERAS_ENDINGS
from hear_edgel3.families.schema import Published
from hear_edgel3.families.table import FAMILIES, settings_of
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import by_name, checkpoints, with_classes
from hear_edgel3.weights.file import check_tensors, encode, encode_sparse, settings_problem
from hear_edgel3.weights.header import provenance as provenance_of
from hear_edgel3.weights.packaged import installed, unpacked
from hear_edgel3.weights.upstream import Checksums, checksums, download, expected_checksum, is_published


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint, not yet written.

    Attributes:
        row: the checkpoint.
        state: the net's tensors.
        provenance: where they came from.
        published: whether the source is, byte for byte, the file its authors published; None if no checksum is known.
    """

    row: Published
    state: dict[str, torch.Tensor]
    provenance: dict[str, Any]
    published: bool | None

    def to_bytes(self, dense: bool = False) -> bytes:
        """The safetensors file. The same source gives the same bytes.

        Args:
            dense: whether the zeros of pruned nets are stored too, as other programs want them.
        """
        return encode(self.state, self.provenance) if dense else encode_sparse(self.state, self.provenance)

    def write(self, path: Path, dense: bool = False) -> str:
        """Writes the file, as :meth:`to_bytes` makes it, whole or not at all and returns its sha256."""
        data = self.to_bytes(dense)
        with atomic_write(path) as file:
            file.write(data)
        return hashlib.sha256(data).hexdigest()


def convert(
    row: Published,
    source: Path | None = None,
    own_labels: tuple[Label, ...] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Converted:
    """Reads and checks an upstream file.

    Args:
        row: the checkpoint it is.
        source: the file; None for the published one, from the package that has it, if that is installed, or downloaded.
        own_labels: the classes of a net that was trained further on them; None if they are the checkpoint's.
        settings: what changes the net's results and stands in none of its tensors
            (:attr:`hear_edgel3.families.protocols.Family.settings`). Those of the authors' files are the row's; of
            another file they must be given, for nothing shows them.

    Raises:
        WeightsNotFound: there is no such file.
        WeightsCorrupt: it is damaged, or not what was published (when downloaded, or from a package).
        WeightsMismatch: it is a checkpoint of something else.
        DownloadError: it could not be fetched.
        MissingExtra: a library that reads its format is missing.
        InvalidOption: labels are given, and the published file is to be downloaded, or nets of this family have none;
            or settings are missing, or cannot be.
    """
    _require_reader(row)
    published_row = row
    if own_labels is not None:
        if source is None:
            raise InvalidOption(f"labels are for a net of your own: say which file it is in (--source), not {row.name}")
        row = _with_classes(row, len(own_labels))
    package = installed(row) if source is None else None
    if package is not None:
        data, filename = _from_package(row, package), package.name
    elif source is None:
        data, filename = download(row), row.upstream.filename
    else:
        if not source.is_file():
            raise WeightsNotFound(f"the source file {source} does not exist")
        filename = source.name
        data = unpacked(row, source.read_bytes(), filename)
    made_for = provenance_of(io.BytesIO(data)).get("configuration")
    if made_for is not None:
        raise WeightsMismatch(f"{filename} is a converted file already, of {made_for}; give the file it was made from")
    found = checksums(data)
    published = is_published(row, found) if own_labels is None else False
    if not published:
        _refuse_bytes_of_another(row, found, filename)
    try:
        state = FAMILIES[row.family].read_upstream(data, filename, row)
    except WeightsMismatch as error:
        if own_labels is not None or FAMILIES[row.family].with_classes is None:
            raise
        hint = "if it is your own net, trained further on other classes, give their names: --labels FILE"
        raise WeightsMismatch(f"{error}; {hint}") from error
    with torch.device("meta"):
        net = row.net.build()
    check_tensors(state, net, row.name, filename)
    if not published:
        _refuse_name_of_another(row, filename)
    authors = source is None or published or (published is None and filename == row.upstream.filename)
    own = _settings_given(row, settings, authors and own_labels is None, own_labels is not None, filename)
    provenance = {
        "format": 1,
        "configuration": row.name,
        "source_file": filename,
        "source_sha256": found.sha256,
        "source_git_blob": found.git_blob,
        **({"source_md5": found.md5} if row.upstream.md5 is not None else {}),
        "upstream_url": row.upstream.url,
        "licence": row.upstream.licence,
        "copyright": row.upstream.copyright,
        "citation": row.citation,
        "converter": f"hear_edgel3 {__version__}",
    }
    if own:
        provenance["settings"] = dict(own)
    if own_labels is not None:
        provenance["labels"] = [[label.name, label.mid] for label in own_labels]
    return Converted(published_row, state, provenance, published)


def _settings_given(
    row: Published, given: Mapping[str, Any] | None, authors: bool, trained_further: bool, filename: str
) -> Mapping[str, Any]:
    """The settings of the net in a file: the row's if it is the authors', else those that are given."""
    known = settings_of(row)
    words = ", ".join(f"{name}={value:g}" for name, value in known.items())
    if given is None:
        if authors or not known:
            return known
        raise InvalidOption(
            f"{filename} is not known to be the file that {row.name}'s authors published, and nothing in it shows its "
            f"{', '.join(known)}, without which its results would be others: give what its training ended with, "
            f"--setting {words} if that is what {row.name} has"
        )
    problem = settings_problem(row, given)
    if problem is not None:
        raise InvalidOption(f"the settings do not fit {row.name}: {problem}")
    if dict(given) != known and not trained_further:
        raise InvalidOption(
            f"{row.name} has {words}; a net of your own may have another if it has classes of its own (--labels)"
        )
    return given


def _from_package(row: Published, path: Path) -> bytes:
    """The authors' file in an installed package."""
    data = path.read_bytes()
    if is_published(row, checksums(data)) is False:
        assert row.upstream.packaged is not None
        raise WeightsCorrupt(
            f"{path} is not the published file of {row.name}: expected {expected_checksum(row)}, found sha256 "
            f"{checksums(data).sha256}; install {row.upstream.packaged.distribution} again"
        )
    return data


def _with_classes(row: Published, n_classes: int) -> Published:
    changed = with_classes(by_name(row.name), n_classes).checkpoint
    assert isinstance(changed, Published)
    return changed


def _refuse_bytes_of_another(row: Published, found: Checksums, filename: str) -> None:
    for other in checkpoints():
        if other.name != row.name and is_published(other, found):
            raise WeightsMismatch(
                f"{filename} is the published file of {other.name}, not of {row.name}: expected {_settings(row)}, "
                f"found {_settings(other)}"
            )


def _refuse_name_of_another(row: Published, filename: str) -> None:
    """Nets of the same shapes may have other front ends: their parameters fit, and their results are wrong."""
    for other in checkpoints():
        if other.name != row.name and filename == other.upstream.filename != row.upstream.filename:
            raise WeightsMismatch(
                f"{filename} is the name of the published file of {other.name}, not of {row.name}: expected "
                f"{row.upstream.filename} ({_settings(row)}), found {_settings(other)}; rename it if it is another file"
            )


def _settings(row: Published) -> str:
    """What a row's front end and net are built with."""
    arguments = {**row.frontend.arguments, **row.net.arguments}
    return ", ".join(f"{name} {value}" for name, value in arguments.items())


def install(row: Published) -> Path:
    """Fetches, verifies and converts the published file of a checkpoint into the user's cache.

    Returns:
        Path of the converted file, where ``hear_edgel3.load`` finds it.

    Raises:
        As :func:`convert`; OutputError if the cache cannot be written.
    """
    target = cache_folder() / row.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the cache folder {target.parent}: {error.strerror or error}; name one that can be written "
            f"in ${CACHE_VARIABLE}"
        ) from error
    converted = convert(row)
    converted.write(target)
    return target


def _require_reader(row: Published) -> None:
    """Finds out before a download whether the library that reads the format is there."""
    if row.upstream.filename.endswith(KERAS_ENDINGS):
        from hear_edgel3.families.formats.keras import require_h5py

        require_h5py()
