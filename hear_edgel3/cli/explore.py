"""``hear-edgel3 explore``: a dataset of embeddings as one HTML page to look at and to listen to."""

from __future__ import annotations

import argparse
from pathlib import Path

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put, say
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import BUILT_IN, resolve

_DESCRIPTION = """Makes one HTML page of a folder of embeddings that `hear-edgel3 extract` wrote: its clips as a map,
with their sound, spectrogram, tags and nearest neighbours. The page needs no network. It links to the audio files, so
keep it where it is, or put previews into it with --embed-audio. A clip whose audio cannot be read stays on the map."""

_NOTES_SHOWN = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("explore", help="make a page of a dataset of embeddings", description=_DESCRIPTION)
    parser.add_argument("folder", metavar="DIR", help="what `hear-edgel3 extract` wrote")
    options.add_output(parser, "PAGE", "the page to write, or replace (default: the folder's name, with .html)")
    parser.add_argument("--title", metavar="TEXT", help="what the page calls the dataset (default: the folder's name)")
    parser.add_argument(
        "--projection",
        choices=("auto", "pca", "umap"),
        default="auto",
        help="lay the map out by principal components or UMAP (default auto: UMAP where umap-learn is installed)",
    )
    parser.add_argument("--seed", type=options.seed, metavar="N", help="of UMAP (default 0)")
    tags = parser.add_mutually_exclusive_group()
    text = f"the configuration that says what is heard (default {BUILT_IN})"
    tags.add_argument("--tagger", metavar="NAME", help=text)
    tags.add_argument("--tags", dest="tagger", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # its old name
    tags.add_argument("--no-tags", action="store_true", help="do not tag: much faster")
    parser.add_argument(
        "--audio", metavar="DIR", help="what relative file names are relative to (default: the current folder)"
    )
    parser.add_argument(
        "--embed-audio", action="store_true", help="put the first 10 s of each clip into the page (some 100 kB each)"
    )
    parser.add_argument(
        "--segments",
        type=float,
        metavar="SECONDS",
        help="of timestamps: a dot for each stretch of so many seconds (default: 10 if a recording is longer than a "
        "minute, else whole recordings; 0: always these)",
    )
    parser.add_argument(
        "--order",
        choices=("name", "uncertain"),
        default="name",
        help="go through clips by name (default), or those first of which the tagger is least certain",
    )
    parser.add_argument(
        "--sample",
        type=options.whole,
        metavar="N",
        help="show so many dots at most: of more a part, always the same, spread over the recordings (default 20000)",
    )
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes the page; prints its name to stdout.

    Returns:
        0, also when some clips have no sound, spectrogram or tags: stderr and the page say which.
    """
    if arguments.tagger is not None:
        resolve(arguments.tagger)
    if arguments.seed is not None and arguments.projection == "pca":
        raise InvalidOption("--seed is for UMAP, and --projection pca needs none; leave it out")
    options.check_dataset(arguments.folder)
    from hear_edgel3.explore.build import SAMPLE, explore

    output = arguments.output or f"{Path(arguments.folder).resolve().name or 'embeddings'}.html"
    built = explore(
        arguments.folder,
        output,
        title=arguments.title,
        projection=arguments.projection,
        seed=arguments.seed or 0,
        tags=not arguments.no_tags,
        tagger=arguments.tagger,
        audio=arguments.audio,
        embed_audio=arguments.embed_audio,
        segments=arguments.segments,
        order=arguments.order,
        sample=arguments.sample or SAMPLE,
        quiet=arguments.quiet,
    )
    _report_notes(built.notes, built.n_clips)
    if built.n_all > built.n_clips:
        say(
            f"the page shows {built.n_clips} of {built.n_all} clips, spread over the recordings; --sample "
            f"{built.n_all} shows all"
        )
    if not arguments.quiet:
        failed = f"; {built.n_failed} files have no embedding" if built.n_failed else ""
        say(f"{built.n_clips} clips, laid out by {built.projection.upper()}{failed}")
    put(str(output))
    return 0


def _report_notes(notes: dict[str, str], n_clips: int) -> None:
    if not notes:
        return
    say(f"{len(notes)} of {n_clips} clips lack sound, spectrogram or tags:")
    for name, note in list(notes.items())[:_NOTES_SHOWN]:
        say(f"  {note if name in note else f'{name}: {note}'}")
    if len(notes) > _NOTES_SHOWN:
        say(f"  and {len(notes) - _NOTES_SHOWN} more, which the page shows")
