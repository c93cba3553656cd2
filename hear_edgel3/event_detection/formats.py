"""The formats that events are written in: those of this package, and those of the programs that people look at them in.

``csv``, ``jsonl`` and ``parquet`` have a row per event, with :class:`~hear_edgel3.event_detection.records.Layout`'s
columns, and a row with an ``error`` for each recording that failed. The others have no place for errors:

- ``audacity``: label tracks, a file per recording (https://manual.audacityteam.org/man/importing_and_exporting_labels.html).
- ``raven``: selection tables (https://www.ravensoundsoftware.com/knowledge-base/), a file per recording, or one for
  all, in which begin and end times run on from file to file and ``File Offset (s)`` is the time in the file.
- ``kaleidoscope``: the table that Kaleidoscope opens (INDIR, FOLDER, IN FILE, OFFSET, DURATION).
- ``birdnet``: the table that BirdNET-Analyzer writes. BirdNET's scientific names are those of species; here they are
  the machine identifiers of classes, if there are any.

Where one channel was listened to, or each by itself, all but ``audacity`` and ``birdnet`` say which one it was, counted
from 0 but in Raven's, which count from 1 and always name a channel.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hear_edgel3._extras import require
from hear_edgel3.audio.span import seconds
from hear_edgel3.disk.atomic import check_folder_name, check_writable
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import path_of_text, printable, text_of_path
from hear_edgel3.errors import InvalidOption
from hear_edgel3.event_detection.records import Layout, Recording

FORMATS = ("csv", "jsonl", "parquet", "audacity", "raven", "kaleidoscope", "birdnet")
# Those with no place for channels.
WITHOUT_CHANNELS = ("audacity", "birdnet")
# Those with a file per recording, where the output is a folder.
TRACKS = ("audacity", "raven")
_BY_ENDING = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
_ROWS_PER_GROUP = 1 << 14
_NYQUIST = 24000  # of a recording whose rate is unknown

Write = Callable[[BinaryIO, Iterable[Recording], Layout], None]


def format_of(output: str | None, named: str | None) -> str | None:
    """The format to write.

    Args:
        output: The name of the output; None for standard output.
        named: The format that was asked for; None for what the name says.

    Returns:
        The format; None for text for people on standard output.

    Raises:
        InvalidOption: There is no such format, or the name says none.
    """
    if output == "-":
        raise InvalidOption("- is no name of an output: leave it out for standard output, with a format for tables")
    if named is not None:
        if named not in FORMATS:
            raise InvalidOption(f"format must be one of {', '.join(FORMATS)}; got {named!r}")
        if output is None and named == "parquet":
            raise InvalidOption("format parquet needs an output: a table cannot go to standard output")
        return named
    if output is None:
        return None
    ending = os.path.splitext(output)[1].lower()
    if ending not in _BY_ENDING:
        raise InvalidOption(
            f"cannot tell the format of {output}: its name ends in none of {', '.join(_BY_ENDING)}; give --format too "
            f"({', '.join(FORMATS)})"
        )
    return _BY_ENDING[ending]


def needs_pyarrow() -> None:
    """Finds out before the work whether tables can be written.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "events as Parquet", "extract")


def check_output(output: str, form: str) -> None:
    """Finds out before the work whether an output can be written.

    Raises:
        OutputError: It cannot.
        MissingExtra: It needs pyarrow, which is not installed.
    """
    if form == "parquet":
        needs_pyarrow()
    if is_folder(output, form):
        check_folder_name(output)
    else:
        check_writable(Path(output))


def is_folder(output: str, form: str) -> bool:
    """Whether an output is a folder with a file for each recording."""
    return form in TRACKS and not output.lower().endswith(".txt")


def has_heading(form: str) -> bool:
    """Whether a format begins with a line of names."""
    return form not in ("jsonl", "audacity")


