"""``hear-edgel3 export``: a configuration as a file, or folder, for another engine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put, say
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ExportFailed, InvalidOption
from hear_edgel3.exporting import targets
from hear_edgel3.registry.names import resolve


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a net as a file for another engine",
        description="Writes a configuration as a file that runs without PyTorch: samples in, embeddings and classes "
        "out. The file is run in its own engine and compared with PyTorch first; if it differs, none is written.",
    )
    options.add_name(parser, "NAME|FOLDER", "as `hear-edgel3 list` shows it, or a folder")
    parser.add_argument(
        "--to", default="onnx", metavar="TARGET", help=f"what for: {', '.join(targets.MODULES)} (default onnx)"
    )
    text = "the file, or folder (default: the configuration's name, or its folder's if it has none, in the current one)"
    options.add_output(parser, "PATH", text)
    parser.add_argument(
        "--length",
        type=_length,
        metavar="S|dynamic",
        help="seconds of the windows that it takes, or any (default: dynamic, or the only length that the net takes; "
        "for litert and executorch 1)",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--no-frontend", action="store_true", help="the net alone, which is given the front end's images")
    part.add_argument("--only-frontend", action="store_true", help="the front end alone, which puts images out")
    parser.add_argument(
        "--quantize",
        choices=["none", "int8"],
        default="none",
        help="int8: weights in eight bits, and activations where that does not cost too much (default none)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="FOLDER",
        help="for --quantize int8: measure what is lost on your own sounds too, of each the first ten seconds, "
        "and no more than ten minutes in all",
    )
    parser.add_argument(
        "--check",
        metavar="FOLDER",
        help="compare on your own sounds too, of each the first ten seconds, and no more than ten minutes in all: "
        "audio files, or what else has them",
    )
    parser.add_argument("--report", metavar="JSON", help="write the comparison to this file, also if it fails")
    options.add_weights(parser)
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def _length(text: str) -> float | str:
    return text if text == "dynamic" else options.positive("seconds, or dynamic")(text)


def _check_other_than_the_output(report: Path, arguments: argparse.Namespace, target: targets.Target) -> None:
    """One of them would be written over the other."""
    from hear_edgel3.disk.atomic import check_writable
    from hear_edgel3.exporting.run import default_path, files_read

    sounds = (arguments.calibrate, arguments.check)
    check_writable(report, files_read(resolve(arguments.name).checkpoint, arguments.weights, sounds, report))
    output = arguments.output
    if output is None:
        output = default_path(resolve(arguments.name), _part(arguments), arguments.to)
    if target.FOLDER and Path(os.path.realpath(output)) in Path(os.path.realpath(report)).parents:
        raise InvalidOption(
            f"report={str(report)!r} is in the folder that the export itself writes; name another place"
        )
    if os.path.realpath(report) in map(os.path.realpath, targets.files_of(target, Path(output))):
        raise InvalidOption(f"report={str(report)!r} is where the export itself goes; name another file")


def _part(arguments: argparse.Namespace) -> str:
    return "net" if arguments.no_frontend else "frontend" if arguments.only_frontend else "whole"


def _warn(notes: Iterable[str]) -> None:
    """Says that not all sounds were taken that were given, which nobody shall overlook."""
    for note in notes:
        say(f"warning: {note}")


def run(arguments: argparse.Namespace) -> int:
    """Exports, and tells how near to PyTorch the file is."""
    target = targets.target_of(arguments.to)
    target.check_installed()
    from hear_edgel3.disk.atomic import atomic_write
    from hear_edgel3.exporting.run import export

    report = None if arguments.report is None else Path(arguments.report)
    if report is not None:
        _check_other_than_the_output(report, arguments, target)

    def keep(values: object) -> None:
        if report is not None:
            with atomic_write(report) as file:
                file.write((json_text(values, indent=1) + "\n").encode())

    try:
        done = export(
            arguments.name,
            arguments.output,
            to=arguments.to,
            length=arguments.length,
            part=_part(arguments),
            quantize=arguments.quantize,
            calibrate=arguments.calibrate,
            check=arguments.check,
            weights=arguments.weights,
        )
    except ExportFailed as error:
        keep(error.report)
        notes = error.report.get("notes")
        _warn(notes if isinstance(notes, list) else [])
        raise
    keep({"file": str(done.path), "card": done.card, "proof": done.proof.to_dict(), "notes": [*done.notes]})
    _warn(done.notes)
    if not arguments.quiet:
        for line in done.proof.lines():
            put(line)
    put(f"wrote {done.path}")
    hint = targets.hint_of(target, done.path)
    if hint is not None and not arguments.quiet:
        put(hint)
    return 0
