"""``python -m weights_convert``: convert, verify and publish checkpoints.

``hear-edgel3 weights`` does the same by other names, and more; both call :mod:`weights_convert.commands`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from hear_edgel3._interrupts import interruptible
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, UnknownConfiguration
from weights_convert import commands

_EPILOG = """examples:
  python -m weights_convert sea_64
      download the published file, verify, convert, and put it into the cache where hear_edgel3.load finds it
  python -m weights_convert sea_64 --source edgel3_sea_ust_audio_emb_64.h5.gz --output sea_64.safetensors
      convert a file you have
  python -m weights_convert --all --source DOWNLOADS --output CONVERTED
      convert every published file found in a folder
  python -m weights_convert mn04_as --quantize int8 --output mn04_as.int8.safetensors
      the same with int8 weights, a quarter of the size; --source may be a file that was converted before
  python -m weights_convert my_net/ --quantize int8 --output my_net.int8/
      a folder that `hear-edgel3 distill` has made, with int8 weights
  python -m weights_convert publish sea_64 --weights sea_64.safetensors
      show what would go to the Hugging Face Hub (--upload does it)
"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 1 a checkpoint failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with interruptible():
            return _publish(argv[1:]) if argv[:1] == ["publish"] else _convert(argv)
    except HearEdgeL3Error as error:
        say(f"error: {error}")
        return 2 if isinstance(error, (InvalidOption, UnknownConfiguration)) else 1
    except KeyboardInterrupt:
        say("interrupted; nothing half-written is left")
        return 130


def _convert(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m weights_convert",
        description="Converts the authors' checkpoints to safetensors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="checkpoints, as `hear-edgel3 list` names them")
    parser.add_argument("--all", action="store_true", help="every checkpoint")
    parser.add_argument(
        "--source", type=Path, help="the upstream file, or a folder of them; without it the file is downloaded"
    )
    parser.add_argument(
        "--output", help="file to write, or folder for several; default: the cache that load() looks into"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="classes of your own net, trained further: one a line, or CSV"
    )
    parser.add_argument(
        "--setting", action="append", metavar="NAME=VALUE", help="what no tensor of your own net shows: tau of a DyMN"
    )
    parser.add_argument(
        "--quantize", choices=["int8"], help="store weights in eight bits, with a scale per output channel"
    )
    parser.add_argument("--dense", action="store_true", help="store also the zeros of pruned nets")
    parser.add_argument(
        "--verify", type=Path, metavar="NPZ", help="reference embeddings (pcm__X windows, emb__X) that must be met"
    )
    parser.add_argument("--tolerance", type=float, default=None, help="largest error --verify allows (default 5e-4)")
    arguments = parser.parse_args(argv)
    if arguments.all == bool(arguments.names):
        parser.error("give the names of checkpoints, or --all")
    if arguments.source is not None and not arguments.source.is_dir() and len(arguments.names) != 1:
        parser.error("--source takes a folder when there are several checkpoints")
    net = commands.net_to_quantize(arguments.names) if arguments.quantize else None
    if net is not None:
        others = [
            f"--{name}" for name in ("source", "labels", "setting", "verify") if getattr(arguments, name) is not None
        ]
        commands.quantize_net(net, arguments.output, others, arguments.dense)
        return 0
    failed = commands.convert_all(
        commands.rows_of(arguments.names, arguments.all),
        arguments.source,
        arguments.output,
        arguments.verify,
        arguments.tolerance,
        arguments.all,
        arguments.labels,
        arguments.quantize is not None,
        arguments.dense,
        commands.read_settings(arguments.setting),
    )
    return 1 if failed else 0


def _publish(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m weights_convert publish",
        description="Creates or updates Hub repositories. A dry run unless --upload is given.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--weights", type=Path, help="converted file, or folder of them; default: as load()")
    parser.add_argument("--repo-id", help="repository, if not the registry's")
    parser.add_argument("--upload", action="store_true", help="really do it")
    arguments = parser.parse_args(argv)
    if arguments.repo_id and len(arguments.names) > 1:
        parser.error("--repo-id takes one checkpoint")
    rows = commands.rows_of(arguments.names, every=False)
    commands.publish_all(rows, arguments.weights, arguments.repo_id, arguments.upload)
    return 0


if __name__ == "__main__":
    sys.exit(main())
