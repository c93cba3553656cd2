"""``edgel3.cli``: the command of edgel3, and the function that it calls."""

from __future__ import annotations

import math
import os
import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from hear_edgel3._checks import check_path
from hear_edgel3._interrupts import interruptible
from hear_edgel3.audio.find import AUDIO_SUFFIXES
from hear_edgel3.disk.atomic import check_writable, make_folder
from hear_edgel3.disk.paths import printable, real_path, text_of
from hear_edgel3.disk.stderr import say
from hear_edgel3.disk.temporary import sweep
from hear_edgel3.edgel3.checks import check_names, check_options, remarks
from hear_edgel3.edgel3.edgel3_exceptions import EdgeL3Error
from hear_edgel3.edgel3.edgel3_warnings import EdgeL3Warning
from hear_edgel3.edgel3.models import configuration_name, load_embedding_model
from hear_edgel3.errors import AudioFileError, ComputationError, InvalidOption
from hear_edgel3.extractor.npz import plan_outputs, save_npz
from hear_edgel3.families.l3.rows import sea_sizes, sparsities
from hear_edgel3.registry.names import resolve


def positive_float(value: Any) -> float:
    """A positive number, for argparse.

    Args:
        value: text or a number.

    Raises:
        ArgumentTypeError: it is no number, or not a positive and finite one.
    """
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise ArgumentTypeError(f"must be a positive number, got {value}")
    return number


