"""``hear-edgel3 listen``: raw audio in from a pipe, a line of JSON out for every moment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.audio.magic import Beginning
from hear_edgel3.audio.pcm import PCM_FORMATS, PcmDecoder
from hear_edgel3.cli import options
from hear_edgel3.cli.common import on_device
from hear_edgel3.cli.events import add_event_options, check_events, check_no_event_options, event_options
from hear_edgel3.cli.say import put, say
from hear_edgel3.cli.stdin import StandardInput
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import InvalidAudio, InvalidOption
from hear_edgel3.event_detection.request import EventOptions, event_rows
from hear_edgel3.families.schema import Checkpoint, Configuration
from hear_edgel3.framing.rules import milliseconds
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.records import rounded, tag_values
from hear_edgel3.tagging.request import check_length, one_each, tagging_rows
from hear_edgel3.weights.locate import check_given

if TYPE_CHECKING:
    from hear_edgel3.extractor.streaming import AudioStream

# The weights that were given for each net.
_Given = Sequence[str | os.PathLike[str] | None]

_DESCRIPTION = """Reads raw PCM from standard input while it is being recorded or decoded, and prints a line of JSON as
soon as enough has come: the most probable classes of the last second, four times a second (of AudioSet's, or of your
own, by a folder that `hear-edgel3 train` made), timestamp embeddings (--embeddings, and nets without a classifier), or
events with their start and end (--events).
The end of the input, or Ctrl-C, ends it."""

_EPILOG = """examples:
  arecord -q -t raw -f S16_LE -r 48000 -c 1 | hear-edgel3 listen
  ffmpeg -v error -i URL -f s16le -ac 1 -ar 48000 - | hear-edgel3 listen --config mn10_as --top 1
  arecord -q -t raw -f S16_LE -r 48000 -c 1 | hear-edgel3 listen --events --classes Bird Dog --max-length 60
  arecord -q -t raw -f S16_LE -r 48000 -c 1 | hear-edgel3 listen --events --ensemble tiny mn04_as --classes Bird
  ffmpeg -v error -i clip.mp3 -f s16le -ac 1 -ar 44100 - | hear-edgel3 listen -c sea_64 --rate 44100"""

_HINT = "pipe raw audio in, for example: arecord -q -t raw -f S16_LE -r 48000 -c 1 | hear-edgel3 listen"
_TAG_HOP, _TOP = 0.25, 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "listen",
        help="tags, events or embeddings of audio while it comes in",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_config(parser, default=None, old="config")
    options.add_ensemble(parser, more=", for tags and events")
    parser.add_argument("--format", choices=PCM_FORMATS, default="s16le", help="of the samples, default s16le")
    parser.add_argument(
        "--rate", type=options.whole, metavar="HZ", help="sample rate (default: what the net is fed, 48000 mostly)"
    )
    parser.add_argument("--channels", type=options.whole, default=1, metavar="N", help="interleaved (default 1)")
    options.add_channel(parser, each=True)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--tags", action="store_true", help="print classes (default, if the net has a classifier)")
    what.add_argument("--embeddings", action="store_true", help="print embeddings")
    what.add_argument("--events", action="store_true", help="print sound events, each as soon as it is over")
    options.add_top(parser, f"classes per line (default {_TOP}; all where they are numbers)")
    options.add_window(parser, "that are tagged at a time (default 1)")
    options.add_hop(
        parser, f"between lines (default {_TAG_HOP:g} for tags, or a quarter of --window; 0.05 for embeddings)"
    )
    add_event_options(parser)
    options.add_engine(parser)
    options.add_device(parser)
    options.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line per moment, up to the end of the input.

    Returns:
        0.
    """
    names = options.ensemble(arguments)
    configuration = resolve(names[0])
    options.check_engine(arguments.engine)
    tags = _wants_tags(arguments, configuration)
    rows = _rows(arguments, names, configuration, tags)
    asked = _events_asked(arguments, rows)
    given = one_each(rows, arguments.weights)
    for row, path in zip(rows, given, strict=True):
        check_given(row, path)
        if arguments.window is not None:
            check_length(row, arguments.window)
    if arguments.hop is not None and not tags:
        options.check_hop(arguments.hop, configuration.checkpoint.net_sample_rate)
    if isinstance(arguments.channel, int) and arguments.channel >= arguments.channels:
        raise InvalidOption(
            f"there is no channel {arguments.channel}: --channels says there are {arguments.channels}, counted from 0"
        )
    decoder = PcmDecoder(arguments.format, arguments.channels)
    source = StandardInput(_HINT)
    if asked is not None:
        streams = _event_streams(arguments, names, given, asked)
    elif tags:
        streams = _tag_streams(arguments, names, given)
    else:
        streams = _embedding_streams(arguments, names[0], given[0])
    stream = streams[0]
    stream.warm_up()
    if not arguments.quiet:
        _announce(arguments, names, stream)
    with source:
        for channel, found in _found(source, decoder, streams):
            if asked is not None:
                line = _event_line(found)
            else:
                line = _tags_line(found, arguments.top) if tags else _embedding_line(found)
            put(json_text({"channel": channel, **line} if arguments.channel == "each" else line))
    if decoder.pending:
        say(f"hear-edgel3: the last {len(decoder.pending)} bytes are no whole sample: left out")
    if not stream.fed and not source.interrupted:
        raise InvalidAudio(f"standard input had no audio; {_HINT}")
    return 0


