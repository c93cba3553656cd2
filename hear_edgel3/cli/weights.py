"""``hear-edgel3 weights``: fetches, converts, verifies, publishes and lists weights files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put, say
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable, text_of_path, why_not_there
from hear_edgel3.errors import InvalidOption, WeightsNotFound
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.names import published, published_heads, resolve

_DESCRIPTION = """Weights are fetched when they are needed first. These commands do it beforehand, convert files
that you have, check and publish them, and show what is there."""

_CACHE = "the cache, where they are found"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand and its own ones."""
    text = "fetch, convert, verify, publish and list weights"
    parser = commands.add_parser("weights", help=text, description=_DESCRIPTION)
    inner = parser.add_subparsers(dest="weights_command", required=True, metavar="COMMAND")

    fetch = _command(inner, "fetch", _fetch, "download weights into the cache", "Fetches the weights of checkpoints.")
    _add_names(fetch, every=True)
    text = "download and convert also what is there"
    options.add(fetch, "--overwrite", old=["--again"], action="store_true", help=text)

    convert = _command(
        inner, "convert", _convert, "convert the authors' files", "Converts the authors' checkpoints to safetensors."
    )
    _add_names(convert, every=True, more="; to --quantize, also a folder that distill has made")
    text = (
        "the upstream file, or a folder of them (default: download them); to --quantize, or to leave out zeros or put "
        "them back (--dense), also one converted before"
    )
    convert.add_argument("--source", type=Path, help=text)
    options.add_output(convert, "PATH", f"file to write, or folder for several; default: {_CACHE}")
    text = "classes of your own net, trained further on them: one a line, or CSV with a heading"
    convert.add_argument("--labels", type=Path, metavar="FILE", help=text)
    text = (
        "what no tensor of a net that you trained further shows, and changes its results: tau=1, for a DyMN (its own "
        "temperature when training ended; files of the authors are known)"
    )
    convert.add_argument("--setting", action="append", metavar="NAME=VALUE", help=text)
    text = "store weights in eight bits, with a scale per output channel"
    convert.add_argument("--quantize", choices=["int8"], help=text)
    text = "store also the zeros of pruned nets, for other programs (default: leave them out)"
    convert.add_argument("--dense", action="store_true", help=text)
    _add_reference(convert, old=["--verify"])

    head = _command(
        inner,
        "head",
        _head,
        "make a folder of a published head",
        "Puts a linear head that the authors of a checkpoint published and its net into a folder, which tags like one "
        "that train has made. Its classes are numbers where no names were published.",
    )
    head.add_argument("names", nargs=1, metavar="HEAD", help="its name: " + ", ".join(published_heads()))
    head.add_argument("--source", type=Path, required=True, metavar="FILE", help="the authors' file of the head")
    options.add_weights(head, "the net's converted file, or a folder of them (default: where they are found)")
    options.add_output(head, "FOLDER", "the folder to make")

    verify = _command(
        inner,
        "verify",
        _verify,
        "check converted files",
        "Checks that converted files are sound, fit their checkpoint, and say that they are the authors'.",
    )
    _add_names(verify, every=False, more="; or folders that distill has made")
    options.add_weights(verify, "the converted file, or a folder of them (default: where they are found)")
    text = (
        "say how far embeddings are from those of this file (default: for int8 weights, the file they were made from)"
    )
    verify.add_argument("--against", type=Path, metavar="FILE", help=text)
    _add_reference(verify)

    publish = _command(
        inner,
        "publish",
        _publish,
        "put converted files on the Hugging Face Hub",
        "Creates or updates Hub repositories. A dry run unless --upload is given.",
    )
    _add_names(publish, every=False)
    options.add_weights(publish, "the converted file, or a folder of them (default: where they are found)")
    publish.add_argument("--repo-id", help="repository, if not the registry's")
    publish.add_argument("--upload", action="store_true", help="really do it")

    shown = _command(
        inner,
        "list",
        _list,
        "show the weights files on this machine",
        "Shows the weights files in $HEAR_EDGEL3_WEIGHTS, in the cache and in the Hugging Face Hub's cache.",
    )
    options.add_json(shown, "print JSON")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=description)
    options.add_verbose(parser)
    parser.set_defaults(run=run)
    return parser


def _add_names(parser: argparse.ArgumentParser, every: bool, more: str = "") -> None:
    text = f"checkpoints, as `hear-edgel3 list` names them{more}"
    parser.add_argument("names", nargs="*" if every else "+", metavar="NAME", help=text)
    parser.set_defaults(all=False)
    if every:
        parser.add_argument("--all", action="store_true", help="every checkpoint")


