"""The options of commands that take labelled sounds: how labels are read, and how sounds are divided."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hear_edgel3.cli import options
from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    from hear_edgel3.labels import Dividing, LabelOptions

_DATA = (
    "a folder with a folder per class; a table (.csv, .tsv, .parquet) of files and labels; label tracks of Audacity or "
    "selection tables of Raven; or the folder of a published set"
)


def add_embedded(parser: argparse.ArgumentParser) -> None:
    """Labelled sounds, the net that hears them, and how that is computed."""
    options.add_config(parser, default=None)
    parser.add_argument("--data", required=True, metavar="FOLDER|TABLE", help=_DATA)
    options.add_weights(parser)
    parser.add_argument(
        "--cache", metavar="DIR", help="where embeddings are kept (default: embeddings in the user's cache)"
    )
    parser.add_argument("--device", help="torch device (default cpu; with --fine-tune the GPU where there is one)")
    options.add_workers(parser, "processes that embed (default: one per usable CPU)")
    options.add_quiet(parser, "print nothing but results, warnings and errors")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """How labels are read."""
    group = parser.add_argument_group("how labels are read (found out where it can be)")
    group.add_argument("--layout", metavar="NAME", help="folders, table, tracks, esc50, fsd50k, ...")
    group.add_argument("--audio", metavar="DIR", help="where relative paths begin (default: the set's own folder)")
    group.add_argument("--label", metavar="COLUMN", help="with one label per sound")
    group.add_argument("--labels", metavar="COLUMN", help="with any number of labels per sound")
    group.add_argument("--separator", metavar="TEXT", help="between several labels in a cell")
    group.add_argument("--numbers", nargs="+", metavar="COLUMN", help="with numbers to be guessed")
    group.add_argument("--relevances", nargs="+", metavar="COLUMN", help="one per class, from 0 to 1; empty: unknown")
    group.add_argument("--classes", nargs="+", metavar="NAME", help="in the order of the outputs")
    group.add_argument("--part", metavar="COLUMN", help="with the part of a split")
    group.add_argument("--parts", nargs="+", metavar="WORD=PART", help="what other words there mean: dev=train")
    group.add_argument("--fold", metavar="COLUMN", help="with folds")
    group.add_argument("--group", metavar="COLUMN", help="with what must not be divided: recordings, speakers")
    group.add_argument("--group-pattern", metavar="REGEX", help="that finds the group in a path")
    group.add_argument("--whole-files", action="store_true", help="take whole files, whatever clips a table has")
    options.add_channel(group, table=True)
    group.add_argument("--skip", action="store_true", help="leave out what cannot be used, and say how much")


def add_dividing(parser: argparse.ArgumentParser) -> None:
    """How sounds are divided."""
    group = parser.add_argument_group("how sounds are divided")
    group.add_argument(
        "--split",
        choices=("auto", "given", "random", "folds", "groups"),
        help="as the data say it (given), each fold or each group once as the test part, or at random (default: as "
        "they say it, or at random)",
    )
    group.add_argument("--folds", type=options.count, metavar="K", help="how many, where the data state none")
    group.add_argument("--test", type=options.share, metavar="SHARE", help="of a random split (default 0.2)")
    group.add_argument(
        "--validation", type=options.share, metavar="SHARE", help="of what is learnt from (default 0.15)"
    )
    group.add_argument(
        "--on-leak",
        choices=("refuse", "say"),
        help="what to do about parts of one recording, groups and copies on several sides of a stated split (default: "
        "refuse; of published sets, say)",
    )


def label_options(arguments: argparse.Namespace) -> LabelOptions:
    """What was given.

    Raises:
        InvalidOption: It contradicts itself.
    """
    from hear_edgel3.labels import LabelOptions

    parts: dict[str, str] = {}
    for pair in arguments.parts or ():
        word, equals, part = pair.partition("=")
        if not equals or not word:
            raise InvalidOption(f"--parts takes WORD=PART, as in dev=train; got {pair!r}")
        parts[word] = part
    return LabelOptions(
        layout=arguments.layout,
        audio=arguments.audio,
        label=arguments.label,
        labels=arguments.labels,
        separator=arguments.separator,
        numbers=tuple(arguments.numbers or ()),
        relevances=tuple(arguments.relevances or ()),
        classes=tuple(arguments.classes) if arguments.classes else None,
        parts=parts,
        part=arguments.part,
        fold=arguments.fold,
        group=arguments.group,
        group_pattern=arguments.group_pattern,
        whole_files=arguments.whole_files,
        channel=arguments.channel,
        skip=arguments.skip,
    )


def dividing(arguments: argparse.Namespace, how: str | None = None) -> Dividing:
    """How to divide.

    Args:
        arguments: As parsed.
        how: In the place of ``--split``.

    Raises:
        InvalidOption: Options contradict each other, or would do nothing.
    """
    from hear_edgel3.labels import Dividing
    from hear_edgel3.labels.splits import How, OnLeak

    how = how or arguments.split or ("folds" if arguments.folds is not None else "auto")
    if arguments.folds is not None and how != "folds":
        raise InvalidOption(f"--folds is for folds, and --split is {how}: give --split folds, or leave one out")
    if arguments.folds == 1:
        raise InvalidOption("--folds must be at least 2, got 1: each is tested by what is learnt from the others")
    if arguments.test is not None and how not in ("auto", "random"):
        raise InvalidOption(f"--test is the share of a random split, and --split is {how}; leave one out")
    chosen = {
        "n_folds": arguments.folds,
        "test": arguments.test,
        "validation": arguments.validation,
        "on_leak": None if arguments.on_leak is None else OnLeak(arguments.on_leak),
    }
    return Dividing(
        How(how), seed=arguments.seed or 0, **{name: value for name, value in chosen.items() if value is not None}
    )
