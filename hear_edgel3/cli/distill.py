"""``hear-edgel3 distill``: a small net of one's own, from a teacher and unlabelled audio."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import fields
from typing import Any

from hear_edgel3.cli import options
from hear_edgel3.cli.say import put
from hear_edgel3.cli.sources import is_missing
from hear_edgel3.disk.atomic import check_folder_name
from hear_edgel3.errors import AudioFileError, InvalidOption
from hear_edgel3.families.table import students
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.locate import check_given

_DESCRIPTION = """Distills a small net from a teacher on your own unlabelled audio. The student learns to put out what
the teacher puts out: its embedding and, where the teacher tags and the student is a MobileNetV3, its tags. The folder
it writes is a configuration like any other: `hear-edgel3 embed --config FOLDER`, hear_edgel3.load("FOLDER"),
`hear-validator hear_edgel3.custom --model FOLDER`. A run that was interrupted goes on when it is started again."""

_EPILOG = """examples:
  hear-edgel3 distill --teacher mn10_as --audio recordings/ --output birds --name birds
  hear-edgel3 distill --teacher sea_512 --student l3 --width 0.25 --rate 16000 --embedding-size 64 \\
      --audio street/ --output street64 --name street64"""

# Flags that are not the recipe's field with hyphens.
_FLAGS = {"width_mult": "--width", "sample_rate": "--rate", "mix": "--mix-probability"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "distill",
        help="make a small net of your own from a teacher and your audio",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--teacher", required=True, metavar="NAME", help="a configuration, see `hear-edgel3 list`")
    parser.add_argument("--teacher-weights", metavar="FILE", help="its converted weights, or a folder of them")
    parser.add_argument("--audio", required=True, nargs="+", metavar="SOURCES", help=options.SOURCES)
    options.add_output(parser, "DIR", "the folder to write", required=True)
    parser.add_argument("--cache", metavar="DIR", help="where the teacher's answers are kept (default OUTPUT/cache)")
    parser.add_argument("--device", choices=("cpu",), help="stay on the CPU (default: the GPU where there is one)")
    options.add_quiet(parser)
    student = parser.add_argument_group("the student")
    student.add_argument("--name", help="of the new configuration: letters and digits (default custom)")
    student.add_argument("--student", choices=students(), help="default mobilenetv3")
    student.add_argument("--width", type=float, metavar="FACTOR", help="of all channel counts (default 0.4)")
    student.add_argument("--rate", type=int, metavar="HZ", help="of an l3 student (default 8000)")
    student.add_argument("--n-mels", type=int, metavar="N", help="mel bands (default 128; l3: 64)")
    student.add_argument(
        "--embedding",
        choices=("teacher", "own"),
        help="what it puts out by default: the approximation of the teacher's embedding (default), or its own layers",
    )
    student.add_argument(
        "--embedding-size", type=int, metavar="D", help="fewer values than the teacher: principal components"
    )
    student.add_argument("--licence", metavar="TEXT", help="what to say of the weights' licence")
    student.add_argument("--half", action="store_true", default=None, help="store the weights as 16-bit floats")
    learning = parser.add_argument_group("learning")
    learning.add_argument("--lengths", type=float, nargs="+", metavar="SECONDS", help="of clips (default 1 2 5 10)")
    learning.add_argument("--clips-per-file", type=int, metavar="N", help="at most (default 6)")
    learning.add_argument("--views", type=int, metavar="N", help="variants of each clip (default 4)")
    learning.add_argument(
        "--gain-db", type=float, metavar="DB", help="variants are louder or softer by up to this (default 10)"
    )
    learning.add_argument(
        "--mix-probability", type=float, metavar="P", help="that a variant has another clip in it (default 0.5)"
    )
    learning.add_argument(
        "--masking", type=float, metavar="FACTOR", help="how much of spectrograms is masked, 0 to 1 (default 0.5)"
    )
    learning.add_argument("--validation", type=float, metavar="FRACTION", help="of the files, held out (default 0.1)")
    learning.add_argument("--epochs", type=int, metavar="N", help="default 30")
    learning.add_argument("--batch-seconds", type=float, metavar="SECONDS", help="of audio per step (default 160)")
    learning.add_argument("--lr", type=float, metavar="RATE", help="peak learning rate (default 0.003)")
    learning.add_argument("--weight-decay", type=float, metavar="RATE", help="default 0.0001")
    learning.add_argument("--warmup", type=float, metavar="FRACTION", help="of the steps (default 0.1)")
    learning.add_argument(
        "--fix-norm", type=float, metavar="FRACTION", help="of the epochs, in which batch norm measures (default 0.4)"
    )
    learning.add_argument("--logits-weight", type=float, metavar="W", help="of the loss on tags (default 20)")
    learning.add_argument("--patience", type=int, metavar="N", help="epochs without improvement (default 10)")
    learning.add_argument("--seed", type=int, metavar="N", help="default 0")
    learning.add_argument("--precision", choices=("no", "bf16", "fp16"), help="mixed precision (default no)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Distills; prints the folder's name to stdout."""
    check_given(resolve(arguments.teacher).checkpoint, arguments.teacher_weights)
    for source in arguments.audio:
        if is_missing(source):
            raise AudioFileError(f"{source} does not exist")
    from hear_edgel3.distillation.recipe import Recipe
    from hear_edgel3.distillation.run import NO_LICENCE, distill

    chosen: dict[str, Any] = {}
    for field in fields(Recipe):
        flag = _FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        value = getattr(arguments, flag.lstrip("-").replace("-", "_"))
        if value is not None:
            chosen[field.name] = tuple(value) if field.name == "lengths" else value
    if os.path.isfile(arguments.output):
        raise InvalidOption(f"--output {arguments.output} is a file; give a folder")
    check_folder_name(arguments.output)
    folder = distill(
        arguments.teacher,
        arguments.audio,
        arguments.output,
        teacher_weights=arguments.teacher_weights,
        cache=arguments.cache,
        device=arguments.device,
        quiet=arguments.quiet,
        licence=NO_LICENCE if arguments.licence is None else arguments.licence,
        command=shlex.join(["hear-edgel3", *arguments.argv]),
        **chosen,
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes, started by torchrun, the first one speaks
        put(str(folder))
    return 0
