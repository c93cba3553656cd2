"""``hear-edgel3 events``: what is heard in recordings, from when to when."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from hear_edgel3.audio.channels import EACH
from hear_edgel3.cli import options
from hear_edgel3.cli.common import say_notes
from hear_edgel3.cli.say import put, say
from hear_edgel3.cli.sources import AudioSources, audio_sources, file_of
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.paths import real_path, text_of, text_of_path
from hear_edgel3.errors import InvalidOption
from hear_edgel3.event_detection import formats
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.event_detection.request import EventOptions, event_rows, read_groups, read_thresholds
from hear_edgel3.families.schema import Checkpoint, Local
from hear_edgel3.tagging.request import one_each
from hear_edgel3.weights.locate import check_given, find

# The nets, each with the weights that were given for it.
_Nets = Sequence[tuple[Checkpoint, str | os.PathLike[str] | None]]

_DESCRIPTION = """Finds sound events: what is heard in recordings, each from when to when, with a score from 0 to 1. The
classes are AudioSet's 527 or those of a net that `hear-edgel3 train` made, whose own thresholds then count. A class of
AudioSet stands for all below it: `--classes Bird` finds calls, songs and crows. Results go to stdout, or into the file
or folder --output, to which the same command adds what it lacks, after an interruption as well."""

_EPILOG = """formats: csv, jsonl and parquet (a row per event); audacity (label tracks) and raven (selection tables), in
a folder with a file for each recording; kaleidoscope and birdnet (tables that programs for these read).

Exit status: 0 all well, 1 some recordings failed, 2 wrong usage, 130 interrupted.

