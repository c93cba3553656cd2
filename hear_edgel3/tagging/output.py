"""Tags of many files in one file, which is whole when it appears, and to which a later run adds.

While files are tagged, a line of JSON per file goes into ``<name>.part``, at once, so that whatever ends the run costs
at most what was just being computed. At the end the file itself is written, in order, and the other one is gone.
``<name>.options.json`` says with which options it was made, and what its sources were like then; it stays. Other
options are refused, and sources that have changed since are tagged anew. A file that is to be replaced stays as it was
until then.

Whatever ends a run, the lines in ``<name>.part`` go before what the file has: they are gone only when the file and what
is said beside it are written.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from hear_edgel3.audio.span import exact_span
from hear_edgel3.disk.atomic import atomic_write, check_writable, is_special
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.lines import Lines, Place
from hear_edgel3.disk.paths import folder_of_names, path_of_text, text_of_path
from hear_edgel3.disk.state import FileState
from hear_edgel3.disk.temporary import sweep
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.seen import changed_items
from hear_edgel3.tagging.outputs import AUDIOSET, Outputs
from hear_edgel3.tagging.records import CLIP_END, CLIP_START, SEEN, Record, as_csv, as_json, columns_of
from hear_edgel3.tagging.table import TagsTable, require_pyarrow

FORMATS = {".csv": as_csv, ".jsonl": as_json}
TABLE = ".parquet"


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name says that it is a Parquet table."""
    return Path(path).suffix.lower() == TABLE


def check_name(path: str) -> None:
    """Finds out before the work whether a file of a name can be written.

    Raises:
        InvalidOption: the ending of the name says nothing of its format.
        MissingExtra: it is of a table, and pyarrow is not installed.
    """
    if is_table(path):
        require_pyarrow()
    elif Path(path).suffix.lower() not in FORMATS:
        raise InvalidOption(f"cannot write {path}: the name must end in one of {', '.join((*FORMATS, TABLE))}")


