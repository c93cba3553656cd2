"""What is heard in a file as plain values, and as the text, JSON or CSV that the ``tag`` command writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.audio.span import seconds
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable

if TYPE_CHECKING:
    from hear_edgel3.tagging.tags import ClipTags

# Of one file: "file", "configurations", "duration" in seconds, and "windows", each with "start" and "end" in seconds
# and its most probable "tags": "label", "mid" and "probability". Where each channel was tagged by itself, its windows
# have a "channel" too. Where there are clips, it has "clip_start" and "clip_end", which are None for a whole file.
Record = dict[str, Any]
CLIP_START, CLIP_END = "clip_start", "clip_end"


def columns_of(each: bool, clips: bool) -> tuple[str, ...]:
    """The columns of CSV.

    Args:
        each: whether each channel is tagged by itself.
        clips: whether some of what is tagged are clips.
    """
    more = (*((CLIP_START, CLIP_END) if clips else ()), *(("channel",) if each else ()))
    return ("file", *more, "start", "end", "rank", "label", "mid", "probability")


def record_of(name: str, tags: ClipTags | Sequence[ClipTags], top: int, offset: float = 0.0) -> Record:
    """The most probable classes of each window.

    Args:
        name: what to call the file.
        tags: what is heard in it, or in each of its channels.
        top: how many classes of each window.
        offset: seconds of the file that are before what was tagged.
    """
    if isinstance(tags, Sequence):
        records = [record_of(name, one, top, offset) for one in tags]
        windows = [{"channel": i, **window} for i, record in enumerate(records) for window in record["windows"]]
        return {**records[0], "windows": windows}
    return {
        "file": name,
        "configurations": list(tags.configurations),
        "duration": tags.duration,
        "windows": [
            {
                "start": offset + float(start),
                "end": offset + float(end),
                "tags": [
                    {"label": tag.label, "mid": tag.mid, "probability": tag.probability} for tag in tags.top(top, i)
                ],
            }
            for i, (start, end) in enumerate(zip(tags.starts, tags.ends, strict=True))
        ],
    }


def as_json(record: Record) -> str:
    """One line, with probabilities to six digits."""
    windows = [
        {**window, "tags": [{**tag, "probability": round(tag["probability"], 6)} for tag in window["tags"]]}
        for window in record["windows"]
    ]
    return json_text({**record, "windows": windows}, ensure_ascii=False) + "\n"


def as_csv(record: Record) -> str:
    """A line per class and window, in the order of :func:`columns_of`."""
    lines = io.StringIO()
    # A carriage return is not quoted by itself, and no reader takes it then.
    written = csv.writer(
        lines, lineterminator="\n", quoting=csv.QUOTE_ALL if "\r" in record["file"] else csv.QUOTE_MINIMAL
    )
    places = (record[name] for name in (CLIP_START, CLIP_END) if name in record)
    clip = ["" if place is None else seconds(place) for place in places]
    written.writerows(
        [
            record["file"],
            *clip,
            *([window["channel"]] if "channel" in window else ()),
            seconds(window["start"]),
            seconds(window["end"]),
            rank,
            tag["label"],
            tag["mid"],
            f"{tag['probability']:.6f}",
        ]
        for window in record["windows"]
        for rank, tag in enumerate(window["tags"], 1)
    )
    return lines.getvalue()


def as_text(record: Record) -> str:
    """For people: a line per window, and its classes below."""
    lines = []
    for window in record["windows"]:
        channel = f"  channel {window['channel']}" if "channel" in window else ""
        lines.append(f"{printable(record['file'])}{channel}  {window['start']:.2f} - {window['end']:.2f} s\n")
        lines += [f"  {tag['probability']:.3f}  {tag['label']}\n" for tag in window["tags"]]
    return "".join(lines)
