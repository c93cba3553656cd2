"""``hear-edgel3 embed``: audio files in, one .npz of embeddings each out. Takes the flags of the old ``edgel3`` too."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hear_edgel3.audio.span import exact_span
from hear_edgel3.cli import options
from hear_edgel3.cli.common import Failures, on_device, say_notes
from hear_edgel3.cli.say import say
from hear_edgel3.cli.sources import audio_sources, file_of, name_of
from hear_edgel3.disk.atomic import check_writable, make_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.disk.state import file_state
from hear_edgel3.disk.temporary import sweep
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.extractor.framings import file_framing
from hear_edgel3.extractor.npz import END, START, conflict, is_outdated, plan_outputs, save_npz
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.locate import check_given, locate

if TYPE_CHECKING:
    from hear_edgel3.extractor.extractor import Extractor
    from hear_edgel3.sources.item import Item

_DESCRIPTION = """Embeds audio files. Each file gives <name>.npz with the arrays embedding (T, D) and timestamps (T, in
seconds), and what made them: configuration, embedding_version, weights_sha256, hop_size, center, source, and the
source's size and time of last change. A clip of a table gives <name>_<start>-<end>.npz, with start_s and end_s; its
timestamps count from the beginning of the file."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("embed", help="embed audio files", description=_DESCRIPTION)
    parser.add_argument("sources", nargs="+", metavar="SOURCES", help=options.SOURCES)
    options.add_config(parser, default=None)
    options.add_features(parser)
    options.add_weights(parser)
    options.add_output(parser, "DIR", "where results go; default: beside each input", old=["--output-dir"])
    parser.add_argument("--suffix", "-x", metavar="TEXT", help="added to the names of the results")
    text = "between windows (default: the configuration's; 0.1 for the L3 family, 0.24 for pictures, else 0.05)"
    options.add_hop(parser, text, "-t", old=["--hop-size"])
    parser.add_argument(
        "--no-centering",
        "-n",
        action="store_true",
        help="timestamps are the starts of the windows, not their middles (L3 family only)",
    )
    options.add_channel(parser, each=True)
    options.add_tables(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist (else they are kept)")
    options.add_recursive(parser)
    options.add_engine(parser)
    options.add_device(parser)
    options.add_quiet(parser, "print nothing but errors")
    old = parser.add_argument_group("the old edgel3's way to name a configuration (instead of --config)")
    old.add_argument("--model-type", "-mtype", choices=("sparse", "sea"), help="default sparse")
    old.add_argument("--emb-dim", "-e", type=int, metavar="DIM", help="of a SEA model: 64, 128 (default), 256 or 512")
    old.add_argument("--retrain-type", "-retrain", choices=("ft", "kd"), help="of a sparse model; default ft")
    old.add_argument("--model-sparsity", "-sp", type=float, metavar="PERCENT", help="of a sparse model; default 95.45")
    parser.set_defaults(run=run)


@dataclass
class _Tally:
    """What became of the inputs."""

    done: int = 0
    kept: int = 0
    changed: int = 0
    failures: Failures = field(default_factory=Failures)


def run(arguments: argparse.Namespace) -> int:
    """Embeds the files; a bad one is reported and the rest go on.

    Returns:
        0, or 1 if any input failed.
    """
    name = _configuration(arguments)
    options.check_engine(arguments.engine)
    framing = file_framing(resolve(name), arguments.hop, not arguments.no_centering)
    check_given(resolve(name).checkpoint, arguments.weights)
    found = audio_sources(arguments.sources, arguments.audio, arguments.whole_files, arguments.channel)
    items = found.items
    in_shard = next((item for item in items if item.shard is not None), None)
    if in_shard is not None and arguments.output is None:
        raise InvalidOption(f"{in_shard.file} is inside another file: give --output, where results go")
    tally = _Tally(failures=Failures(found.failures))
    say_notes(found.notes, arguments.quiet)
    if items:
        if arguments.output is not None:
            make_folder(arguments.output)
        files = [path_of_text(item.file) for item in items]
        places = [exact_span(item.start, item.end) if item.is_clip else "" for item in items]
        jobs = list(zip(items, plan_outputs(files, arguments.suffix, arguments.output, places), strict=True))
        sweep(target for _, target in jobs)
        jobs = _pending(jobs, name, framing.hop_size, arguments, tally)
        if jobs:
            extractor = _load(name, arguments)
            _embed_all(jobs, extractor, arguments, tally)
    _summarise(tally, arguments.quiet)
    return 1 if tally.failures else 0


def _configuration(arguments: argparse.Namespace) -> str:
    """The configuration's name, from --config or the old flags."""
    old = {
        "model_type": arguments.model_type,
        "emb_dim": arguments.emb_dim,
        "retrain_type": arguments.retrain_type,
        "sparsity": arguments.model_sparsity,
    }
    given = {key: value for key, value in old.items() if value is not None}
    if arguments.config is not None:
        if given:
            raise InvalidOption("give --config, or the old flags (--model-type, --emb-dim, ...), but not both")
    elif given and arguments.features is not None:
        raise InvalidOption("--features is for --config, not for the old flags (--model-type, --emb-dim, ...)")
    if not given:
        return options.configuration_of(arguments.config, arguments.features)
    from hear_edgel3.edgel3.models import configuration_name

    return configuration_name(**given)


def _pending(
    jobs: list[tuple[Item, Path]],
    name: str,
    hop_size: float,
    arguments: argparse.Namespace,
    tally: _Tally,
) -> list[tuple[Item, Path]]:
    """The jobs still to do: without those whose result exists or could not be written."""
    configuration = resolve(name)
    row = configuration.checkpoint
    wanted: dict[str, object] = {
        "configuration": configuration.name,
        "embedding_version": row.embedding_version,
        "hop_size": hop_size,
        "center": not arguments.no_centering,
        "channel": str(arguments.channel),
    }
    if arguments.weights is not None:
        wanted["weights_sha256"] = sha256_of(locate(row, arguments.weights))
    elif isinstance(row, Local):  # nets of folders may have one name, or be trained anew
        wanted["weights_sha256"] = row.weights_sha256
    pending = []
    for item, target in jobs:
        try:
            if os.path.isfile(target) and not arguments.overwrite:
                reason = conflict(target, path_of_text(item.file), {**wanted, START: item.start, END: item.end})
                if reason is not None:
                    raise OutputError(
                        f"not replacing {target}: {reason}; use --overwrite, or another --suffix or --output"
                    )
                if not is_outdated(target, file_of(item)):
                    tally.kept += 1
                    continue
                tally.changed += 1
            check_writable(target)
        except HearEdgeL3Error as error:
            tally.failures.add(name_of(item), error)
            continue
        pending.append((item, target))
    return pending


def _load(name: str, arguments: argparse.Namespace) -> Extractor:
    from hear_edgel3.extractor.loading import load

    return on_device(load(name, weights=arguments.weights, engine=arguments.engine), arguments.device)


def _embed_all(
    jobs: list[tuple[Item, Path]], extractor: Extractor, arguments: argparse.Namespace, tally: _Tally
) -> None:
    from hear_edgel3.extractor.clip import embed_opened
    from hear_edgel3.sources.opening import ItemOpener

    how = {"hop_size": arguments.hop, "center": not arguments.no_centering}
    with closing(ItemOpener("", arguments.channel)) as opener:
        for item, target in _with_progress(jobs, arguments.quiet):
            with tally.failures.of(name_of(item)):
                state = file_state(file_of(item))
                with opener.open(item) as file:
                    clip = embed_opened(file, extractor, **how)
                save_npz(target, clip, path_of_text(item.file), state)
                tally.done += 1
                if len(jobs) == 1 and not arguments.quiet:
                    *channels, frames, size = clip.embedding.shape
                    of_each = f" of each of {channels[0]} channels" if channels else ""
                    say(f"{name_of(item)} -> {target} ({frames} embeddings of size {size}{of_each})")


def _with_progress(jobs: list[tuple[Item, Path]], quiet: bool) -> Iterable[tuple[Item, Path]]:
    if quiet or len(jobs) == 1:
        return jobs
    from tqdm import tqdm

    progress: Iterable[tuple[Item, Path]] = tqdm(jobs, unit="file", file=sys.stderr, dynamic_ncols=True)
    return progress


def _summarise(tally: _Tally, quiet: bool) -> None:
    total = tally.done + tally.kept + len(tally.failures)
    if not quiet and tally.changed:
        say(f"{tally.changed} had changed since they were embedded, and are done anew")
    if not quiet and (total > 1 or tally.kept):
        kept = f", {tally.kept} kept as they were (--overwrite replaces them)" if tally.kept else ""
        failed = f", {len(tally.failures)} failed" if tally.failures else ""
        say(f"{tally.done} embedded{kept}{failed}")
    tally.failures.summarise(total)
