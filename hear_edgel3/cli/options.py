"""The options that several commands have: each is written down once, so that it is called the same everywhere.

An option may have old spellings. They are accepted, and ``--help`` does not show them.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import weakref
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hear_edgel3.cli.say import put
from hear_edgel3.dataset.parquet import parquet_files
from hear_edgel3.disk.paths import printable, shortened
from hear_edgel3.engine import table as engines
from hear_edgel3.errors import InvalidOption
from hear_edgel3.framing.rules import check_hop_ms, milliseconds
from hear_edgel3.recorded import TimeAndPlace
from hear_edgel3.registry.names import BUILT_IN, find, resolve, with_features

# A parser, or a group of options in one.
Options = argparse._ActionsContainer


class Parser(argparse.ArgumentParser):
    """A parser whose options are given in full, as a short form that works today may be ambiguous tomorrow."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **{"allow_abbrev": False, **settings})

    def _print_message(self, message: str, file: Any = None) -> None:
        """Prints help to stdout as results are printed: if it cannot be, that is said."""
        if message and (file is None or file is sys.stdout):  # None where stdout is closed
            put(message, end="")
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the words of the command, and ends it."""
        super().error(printable(message))


class Once(argparse.Action):
    """An option that is refused when it is given twice, as the last one would win without a word."""

    _given_to: weakref.ref[argparse.Namespace] | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Keeps the value.

        Raises:
            argparse.ArgumentError: There is one already.
        """
        if self._given_to is not None and self._given_to() is namespace:
            before, now = (printable(shortened(str(value))) for value in (getattr(namespace, self.dest), values))
            raise argparse.ArgumentError(self, f"given twice, {before} and {now}: one net at a time")
        self._given_to = weakref.ref(namespace)
        setattr(namespace, self.dest, values)


# What parameters of Python are called on the command line, where it is not the same.
_FLAGS = {"hop_size": "hop", "sample_rate": "rate"}

SOURCES = (
    "audio files, folders of them (with those inside), globs, tar files of them (or shard.tar/member.wav), or lists of "
    "these (.csv, .tsv, .parquet, .txt, or - for a list on stdin)"
)


