"""What is heard in a file as plain values, and as the text, JSON or CSV that the ``tag`` command writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.audio.span import seconds
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable
from hear_edgel3.tagging.outputs import AUDIOSET, Outputs

if TYPE_CHECKING:
    from hear_edgel3.tagging.tags import ClipTags, Tag

# Of one file: "file", "configurations", "duration" in seconds, and "windows", each with "start" and "end" in seconds
# and its most probable "tags": "label", "mid" and "probability" (of nets that guess numbers "value") and, where classes
# have thresholds, "above_threshold". For a table they have "predicted", what is said to be heard, and "values" of all
# classes in place of tags. Where each channel was tagged by itself, windows have a "channel" too. Where there are
# clips, the record has "clip_start" and "clip_end", which are None for a whole file. One that is to be gone on with may
# have "seen", what its source was like before it was read, which is for no reader of the output.
Record = dict[str, Any]
CLIP_START, CLIP_END = "clip_start", "clip_end"
ABOVE = "above_threshold"
SEEN = "seen"
# Where that is asked for, windows have "recorded_at", and the record has "site"; either may be None.
RECORDED = RECORDED_AT, SITE = "recorded_at", "site"


def columns_of(each: bool, clips: bool, outputs: Outputs = AUDIOSET, recorded: bool = False) -> tuple[str, ...]:
    """The columns of CSV.

    Args:
        each: whether each channel is tagged by itself.
        clips: whether some of what is tagged are clips.
        outputs: how outputs are read.
        recorded: whether it says when and where the sound was recorded.
    """
    more = (*((CLIP_START, CLIP_END) if clips else ()), *(("channel",) if each else ()))
    above = () if outputs.thresholds is None else (ABOVE,)
    return (
        "file",
        *more,
        "start",
        "end",
        "rank",
        "label",
        "mid",
        value_name(outputs),
        *above,
        *(RECORDED if recorded else ()),
    )


def value_name(outputs: Outputs) -> str:
    """What the value of a class is called."""
    return "value" if outputs.are_numbers else "probability"


def tag_values(tag: Tag, outputs: Outputs) -> dict[str, Any]:
    """A tag as plain values."""
    found = {"label": tag.label, "mid": tag.mid, value_name(outputs): tag.probability}
    return found if tag.above_threshold is None else {**found, ABOVE: tag.above_threshold}


def record_of(
    name: str,
    tags: ClipTags | Sequence[ClipTags],
    top: int | None,
    offset: float = 0.0,
    for_table: bool = False,
) -> Record:
    """The most probable classes of each window.

    Args:
        name: what to call the file.
        tags: what is heard in it, or in each of its channels.
        top: how many classes of each window; None for all.
        offset: seconds of the file that are before what was tagged.
        for_table: whether to say what is said to be heard and the values of all classes, in place of tags.
    """
    if isinstance(tags, Sequence):
        records = [record_of(name, one, top, offset, for_table) for one in tags]
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
                **contents,
            }
            for start, end, contents in zip(
                tags.starts, tags.ends, _values(tags) if for_table else _tags(tags, top), strict=True
            )
        ],
    }


def _tags(tags: ClipTags, top: int | None) -> Iterator[Record]:
    n = len(tags.labels) if top is None else top
    for i in range(len(tags.starts)):
        yield {"tags": [tag_values(tag, tags.outputs) for tag in tags.top(n, i)]}


def _values(tags: ClipTags) -> Iterator[Record]:
    for values, said in zip(tags.probabilities, tags.said, strict=True):
        names = [label.name for label, is_said in zip(tags.labels, said, strict=True) if is_said]
        predicted = (next(iter(names), None)) if tags.outputs.targets == "single" else names
        yield {**({} if tags.outputs.are_numbers else {"predicted": predicted}), "values": values.tolist()}


def as_json(record: Record) -> str:
    """One line, with probabilities to six digits, and numbers to those of float32."""
    windows = [{**window, "tags": [rounded(tag) for tag in window["tags"]]} for window in record["windows"]]
    return json_text({**record, "windows": windows}, ensure_ascii=False) + "\n"


def rounded(tag: Mapping[str, Any]) -> dict[str, Any]:
    """A tag as plain values, with probabilities to six digits and numbers to those of float32."""
    if "value" in tag:
        return {**tag, "value": float(f"{tag['value']:.9g}")}
    return {**tag, "probability": round(tag["probability"], 6)}


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
            f"{tag['value']:.9g}" if "value" in tag else f"{tag['probability']:.6f}",
            *(["true" if tag[ABOVE] else "false"] if ABOVE in tag else ()),
            *([window[RECORDED_AT] or "", record[SITE] or ""] if SITE in record else ()),
        ]
        for window in record["windows"]
        for rank, tag in enumerate(window["tags"], 1)
    )
    return lines.getvalue()


def as_text(record: Record, top: int | None = None) -> str:
    """For people: a line per window, and its classes below; those only that reach their thresholds, if there are some.

    Args:
        record: what is heard in a file.
        top: how many classes of each window; None for all of the record.
    """
    lines = []
    for window in record["windows"]:
        channel = f"  channel {window['channel']}" if "channel" in window else ""
        lines.append(f"{printable(record['file'])}{channel}  {window['start']:.2f} - {window['end']:.2f} s\n")
        said = [tag for tag in window["tags"] if tag.get(ABOVE, True)][:top]
        lines += [
            f"  {tag['value']:.6g}  {tag['label']}\n"
            if "value" in tag
            else f"  {tag['probability']:.3f}  {tag['label']}\n"
            for tag in said
        ]
        if window["tags"] and not said:
            lines.append("  no class\n")
    return "".join(lines)
