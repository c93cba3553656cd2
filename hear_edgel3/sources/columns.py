"""Which columns of a table say what: names that tools and data sets of this field give to files and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

# Of several the first one counts. `begin file` is beside `begin path` in tables by Raven, whose paths may be of another
# machine; `in file` is Kaleidoscope's, `slice_file_name` UrbanSound8K's, `fname` FSD50K's, `ytid` AudioSet's.
FILES = (
    "file",
    "path",
    "filepath",
    "file path",
    "audio filepath",
    "audio path",
    "audio file",
    "filename",
    "file name",
    "fname",
    "slice file name",
    "audio filename",
    "audio",
    "wav",
    "begin path",
    "begin file",
    "in file",
    "recording",
    "ytid",
    "youtube id",
    "segment id",
)
_KALEIDOSCOPES = "in file"
# Where that lies, one inside the other. The first may be of another machine.
_FOLDERS = ("indir", "folder")
# A start beside an end, both in seconds of the file.
_SPANS = (
    ("start", "end"),
    ("start s", "end s"),
    ("start (s)", "end (s)"),
    ("start sec", "end sec"),
    ("start seconds", "end seconds"),
    ("start time", "end time"),
    ("start time (s)", "end time (s)"),
    ("start time s", "end time s"),
    ("start time seconds", "end time seconds"),
    ("begin time (s)", "end time (s)"),
    ("begin time", "end time"),
    ("begin", "end"),
    ("onset", "offset"),
    ("onset s", "offset s"),
    ("onset (s)", "offset (s)"),
    ("onset seconds", "offset seconds"),
)
# A start beside a length.
_STARTS = tuple(dict.fromkeys(start for start, _ in _SPANS))
_LENGTHS = ("duration", "duration s", "duration (s)", "duration seconds", "delta time (s)")
# UrbanSound8K's files are the clips already: its start and end are places in the recordings that they were cut from.
_CUT_ALREADY = "slice file name"
# In Raven's tables of several files times run on from file to file, but for this one.
_OFFSET_IN_FILE = "file offset (s)"
_RAVENS = "begin time (s)"


@dataclass(frozen=True)
class Columns:
    """Where a table has what, by the numbers of its columns.

    Attributes:
        file: The file's name; None if there is no such column.
        other_file: A second name of the file, for when there is none of the first.
        start: The start of a clip; None if the table is of whole files.
        end: The end of a clip, if the table has it.
        length: The length of a clip, if the table has that and no end.
        raven_times: Begin and end in the time that runs on from file to file, whose difference is the length.
        fold: UrbanSound8K's number of the folder.
        channel: The channel that a row is of, which counts where labels are read.
        is_ravens: Whether the times are called as Raven calls them, which counts channels from 1.
        folders: Kaleidoscope's folders of the file, the outer one first.
    """

    file: int | None = None
    other_file: int | None = None
    start: int | None = None
    end: int | None = None
    length: int | None = None
    raven_times: tuple[int, int] | None = None
    fold: int | None = None
    channel: int | None = None
    is_ravens: bool = False
    folders: tuple[int, ...] = ()

    @property
    def has_clips(self) -> bool:
        """Whether it says where clips begin."""
        return self.start is not None

    @property
    def used(self) -> set[int]:
        """The columns whose contents become columns of their own kind in the dataset."""
        places = (self.file, self.start, self.end, self.length)
        return {place for place in places if place is not None}


def find_columns(names: Sequence[str], whole_files: bool = False) -> Columns:
    """What the columns of a table are, by their names.

    Args:
        names: The names; case, underscores and a leading ``#`` do not matter.
        whole_files: Whether to leave starts and ends alone.

    Raises:
        ValueError: a start has no end beside it.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(_plain(name), place)
    columns = _find_columns(names, places, whole_files)
    folders: tuple[int, ...] = ()
    if columns.file is not None and columns.file == places.get(_KALEIDOSCOPES):
        folders = tuple(places[name] for name in _FOLDERS if name in places)
    return replace(columns, channel=places.get("channel"), is_ravens=_RAVENS in places, folders=folders)


def _find_columns(names: Sequence[str], places: Mapping[str, int], whole_files: bool) -> Columns:
    files = [name for name in FILES if name in places]
    file = places[files[0]] if files else None
    other = places["begin file"] if files and files[0] == "begin path" and "begin file" in places else None
    fold = places.get("fold") if files and files[0] == _CUT_ALREADY else None
    if whole_files or (files and files[0] == _CUT_ALREADY):
        return Columns(file, other, fold=fold)
    for start, end in _SPANS:
        if start in places and end in places:
            times = (places[start], places[end])
            if start.startswith("begin") and _OFFSET_IN_FILE in places:
                return Columns(file, other, places[_OFFSET_IN_FILE], raven_times=times)
            return Columns(file, other, *times)
    starts = [name for name in _STARTS if name in places]
    lengths = [name for name in _LENGTHS if name in places]
    if not starts and lengths and "offset" in places:  # Kaleidoscope, NeMo
        starts = ["offset"]
    if starts and lengths:
        return Columns(file, other, places[starts[0]], length=places[lengths[0]])
    if starts:
        raise ValueError(
            f"its column {names[places[starts[0]]]!r} says where clips begin, but no column says where they end (end, "
            f"end_time, offset or duration, for example); to embed whole files, give --whole-files"
        )
    return Columns(file, other)


def _plain(name: str) -> str:
    return " ".join(name.strip().lstrip("#").replace("_", " ").lower().split())