def _add_reference(parser: argparse.ArgumentParser, old: Sequence[str] = ()) -> None:
    text = "embeddings of the original (pcm__X windows, emb__X) that must be met"
    options.add(parser, "--reference", old=old, type=Path, metavar="NPZ", help=text)
    parser.add_argument(
        "--tolerance", type=options.positive(), default=None, metavar="X", help="largest error allowed (default 5e-4)"
    )


def _check_names(arguments: argparse.Namespace, or_folders: bool = False) -> None:
    """Refuses what cannot be before torch is imported."""
    if arguments.all == bool(arguments.names):
        raise InvalidOption("give the names of checkpoints, or --all")
    for name in arguments.names:
        if not (or_folders and isinstance(resolve(name).checkpoint, Local)):
            published(name)
    if getattr(arguments, "tolerance", None) is not None and arguments.reference is None:
        raise InvalidOption("--tolerance is for --reference, which is not given")
    for option in ("source", "weights", "against", "reference", "labels"):
        path = getattr(arguments, option, None)
        if path is not None and not os.path.exists(path):
            raise WeightsNotFound(f"--{option} {path} {why_not_there(path)}")


def _fetch(arguments: argparse.Namespace) -> int:
    _check_names(arguments)
    from weights_convert import commands

    return 1 if commands.fetch_all(commands.rows_of(arguments.names, arguments.all), arguments.overwrite) else 0


def _convert(arguments: argparse.Namespace) -> int:
    _check_names(arguments, or_folders=arguments.quantize is not None)
    if arguments.source is not None and not arguments.source.is_dir() and len(arguments.names) != 1:
        raise InvalidOption("--source takes a folder when there are several checkpoints")
    from weights_convert import commands

    net = commands.net_to_quantize(arguments.names) if arguments.quantize else None
    if net is not None:
        others = [
            f"--{name}" for name in ("source", "labels", "setting", "reference") if getattr(arguments, name) is not None
        ]
        commands.quantize_net(net, arguments.output, others, arguments.dense)
        return 0
    failed = commands.convert_all(
        commands.rows_of(arguments.names, arguments.all),
        arguments.source,
        arguments.output,
        arguments.reference,
        arguments.tolerance,
        arguments.all,
        arguments.labels,
        arguments.quantize is not None,
        arguments.dense,
        commands.read_settings(arguments.setting),
    )
    return 1 if failed else 0


def _head(arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        raise InvalidOption("give the folder to make: --output FOLDER")
    from weights_convert.heads import make_head_folder

    weights = None if arguments.weights is None else Path(arguments.weights)
    made = make_head_folder(arguments.names[0], arguments.source, Path(arguments.output), weights)
    put(printable(text_of_path(made)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    _check_names(arguments, or_folders=True)
    from weights_convert import commands

    rows = commands.rows_or_folders_of(arguments.names)
    weights = None if arguments.weights is None else Path(arguments.weights)
    failed = commands.verify_all(rows, weights, arguments.reference, arguments.tolerance, arguments.against)
    return 1 if failed else 0


def _publish(arguments: argparse.Namespace) -> int:
    _check_names(arguments)
    if arguments.repo_id and len(arguments.names) > 1:
        raise InvalidOption("--repo-id takes one checkpoint")
    from weights_convert import commands

    weights = None if arguments.weights is None else Path(arguments.weights)
    commands.publish_all(commands.rows_of(arguments.names, every=False), weights, arguments.repo_id, arguments.upload)
    return 0


def _places() -> str:
    from hear_edgel3.weights.locate import folders

    places = [
        f"{text_of_path(folder)} ({place}{'' if folder.is_dir() else '; there is no such folder'})"
        for folder, place in folders()
    ]
    return ", or ".join(places)


def _list(arguments: argparse.Namespace) -> int:
    from hear_edgel3.weights.inventory import stored_weights

    files = [*stored_weights()]
    if not files:
        say(f"hear-edgel3: no weights are stored on this machine; they would be in {_places()}")
    if arguments.json:
        put(
            json_text(
                [
                    {
                        "configuration": file.configuration,
                        "path": text_of_path(file.path),
                        "place": file.place,
                        "size": file.size,
                        "sha256": file.sha256,
                        "state": file.state,
                    }
                    for file in files
                ],
                indent=1,
            )
        )
        return 0
    for place in dict.fromkeys(file.place for file in files):
        put(f"{place}:")
        for file in files:
            if file.place == place:
                sha256 = file.sha256 or "?" * 64
                put(f"  {file.size / 1e6:9.2f} MB  {sha256}  {printable(text_of_path(file.path))}  ({file.state})")
    return 0
