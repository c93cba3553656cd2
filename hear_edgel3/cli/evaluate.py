"""``hear-edgel3 evaluate``: how good a detector is, or how good one would be that is made of a net."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hear_edgel3.cli import labelled, options
from hear_edgel3.cli.say import put, say
from hear_edgel3.cli.train import add_learning, given_options
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import why_not_there
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.weights.locate import check_given

_DESCRIPTION = """Evaluates on labelled sounds. A detector, a folder that `hear-edgel3 train` wrote, is tested on sounds
that it has not learnt from: on the test part that the data state, or its own, or all. Of any other net heads are fitted
(with --fine-tune, the net is trained) on all folds but one and tested on that one, for each. Scores with 95 % intervals
over groups go to stdout, as a table or as --json; features and the options of learning are those of `train`."""

_EPILOG = """examples:
  hear-edgel3 evaluate --config birds-detector --data birds/
  hear-edgel3 evaluate --config mn04_as --data ESC-50/ --split folds
  hear-edgel3 evaluate --data digits/ --leave-one-group-out --confusion digits.png --json"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help="tell how good a detector is, or one made of a net",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    labelled.add_embedded(parser)
    options.add_json(parser, "print one JSON object, confusions included")
    parser.add_argument("--confusion", metavar="FILE", help="write confusions to this file: .csv, or a .png picture")
    options.add_top(parser, "classes in the table (default: all)")
    labelled.add_labels(parser)
    labelled.add_dividing(parser)
    parser.add_argument(
        "--leave-one-group-out", action="store_true", help="each group is the test part once: --split groups"
    )
    parser.add_argument("--state", metavar="DIR", help="where trainings are kept, to go on from after an interruption")
    add_learning(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates; prints a table or JSON to stdout."""
    chosen = given_options(arguments)
    TrainOptions(**chosen)
    if arguments.leave_one_group_out and arguments.split not in (None, "groups"):
        raise InvalidOption(
            f"--leave-one-group-out is --split groups, and --split {arguments.split} is given: drop one"
        )
    how = "groups" if arguments.leave_one_group_out else arguments.split
    divides = [arguments.folds, arguments.test, arguments.validation, arguments.seed, how]
    config = arguments.config or BUILT_IN
    row = resolve(config).checkpoint
    # Without any of these, whoever evaluates divides as suits the data.
    dividing = None if all(value is None for value in divides) else labelled.dividing(arguments, how)
    labels = labelled.label_options(arguments)
    check_given(row, arguments.weights)
    if not os.path.exists(arguments.data):
        raise LabelsError(f"{arguments.data} {why_not_there(arguments.data)}")
    picture = None if arguments.confusion is None else Path(arguments.confusion)
    if picture is not None and picture.suffix.lower() not in (".csv", ".png"):
        raise InvalidOption(f"--confusion must end in .csv or .png, got {arguments.confusion}")
    from hear_edgel3.detectors.evaluation import evaluate, write_confusion
    from hear_edgel3.disk.atomic import check_writable

    if picture is not None:
        check_writable(picture, [arguments.data])

    found = evaluate(
        arguments.data,
        config,
        labels=labels,
        split=dividing,
        on_leak=arguments.on_leak,
        weights=arguments.weights,
        cache=arguments.cache,
        device=arguments.device,
        workers=arguments.workers,
        state=arguments.state,
        quiet=arguments.quiet,
        **chosen,
    )
    # Before anything can fail: a disk that is full shall not cost the scores.
    put(json_text(found.as_json(), indent=1) if arguments.json else found.table(arguments.top))
    if picture is not None and not write_confusion(found, picture):
        say(f"warning: {picture} was not written: there is no picture of targets that are {found.labelled.kind}")
    return 0
