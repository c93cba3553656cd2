"""Exports a configuration: the file is written where nobody looks, proven, and only then put in its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hear_edgel3._checks import check_paths, check_word
from hear_edgel3.disk.atomic import check_writable, copy_together
from hear_edgel3.engine.callers_state import own_state
from hear_edgel3.errors import ExportFailed, HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.exporting.card import FRONTEND, WHOLE
from hear_edgel3.exporting.clips import OwnClips, ProofClip, own_clips, sounds_read, usual_samples
from hear_edgel3.exporting.folders import check_folder, put_folder
from hear_edgel3.exporting.program import PARTS, has_pairs, length_in_samples, program_of
from hear_edgel3.exporting.proof import Proof
from hear_edgel3.exporting.proving import calibration_inputs, prove
from hear_edgel3.exporting.targets import MODULES, Target, files_of, fixed_s_of, target_of
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import load
from hear_edgel3.families.schema import UNNAMED, Checkpoint, Configuration, Local
from hear_edgel3.registry.folder import FILENAME
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.weights.locate import check_given


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: Where it is.
        card: What it says of itself.
        proof: How near to PyTorch it is, and what it costs.
        notes: What the user should know of the sounds that it was checked with or calibrated on.
    """

    path: Path
    card: dict[str, Any]
    proof: Proof
    notes: tuple[str, ...] = ()


@own_state()
def export(
    configuration: str | os.PathLike[str] | Extractor = BUILT_IN,
    output: str | os.PathLike[str] | None = None,
    *,
    to: str = "onnx",
    length: float | str | None = None,
    part: str = WHOLE,
    quantize: str = "none",
    calibrate: str | os.PathLike[str] | None = None,
    check: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Exported:
    """Writes a configuration as a file for another engine, once it is proven that it computes the same there.

    The file takes samples at the net's rate and puts out embeddings and, where there are classes, logits and
    probabilities; what it is, it says of itself. It is run in its own engine on tones, silence, clicks, noise and
    notes first, and compared with PyTorch.

    Args:
        configuration: a configuration's name (or folder), or an extractor, in float32 on the CPU.
        output: the file, or folder for "c" and "web"; None for the configuration's name, or its folder's if
            it has none, in the current folder.
        to: what for: "onnx"; "openvino": a file that ends in .xml, and its weights beside it in one that ends in .bin;
            "web": a folder with a page that listens; "c": a folder with a library in C99; or "litert" or
            "executorch": a file that ends in .tflite or .pte, and takes one window at a time.
        length: seconds of the windows that it takes, or "dynamic" for any; None for what suits the net: dynamic, or the
            only length that it takes. For "litert" and "executorch" never dynamic: None is one second where the
            net takes that.
        part: "whole", "net" (which takes the front end's images), or "frontend" (which puts them out).
        quantize: "none", or "int8": weights, and activations where that does not cost too much, in eight bits.
        calibrate: for "int8": sources of sounds of your own to measure on, besides built-in ones, what is lost.
        check: sources of sounds of your own to prove it on besides. Of both the first ten seconds of each file are
            taken, and no more than ten minutes in all: fewer seconds of more than sixty files, and of very many only
            some, spread evenly. ``notes`` of the result say so.
        weights: for a name: as in :func:`hear_edgel3.load`.

    Raises:
        UnknownConfiguration: no such name.
        InvalidOption: an option has a value that cannot be used, the net cannot be exported, or for "c" there is no
            compiler.
        MissingExtra: what the target needs is not installed.
        ExportFailed: the file does not compute the same; it was not written.
        OutputError: the file cannot be written.
        DownloadError: what runs a page cannot be fetched.
        AudioFileError, InvalidAudio: sounds to check with cannot be read.
        WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: see :mod:`hear_edgel3.weights`.
    """
    target = target_of(to)
    check_word(part, "part", PARTS)
    if part not in target.PARTS:
        flag = "--only-frontend" if part == FRONTEND else "--no-frontend"
        raise InvalidOption(f"a file for {to} has the whole net, the front end in it; leave part={part!r} ({flag}) out")
    check_word(quantize, "quantize", ("none", "int8"))
    check_paths(output=output, calibrate=calibrate, check=check)
    if quantize == "none" and calibrate is not None:
        raise InvalidOption("calibrate is for quantize='int8' (--quantize int8), which was not asked for")
    if quantize == "int8" and (part == FRONTEND or not target.INT8):
        what = "the front end alone" if part == FRONTEND else f"a file for {to}"
        raise InvalidOption(f"{what} is never in eight bits; leave quantize (--quantize) out")
    given = configuration if isinstance(configuration, Extractor) else None
    row = given.configuration if given is not None else resolve(configuration)  # type: ignore[arg-type]
    if given is None:
        check_given(row.checkpoint, weights)
    elif weights is not None:
        raise InvalidOption("weights goes with the name of a configuration, and an extractor has its own; leave it out")
    n_samples = _length(row.checkpoint, length, to, fixed_s_of(target))
    path = default_path(row, part, to) if output is None else Path(output)
    _check_ending(path, to)
    target.check_installed()
    if target.FOLDER:
        check_folder(path)
    else:
        _check_files(target, path, row.checkpoint, weights, (calibrate, check))
    rate = row.checkpoint.net_sample_rate
    usual = usual_samples(n_samples, rate)
    # Before the work: sounds that cannot be read would be told of at its end.
    calibrate_on, check_on = (
        OwnClips() if sounds is None else own_clips(os.fspath(sounds), rate, usual) for sounds in (calibrate, check)
    )
    notes = tuple(dict.fromkeys(one.note for one in (calibrate_on, check_on) if one.note is not None))
    extractor = given if given is not None else load(configuration, weights, engine="torch")  # type: ignore[arg-type]
    wanted = _Wanted(
        to,
        part,
        n_samples,
        path,
        quantize,
        calibrate_on.clips,
        check_on.clips,
    )
    with tempfile.TemporaryDirectory(prefix="hear_edgel3_export_") as folder:
        staged, card, proof = _made(extractor, target, wanted, folder, in_pairs=False)
        if not proof.passed and not target.FLOAT64 and has_pairs(extractor, part):
            staged, card, proof = _made(extractor, target, wanted, folder, in_pairs=True)
        if not proof.passed:
            report = {"file": None, "card": card, "proof": proof.to_dict(), "notes": [*notes]}
            told = "\n".join(proof.lines())
            alone = "" if part != WHOLE or target.FLOAT64 else " (its net alone may: leave the front end out)"
            raise ExportFailed(f"{path} was not written: it does not compute what PyTorch does{alone}.\n{told}", report)
        if target.FOLDER:
            put_folder(staged, path)
        else:
            copy_together([*zip(files_of(target, staged), files_of(target, path), strict=True)])
        return Exported(path, card, proof, notes)


@dataclass(frozen=True)
class _Wanted:
    to: str
    part: str
    n_samples: int | None
    path: Path
    quantize: str
    calibrate: Sequence[ProofClip]
    check: Sequence[ProofClip]


def _made(
    extractor: Extractor, target: Target, wanted: _Wanted, folder: str, in_pairs: bool
) -> tuple[Path, dict[str, Any], Proof]:
    """Makes a file in ``folder`` and proves it there: the file, what it says of itself, and the proof."""
    staged = Path(folder) / f"{'pairs' if in_pairs else 'staged'}{target.SUFFIX}"
    with program_of(extractor, wanted.part, wanted.n_samples, target.FLOAT64, in_pairs) as program:
        with _temporary(wanted.path, folder):
            target.write(program, staged)
        card, in_float = program.card, None
        if wanted.quantize == "int8":
            inputs = calibration_inputs(program, wanted.calibrate)
            in_float, staged = staged, Path(folder) / f"int8{target.SUFFIX}"
            with _temporary(wanted.path, folder):
                card = target.quantize(program, in_float, staged, inputs)
        proof = prove(program, wanted.to, target, staged, wanted.check, card.get("quantization"), in_float)
    return staged, card, proof


def _length(row: Checkpoint, length: float | str | None, to: str, fixed_s: float | None) -> int | None:
    """The samples of the only windows that a file takes; None for any."""
    if fixed_s is None or row.only_window_ms is not None:
        return length_in_samples(row, length)
    if length == "dynamic":
        raise InvalidOption(f"a file for {to} takes windows of one length only; give seconds, or leave length out")
    return length_in_samples(row, fixed_s if length is None else length)


@contextmanager
def _temporary(path: Path, folder: str) -> Iterator[None]:
    """Says of what cannot be written while nobody looks where that is, and where else it could be."""
    try:
        yield
    except HearEdgeL3Error:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} was not written: it is made in {folder} first, which cannot be written: "
            f"{error.strerror or error}; the variable TMPDIR can name another folder for what is temporary"
        ) from error


