"""``hear-edgel3 train``: a detector of one's own, from labelled sounds."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import fields
from typing import Any

from hear_edgel3.cli import labelled, options
from hear_edgel3.cli.say import put, say
from hear_edgel3.detectors.options import CLASS_WEIGHTS, HEADS, PRECISIONS, RECIPES, TrainOptions
from hear_edgel3.disk.atomic import check_folder_name
from hear_edgel3.disk.paths import why_not_there
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.families.schema import UNNAMED
from hear_edgel3.heads.names import ACTIVATIONS
from hear_edgel3.registry.names import BUILT_IN, resolve
from hear_edgel3.weights.locate import check_given

_DESCRIPTION = """Trains a detector on labelled sounds: a net of the table, or a folder, with classes of your own. By
default the net stays as it is, and a head is fitted on its embeddings, which are kept for other runs; --fine-tune
trains the net, too. A MobileNetV3 named without features has its head on avg_time_pool (1280 values of tiny); --config
tiny_all_b_mel_avgs names its usual ones (320). The folder that it writes is a configuration like any other:
`hear-edgel3 tag --config FOLDER`, `listen`, `embed`, `extract`, hear_edgel3.load("FOLDER"). The same command goes on
after an interruption."""

_EPILOG = """examples:
  hear-edgel3 train --data birds/ --output birds-detector
  hear-edgel3 train --config mn04_as --data ESC-50/ --output esc50 --head mlp --units 256
  hear-edgel3 train --data knocks.csv --output knocks --split groups --threshold
  hear-edgel3 train --config mn10_as --data FSD50K/ --output fsd50k --recipe fsd50k"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a detector of your own on labelled sounds",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    labelled.add_embedded(parser)
    options.add_output(parser, "DIR", "the folder to write", required=True)
    parser.add_argument("--name", help="of the new configuration: letters and digits (default custom)")
    parser.add_argument("--licence", metavar="TEXT", help="what to say of the weights' licence")
    labelled.add_labels(parser)
    labelled.add_dividing(parser)
    add_learning(parser)
    parser.add_argument(
        "--deepspectrumlite",
        metavar="FILE.json",
        help="take head and learning from a configuration file of DeepSpectrumLite; of a grid, all combinations, or "
        "that of SLURM_ARRAY_TASK_ID",
    )
    parser.set_defaults(run=run)


def add_learning(parser: argparse.ArgumentParser) -> None:
    """The options of :class:`TrainOptions`."""
    head = parser.add_argument_group("the head")
    head.add_argument(
        "--head",
        choices=HEADS,
        help="linear (default), mlp with a hidden layer, or the net's own classifier (default of recipes)",
    )
    head.add_argument("--units", type=options.count, metavar="N", help="of an mlp's hidden layer (default 256)")
    head.add_argument("--activation", metavar="NAME", help=f"of it: {', '.join(ACTIVATIONS)} (default relu)")
    head.add_argument("--dropout", type=options.share, metavar="SHARE", help="of it, in training (default 0.2)")
    head.add_argument(
        "--threshold",
        action="store_true",
        default=None,
        help="fit a threshold per class on the validation part, below which it is not said: for sounds of no class",
    )
    learning = parser.add_argument_group("learning")
    learning.add_argument("--fine-tune", action="store_true", default=None, help="train the net, too")
    learning.add_argument("--recipe", metavar="NAME", help=f"train the net as published: {', '.join(RECIPES)}")
    learning.add_argument("--teacher", metavar="DIR", help="stored predictions of a teacher, for recipes that use them")
    learning.add_argument("--epochs", type=options.count, metavar="N", help="at most")
    learning.add_argument("--head-epochs", type=options.whole, metavar="N", help="in which the head alone learns")
    learning.add_argument("--lr", type=options.positive(), metavar="RATE", help="highest learning rate")
    learning.add_argument("--head-lr", type=options.positive(), metavar="RATE", help="of the head, with --fine-tune")
    learning.add_argument(
        "--share",
        type=options.fraction,
        metavar="SHARE",
        help="of the net's parameters, the last ones, that learn",
    )
    learning.add_argument("--layer-decay", type=options.fraction, metavar="FACTOR", help="of the first layers' rate")
    learning.add_argument("--batch-size", type=options.count, metavar="N", help="sounds per step")
    learning.add_argument("--weight-decay", type=options.share, metavar="RATE", help="of the optimiser")
    learning.add_argument("--patience", type=options.count, metavar="N", help="epochs without improvement")
    learning.add_argument("--clip-seconds", type=options.positive("seconds"), metavar="SECONDS", help="learnt at once")
    learning.add_argument("--class-weights", choices=CLASS_WEIGHTS, help="classes weigh the same (default), or not")
    learning.add_argument("--label-smoothing", type=options.share, metavar="SHARE", help="spread over all classes")
    learning.add_argument("--mixup", type=options.share, metavar="ALPHA", help="of spectrograms; 0 for none")
    learning.add_argument("--wandb", metavar="PROJECT", help="at Weights & Biases that gets the curves")
    learning.add_argument("--precision", choices=PRECISIONS, help="mixed precision (default no)")
    learning.add_argument("--seed", type=options.seed, metavar="N", help="of all that is random (default 0)")


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of :class:`TrainOptions` that were given."""
    found = {field.name: getattr(arguments, field.name, None) for field in fields(TrainOptions)}
    return {name: value for name, value in found.items() if value is not None}


def run(arguments: argparse.Namespace) -> int:
    """Trains; prints the folder's name to stdout."""
    chosen = given_options(arguments)
    TrainOptions(**chosen)
    dividing = labelled.dividing(arguments)
    labels = labelled.label_options(arguments)
    config = arguments.config
    if config is not None or arguments.weights is not None:
        check_given(resolve(config or BUILT_IN).checkpoint, arguments.weights)
    if not os.path.exists(arguments.data):
        raise LabelsError(f"{arguments.data} {why_not_there(arguments.data)}")
    if os.path.isfile(arguments.output):
        raise InvalidOption(f"--output {arguments.output} is a file; give a folder")
    check_folder_name(arguments.output)
    from hear_edgel3.detectors.deepspectrumlite import Run, runs_of
    from hear_edgel3.detectors.pictures import write_picture_net

    runs = [Run(arguments.output, chosen, None)]
    if arguments.deepspectrumlite is not None:
        runs, said = runs_of(arguments.deepspectrumlite, config, arguments.output, chosen)
        for line in said:
            say(f"hear-edgel3: {line}")
    from hear_edgel3.detectors.run import NO_LICENCE, train

    for output, one, pictures in runs:
        net: str | os.PathLike[str] = config or BUILT_IN
        if pictures is not None:  # a folder beside the detector's, with what this combination's pictures are made with
            net = write_picture_net(pictures, f"{output.rstrip(os.sep)}-net", arguments.weights)
        folder = train(
            arguments.data,
            output,
            net,
            labels=labels,
            split=dividing,
            weights=None if pictures is not None else arguments.weights,
            cache=arguments.cache,
            device=arguments.device,
            workers=arguments.workers,
            name=arguments.name or UNNAMED,
            licence=arguments.licence or NO_LICENCE,
            command=shlex.join(["hear-edgel3", *arguments.argv]),
            quiet=arguments.quiet,
            **one,
        )
        if os.environ.get("RANK", "0") == "0":  # of several processes, started by torchrun, the first one speaks
            put(str(folder))
    return 0
