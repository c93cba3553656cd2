"""What is heard in a file as plain values, and as the text, JSON or CSV that the ``tag`` command writes."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable

if TYPE_CHECKING:
    from hear_edgel3.tagging.tags import ClipTags

# Of one file: "file", "configurations", "duration" in seconds, and "windows", each with "start" and "end" in seconds
# and its most probable "tags": "label", "mid" and "probability".
Record = dict[str, Any]
COLUMNS = ("file", "start", "end", "rank", "label", "mid", "probability")


def record_of(name: str, tags: ClipTags, top: int) -> Record:
    """The most probable classes of each window.

    Args:
        name: what to call the file.
        tags: what is heard in it.
        top: how many classes of each window.
    """
    return {
        "file": name,
        "configurations": list(tags.configurations),
        "duration": tags.duration,
        "windows": [
            {
                "start": float(start),
                "end": float(end),
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
    """A line per class and window, in the order of :data:`COLUMNS`."""
    lines = io.StringIO()
    # A carriage return is not quoted by itself, and no reader takes it then.
    written = csv.writer(
        lines, lineterminator="\n", quoting=csv.QUOTE_ALL if "\r" in record["file"] else csv.QUOTE_MINIMAL
    )
    written.writerows(
        [
            record["file"],
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
        lines.append(f"{printable(record['file'])}  {window['start']:.2f} - {window['end']:.2f} s\n")
        lines += [f"  {tag['probability']:.3f}  {tag['label']}\n" for tag in window["tags"]]
    return "".join(lines)


def seconds(value: float) -> str:
    """Seconds to the microsecond, without zeros at the end."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
