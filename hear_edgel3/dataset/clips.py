"""The columns that a dataset has besides those that every one has (:mod:`hear_edgel3.dataset.dataset`).

=============  ===============================  =======================================================================
start_s        float64, null for a whole file   where the clip begins, in seconds of the file; of tables of clips
end_s          float64, null for a whole file   where the clip ends, in seconds of the file; null, with a start: its end
               or to its end
start          float64, null in an error row    where the sound of the row begins, in seconds of the file: that of its
                                                window or, without timestamps, of its clip or file
end            float64, null in an error row,   where that ends
               and where the file knows no length
tags           list<string>, null in an error   the most probable classes, the most probable first, where tags were
               row                              asked for
probabilities  list<float32>, likewise          their probabilities, from 0 to 1
recorded_at    string, null where unknown       when the row's sound was recorded (a file's or clip's beginning), in
                                                ISO 8601, with an offset from UTC only where that is known
site           string, null where unknown       where it was recorded
(others)       string, null where empty         what the table says of the clip or file, in the columns that were kept
=============  ===============================  =======================================================================

``timestamp_ms``, ``start`` and ``end`` count from the beginning of the file also in a clip, so that they say where to
listen. A window that reaches beyond its file or clip ends with it here. Datasets that were begun before December 2026
have neither ``start`` nor ``end`` (of that name and type).
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
SPAN = ("start", "end")
TAGS, PROBABILITIES = "tags", "probabilities"
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
    """What a dataset has besides the usual columns.

    Attributes:
        clips: Whether some of its rows are of clips, and not of whole files.
        kept: The names of the tables' columns that are kept.
        recorded: Whether its rows say when and where they were recorded.
        spans: Whether its rows say where their sound begins and ends; those of earlier versions did not.
        tags: How many of the most probable classes its rows have; None for none.
    """

    clips: bool = False
    kept: tuple[str, ...] = ()
    recorded: bool = False
    spans: bool = False
    tags: int | None = None

    @property
    def of_rows(self) -> list[str]:
        """The names of the columns that :meth:`values` are of."""
        return [*self._own, *self._kept]

    @property
    def names(self) -> list[str]:
        """The names of the columns in the dataset, besides the usual ones.

        Raises:
            InvalidOption: two would be called the same.
        """
        names = [*self._own, *self._of_tags, *self._kept]
        if len(set(names)) < len(names):
            raise InvalidOption(f"two columns to keep would have one name: {', '.join(names)}")
        return names

    @property
    def _own(self) -> list[str]:
        groups = {(START, END): self.clips, SPAN: self.spans, (RECORDED_AT, SITE): self.recorded}
        return [name for names, there in groups.items() if there for name in names]

    @property
    def _of_tags(self) -> list[str]:
        return [] if self.tags is None else [TAGS, PROBABILITIES]

    @property
    def _kept(self) -> list[str]:
        taken = {*_USUAL, *self._own, *self._of_tags}
        return [f"table_{name}" if name in taken else name for name in self.kept]

    def added_to(self, schema: pa.Schema) -> pa.Schema:
        """The schema of the dataset's files, with these columns behind the usual ones."""
        if not self.names:
            return schema
        import pyarrow as pa

        of_tags = {TAGS: pa.list_(pa.string()), PROBABILITIES: pa.list_(pa.float32())}
        types = {**dict.fromkeys((START, END, *SPAN), pa.float64()), **of_tags}
        own = {*self._own, *self._of_tags}
        for name in self.names:
            schema = schema.append(pa.field(name, types.get(name, pa.string()) if name in own else pa.string()))
        said = {"kept": list(self.kept)}
        if self.clips:
            said["start_s, end_s"] = ["seconds of the file"]
            said["timestamp_ms"] = ["milliseconds of the file, not of the clip"]
        if self.spans:
            said["start, end"] = ["seconds of the file"]
        return schema.with_metadata({**(schema.metadata or {}), _METADATA: json_text(said, sort_keys=True).encode()})

    def values(
        self,
        clip: tuple[float | None, float | None],
        span: tuple[object, object],
        recorded: tuple[object, object],
        kept: Sequence[str | None],
    ) -> tuple[object, ...]:
        """What a row has in the columns :attr:`of_rows`.

        Args:
            clip: Where its clip begins and ends, or None.
            span: Where its sound begins and ends; of several rows lists.
            recorded: When and where it was recorded; of several rows a list of times.
            kept: What it has in the columns that are kept; what lacks at its end is null.
        """
        padded = [*kept, *[None] * (len(self.kept) - len(kept))][: len(self.kept)]
        groups = [(clip, self.clips), (span, self.spans), (recorded, self.recorded)]
        return (*(value for values, there in groups if there for value in values), *padded)


NO_COLUMNS = TableColumns()