def write(form: str, target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    """Writes recordings, one after the other, in a format."""
    _WRITERS[form](target, recordings, layout)


def as_text(recording: Recording) -> str:
    """For people: a line per event."""
    name = printable(recording.file)
    lines = [
        f"{name}{'' if channel is None else f'  channel {channel}'}  {e.start:.2f} - {e.end:.2f} s  {e.score:.3f}  "
        f"{e.label}\n"
        for e, channel, _ in recording.heard()
    ]
    return "".join(lines) if lines or recording.error else f"{name}  no events\n"


def _write_csv(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    _write_rows(target, layout.columns, (_as_cells(row) for one in recordings for row in layout.rows(one)), ",")


def _as_cells(row: dict[str, Any]) -> list[str]:
    return ["" if value is None else _cell(name, value) for name, value in row.items()]


def _cell(name: str, value: Any) -> str:
    if name in ("start", "end"):
        return seconds(value)
    return f"{value:.6f}" if name == "score" else str(value)


def _write_jsonl(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    for recording in recordings:
        for row in layout.rows(recording):
            said = {name: _rounded(name, value) for name, value in row.items() if value is not None}
            target.write((json_text(said, ensure_ascii=False) + "\n").encode())


def _rounded(name: str, value: Any) -> Any:
    return round(value, 6) if name in ("start", "end", "score") else value


def _write_parquet(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    pa, pq = (require(name, "events as Parquet", "extract") for name in ("pyarrow", "pyarrow.parquet"))
    numbers = ("start", "end", "score")
    types = {"channel": pa.int64(), **dict.fromkeys(numbers, pa.float64())}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in layout.columns])
    with pq.ParquetWriter(target, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for recording in recordings:
            waiting += layout.rows(recording)
            if len(waiting) >= _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema))


def _write_audacity(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:  # noqa: ARG001
    for recording in recordings:
        for event in recording.events:
            label = " ".join(event.label.split())
            target.write(f"{event.start:.6f}\t{event.end:.6f}\t{label}\n".encode())


_RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    "File Offset (s)",
    "Annotation",
    "Score",
)


def _write_raven(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    def rows() -> Iterator[list[str]]:
        number, end = 0, 0.0
        begins: dict[str, float] = {}  # several clips may be of one file, which is there once
        for recording in recordings:
            path = text_of_path(os.path.abspath(path_of_text(recording.file)))
            if path not in begins:
                begins[path] = end
                end += recording.duration or 0.0
            before = begins[path]
            high = (recording.sample_rate or 2 * _NYQUIST) / 2
            for event, channel, _ in recording.heard():
                number += 1
                yield [
                    *(str(number), "Spectrogram 1", str(1 + (layout.channel_of(channel) or 0))),
                    *(f"{before + event.start:.6f}", f"{before + event.end:.6f}", "0", f"{high:g}"),
                    *(path, f"{event.start:.6f}", " ".join(event.label.split()), f"{event.score:.6f}"),
                ]

    _write_rows(target, _RAVEN, rows(), "\t")


_KALEIDOSCOPE = (
    *("INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "DATE", "TIME"),
    *("scientific_name", "common_name", "confidence", "TOP1MATCH", "MANUAL ID"),
)


def _write_kaleidoscope(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:
    def rows() -> Iterator[list[str]]:
        for recording in recordings:
            folder, name = os.path.split(text_of_path(os.path.abspath(path_of_text(recording.file))))
            above, last = os.path.split(folder)
            for event, channel, _ in recording.heard():
                date, _, time = (recording.when(event.start, layout.zone) or "").partition("T")
                yield [
                    *(above, last, name, *((str(layout.channel_of(channel)),) if layout.has_channel else ())),
                    *(seconds(event.start), seconds(event.end - event.start), date, time[:8]),
                    *(event.mid, event.label, f"{event.score:.4f}", event.label, ""),
                ]

    columns = [name for name in _KALEIDOSCOPE if layout.has_channel or name != "CHANNEL"]
    _write_rows(target, columns, rows(), ",")


_BIRDNET = ("Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File")


def _write_birdnet(target: BinaryIO, recordings: Iterable[Recording], layout: Layout) -> None:  # noqa: ARG001
    cells = (
        [seconds(e.start), seconds(e.end), e.mid, e.label, f"{e.score:.4f}", recording.file]
        for recording in recordings
        for e in recording.events
    )
    _write_rows(target, _BIRDNET, cells, ",")


def _write_rows(target: BinaryIO, names: Iterable[str], rows: Iterable[list[str]], delimiter: str) -> None:
    text = io.TextIOWrapper(target, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n", delimiter=delimiter)
        # A carriage return is not quoted by itself, and no reader takes it then.
        quoting = csv.writer(text, lineterminator="\n", delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        for row in rows:
            (quoting if any("\r" in cell for cell in row) else writer).writerow(row)
    finally:
        text.detach()


_WRITERS: dict[str, Write] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "audacity": _write_audacity,
    "raven": _write_raven,
    "kaleidoscope": _write_kaleidoscope,
    "birdnet": _write_birdnet,
}