class TagsFile:
    """The file of a run, and of the runs before it.

    Use it as a context manager: what is inside is for one process at a time.

    Args:
        path: its name, which ends in .csv, .jsonl or .parquet.
        options: what decides about the results: names of options, and plain values. Where "clips" is true, records say
            which clip of a file they are of; where there is "recorded", when and where they were recorded.
        overwrite: whether to begin anew.
        outputs: how the outputs of the nets are read.
        classes: the names of their classes, for a table.

    Attributes:
        n_changed: how many of the files or clips that were added had changed since they were tagged before.
        n_left_out: how many had changed and were not added, so that :meth:`finish` has left them out.

    Raises:
        InvalidOption: it was made with other options, or its name has another ending.
        OutputError: it cannot be written, is not one of these files, or another process is writing it.
    """

    def __init__(
        self,
        path: str,
        options: Mapping[str, Any],
        overwrite: bool = False,
        outputs: Outputs = AUDIOSET,
        classes: Sequence[str] = (),
    ) -> None:
        check_name(path)
        self.path = Path(path)
        check_writable(self.path)
        each, clips = options.get("channel") == "each", bool(options.get("clips", False))
        recorded = options.get("recorded") is not None
        self._table = TagsTable(classes, outputs, each, clips, recorded) if is_table(path) else None
        self._format = FORMATS.get(self.path.suffix.lower(), as_json)
        self._is_special = is_special(self.path)  # a pipe: nothing can be read back from it
        self._columns = columns_of(each, clips, outputs, recorded)
        self._journal_path = self.path.with_name(self.path.name + ".part")
        self._options_path = self.path.with_name(self.path.name + ".options.json")
        self._here = text_of_path(os.getcwd())
        self._folder = self._here
        self.n_changed = self.n_left_out = 0
        self._outdated: set[str] = set()  # what has changed since, and was not tagged anew
        self._seen: dict[str, FileState] = {}  # what the source of each was like, where that is known
        self._replaces = overwrite  # what stands there counts for nothing, and stays until all is ready to replace it
        self._journal = Lines(self._journal_path, self.path, overwrite)
        try:
            sweep([self.path, self._options_path])
            self._options = json.loads(json_text(options))  # tuples become lists, as they will be read
            if overwrite or not self._begun():
                self._write_options()
            else:
                self._check_options()
            # Where the lines of each file are: in the file itself, and in what was computed since.
            self._there = {} if self._replaces or not self._exists() else self._indexed(self.path)
            self._new = self._indexed_journal()
        except BaseException:
            self._leave()
            raise

    def __enter__(self) -> TagsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def __len__(self) -> int:
        """How many files or clips have been tagged, in this run and before."""
        return len((self._there.keys() | self._new.keys()) - self._outdated)

    def pending(self, items: Iterable[Item]) -> list[Item]:
        """Those of the files or clips that have no tags yet, and those whose file has changed since they were tagged.

        One that is gone has not.
        """
        keyed = [(self._key_of_item(item), item) for item in items]
        seen = [(item, self._seen[key]) for key, item in keyed if self._has(key) and key in self._seen]
        changed = set(changed_items([item for item, _ in seen], [state for _, state in seen], ""))
        self._outdated = {key for key, item in keyed if item in changed}
        return [item for key, item in keyed if key in self._outdated or not self._has(key)]

    def name_of(self, item: Item) -> str:
        """What a file is called in here: as given, or absolute if the first run was started in another folder."""
        path = path_of_text(item.file)
        return text_of_path(path if self._here == self._folder else os.path.abspath(path))

    def add(self, record: Record) -> None:
        """Keeps what is heard in a file or clip.

        Raises:
            OutputError: the disk is full, for example. What was kept before stays.
        """
        key = self._key_of_record(record)
        self._new[key] = self._journal.append(record)
        self._note(key, record)
        if key in self._outdated:
            self._outdated.discard(key)
            self.n_changed += 1

    def finish(self, items: Sequence[Item]) -> None:
        """Writes the file: what only earlier runs had, and then the rest in the order of the items.

        What has changed and could not be tagged anew is left out: the file says nothing of what no longer is.

        Raises:
            OutputError: it cannot be written. What was computed is kept.
        """
        if not self._new and not self._outdated:
            return
        given = dict.fromkeys(self._key_of_item(item) for item in items)
        known = [*self._there, *(key for key in self._new if key not in self._there)]
        order = [*(key for key in known if key not in given), *given]
        order = [key for key in order if self._has(key) and key not in self._outdated]
        with atomic_write(self.path) as target:
            self._write(target, order)
        self.n_left_out, self._outdated = len(self._outdated), set()
        if self._is_special:
            self._journal.cut(0)
            self._new = {}
            return
        self._replaces = False
        self._seen = {key: self._seen[key] for key in order if key in self._seen}
        self._write_options()
        self._journal.cut(0)
        self._there, self._new = self._indexed(self.path), {}

    def _write(self, target: BinaryIO, order: Iterable[str]) -> None:
        if self._table is not None:
            parts = (self._computed(key) if key in self._new else self._there[key] for key in order)
            self._table.write(target, self.path if self._there else None, parts)
            return
        if self._format is as_csv:
            target.write((",".join(self._columns) + "\n").encode())
        old = self.path.open("rb") if self._there else io.BytesIO()
        with old:
            for key in order:
                if key in self._new:
                    target.write(self._format(self._computed(key)).encode())
                else:
                    start, length = self._there[key]
                    old.seek(start)
                    target.write(old.read(length))

    def _has(self, key: str) -> bool:
        return key in self._there or key in self._new

    def _computed(self, key: str) -> Record:
        """What was computed since the file was written."""
        record: Record = json.loads(self._journal.read(self._new[key]))
        record.pop(SEEN, None)
        return record

    def _note(self, key: str, record: Record) -> None:
        """Takes note of what the source of a record was like; of one that does not say it, that it is not known."""
        self._seen.pop(key, None)
        if record.get(SEEN) is not None:
            self._seen[key] = FileState(*map(int, record[SEEN]))

    def _leave(self) -> None:
        """Closes the journal, and removes what says nothing."""
        with suppress(OSError):
            if not self._begun():
                self._options_path.unlink(missing_ok=True)
            if not self._journal.size:
                self._journal_path.unlink(missing_ok=True)
        self._journal.close()

    def _begun(self) -> bool:
        return self._exists() or self._journal.size > 0

    def _exists(self) -> bool:
        return not self._is_special and self.path.exists()

    def _write_options(self) -> None:
        made = {"folder": self._folder, "replaces": self._replaces, "options": self._options}
        with atomic_write(self._options_path) as file:
            # A line for each source, which may be many: its name from the folder, the clip, its size and its time.
            file.write(json_text(made, indent=1).removesuffix("\n}").encode() + b',\n "sources": [')
            for number, (key, state) in enumerate(self._seen.items()):
                name, _, place = key.rpartition("\0")
                said = json_text([name.removeprefix(f"{self._folder.rstrip('/')}/"), place, *state])
                file.write(f"{',' if number else ''}\n  {said}".encode())
            file.write(b"\n ]\n}")

    def _check_options(self) -> None:
        """That the options are those it was begun with; finds out in which folder that was."""
        try:
            made = json.loads(self._options_path.read_bytes())
            before = dict(made["options"])
            self._folder = folder_of_names(str(made["folder"]), self._here, self.path)
            self._replaces = bool(made.get("replaces", False))
            for name, place, *state in made.get("sources", ()):
                self._seen[self._key(name, place)] = FileState(*map(int, state))
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise OutputError(
                f"not replacing {self.path}: it exists, and {self._options_path} does not say with which options it "
                f"was made; use --overwrite, or another --output"
            ) from error
        for name in dict.fromkeys([*self._options, *before]):  # in order, so that it is always the same one
            if before.get(name) != self._options.get(name):
                raise InvalidOption(
                    f"{self.path} was begun with {name} {_said(before.get(name))}, and now it is "
                    f"{_said(self._options.get(name))}; use the same, another --output, or --overwrite"
                )

    def _indexed_journal(self) -> dict[str, Place]:
        """Where the lines of the journal are. A last one that was not written to its end is cut off."""
        found, end = {}, 0
        for place, line in self._journal:
            try:
                record = json.loads(line)
                key = self._key_of_record(record)
                self._note(key, record)
            except (ValueError, LookupError, TypeError, RecursionError):
                break
            # Also what the file has: of a source that has changed, or of a run that ended before this was emptied.
            found[key] = place
            end = place.start + place.length
        self._journal.cut(end)
        return found

    def _indexed(self, path: Path) -> dict[str, tuple[int, int]]:
        """Where the lines of each file, or the rows of a table, are in a finished file."""
        try:
            if self._table is not None:
                return {self._key_of_record(dict(found)): place for found, place in self._table.places(path)}
            with path.open("rb") as file:
                starts = dict(self._first_lines(file))
        except (OSError, ValueError, LookupError, TypeError, csv.Error, RecursionError) as error:
            raise OutputError(
                f"not replacing {path}: it exists, and is not what `hear-edgel3 tag` wrote ({error}); use --overwrite, "
                f"or another --output"
            ) from error
        ends = [*[*starts.values()][1:], path.stat().st_size]
        return {key: (start, end - start) for (key, start), end in zip(starts.items(), ends, strict=True)}

    def _key_of_item(self, item: Item) -> str:
        return self._key(self.name_of(item), exact_span(item.start, item.end) if item.is_clip else "")

    def _key_of_record(self, record: Record) -> str:
        start, end = record.get(CLIP_START), record.get(CLIP_END)
        return self._key(record["file"], "" if start is None and end is None else exact_span(start, end))

    def _key(self, name: str, place: str) -> str:
        """Equal for the same file, however it was named, and the same clip of it."""
        return f"{os.path.normpath(os.path.join(self._folder, name))}\0{place}"

    def _first_lines(self, file: BinaryIO) -> Iterator[tuple[str, int]]:
        """The keys of what is in a finished file, and where the first line of each begins."""
        position = 0

        def lines() -> Iterator[str]:
            nonlocal position
            for line in file:
                position += len(line)
                yield line.decode()

        if self._format is not as_csv:
            for line in lines():  # the position is behind it by now
                yield self._key_of_record(json.loads(line)), position - len(line.encode())
            return
        rows = csv.reader(lines())
        if next(rows, None) != list(self._columns):
            raise ValueError("its first line is another")
        start, last = position, None
        places = [self._columns.index(name) for name in (CLIP_START, CLIP_END) if name in self._columns]
        for row in rows:
            if (now := [row[0], *(row[place] for place in places)]) != last:
                last = now
                clip = zip((CLIP_START, CLIP_END), (float(text) if text else None for text in now[1:]), strict=False)
                yield self._key_of_record({"file": row[0], **dict(clip)}), start
            start = position


def _said(value: Any) -> str:
    return "not given" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