def get_file_list(input_list: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The files that a list of files and folders means.

    Args:
        input_list: files are taken as they are; folders give the files in them, but not in folders inside, that have
            the ending of a format that can be read, sorted by name.

    Returns:
        Paths; what is named twice is there twice.

    Raises:
        ArgumentTypeError: not a list (or another iterable) of paths, but one path or something else.
        EdgeL3Error: an input does not exist, is a folder that cannot be read, or not a path.
    """
    if isinstance(input_list, (str, bytes, os.PathLike)) or not isinstance(input_list, Iterable):
        raise ArgumentTypeError(f"input_list must be a list of paths, got {input_list!r}")
    files: list[str] = []
    for item in input_list:
        check_path(item, "an input", empty=True)
        if os.path.isdir(item):
            files.extend(_audio_in(item))
        elif os.path.exists(item):
            files.append(os.path.abspath(item))
        else:
            raise AudioFileError(f"{os.fspath(item)!r} does not exist; give an audio file, or a folder of them")
    return files


def _audio_in(folder: str | os.PathLike[str]) -> list[str]:
    try:
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except OSError as error:
        raise AudioFileError(f"the folder {os.fspath(folder)} cannot be opened: {error.strerror or error}") from error
    return [path for path in paths if os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES and os.path.isfile(path)]


def run(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str] | None = None,
    suffix: str | None = None,
    model_type: str = "sparse",
    emb_dim: float = 128,
    retrain_type: str = "ft",
    sparsity: float = 95.45,
    center: bool = True,
    hop_size: float = 0.1,
    verbose: bool = False,
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Computes the embeddings of files and saves each as ``<name>[_<suffix>].npz``, replacing older ones.

    A file that cannot be embedded does not stop the others; what failed is raised when all have had their turn. Options
    and inputs are checked before any work: one that does not exist is an error at once.

    Args:
        inputs: a file or folder, or a list of them; folders as for :func:`get_file_list`. Each file is embedded once,
            however often it is named.
        output_dir: folder for the results, made if there is none; None for each file's own. Files that would share a
            result get as much of their ending and folders into its name as tells them apart (``a_wav.npz``).
        suffix: added to the names of the results.
        model_type: as for ``get_embedding``, like the remaining options.
        emb_dim: 512, 256, 128 or 64, for "sea".
        retrain_type: "ft" or "kd", for "sparse".
        sparsity: percent of weights pruned, for "sparse".
        center: pad the beginning by half a window, so that timestamps are the middles of the windows.
        hop_size: seconds between windows.
        verbose: say on stdout which file is being embedded.
        weights: a converted weights file; None to find or fetch it.

    Raises:
        EdgeL3Error: an option or input cannot be used, or a file could not be embedded (if several could not, all are
            in the message).
        SystemExit: with -1, as edgel3 does, if the inputs are folders without audio.
    """
    check_options(center, int(bool(verbose)))
    check_names(output_dir, suffix)
    name = configuration_name(model_type, emb_dim, retrain_type, sparsity)
    files, failed = _inputs(inputs)
    total = len(files) + len(failed)
    targets = plan_outputs(files, suffix, output_dir)
    # What imports torch comes after the mistakes that can be told without it.
    from hear_edgel3.extractor.framings import file_framing

    file_framing(resolve(name), hop_size, center)
    if output_dir is not None:
        make_folder(output_dir)
    sweep(targets)
    jobs = []
    for source, target in zip(files, targets, strict=True):
        try:
            check_writable(target)
        except EdgeL3Error as error:
            failed.append((str(source), error))
        else:
            jobs.append((source, target))
    if jobs:
        model = load_embedding_model(model_type, emb_dim, retrain_type, sparsity, weights)
        failed += _embed(jobs, model, hop_size, center, verbose)
    _raise_failures(failed, total)
    if verbose:
        print("Edgel3: Done!")


def _inputs(inputs: Any) -> tuple[list[Path], list[tuple[str, EdgeL3Error]]]:
    """The files, each once, and the folders that have none, each with its error."""
    if isinstance(inputs, (str, os.PathLike)):
        names = [inputs]
    elif isinstance(inputs, Iterable) and not isinstance(inputs, bytes):
        names = list(inputs)
    else:
        raise InvalidOption(f"inputs must be a path or a list of paths, got {inputs!r}")
    files: dict[str, Path] = {}
    failed: list[tuple[str, EdgeL3Error]] = []
    for name in names:
        found = get_file_list([name])
        if not found:
            text = f"the folder {os.fspath(name)} has no audio files (folders inside it are not looked into)"
            failed.append((os.fspath(name), AudioFileError(text)))
        for path in found:
            files.setdefault(real_path(path), Path(path))
    if not files:
        shown = names if isinstance(inputs, Iterable) and not isinstance(inputs, str) else inputs
        print(printable(f"Edgel3: No WAV files found in {text_of(str(shown))}. Aborting."))
        sys.exit(-1)
    return list(files.values()), failed


def _embed(
    jobs: Sequence[tuple[Path, Path]], model: Any, hop_size: float, center: bool, verbose: bool
) -> list[tuple[str, EdgeL3Error]]:
    """Embeds files; returns those that failed, each with its error."""
    from hear_edgel3.disk.state import file_state
    from hear_edgel3.extractor.clip import embed_file

    failed: list[tuple[str, EdgeL3Error]] = []
    for source, target in jobs:
        if verbose:
            print(printable(f"Edgel3: Processing: {text_of(source)}"), flush=True)
        try:
            state = file_state(source)
            clip = embed_file(source, model, hop_size=hop_size, center=center)
            save_npz(target, clip, source, state)
        except EdgeL3Error as error:
            failed.append((str(source), error))
        except (RuntimeError, MemoryError) as error:  # torch says so that memory is full; the next file may fit
            failed.append((str(source), ComputationError(f"{source}: {error}")))
        else:
            for text in remarks(clip, model):
                warnings.warn(f"{source}: {text}", EdgeL3Warning, stacklevel=3)
    return failed


def _raise_failures(failed: Sequence[tuple[str, EdgeL3Error]], total: int) -> None:
    if len(failed) == total == 1:
        raise failed[0][1]
    if failed:
        lines = [text if name in (text := str(error)) else f"{name}: {text}" for name, error in failed]
        raise EdgeL3Error(f"{len(failed)} of {total} inputs could not be embedded:\n  " + "\n  ".join(lines))


def parse_args(args: Sequence[str]) -> Namespace:
    """Reads the command line of edgel3.

    Args:
        args: without the program's name.
    """
    parser = ArgumentParser(
        "python -m hear_edgel3.edgel3",
        description="Computes audio embeddings with sparse L3 or SEA models, as edgel3 does: one .npz per file.",
    )
    parser.add_argument("inputs", nargs="+", help="audio files, or folders of them")
    parser.add_argument(
        "--output-dir", "--output", "-o", metavar="DIR", help="where results go (default: beside each input)"
    )
    parser.add_argument("--suffix", "-x", metavar="TEXT", help="added to the names of the results")
    parser.add_argument("--model-type", "-mtype", choices=("sparse", "sea"), default="sparse", help="default sparse")
    parser.add_argument(
        "--emb-dim", "-e", type=int, choices=sorted(sea_sizes(), reverse=True), default=128, help="of sea; default 128"
    )
    parser.add_argument("--retrain-type", "-retrain", choices=("ft", "kd"), default="ft", help="of sparse; default ft")
    parser.add_argument(
        "--model-sparsity",
        "-sp",
        type=positive_float,
        choices=list(sparsities()),
        default=95.45,
        help="percent of the weights pruned, of sparse; default 95.45",
    )
    parser.add_argument(
        "--no-centering",
        "-n",
        action="store_true",
        help="do not pad the beginning: timestamps are the starts of the windows, not their middles",
    )
    parser.add_argument(
        "--hop-size", "-t", type=positive_float, default=0.1, metavar="SECONDS", help="between windows; default 0.1"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors and warnings")
    parser.add_argument("--weights", metavar="FILE", help="converted weights, or a folder of them")
    return parser.parse_args(args)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. It returns when all went well.

    Args:
        argv: without the program's name; None for this process's.

    Raises:
        SystemExit: with 1 when an input failed, 2 for wrong usage, 130 when interrupted, -1 for folders without audio.
    """
    arguments = parse_args(sys.argv[1:] if argv is None else argv)
    try:
        with interruptible(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            run(
                arguments.inputs,
                output_dir=arguments.output_dir,
                suffix=arguments.suffix,
                model_type=arguments.model_type,
                emb_dim=arguments.emb_dim,
                retrain_type=arguments.retrain_type,
                sparsity=arguments.model_sparsity,
                center=not arguments.no_centering,
                hop_size=arguments.hop_size,
                verbose=not arguments.quiet,
                weights=arguments.weights,
            )
    except EdgeL3Error as error:
        say(f"edgel3: {error}")
        sys.exit(2 if isinstance(error, InvalidOption) else 1)
    except KeyboardInterrupt:
        say("edgel3: interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`), and files may be left to do. Python would complain on its own
        # when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Stands in for ``warnings.showwarning``: a command's user has no use for the line of code."""
    say(f"edgel3: warning: {message}")