def add(parser: Options, *names: str, old: Sequence[str] = (), **settings: Any) -> None:
    """Adds an option.

    Args:
        parser: where to.
        names: its spellings.
        old: spellings that are accepted, but shown nowhere.
        settings: as for ``add_argument``.
    """
    if not old:
        parser.add_argument(*names, **settings)
        return
    # Whoever gives both spellings is told: else the last one would win.
    both = parser.add_mutually_exclusive_group(required=settings.pop("required", False))
    action = both.add_argument(*names, **settings)
    settings.pop("dest", None)
    hidden = {"dest": action.dest, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    both.add_argument(*old, **{**settings, **hidden})


def add_config(
    parser: argparse.ArgumentParser,
    default: str | None = BUILT_IN,
    text: str | None = None,
    old: str | None = None,
    required: bool = False,
) -> None:
    """``--config``: which net.

    Args:
        parser: where to.
        default: without it.
        text: of the help, if not the usual.
        old: name of a positional that is accepted in its place, and not shown.
        required: whether it must be given.
    """
    text = text or f"see `hear-edgel3 list`, or a folder made by `distill` or `train`; default {BUILT_IN}"
    where: Options = parser
    if old is not None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument(old, nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    settings: dict[str, Any] = {"required": True} if required else {"default": default}  # a group cannot require one
    where.add_argument("--config", "-c", dest="config", metavar="NAME|FOLDER", help=text, action=Once, **settings)


def add_name(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """Which net, as a word of its own or behind ``--config``: one of both must be given, and is ``name``.

    Args:
        parser: where to.
        metavar: what it can be.
        text: of the help.
    """
    which = parser.add_mutually_exclusive_group(required=True)
    settings: dict[str, Any] = {"metavar": metavar, "default": argparse.SUPPRESS}
    which.add_argument("name", nargs="?", help=text, **settings)
    which.add_argument("--config", "-c", dest="name", help="the same", action=Once, **settings)


def add_features(parser: Options) -> None:
    """``--features``: what to take from the net."""
    parser.add_argument(
        "--features",
        metavar="WORD[,WORD]",
        help="layers, or other words of the configuration's kind, as behind its name: --config image_effnet_lite0 "
        "--features block5,head is image_effnet_lite0_block5_head",
    )


def configuration_of(config: str | None, features: str | None) -> str:
    """The name of a configuration, of ``--config`` and ``--features``.

    Raises:
        InvalidOption: There is no such configuration, or the words do not fit it.
    """
    configuration = resolve(BUILT_IN if config is None else config)
    if features is None:
        return BUILT_IN if config is None else str(config)
    if config is not None and find(str(config)) is None:
        name = printable(shortened(str(config)))
        raise InvalidOption(f"--features is for configurations that `hear-edgel3 list` has; {name} is a folder")
    return with_features(configuration, [word.strip() for word in features.split(",")]).name


def add_weights(parser: Options, text: str = "converted weights, or a folder of them", **settings: Any) -> None:
    """``--weights``."""
    parser.add_argument("--weights", metavar="FILE", help=text, **settings)


def add_ensemble(parser: Options, more: str = "; SOURCES come before") -> None:
    """``--ensemble``, and ``--weights`` for its nets; ``more`` is what the help of the first says besides."""
    parser.add_argument(
        "--ensemble",
        nargs="+",
        action="extend",
        metavar="NAME",
        default=[],
        help=f"configurations whose logits are averaged, with --config's if that is given{more}",
    )
    text = "converted weights, or a folder of them; for an ensemble a folder, or once per configuration, in order"
    add_weights(parser, text, action="append")


def ensemble(arguments: argparse.Namespace) -> list[str]:
    """The configurations of ``--config`` and ``--ensemble``, each once; the built-in one if none is given."""
    names = [arguments.config, *arguments.ensemble] if arguments.config else arguments.ensemble
    return list(dict.fromkeys(names)) or [BUILT_IN]


def add_hop(parser: Options, text: str, *names: str, old: Sequence[str] = ()) -> None:
    """``--hop``, in seconds."""
    add(parser, "--hop", *names, old=old, type=positive("seconds"), metavar="SECONDS", help=text)


def add_window(parser: Options, text: str) -> None:
    """``--window``, in seconds."""
    parser.add_argument("--window", type=positive("seconds"), metavar="SECONDS", help=text)


def add_output(parser: Options, metavar: str, text: str, old: Sequence[str] = (), required: bool = False) -> None:
    """``--output``: where results go."""
    add(parser, "--output", "-o", old=old, metavar=metavar, help=text, required=required)


def add_channel(parser: Options, each: bool = False, table: bool = False) -> None:
    """``--channel``: what of the channels.

    Args:
        parser: where to.
        each: whether it may also be each of them by itself.
        table: whether it may also be what a table says of each sound.
    """
    more = ", or each of them by itself" if each else ", or what each row's column `channel` says" if table else ""
    text = f"the number of one, counted from 0, or their mean (default){more}"
    metavar = "N|mean|each" if each else "N|mean|table" if table else "N|mean"
    parser.add_argument(
        "--channel", type=partial(_channel, each=each, table=table), default="mean", metavar=metavar, help=text
    )


def _channel(text: str, each: bool, table: bool) -> int | str:
    if text == "mean" or (each and text == "each") or (table and text == "table"):
        return text
    if _is_whole(text):
        return int(text)
    if text == "each" and not table:
        raise argparse.ArgumentTypeError("takes one channel at a time here: run it with --channel 0, then --channel 1")
    words = "mean, or each" if each else "mean, or table" if table else "or mean"
    raise argparse.ArgumentTypeError(f"must be the number of a channel, counted from 0, {words}; got {text}")


def add_tables(parser: Options) -> None:
    """``--audio`` and ``--whole-files``: how tables and lists are read."""
    parser.add_argument(
        "--audio", metavar="DIR", help="where relative paths in lists and tables begin (default: the list's own folder)"
    )
    parser.add_argument(
        "--whole-files", action="store_true", help="take whole files, whatever starts and ends of clips a table has"
    )


def add_time_and_place(parser: Options, always: bool = False) -> None:
    """``--recorded``, ``--time-pattern``, ``--time-zone`` and ``--site``: when and where recordings were made.

    Args:
        parser: where to.
        always: whether the columns are there without being asked for, so that there is no ``--recorded``.
    """
    group = parser.add_argument_group("when and where recordings were made")
    if not always:
        group.add_argument(
            "--recorded", action="store_true", help="columns recorded_at and site (the options below mean it, too)"
        )
    group.add_argument(
        "--time-pattern",
        metavar="PATTERN",
        help="of the time in names of files, as %%Y%%m%%d_%%H%%M%%S (default: those of AudioMoth, Song Meter, BAR-LT "
        "and ISO 8601, and what is in files: GUANO, wamd, AudioMoth's comment, bext, iXML)",
    )
    group.add_argument(
        "--time-zone",
        metavar="ZONE",
        help="of times that say none, and to tell all in: UTC, +02:00, Europe/Berlin (default: none is assumed)",
    )
    group.add_argument(
        "--site",
        type=_site,
        metavar="N|REGEX|none",
        help="the folder called as the site: 1 for a file's own, 2 for that above it; or a regular expression that "
        "finds it in the path (default 1)",
    )


def _site(text: str) -> int | str:
    return int(text) if _is_whole(text) else text


def time_and_place(arguments: argparse.Namespace) -> TimeAndPlace:
    """What :func:`add_time_and_place` was given, or what is usual.

    Raises:
        InvalidOption: it cannot be used.
    """
    site = 1 if arguments.site is None else arguments.site
    return TimeAndPlace(arguments.time_pattern, arguments.time_zone, None if site == "none" else site)


def asked_time_and_place(arguments: argparse.Namespace) -> TimeAndPlace | None:
    """As :func:`time_and_place`; None if nothing of it was asked for."""
    return time_and_place(arguments) if arguments.recorded or asks_time_and_place(arguments) else None


def asks_time_and_place(arguments: argparse.Namespace) -> bool:
    """Whether any of what :func:`add_time_and_place` says more of was given."""
    return any(one is not None for one in (arguments.time_pattern, arguments.time_zone, arguments.site))


def add_recursive(parser: Options) -> None:
    """``--recursive``, which does nothing any more: folders mean the same in every command."""
    text = "the folders inside folders are looked into anyway; accepted as it once was needed"
    parser.add_argument("--recursive", action="store_true", help=text)


def add_engine(parser: Options) -> None:
    """``--engine``: what runs the net."""
    parser.add_argument("--engine", default="auto", metavar="NAME", help=engine_help())


def engine_help() -> str:
    """What ``--help`` says of ``--engine``."""
    auto, *others, last = engines.NAMES
    return f"what runs the net: {auto} (default), {', '.join(others)} or {last}"


def add_device(parser: Options) -> None:
    """``--device``: where the net runs."""
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")


def add_workers(parser: Options, text: str, default: int | None = None) -> None:
    """``--workers``: processes."""
    parser.add_argument("--workers", type=count, default=default, metavar="N", help=text)


def add_threads(parser: Options, text: str, default: int | None = None) -> None:
    """``--threads``: of each process."""
    parser.add_argument("--threads", type=count, default=default, metavar="N", help=text)


def add_file_timeout(parser: Options) -> None:
    """``--file-timeout``, in seconds."""
    text = "that a file may take; longer, and it is given up (default: any time)"
    parser.add_argument("--file-timeout", type=positive("seconds"), metavar="SECONDS", help=text)


def add_top(parser: Options, text: str, default: int | None = None) -> None:
    """``--top``: how many of the best."""
    parser.add_argument("--top", type=count, default=default, metavar="N", help=text)


def add_json(parser: Options, text: str) -> None:
    """``--json``: results for programs."""
    parser.add_argument("--json", action="store_true", help=text)


def add_quiet(parser: Options, text: str = "print nothing but results and errors") -> None:
    """``--quiet``."""
    parser.add_argument("--quiet", "-q", action="store_true", help=text)


def add_verbose(parser: Options) -> None:
    """``--verbose``, before the command as well as behind it: without it, what was said there stands."""
    text = "say where weights come from, on stderr"
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=text)


def positive(unit: str = "") -> Callable[[str], float]:
    """Reads a positive number.

    Args:
        unit: of what, for the error.
    """
    what = f"a positive number of {unit}" if unit else "a positive number"

    def read(text: str) -> float:
        value = _number(text)
        if not math.isfinite(value) or value <= 0:
            raise argparse.ArgumentTypeError(f"must be {what}, got {shortened(text)}")
        return value

    return read


def share(text: str) -> float:
    """Reads a number from 0."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0, got {shortened(text)}")
    return value


def fraction(text: str) -> float:
    """Reads a number above 0 and at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1, got {shortened(text)}")
    return value


def count(text: str) -> int:
    """Reads a whole number from 1."""
    value = int(text) if _is_whole(text) else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {shortened(text)}")
    return value


def whole(text: str) -> int:
    """Reads a whole number, of whatever sign: whoever uses it says what it may be."""
    if not _is_whole(text.removeprefix("-")):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {shortened(text)}")
    return int(text)


def seed(text: str) -> int:
    """Reads a whole number of 32 bits."""
    if not (_is_whole(text) and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}, got {shortened(text)}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_whole(text: str) -> bool:
    # Python refuses to read thousands of digits, and nothing here needs them.
    return text.isascii() and text.isdecimal() and len(text) < 100


def check_engine(name: str) -> None:
    """Finds out before anything is loaded whether there is such an engine.

    Raises:
        InvalidOption: there is none.
    """
    if name not in engines.NAMES:
        raise InvalidOption(f"engine must be one of {', '.join(engines.NAMES)}; got {name!r}")


def flag(name: str) -> str:
    """The option for a parameter of Python."""
    return f"--{_FLAGS.get(name, name).replace('_', '-')}"


def in_flags(text: str, known: Container[str]) -> str:
    """The text of an error about a parameter of Python, with the option in its place.

    Args:
        text: It may begin with ``hop_size=0`` or ``engine must be``, for example; or say that a parameter ``is for`` or
            ``has no effect`` without others, and to give these.
        known: The options that the command has.
    """
    found = re.match(r"([a-z_]+)(=| must be | has no effect | is for | is what )", text)
    if found is None or flag(found[1]) not in known:
        return text

    def named(one: re.Match[str]) -> str:
        return one[1] + flag(one[2]) if flag(one[2]) in known else one[0]

    rest = text[found.end() :]
    if found[2] not in ("=", " must be "):
        rest = re.sub(r"\b(give |or )([a-z_]+)\b", named, rest)
    return flag(found[1]) + found[2].replace("=", " ") + rest


def check_hop(seconds: float, sample_rate: int) -> None:
    """Finds out before anything is loaded whether a hop is long enough.

    Args:
        seconds: As given.
        sample_rate: The net's, in Hz.

    Raises:
        InvalidOption: It is less than one sample, or longer than anything.
    """
    try:
        check_hop_ms(milliseconds(seconds), sample_rate)
    except InvalidOption as error:
        what = f"less than one sample at {sample_rate} Hz; use at least {1 / sample_rate:g}"
        raise InvalidOption(f"--hop {seconds:g} is {what if seconds < 1 else 'too long; use a shorter one'}") from error


def check_dataset(folder: str) -> None:
    """Finds out before anything is loaded whether a folder may be a dataset of embeddings; reading it says the rest.

    Raises:
        DatasetError: there is no such folder, or it has no Parquet files.
    """
    parquet_files(Path(folder))