examples:
  hear-edgel3 events recordings/ --classes Bird Frog Insect --output events.csv
  hear-edgel3 events day.wav --config mn04_as --classes "Human voice" --threshold 0.4 --clips cut
  hear-edgel3 events recordings/ --ensemble tiny mn04_as --output events.csv
  hear-edgel3 events recordings/ --config my_detector --output labels --format raven"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "events",
        help="find sounds in recordings, each with its start and end",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCES", help=options.SOURCES)
    options.add_config(parser, default=None)
    options.add_ensemble(parser)
    add_event_options(parser)
    options.add_window(parser, "that the net sees at a time (default 1, or what the net takes)")
    options.add_hop(parser, "between windows (default half a window)")
    output = parser.add_argument_group("output")
    options.add_output(output, "FILE|DIR", "write to this file, or folder, instead of stdout")
    output.add_argument("--format", choices=formats.FORMATS, help="of the output (default: what its name ends in)")
    output.add_argument("--overwrite", action="store_true", help="begin --output anew (else it is added to)")
    output.add_argument("--retry-failed", action="store_true", help="try again the recordings that failed before")
    output.add_argument("--clips", metavar="DIR", help="cut the sounds out, into FLAC files in this folder")
    output.add_argument(
        "--margin", type=options.share, metavar="SECONDS", help="before and behind what is cut out (default 0.5)"
    )
    options.add_time_and_place(parser, always=True)
    options.add_channel(parser, each=True)
    options.add_tables(parser)
    options.add_engine(parser)
    options.add_device(parser)
    options.add_workers(parser, "processes (default: one per usable CPU)")
    options.add_threads(parser, "of the net, per worker (default 1)", default=1)
    options.add_file_timeout(parser)
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what an event is, which ``listen`` has, too."""
    group = parser.add_argument_group("what an event is")
    group.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        metavar="CLASS",
        help="only these, each with all below it in AudioSet's ontology (default: every class by itself)",
    )
    group.add_argument("--exact", action="store_true", help="--classes stand for themselves only")
    group.add_argument("--groups", metavar="FILE", help='groups of classes, told as one: {"Birds": ["Bird", "Fowl"]}')
    both = group.add_mutually_exclusive_group()
    both.add_argument(
        "--threshold",
        type=options.fraction,
        metavar="P",
        help="that an event must reach (default: a detector's own; 0.3 for AudioSet's classes, 0.5 for others)",
    )
    both.add_argument("--thresholds", metavar="FILE", help="of classes: JSON, or CSV with a class and a number per row")
    group.add_argument(
        "--hysteresis",
        type=options.fraction,
        default=0.5,
        metavar="SHARE",
        help="of the threshold, down to which an event goes on (default 0.5; 1 for none)",
    )
    for name, text in {
        "smooth": "of a median filter over the probabilities (default 0: none)",
        "merge": "that may be between two events of a class for them to be one (default 0)",
        "min-length": "that an event must have (default 0)",
    }.items():
        group.add_argument(f"--{name}", type=options.share, default=0.0, metavar="SECONDS", help=text)
    group.add_argument(
        "--max-length", type=options.positive("seconds"), metavar="SECONDS", help="longer events are cut (default: any)"
    )


def check_no_event_options(arguments: argparse.Namespace) -> None:
    """Checks that none of :func:`add_event_options` is given where there are no events.

    Raises:
        InvalidOption: One is.
    """
    usual = {"exact": False, "hysteresis": 0.5, "smooth": 0.0, "merge": 0.0, "min_length": 0.0}
    for name in _DECIDE:
        if getattr(arguments, name) != usual.get(name):
            raise InvalidOption(f"{options.flag(name)} goes with events: give --events too, or leave it out")


def event_options(arguments: argparse.Namespace) -> EventOptions:
    """What :func:`add_event_options` was given.

    Raises:
        InvalidOption: It cannot be used, or a file of it cannot be read.
    """
    return EventOptions(
        classes=arguments.classes,
        groups=None if arguments.groups is None else read_groups(arguments.groups),
        exact=arguments.exact,
        threshold=arguments.threshold,
        thresholds={} if arguments.thresholds is None else read_thresholds(arguments.thresholds),
        window=arguments.window,
        hop=arguments.hop,
        hysteresis=arguments.hysteresis,
        smooth=arguments.smooth,
        merge=arguments.merge,
        min_length=arguments.min_length,
        max_length=arguments.max_length,
    )


def run(arguments: argparse.Namespace) -> int:
    """Finds the events; a bad recording is reported and the rest go on.

    Returns:
        0, or 1 if any recording failed.
    """
    rows = event_rows(options.ensemble(arguments))
    given = one_each(rows, arguments.weights)
    options.check_engine(arguments.engine)
    for row, path in zip(rows, given, strict=True):
        check_given(row, path)
    nets = list(zip(rows, given, strict=True))
    asked = event_options(arguments)
    options.time_and_place(arguments)
    check_events(rows, asked)
    if arguments.margin is not None and arguments.clips is None:
        raise InvalidOption("--margin is for --clips, which is not given")
    form = formats.format_of(arguments.output, arguments.format)
    if arguments.channel == EACH and form in formats.WITHOUT_CHANNELS:
        raise InvalidOption(
            f"--format {form} has no place for channels: take another one for --channel each, or one channel"
        )
    _check_output(arguments, form)
    found = audio_sources(arguments.sources, arguments.audio, arguments.whole_files, arguments.channel)
    if arguments.clips is not None:
        _leave_out_clips(found, arguments.clips)
    say_notes(found.notes, arguments.quiet)
    for name, error in found.failures:
        say(f"error: {error}" if name in str(error) else f"error: {name}: {error}")
    failures = len(found.failures)
    if found.items and arguments.output is not None and form is not None:
        failures += _write(found, nets, arguments, asked, form)
    elif found.items:
        failures += _print(found, nets, arguments, asked, form)
    return 1 if failures else 0


def _leave_out_clips(found: AudioSources, clips: str) -> None:
    """Leaves out what an earlier run has cut out, where that is inside a folder that is listened to."""
    inside = os.path.join(real_path(clips), "")
    items = [item for item in found.items if not real_path(file_of(item)).startswith(inside)]
    if len(items) < len(found.items):
        left_out = len(found.items) - len(items)
        found.notes.append(f"{left_out} sounds in {clips} are left out: they are --clips themselves")
        found.items = items


def check_events(rows: Sequence[Checkpoint], asked: EventOptions) -> None:
    """Finds out before anything is loaded whether nets have what is asked of them.

    Raises:
        InvalidOption: They take no such windows, or have no such classes.
    """
    from hear_edgel3.registry.labels import Label, labels
    from hear_edgel3.tagging.outputs import outputs_of, outputs_together

    asked.windows_together(rows)
    row = rows[0]  # the others have the same classes
    if isinstance(row, Local) and row.classes:
        known = tuple(Label(name, "") for name in row.classes)
    elif row.labels is not None:
        known = labels(row.labels)
    else:
        return
    outputs = outputs_together([outputs_of(one) for one in rows])
    asked.rules_for(asked.groups_of(known, outputs), outputs, not (isinstance(row, Local) and row.classes))


def _check_output(arguments: argparse.Namespace, form: str | None) -> None:
    from hear_edgel3.disk.atomic import check_folder_name

    if arguments.output is None:
        for name in ("overwrite", "retry_failed"):
            if getattr(arguments, name):
                raise InvalidOption(f"{options.flag(name)} is for --output, which is not given")
    elif form is not None:
        formats.check_output(arguments.output, form)
    if arguments.clips is not None:
        check_folder_name(arguments.clips)


def _how(nets: _Nets, arguments: argparse.Namespace, asked: EventOptions) -> Any:
    from hear_edgel3.event_detection.clips import MARGIN_S
    from hear_edgel3.event_detection.work import HowToWork

    return HowToWork(
        configurations=tuple(os.path.abspath(row.folder) if isinstance(row, Local) else row.name for row, _ in nets),
        # Those of a folder are for the net itself to check.
        weights=tuple(
            None if isinstance(row, Local) and path is None else str(find(row, path).path) for row, path in nets
        ),
        engine=arguments.engine,
        device=arguments.device,
        threads=arguments.threads,
        channel=arguments.channel,
        options=asked,
        clips=arguments.clips,
        margin=MARGIN_S if arguments.margin is None else arguments.margin,
        look=options.time_and_place(arguments),
    )


def _workers(arguments: argparse.Namespace) -> int:
    from hear_edgel3.jobs.cpus import usable_cpus

    if arguments.workers is not None:
        return int(arguments.workers)
    return max(1, usable_cpus() // arguments.threads) if arguments.device == "cpu" else 1


def _print(
    sources: AudioSources, nets: _Nets, arguments: argparse.Namespace, asked: EventOptions, form: str | None
) -> int:
    """Finds events and prints them, in the order of the recordings. Returns how many recordings failed."""
    from hear_edgel3.event_detection.run import find_events

    if form in formats.TRACKS and len(sources.items) > 1:
        raise InvalidOption(
            f"--format {form} to standard output is for one recording: give --output, the name of a folder"
        )
    how, layout = _how(nets, arguments, asked), _layout(arguments)
    waiting: dict[int, Recording] = {}
    failures, turn, said = 0, 0, False
    found = find_events(sources.items, how, _workers(arguments), arguments.file_timeout, quiet=True)
    with closing(found):
        for number, recording in found:
            waiting[number] = recording
            while turn in waiting:
                one = waiting.pop(turn)
                turn += 1
                if one.error is not None:
                    failures += 1
                    say(f"error: {text_of(one.error)}")
                if form is None:
                    put(formats.as_text(one), end="")
                else:
                    text = _rendered(form, one, layout)
                    put(text.split("\n", 1)[1] if said and formats.has_heading(form) else text, end="", exact=True)
                    said = True
    return failures


def _rendered(form: str, recording: Recording, layout: Layout) -> str:
    target = io.BytesIO()
    formats.write(form, target, [recording], layout)
    return target.getvalue().decode()


def _layout(arguments: argparse.Namespace) -> Layout:
    asked = options.time_and_place(arguments)
    return Layout(
        sites=asked.site is not None,
        channels=arguments.channel == EACH,
        clips=arguments.clips is not None,
        channel=arguments.channel if isinstance(arguments.channel, int) else None,
        zone=asked.tz,
    )


def _write(
    sources: AudioSources,
    nets: _Nets,
    arguments: argparse.Namespace,
    asked: EventOptions,
    form: str,
) -> int:
    """Finds events and writes them into ``--output``. Returns how many recordings failed."""
    from hear_edgel3.event_detection.run import Summary, write_events

    how = _how(nets, arguments, asked)
    window, hop = asked.windows_together([row for row, _ in nets])
    made_with = {
        "config": _one_or_all([row.name for row, _ in nets]),
        "embedding_version": _one_or_all([row.embedding_version for row, _ in nets]),
        "weights": _one_or_all([_sha256(row, path) for row, path in nets]),
        "engine": arguments.engine,
        "device": arguments.device,
        "channel": arguments.channel,
        "window": window,
        "hop": hop,
        "clips": None if arguments.clips is None else text_of_path(os.path.abspath(arguments.clips)),
        "margin": None if arguments.clips is None else how.margin,
        **asdict(how.look),
        **{name: getattr(asked, name) for name in _DECIDE},
        **_of_classes([row for row, _ in nets]),
    }
    run_ = write_events(
        sources.items,
        arguments.output,
        form,
        _layout(arguments),
        how,
        made_with,
        overwrite=arguments.overwrite,
        retry_failed=arguments.retry_failed,
        workers=_workers(arguments),
        file_timeout=arguments.file_timeout,
        quiet=arguments.quiet,
    )
    summary: Summary = Summary()
    with closing(run_):
        try:
            while True:
                recording = next(run_)
                if recording.error is not None:
                    say(f"error: {text_of(recording.error)}")
        except StopIteration as ended:
            summary = ended.value
        except KeyboardInterrupt:
            say("hear-edgel3: what is done is kept; the same command goes on")
            raise
    _tell(summary, arguments)
    return len(summary.failed) + summary.failed_before


# What decides about events besides the net and its windows.
_DECIDE = (
    *("classes", "groups", "exact", "threshold", "thresholds"),
    *("hysteresis", "smooth", "merge", "min_length", "max_length"),
)


def _one_or_all(values: list[Any]) -> Any:
    """As runs of one net have always kept it, so that they go on."""
    return values[0] if len(values) == 1 else values


def _sha256(row: Checkpoint, given: str | os.PathLike[str] | None) -> str:
    located = find(row, given)
    return located.sha256 or sha256_of(located.path)


def _of_classes(rows: Sequence[Checkpoint]) -> dict[str, Any]:
    """What folders say of their classes, which their weights do not tell."""
    own = [row for row in rows if isinstance(row, Local) and row.classes]
    if not own:
        return {}
    return {
        "own_classes": own[0].classes,
        "targets": own[0].targets,
        "temperature": _one_or_all([row.temperature for row in own]),
        "own_thresholds": _one_or_all([row.thresholds for row in own]),
    }


def _tell(summary: Any, arguments: argparse.Namespace) -> None:
    if len(summary.failed) > 1:
        say("failures:")
        for _, text in summary.failed:
            say(f"  {text_of(text)}")
    if summary.failed_before:
        say(f"  {summary.failed_before} failed in earlier runs (--retry-failed tries them again)")
    if arguments.quiet:
        return
    say_notes(summary.unknown.notes(options.time_and_place(arguments), options.asks_time_and_place(arguments)), False)
    kept = f", {summary.kept} were there" if summary.kept else ""
    failed = f", {len(summary.failed)} failed" if summary.failed else ""
    rate = summary.seconds / max(summary.wall_seconds, 1e-9)
    heard = f"{summary.recordings} recordings"
    if summary.clips:
        heard = f"{summary.clips} clips of {heard}"
    say(
        f"{summary.events} events in {heard} ({summary.seconds / 3600:.2f} h, {rate:.0f} x "
        f"real time){kept}{failed}: {arguments.output}"
    )
