"""What the commands do, for ``python -m weights_convert`` and for ``hear-edgel3 weights``.

Results go to stdout, notes to stderr. One checkpoint that fails does not stop the others.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hear_edgel3._checks import shown
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.paths import printable, text_of_path
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.registry.labels import Label, read_labels
from hear_edgel3.registry.names import checkpoints, published, resolve
from hear_edgel3.weights.convert import convert, install
from hear_edgel3.weights.file import WeightsFile, decode, encode, encode_sparse
from hear_edgel3.weights.header import Quantization
from hear_edgel3.weights.header import provenance as provenance_of
from hear_edgel3.weights.inventory import stored_weights
from hear_edgel3.weights.locate import locate
from hear_edgel3.weights.upstream import expected_checksum
from weights_convert.publish import publish
from weights_convert.quantize import (
    Quantized,
    origin_of,
    quantize_file,
    quantize_folder,
    quantized,
    read_fitting,
    stored_otherwise,
    with_own_classes,
)
from weights_convert.verify import MIN_COSINE, Comparison, compare_states, verify

if TYPE_CHECKING:
    import torch

_Row = TypeVar("_Row", Published, Checkpoint)

# The largest error that embeddings of converted weights may have, if nothing else is said. It is for float weights.
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


def rows_or_folders_of(names: Sequence[str]) -> list[Checkpoint]:
    """As :func:`rows_of`, but names may also be folders of nets made here, or the built-in net.

    Raises:
        UnknownConfiguration: one does not exist.
        ConfigurationError: a folder's description is damaged.
    """
    return [row if isinstance(row := resolve(name).checkpoint, Local) else published(name) for name in names]


def read_settings(texts: Sequence[str] | None) -> dict[str, Any] | None:
    """Settings as they stand on the command line, each as ``name=value``; None if there are none.

    Raises:
        InvalidOption: One is not of that form, or given twice.
    """
    if not texts:
        return None
    found: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            number = json.loads(value)
        except (ValueError, RecursionError):
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise InvalidOption(f"a setting must be a name and a number, as tau=1; got {shown(text)}")
        if name in found:
            raise InvalidOption(f"the setting {name} is given twice")
        found[name] = number
    return found


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
        _put(path, sha256_of(path))

    return _each(rows, fetch, "fetched")


def convert_all(
    rows: Sequence[Published],
    source: Path | None = None,
    output: str | None = None,
    reference: Path | None = None,
    tolerance: float | None = None,
    every: bool = False,
    own_labels: Path | None = None,
    quantize: bool = False,
    dense: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> int:
    """Converts the authors' files; prints the names of the converted ones with their sha256.

    Args:
        rows: the checkpoints.
        source: the upstream file, or a folder of such; None to download them. If they are to be quantised, or a pruned
            net's zeros are to be left out or put back, it may also be a file that was converted before.
        output: the file to write, or a folder; None for the cache.
        reference: embeddings of the original that must be met first; see :func:`weights_convert.verify.verify`. Weights
            that are quantised must meet them before they are.
        tolerance: how far they may be off; None for 5e-4.
        every: leave out checkpoints whose file the source folder does not have.
        own_labels: the list of the classes of a net that was trained further on them; see
            :func:`hear_edgel3.registry.labels.read_labels`.
        quantize: whether weights shall be int8; see :mod:`hear_edgel3.weights.quantized`.
        dense: whether the zeros of pruned nets shall be stored too; see :mod:`hear_edgel3.weights.sparse`.
        settings: as for :func:`hear_edgel3.weights.convert.convert`.

    Returns:
        How many failed.

    Raises:
        InvalidOption: the source is one file for several checkpoints, or has none of them; or the list cannot be read,
            or is not for one file with an output of its own; or weights are to be quantised into the cache.
        OutputError: the output folder cannot be made.
    """
    if quantize and output is None:
        raise InvalidOption(
            "quantised weights need an --output: in the cache they would stand for the float ones under their name"
        )
    classes = None if own_labels is None else read_labels(own_labels)
    if classes is not None and (len(rows) != 1 or source is None or source.is_dir() or output is None):
        # In the cache it would stand for the authors' net.
        raise InvalidOption("labels are for one net of your own: give its name, its file (--source) and an --output")
    if settings is not None and (len(rows) != 1 or source is None):
        raise InvalidOption("settings are for one net of your own: give its name and its file (--source)")
    sources = [(row, _source(row, source)) for row in rows]
    if every and source is not None:
        sources = [(row, file) for row, file in sources if file is not None and file.is_file()]
        if not sources:
            raise InvalidOption(f"the folder {source} has none of the published files")
    files = {row.name: file for row, file in sources}

    def one(row: Published) -> None:
        target = _target(row, output, len(sources) > 1)
        _one(row, files[row.name], target, reference, tolerance, classes, quantize, dense, settings)

    return _each([row for row, _ in sources], one, "converted")


def net_to_quantize(names: Sequence[str]) -> Local | None:
    """The net that lives in a folder, or is built in, if that is what was asked for; None for published ones.

    Raises:
        InvalidOption: it was asked for with others.
        UnknownConfiguration: a name does not exist.
        ConfigurationError: the folder's description is damaged.
    """
    found = [row for row in rows_or_folders_of(names) if isinstance(row, Local)]
    if found and len(names) > 1:
        raise InvalidOption(f"{found[0].name} lives in a folder of its own: quantise it by itself")
    return found[0] if found else None


def quantize_net(row: Local, output: str | None, others: Sequence[str] = (), dense: bool = False) -> None:
    """Writes a folder with the int8 weights of a net that lives in one; prints the name of the weights file.

    Args:
        row: the net.
        output: the new folder.
        others: options that were given and are for published checkpoints only.
        dense: whether the zeros of pruned nets shall be stored too.

    Raises:
        InvalidOption: there is no output, it is named like a weights file, or there are such options.
        As :func:`weights_convert.quantize.quantize_folder`.
    """
    if output is None or others:
        raise InvalidOption(
            f"{row.name} is quantised from {row.folder} into a new folder: give --output"
            + (f" and leave out {', '.join(others)}" if others else "")
        )
    if Path(output).suffix.lower() == ".safetensors":
        raise InvalidOption(
            f"--output {output} is named like a file, but {row.name} is quantised into a new folder, with its "
            "description beside its weights: give the folder's name"
        )
    made = quantize_folder(row, Path(output), dense)
    path = Path(output) / row.weights_file
    _put(path, sha256_of(path))
    _say_how_far(made)


def verify_all(
    rows: Sequence[Checkpoint],
    weights: Path | None,
    reference: Path | None = None,
    tolerance: float | None = None,
    against: Path | None = None,
) -> int:
    """Checks that converted files are sound and fit their checkpoint; prints their names, and where they come from.

    With a reference they must also give the embeddings of the original. Of quantised weights it says how far their
    embeddings are from those of the float ones, if these are at hand.

    Args:
        rows: the checkpoints.
        weights: a converted file, or a folder of such; None for the places that are looked into.
        reference: see :func:`weights_convert.verify.verify`. Its windows also serve for ``against``.
        tolerance: how far embeddings may be off; None for 5e-4, and for what is found if the weights are quantised.
        against: other weights of the same net, as ``weights``, to say how far embeddings are from theirs; None for the
            file that quantised weights say they were made from, if it is in one of the places that are looked into.

    Returns:
        How many failed.
    """

    def one(row: Checkpoint) -> None:
        path = locate(row, weights)
        fitting, file = read_fitting(row, path)
        how = file.quantization
        stored = how if how is not None and how.int8 else None  # whose values are not those of the float weights
        if reference is not None:
            limit = tolerance if stored is None or tolerance is not None else math.inf
            _compare(fitting, file.tensors, reference, limit, stored is not None)
        _put(path, file.sha256)
        kind = "" if how is None else f" {how.in_words} weights"
        say(f"{row.name}: sound{kind}, {_where_from(row, file.provenance)}")
        other = locate(row, against) if against is not None else None if stored is None else _made_from(stored)
        if other is not None:
            _, before = read_fitting(row, other)
            _say_against(row, other, before, stored, compare_states(fitting, file.tensors, before.tensors, reference))
        elif stored is not None:
            say(
                f"{row.name}: not compared with the float weights, which are not on this machine (sha256 "
                f"{stored.source_sha256}); give a file of them: --against FILE"
            )

    return _each(rows, one, "verified")


def _made_from(stored: Quantization) -> Path | None:
    """The float file that quantised weights were made from, if it is where weights are looked for."""
    if stored.source_sha256 is None:
        return None
    return next((file.path for file in stored_weights() if file.sha256 == stored.source_sha256), None)


def _say_against(
    row: Checkpoint, other: Path, before: WeightsFile, stored: Quantization | None, results: Sequence[Comparison]
) -> None:
    if stored is not None and stored.source_sha256 not in (None, before.sha256):
        say(f"note: {other} is not the file that the {stored.in_words} weights were made from")
    for result in results:
        say(f"{row.name} against {other}, {_in_words(result)}")


def _say_how_far(made: Quantized, reference: Path | None = None) -> None:
    """How much smaller quantised weights are, and how far their embeddings are from those of the float ones."""
    row = made.row
    how = made.how
    encoded = encode_sparse if how.sparse else encode
    floats = len(encoded(made.before.tensors, origin_of(made.before)))
    say(f"{row.name}: {how.in_words} weights, {len(made.data)} bytes instead of {floats}")
    for result in compare_states(row, made.after, made.before.tensors, reference):
        say(f"{row.name}: int8 against float, {_in_words(result)}")


def _in_words(result: Comparison) -> str:
    return (
        f"{result.name}: {result.windows} windows, largest difference {result.max_error:.2g} (of values up to "
        f"{result.peak:.3g}), smallest cosine {result.min_cosine:.8f}"
    )


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
            say(
                f"dry run: would put {done.filename} ({done.size} bytes) and this card into {done.repo_id}:\n\n"
                f"{done.card}\nadd --upload to do it"
            )
        else:
            say(f"put {row.name} into {done.repo_id}; paste into _PUBLISHED of its family's registry:")
        print(f'"{row.name}": ("{done.revision or "REVISION"}", "{done.sha256}", {done.size}),')


def _put(path: Path, sha256: str) -> None:
    """Prints where a weights file is, with nothing in its name that a terminal would obey."""
    print(f"{printable(text_of_path(path))}  sha256={sha256}")


def _each(rows: Sequence[_Row], do: Callable[[_Row], None], done: str) -> int:
    failed = 0
    for row in rows:
        try:
            do(row)
        except HearEdgeL3Error as error:
            failed += 1
            say(f"error: {row.name}: {error}")
    if failed and len(rows) > 1:
        say(f"{failed} of {len(rows)} checkpoints were not {done}")
    return failed


def _where_from(row: Checkpoint, provenance: dict[str, object]) -> str:
    """In words, what a converted file says of its source."""
    if not provenance:
        return "made by another program: it does not say where it comes from"
    if not isinstance(row, Published):
        return f"made by {provenance.get('made_by', 'another program')}"
    said = {name: provenance.get(f"source_{name}") for name in row.upstream.checksums}
    # Files that were converted before the published one's md5 was known do not say theirs.
    checks = [said[name] == value for name, value in row.upstream.checksums.items() if name != "md5" or said[name]]
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
    tolerance: float | None,
    classes: tuple[Label, ...] | None,
    quantize: bool,
    dense: bool,
    settings: Mapping[str, Any] | None,
) -> None:
    if quantize and source is not None and _is_ours(source):
        if classes is not None or settings is not None:
            raise InvalidOption(
                f"{source} is a converted file already, with its classes and settings; leave out --labels and --setting"
            )
        if target.exists() and target.samefile(source):
            raise InvalidOption(f"{target} is the source; give another --output")
        made = quantize_file(row, source, dense=dense)
        if reference is not None:
            _compare(made.row, made.before.tensors, reference, tolerance)
        _write_quantized(made, target, reference)
        return
    if source is not None and classes is None and settings is None and _is_ours(source):
        data = stored_otherwise(row, source, dense)
        if data is not None:
            if reference is not None:
                file = decode(data, str(source))
                _compare(with_own_classes(row, file, str(source)), file.tensors, reference, tolerance)
            _write(data, target)
            return
    converted = convert(row, source, classes, settings)
    source_file = converted.provenance["source_file"]
    if converted.published is False:
        say(
            f"note: {source_file} is not, byte for byte, the file published as {row.name} ({expected_checksum(row)}); "
            f"converted as it is"
        )
    elif converted.published is None:
        say(f"note: no checksum of the file published as {row.name} is known; {source_file} fits by names and shapes")
    if reference is not None:
        _compare(row, converted.state, reference, tolerance)
    if quantize:
        file = decode(converted.to_bytes(dense), source_file)
        own = with_own_classes(row, file, source_file)
        _write_quantized(quantized(own, file, source_file, dense), target, reference)
        return
    sha256 = converted.write(target, dense)
    _put(target, sha256)


def _write_quantized(made: Quantized, target: Path, reference: Path | None) -> None:
    _write(made.data, target)
    _say_how_far(made, reference)


def _write(data: bytes, target: Path) -> None:
    with atomic_write(target) as file:
        file.write(data)
    _put(target, sha256_of(target))


def _is_ours(path: Path) -> bool:
    """Whether a file is one that this package has written."""
    try:
        with path.open("rb") as file:
            return provenance_of(file).get("configuration") is not None
    except OSError:
        return False  # the converter says what is wrong


def _compare(
    row: Checkpoint,
    state: dict[str, torch.Tensor],
    reference: Path,
    tolerance: float | None,
    quantized: bool = False,
) -> None:
    limit = TOLERANCE if tolerance is None else tolerance
    for result in verify(row, state, reference, limit, -1.0 if quantized else MIN_COSINE):
        say(
            f"verified {row.name} on {result.name}: {result.windows} windows, largest error "
            f"{result.max_error:.2g}, smallest cosine {result.min_cosine:.8f}"
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