def _check_ending(path: Path, to: str) -> None:
    """Whoever names a file of another target has forgotten to say so, and would not find it by its ending later."""
    ending = path.suffix.lower()
    for other in MODULES:
        one = target_of(other)
        if other != to and ending == one.SUFFIX != target_of(to).SUFFIX and ending.startswith("."):
            raise InvalidOption(
                f"{str(path)!r} ends as files for {other} do, and this is for {to}: say --to {other} (to={other!r}), "
                "or name the output otherwise"
            )


def files_read(
    row: Checkpoint,
    weights: str | os.PathLike[str] | None,
    sounds: Sequence[str | os.PathLike[str] | None],
    place: Path,
) -> list[str | os.PathLike[str]]:
    """The files that an export is made of, which what is written is not to replace.

    Args:
        row: The net: those of its folder, if it is in one.
        weights: Those that were named.
        sounds: Those of somebody's own to calibrate on and to check with, as far as there are some.
        place: Where something is to be written.

    Raises:
        AudioFileError: Sounds are missing.
    """
    given = [] if weights is None else [weights]
    own = [row.folder / FILENAME, row.weights_path] if isinstance(row, Local) else []
    return [*own, *given, *(file for one in sounds if one is not None for file in sounds_read(one, place))]


def _check_files(
    target: Target,
    path: Path,
    row: Checkpoint,
    weights: str | os.PathLike[str] | None,
    sounds: Sequence[str | os.PathLike[str] | None],
) -> None:
    files = files_of(target, path)
    if len(files) > 1 and path.suffix != target.SUFFIX:
        raise InvalidOption(
            f"the output must end in {target.SUFFIX}, because the file beside it is named after it; got {str(path)!r}"
        )
    for file in files:
        check_writable(file, files_read(row, weights, sounds, file))


def default_path(configuration: Configuration, part: str, to: str) -> Path:
    """Where a file goes if nobody says where: it is called as the configuration or, if that has no name, as its folder.

    All that were made without a name are called alike, and one's file is not to replace another's.
    """
    name, row = configuration.name, configuration.checkpoint
    if isinstance(row, Local) and row.name == UNNAMED:
        name = (row.folder.resolve().name or row.name) + name.removeprefix(row.name)
    suffix = "" if part == WHOLE else f"_{part}"
    return Path(f"{Path(name).name}{suffix}{target_of(to).SUFFIX}")
