"""``hear-edgel3 tag``: what is heard in audio files."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hear_edgel3.audio.find import audio_files
from hear_edgel3.cli.common import Failures, count, on_device, positive
from hear_edgel3.disk.atomic import check_writable
from hear_edgel3.disk.paths import text_of
from hear_edgel3.errors import HearEdgeL3Error, InvalidOption
from hear_edgel3.registry.names import BUILT_IN, resolve

if TYPE_CHECKING:
    from hear_edgel3.tagging.tagger import Tagger
    from hear_edgel3.tagging.tags import ClipTags

_DESCRIPTION = """Tags audio files: which of the 527 AudioSet classes are heard, each with a probability from 0 to 1.
Without --window a file is tagged as a whole. Results go to stdout: as text, --csv, or --json (one line per file)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser("tag", help="tell what is heard in audio files", description=_DESCRIPTION)
    parser.add_argument("inputs", nargs="+", metavar="FILE|DIR", help="audio files, or folders of them")
    parser.add_argument(
        "--config",
        "-c",
        metavar="NAME",
        help=f"see `hear-edgel3 list`; default {BUILT_IN}, or a folder made by `distill`",
    )
    parser.add_argument(
        "--ensemble",
        nargs="+",
        action="extend",
        metavar="NAME",
        default=[],
        help="configurations whose logits are averaged, with --config's if that is given; FILEs come before",
    )
    parser.add_argument(
        "--weights",
        action="append",
        metavar="FILE",
        help="converted weights, or a folder of them; for an ensemble a folder, or once per configuration, in order",
    )
    parser.add_argument("--top", type=count, default=10, metavar="N", help="classes per window (default 10)")
    parser.add_argument(
        "--window", type=positive, metavar="SECONDS", help="tag windows of this length (10, for example)"
    )
    parser.add_argument(
        "--hop", type=positive, metavar="SECONDS", help="between windows (default a quarter of a window)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per file")
    form.add_argument("--csv", action="store_true", help="print CSV")
    parser.add_argument(
        "--plot", metavar="PICTURE", help="draw one file's tags under its spectrogram (.png, .pdf, .svg)"
    )
    parser.add_argument("--recursive", action="store_true", help="look into the folders inside folders")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tags the files; a bad one is reported and the rest go on.

    Returns:
        0, or 1 if any input failed.
    """
    from hear_edgel3.tagging.tagger import check_windows

    names = list(dict.fromkeys([arguments.config, *arguments.ensemble] if arguments.config else arguments.ensemble))
    names = names or [BUILT_IN]
    for name in names:
        resolve(name)
    check_windows(arguments.window, arguments.hop)
    files, missing = audio_files(arguments.inputs, arguments.recursive)
    failures = Failures(missing)
    if arguments.plot is not None:
        from hear_edgel3.tagging.plot import check_plot

        if len(files) + len(missing) != 1:
            raise InvalidOption(f"--plot draws one file; {len(files) + len(missing)} were given")
        check_plot(arguments.plot)
        check_writable(Path(arguments.plot))
    if files:
        _tag_all(files, _tagger(names, arguments), arguments, failures)
    failures.summarise(len(files) + len(missing))
    return 1 if failures else 0


def _tagger(names: list[str], arguments: argparse.Namespace) -> Tagger:
    from hear_edgel3.tagging.tagger import Tagger

    return on_device(Tagger(names, arguments.weights), arguments.device)


def _tag_all(files: list[Path], tagger: Tagger, arguments: argparse.Namespace, failures: Failures) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a file name has
    write = _writer(arguments)
    for source in files:
        try:
            tags = tagger.tag_file(source, arguments.window, arguments.hop)
            if arguments.plot is not None:
                from hear_edgel3.tagging.plot import draw_tags

                draw_tags(source, tags, tagger.extractors[0], arguments.plot, arguments.top)
        except (HearEdgeL3Error, RuntimeError, MemoryError) as error:
            failures.add(str(source), error)
            continue
        write(source, tags)
        sys.stdout.flush()  # what has been computed is out, whatever happens to the next file


def _writer(arguments: argparse.Namespace) -> Callable[[Path, ClipTags], None]:
    top = arguments.top
    if arguments.json:
        return lambda source, tags: print(json.dumps(_as_json(source, tags, top), ensure_ascii=False))
    if arguments.csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["file", "start", "end", "rank", "label", "mid", "probability"])
        return lambda source, tags: table.writerows(
            [text_of(source), _seconds(start), _seconds(end), rank, tag.label, tag.mid, f"{tag.probability:.6f}"]
            for start, end, window in _windows(tags)
            for rank, tag in enumerate(tags.top(top, window), 1)
        )

    def text(source: Path, tags: ClipTags) -> None:
        for start, end, window in _windows(tags):
            print(f"{text_of(source)}  {start:.2f} - {end:.2f} s")
            for tag in tags.top(top, window):
                print(f"  {tag.probability:.3f}  {tag.label}")

    return text


def _as_json(source: Path, tags: ClipTags, top: int) -> dict[str, object]:
    return {
        "file": text_of(source),
        "configurations": list(tags.configurations),
        "duration": tags.duration,
        "windows": [
            {
                "start": start,
                "end": end,
                "tags": [
                    {"label": tag.label, "mid": tag.mid, "probability": round(tag.probability, 6)}
                    for tag in tags.top(top, window)
                ],
            }
            for start, end, window in _windows(tags)
        ],
    }


def _seconds(value: float) -> str:
    """Seconds to the microsecond, without zeros at the end."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _windows(tags: ClipTags) -> list[tuple[float, float, int]]:
    return [(float(s), float(e), i) for i, (s, e) in enumerate(zip(tags.starts, tags.ends, strict=True))]
