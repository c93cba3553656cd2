"""The columns that a dataset has besides the usual ones, where it was made of tables of clips.

=============  ===============================  =======================================================================
start_s        float64, null for a whole file   where the clip begins, in seconds of the file
end_s          float64, null for a whole file   where the clip ends, in seconds of the file; null, with a start: its end
               or to its end
recorded_at    string, null where unknown       when the row's sound was recorded (a file's or clip's beginning), in
                                                ISO 8601, with an offset from UTC only where that is known
site           string, null where unknown       where it was recorded
(others)       string, null where empty         what the table says of the clip or file, in the columns that were kept
=============  ===============================  =======================================================================

``timestamp_ms`` counts from the beginning of the file also in a clip, so that it says where to listen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hear_edgel3.audio.span import span
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    import pyarrow as pa

START, END = "start_s", "end_s"
RECORDED_AT, SITE = "recorded_at", "site"
_USUAL = ("file", "timestamp_ms", "embedding", "error", "duration_s", "sample_rate", START, END)
_METADATA = b"hear_edgel3.clips"


def has_clips(schema: pa.Schema) -> bool:
    """Whether a file of a dataset has columns for starts and ends of clips."""
    import pyarrow as pa

    return all(name in schema.names and schema.field(name).type == pa.float64() for name in (START, END))


def place_name(file: str, start: float | None, end: float | None) -> str:
    """What to call a file, or a clip of it: ``a.wav``, ``a.wav (12.5-15 s)``, ``a.wav (from 12.5 s)``."""
    if start is None:
        return file
    return f"{file} ({span(start, end)})"


@dataclass(frozen=True)
class TableColumns:
    """What a dataset has of tables.

    Attributes:
        clips: Whether some of its rows are of clips, and not of whole files.
        kept: The names of the tables' columns that are kept.
        recorded: Whether its rows say when and where they were recorded.
    """

    clips: bool = False
    kept: tuple[str, ...] = ()
    recorded: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the columns in the dataset, besides the usual ones.

        Raises:
            InvalidOption: two would be called the same.
        """
        own = [RECORDED_AT, SITE] if self.recorded else []
        names = [*([START, END] if self.clips else []), *own]
        for name in self.kept:
            names.append(name if name not in (*_USUAL, *own) else f"table_{name}")
        if len(set(names)) < len(names):
            raise InvalidOption(f"two columns to keep would have one name: {', '.join(names)}")
        return names

    def added_to(self, schema: pa.Schema) -> pa.Schema:
        """The schema of the dataset's files, with these columns behind the usual ones."""
        if not self.names:
            return schema
        import pyarrow as pa

        for name in self.names:
            schema = schema.append(pa.field(name, pa.float64() if name in (START, END) else pa.string()))
        said = {"kept": list(self.kept)}
        if self.clips:
            said["start_s, end_s"] = ["seconds of the file"]
            said["timestamp_ms"] = ["milliseconds of the file, not of the clip"]
        return schema.with_metadata({**(schema.metadata or {}), _METADATA: json_text(said, sort_keys=True).encode()})

    def values(
        self,
        start: float | None,
        end: float | None,
        kept: Sequence[str | None],
        recorded: tuple[object, object] = (None, None),
    ) -> tuple[object, ...]:
        """What a row has in these columns.

        Args:
            start: Where its clip begins, or None.
            end: Where its clip ends, or None.
            kept: What it has in the columns that are kept; what lacks at its end is null.
            recorded: When and where it was recorded; of several rows a list of times.
        """
        padded = [*kept, *[None] * (len(self.kept) - len(kept))][: len(self.kept)]
        return (*((start, end) if self.clips else ()), *(recorded if self.recorded else ()), *padded)


NO_COLUMNS = TableColumns()
