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
from hear_edgel3.disk.paths import why_not_there
from hear_edgel3.errors import AudioFileError, InvalidOption
from hear_edgel3.families.table import students
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.locate import check_given

_DESCRIPTION = """Distills a small net from a teacher on your own unlabelled audio. The student learns to put out what
the teacher puts out: its embedding and, where the teacher tags and the student is no l3 one, its tags. The folder it
writes is a configuration like any other: `hear-edgel3 embed --config FOLDER`, hear_edgel3.load("FOLDER"),
`hear-validator hear_edgel3.custom --model FOLDER`. A run that was interrupted goes on when it is started again."""

_EPILOG = """examples:
  hear-edgel3 distill --teacher mn10_as --audio recordings/ --output birds --name birds
  hear-edgel3 distill --teacher mn04_as --audio recordings/ --output small --student pruned --parameters 600000
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
    student.add_argument(
        "--student",
        choices=(*students(), "pruned"),
        help="a net of a family of its own width (default mobilenetv3), or pruned: the teacher's own net with channels "
        "left out, which keeps most of what it knows",
    )
    student.add_argument("--parameters", type=int, metavar="N", help="the most that a pruned student may have")
    student.add_argument("--macs", type=int, metavar="M", help="its most multiply-accumulates for ten seconds")
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
    student.add_argument(
        "--embedding-version",
        type=options.whole,
        default=1,
        metavar="N",
        help="raise it if the net takes the place of another of the same name, whose embeddings are others (default 1)",
    )
    student.add_argument("--half", action="store_true", default=None, help="store the weights as 16-bit floats")
    student.add_argument("--quantize", choices=("int8", "none"), help="store the weights in eight bits (default none)")
    learning = parser.add_argument_group("learning")
    learning.add_argument(
        "--lengths", type=float, nargs="+", metavar="SECONDS", help="of clips (default 1 2 5 10; pruned: 2 5 10)"
    )
    learning.add_argument("--clips-per-file", type=int, metavar="N", help="at most (default 6)")
    learning.add_argument("--views", type=int, metavar="N", help="variants of each clip (default 4)")
    learning.add_argument(
        "--augmentation",
        choices=("usual", "broad"),
        help="what the variants after the first are: the clip at another place, length and level, mixed with another "
        "(default usual), or mixes of several at other speeds, filtered, in rooms, repeated, in noise",
    )
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
    learning.add_argument("--epochs", type=int, metavar="N", help="default 30; pruned: 20")
    learning.add_argument(
        "--epoch-hours", type=float, metavar="HOURS", help="of clips per epoch, each heard once (pruned; default 2)"
    )
    learning.add_argument(
        "--fit-clips", type=int, metavar="N", help="by which channels are chosen and fitted (pruned; default 960)"
    )
    learning.add_argument(
        "--batch-seconds", type=float, metavar="SECONDS", help="of audio per step (default 160; pruned: 80)"
    )
    learning.add_argument("--lr", type=float, metavar="RATE", help="peak learning rate (default 0.003; pruned: 0.0003)")
    learning.add_argument(
        "--hold-out-sources",
        type=_sources,
        metavar="NAMES|FRACTION",
        help="folders below the inputs that nothing is learnt from, as NAME[,NAME...] or a fraction of them, 0 for "
        "none (default: a tenth of eight or more)",
    )
    learning.add_argument("--weight-decay", type=float, metavar="RATE", help="default 0.0001")
    learning.add_argument("--warmup", type=float, metavar="FRACTION", help="of the steps (default 0.1; pruned: 0.05)")
    learning.add_argument(
        "--fix-norm", type=float, metavar="FRACTION", help="of the epochs, in which batch norm measures (default 0.4)"
    )
    learning.add_argument("--logits-weight", type=float, metavar="W", help="of the loss on tags (default 20)")
    learning.add_argument("--patience", type=int, metavar="N", help="epochs without improvement (default 10)")
    learning.add_argument("--seed", type=int, metavar="N", help="default 0")
    learning.add_argument("--precision", choices=("no", "bf16", "fp16"), help="mixed precision (default no)")
    parser.set_defaults(run=run)


def _sources(text: str) -> float | tuple[str, ...]:
    """A fraction, or names with commas between them. A whole number but 0 is the name of a folder."""
    try:
        value = float(text)
    except ValueError:
        return tuple(text.split(","))
    return value if value == 0 or not float(value).is_integer() else (text,)


def run(arguments: argparse.Namespace) -> int:
    """Distills; prints the folder's name to stdout."""
    check_given(resolve(arguments.teacher).checkpoint, arguments.teacher_weights)
    for source in arguments.audio:
        if is_missing(source):
            raise AudioFileError(f"{source} {why_not_there(source)}")
    from hear_edgel3.distillation.recipe import PrunedRecipe
    from hear_edgel3.distillation.run import NO_LICENCE, distill

    chosen: dict[str, Any] = {}
    for field in fields(PrunedRecipe):  # has all options of other students too
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
        embedding_version=arguments.embedding_version,
        command=shlex.join(["hear-edgel3", *arguments.argv]),
        **chosen,
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes, started by torchrun, the first one speaks
        put(str(folder))
    return 0