def _wants_tags(arguments: argparse.Namespace, configuration: Configuration) -> bool:
    tags = bool(arguments.tags or (configuration.checkpoint.tags and not (arguments.embeddings or arguments.events)))
    if arguments.top is not None and arguments.events:
        raise InvalidOption("--top goes with tags, and this prints events; leave it out")
    for option in ("top", "window"):
        if getattr(arguments, option) is not None and not (tags or arguments.events):
            raise InvalidOption(f"--{option} goes with tags, and this prints embeddings; leave it out")
    return tags


def _rows(
    arguments: argparse.Namespace, names: list[str], configuration: Configuration, tags: bool
) -> list[Checkpoint]:
    """The checkpoints that listen together.

    Raises:
        InvalidOption: One has no classes, or they do not fit together, or several are to make embeddings.
    """
    if arguments.events:
        return event_rows(names)
    if tags:
        return tagging_rows(names)
    if len(names) > 1:
        raise InvalidOption("--ensemble goes with tags and events, and this prints embeddings; leave it out")
    return [configuration.checkpoint]


def _events_asked(arguments: argparse.Namespace, rows: list[Checkpoint]) -> EventOptions | None:
    """What is asked of events; None if they are not.

    Raises:
        InvalidOption: It cannot be used, or is given without ``--events``.
    """
    if not arguments.events:
        check_no_event_options(arguments)
        return None
    asked = event_options(arguments)
    check_events(rows, asked)
    return asked


def _event_streams(
    arguments: argparse.Namespace, names: list[str], given: _Given, asked: EventOptions
) -> list[AudioStream[Any]]:
    from hear_edgel3.event_detection.finder import EventFinder
    from hear_edgel3.event_detection.stream import EventStream

    finder = on_device(EventFinder(names, given, arguments.engine, asked), arguments.device)
    return [EventStream(finder, arguments.rate, channel) for channel in _channels(arguments)]


def _event_line(found: Any) -> dict[str, object]:
    times = {"start_ms": round(1000 * found.start, 3), "end_ms": round(1000 * found.end, 3)}
    return {**times, "label": found.label, "mid": found.mid, "score": round(found.score, 6)}


def _channels(arguments: argparse.Namespace) -> list[int | str]:
    """What is listened to, each by a stream of its own."""
    return list(range(arguments.channels)) if arguments.channel == "each" else [arguments.channel]


def _tag_streams(arguments: argparse.Namespace, names: list[str], given: _Given) -> list[AudioStream[Any]]:
    from hear_edgel3.tagging.tagger import Tagger

    tagger = on_device(Tagger(names, given, arguments.engine), arguments.device)
    how: dict[str, Any] = {"sample_rate": arguments.rate, "window": arguments.window, "hop": arguments.hop}
    return [tagger.stream(**how, channel=channel) for channel in _channels(arguments)]


def _embedding_streams(
    arguments: argparse.Namespace, name: str, weights: str | os.PathLike[str] | None
) -> list[AudioStream[Any]]:
    from hear_edgel3.extractor.loading import load

    extractor = on_device(load(name, weights, engine=arguments.engine), arguments.device)
    hop_ms = None if arguments.hop is None else milliseconds(arguments.hop)
    how: dict[str, Any] = {"sample_rate": arguments.rate, "hop_ms": hop_ms}
    return [extractor.stream(**how, channel=channel) for channel in _channels(arguments)]


def _announce(arguments: argparse.Namespace, names: list[str], stream: AudioStream[Any]) -> None:
    channels = "1 channel" if arguments.channels == 1 else f"{arguments.channels} channels"
    who = [resolve(name).name for name in names]
    listens = f"{who[0]} listens" if len(who) == 1 else f"{', '.join(who[:-1])} and {who[-1]} listen"
    say(
        f"hear-edgel3: {listens} to {arguments.format}, {stream.sample_rate} Hz, {channels}; each line comes "
        f"{stream.latency_ms:.1f} ms of audio after its timestamp"
    )


def _found(source: StandardInput, decoder: PcmDecoder, streams: list[AudioStream[Any]]) -> Iterator[tuple[int, Any]]:
    """What streams find in the input, each with the number of its stream.

    Raises:
        InvalidAudio: a sample is not finite, or the input is no raw audio, or too short.
    """
    from hear_edgel3.audio.file import naming

    beginning = Beginning()
    with naming("standard input"):
        for data in source:
            _refuse_files(beginning.take(data))
            samples = decoder.decode(data)
            for number, stream in enumerate(streams):
                yield from ((number, found) for found in stream.feed(samples))
        _refuse_files(beginning.take(b"", last=True))
        for number, stream in enumerate(streams):
            yield from ((number, found) for found in stream.finish())


def _refuse_files(kind: str | None) -> None:
    """Raises InvalidAudio for what is no raw audio: read as samples it would give results, but wrong ones."""
    if kind is not None:
        raise InvalidAudio(
            f"this is a file with a header, not raw samples; use `arecord -t raw`, or `ffmpeg ... -f s16le -` "
            f"(it seems to be {kind})"
        )


def _tags_line(found: Any, top: int | None) -> dict[str, object]:
    if top is None:
        top = len(found.labels) if found.outputs.are_numbers else _TOP
    return {
        "timestamp_ms": found.timestamp_ms,
        "start_ms": found.start_ms,
        "end_ms": found.end_ms,
        "tags": [rounded(tag_values(tag, found.outputs)) for tag in found.top(top)],
    }


def _embedding_line(found: Any) -> dict[str, object]:
    # Nine digits tell float32 numbers apart.
    return {"timestamp_ms": found.timestamp_ms, "embedding": [float(f"{v:.9g}") for v in found.embedding.tolist()]}
