"""What the commands do, for ``python -m weights_convert`` and for ``hear-edgel3 weights``.

Results go to stdout, notes to stderr. One checkpoint that fails does not stop the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, OutputError, WeightsMismatch
from hear_edgel3.families.schema import Published
from hear_edgel3.registry.labels import Label, read_labels
from hear_edgel3.registry.names import checkpoints, published
from hear_edgel3.weights.cache import cache_folder
from hear_edgel3.weights.convert import convert, install
from hear_edgel3.weights.file import check_tensors, read_weights
from hear_edgel3.weights.locate import locate
from hear_edgel3.weights.upstream import expected_checksum
from weights_convert.publish import publish
from weights_convert.verify import verify

if TYPE_CHECKING:
    import torch

# The largest error that embeddings of converted weights may have, if nothing else is said.
TOLERANCE = 5e-4


def rows_of(names: Sequence[str], every: bool) -> list[Published]:
    """The checkpoints that were asked for.

    Args:
        names: of checkpoints.
        every: all of them instead.

    Raises:
        UnknownConfiguration: one does not exist, or is not published by its authors.
    """
    return list(checkpoints()) if every else [published(name) for name in names]


def fetch_all(rows: Sequence[Published], again: bool = False) -> int:
    """Sees to it that the weights of checkpoints are on this machine; prints where.

    Args:
        rows: the checkpoints.
        again: download and convert also what is there.

    Returns:
        How many failed.
    """

    def fetch(row: Published) -> None:
        path = install(row) if again else locate(row)
        print(f"{path}  sha256={sha256_of(path)}")

    return _each(rows, fetch, "fetched")


def convert_all(
    rows: Sequence[Published],
    source: Path | None = None,
    output: str | None = None,
    reference: Path | None = None,
    tolerance: float = TOLERANCE,
    every: bool = False,
    own_labels: Path | None = None,
) -> int:
    """Converts the authors' files; prints the names of the converted ones with their sha256.

    Args:
        rows: the checkpoints.
        source: the upstream file, or a folder of such; None to download them.
        output: the file to write, or a folder; None for the cache.
        reference: embeddings of the original that must be met first; see :func:`weights_convert.verify.verify`.
        tolerance: how far they may be off.
        every: leave out checkpoints whose file the source folder does not have.
        own_labels: the list of the classes of a net that was trained further on them; see
            :func:`hear_edgel3.registry.labels.read_labels`.

    Returns:
        How many failed.

    Raises:
        InvalidOption: the source is one file for several checkpoints, or has none of them; or the list cannot be read,
            or is not for one file with an output of its own.
        OutputError: the output folder cannot be made.
    """
    classes = None if own_labels is None else read_labels(own_labels)
    if classes is not None and (len(rows) != 1 or source is None or source.is_dir() or output is None):
        # In the cache it would stand for the authors' net.
        raise InvalidOption("labels are for one net of your own: give its name, its file (--source) and an --output")
    sources = [(row, _source(row, source)) for row in rows]
    if every and source is not None:
        sources = [(row, file) for row, file in sources if file is not None and file.is_file()]
        if not sources:
            raise InvalidOption(f"the folder {source} has none of the published files")
    files = {row.name: file for row, file in sources}

    def one(row: Published) -> None:
        _one(row, files[row.name], _target(row, output, len(sources) > 1), reference, tolerance, classes)

    return _each([row for row, _ in sources], one, "converted")


def verify_all(
    rows: Sequence[Published], weights: Path | None, reference: Path | None = None, tolerance: float = TOLERANCE
) -> int:
    """Checks that converted files are sound and fit their checkpoint; prints their names, and where they come from.

    With a reference they must also give the embeddings of the original.

    Args:
        rows: the checkpoints.
        weights: a converted file, or a folder of such; None for the places that are looked into.
        reference: see :func:`weights_convert.verify.verify`.
        tolerance: how far embeddings may be off.

    Returns:
        How many failed.
    """

    def one(row: Published) -> None:
        path = locate(row, weights)
        file = read_weights(path)
        made_for = file.provenance.get("configuration")
        if isinstance(made_for, str) and made_for != row.name:
            raise WeightsMismatch(f"{path} holds the weights of {made_for}, not of {row.name}")
        check_tensors(file.tensors, row.net.build(), row.name, str(path))
        if reference is not None:
            _compare(row, file.tensors, reference, tolerance)
        print(f"{path}  sha256={file.sha256}")
        print(f"{row.name}: sound, {_where_from(row, file.provenance)}", file=sys.stderr)

    return _each(rows, one, "verified")


def publish_all(rows: Sequence[Published], weights: Path | None, repo_id: str | None, upload: bool) -> None:
    """Puts converted weights on the Hub, or shows what would go there. Prints the lines for the registry.

    Args:
        rows: the checkpoints.
        weights: a converted file, or a folder of such; None for the places that are looked into.
        repo_id: the repository, if not the registry's.
        upload: whether to do it.
    """
    for row in rows:
        done = publish(row, locate(row, weights), repo_id, upload)
        if done.revision is None:
            print(
                f"dry run: would put {done.filename} ({done.size} bytes) and this card into {done.repo_id}:\n\n"
                f"{done.card}\nadd --upload to do it",
                file=sys.stderr,
            )
        else:
            print(
                f"put {row.name} into {done.repo_id}; paste into _PUBLISHED of its family's registry:", file=sys.stderr
            )
        print(f'"{row.name}": ("{done.revision or "REVISION"}", "{done.sha256}", {done.size}),')


def _each(rows: Sequence[Published], do: Callable[[Published], None], done: str) -> int:
    failed = 0
    for row in rows:
        try:
            do(row)
        except HearEdgeL3Error as error:
            failed += 1
            print(f"error: {row.name}: {error}", file=sys.stderr)
    if failed and len(rows) > 1:
        print(f"{failed} of {len(rows)} checkpoints were not {done}", file=sys.stderr)
    return failed


def _where_from(row: Published, provenance: dict[str, object]) -> str:
    """In words, what a converted file says of its source."""
    if not provenance:
        return "made by another program: it does not say where it comes from"
    known = {row.upstream.git_blob: "source_git_blob", row.upstream.sha256: "source_sha256"}
    checks = [provenance.get(key) == value for value, key in known.items() if value is not None]
    if not checks:
        return f"from {provenance.get('source_file')}, of which no checksum is known"
    return (
        "from the published file"
        if all(checks)
        else f"from another file than the published one: {provenance.get('source_file')}"
    )


def _one(
    row: Published,
    source: Path | None,
    target: Path,
    reference: Path | None,
    tolerance: float,
    classes: tuple[Label, ...] | None,
) -> None:
    converted = convert(row, source, classes)
    source_file = converted.provenance["source_file"]
    if converted.published is False:
        print(
            f"note: {source_file} is not, byte for byte, the file published as {row.name} ({expected_checksum(row)}); "
            f"converted as it is",
            file=sys.stderr,
        )
    elif converted.published is None:
        print(
            f"note: no checksum of the file published as {row.name} is known; {source_file} fits by names and shapes",
            file=sys.stderr,
        )
    if reference is not None:
        _compare(row, converted.state, reference, tolerance)
    sha256 = converted.write(target)
    print(f"{target}  sha256={sha256}")


def _compare(row: Published, state: dict[str, torch.Tensor], reference: Path, tolerance: float) -> None:
    for result in verify(row, state, reference, tolerance):
        print(
            f"verified {row.name} on {result.name}: {result.windows} windows, largest error "
            f"{result.max_error:.2g}, smallest cosine {result.min_cosine:.8f}",
            file=sys.stderr,
        )


def _source(row: Published, given: Path | None) -> Path | None:
    if given is None or not given.is_dir():
        return given
    packed = given / row.upstream.filename
    unpacked = packed.with_suffix("") if packed.suffix == ".gz" else packed
    return unpacked if unpacked.is_file() and not packed.is_file() else packed


def _target(row: Published, given: str | None, several: bool) -> Path:
    folder = cache_folder() if given is None else Path(given)
    if given is not None and not several and not folder.is_dir() and not given.endswith(os.sep):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    return folder / row.filename
