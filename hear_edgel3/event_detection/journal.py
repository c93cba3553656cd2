"""What is known of the recordings of a run, and of the runs before it: a line of JSON per recording.

``<output>.done.jsonl`` stays beside the output, which is made of it: so a later run knows which recordings had no
events, and an output in another format costs nothing to compute. Its first line says with which options it was begun.
A line is written as soon as a recording is done; of several of one recording the last one counts. Other lines say what
the output was like when it was written, so that what others change in it afterwards is not replaced unasked.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hear_edgel3.audio.span import exact_span
from hear_edgel3.disk.atomic import is_special
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.lines import Lines, Place
from hear_edgel3.disk.paths import folder_of_names, path_of_text, text_of_path
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.event_detection.records import Recording
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.seen import changed_items

_FORMAT = 1


class Journal:
    """The recordings that are done. Use it as a context manager: what is inside is for one process at a time.

    Args:
        output: The name of the output.
        options: What decides about the results, by names, as plain values.
        overwrite: Whether to begin anew.

    Attributes:
        is_new: Whether it begins here, and no run before has written the output.
        form: The format that the output was last written in; None if that is not known.
        is_ahead: Whether the output lacks what is known here, since others changed it while a run went on.

    Raises:
        InvalidOption: It was begun with other options.
        OutputError: It cannot be written, is damaged, or another process is writing it.
    """

    def __init__(self, output: str, options: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path = Path(f"{output.rstrip('/')}.done.jsonl")
        self._output = output
        self._here = text_of_path(os.getcwd())
        self._folder = self._here
        self.is_new = False
        self.form: str | None = None
        self.is_ahead = False
        self._digests: dict[str, str] = {}  # of the output's files, as they were last written
        self._is_sure = True  # whether that is so: no earlier run was killed while it wrote
        self._is_writing = False
        self._places: dict[str, tuple[Place, bool]] = {}  # where its line is, and whether it failed
        # What goes into a pipe cannot be gone on with.
        self._lines = Lines(self.path, output, overwrite, kept=not is_special(output))
        try:
            self._begin(json.loads(json_text(dict(options))))
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def forget(self) -> None:
        """Removes it, if it has begun here and nothing was done."""
        if self.is_new and not self._places:
            self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many recordings are done, those that failed among them."""
        return len(self._places)

    @property
    def n_failed(self) -> int:
        """How many of them failed."""
        return sum(failed for _, failed in self._places.values())

    def pending(self, items: Iterable[Item], retry_failed: bool = False) -> list[Item]:
        """Those of the recordings that are not done, or whose file has changed since.

        Args:
            items: The recordings.
            retry_failed: Whether those that failed are to be tried again.
        """
        placed = [(item, self._places.get(self._key_of(item))) for item in items]
        seen = [(item, self._read(place[0]).seen) for item, place in placed if place is not None]
        known = [(item, state) for item, state in seen if state is not None]
        changed = set(changed_items([item for item, _ in known], [state for _, state in known], ""))
        return [item for item, place in placed if place is None or (retry_failed and place[1]) or item in changed]

    def clips_of(self, items: Iterable[Item]) -> frozenset[str]:
        """The absolute paths, as text, of what has been cut out of recordings."""
        places = [self._places[key][0] for item in items if (key := self._key_of(item)) in self._places]
        return frozenset(clip for place in places for clip in self._paths(self._read(place).clips))

    def count_clips(self, clips: Collection[str]) -> Counter[str]:
        """By how many recordings each of these clips, absolute paths as text, is named."""
        if not clips:
            return Counter()
        return Counter(clip for one in self.recordings(()) for clip in self._paths(one.clips) if clip in clips)

    def replaced(self, item: Item, recording: Recording, named: Counter[str]) -> list[str]:
        """The clips of a recording that nothing will name any more when what was found in it now is kept.

        Args:
            item: The recording.
            recording: What was found in it now.
            named: By how many recordings clips are named; is kept up to date, of those that it has.
        """
        before = self.clips_of([item])
        for clip in before:
            named[clip] -= 1
        named.update(clip for clip in self._paths(recording.clips) if clip in named)
        return sorted(clip for clip in before if named[clip] == 0)

    def _paths(self, clips: Iterable[str]) -> set[str]:
        """Absolute paths, as text, of clips as they are named in here."""
        return {os.path.abspath(os.path.join(self._folder, clip)) for clip in clips}

    def has(self, item: Item) -> bool:
        """Whether a recording is done, if in an earlier state or with an error."""
        return self._key_of(item) in self._places

    def name_of(self, item: Item) -> str:
        """What a recording is called in here: as given, or absolute if the first run was started in another folder."""
        return self._named(item.file)

    def named(self, item: Item, recording: Recording) -> Recording:
        """What was found in a recording, with its names, and those of its clips, as they are in here."""
        return replace(recording, file=self.name_of(item), clips=tuple(map(self._named, recording.clips)))

    def _named(self, file: str) -> str:
        path = path_of_text(file)
        return text_of_path(path if self._here == self._folder else os.path.abspath(path))

    def add(self, recording: Recording) -> None:
        """Keeps what was found in a recording.

        Raises:
            OutputError: The disk is full, for example. What was kept before stays.
        """
        place = self._lines.append(recording.to_values())
        self._places[self._key(recording)] = (place, recording.error is not None)

    def digest_of(self, name: str) -> str | None:
        """The sha256 of a file of the output as it was last written; None if that is not known.

        Args:
            name: Its name inside the folder that is the output; nothing for an output that is a file.
        """
        return self._digests.get(name) if self._is_sure else None

    def is_writing(self) -> None:
        """Keeps that the output is about to change: if the run is killed, nobody knows what it was like at last.

        Raises:
            OutputError: As for :meth:`add`.
        """
        self._lines.append({"writing": True})
        self._is_writing = True

    def has_written(self, digests: Mapping[str, str | None], form: str) -> None:
        """Keeps what the output is like.

        Args:
            digests: The sha256 of the files that were written, by their names as for :meth:`digest_of`; None for those
                that were removed. Other files are as they were.
            form: Their format.

        Raises:
            OutputError: As for :meth:`add`.
        """
        new = {name: digest for name, digest in digests.items() if self._digests.get(name) != digest}
        if new or form != self.form or self._is_writing or self.is_ahead or not self._is_sure:
            self._note({"written": new, "as": form})

    def has_not_written(self) -> None:
        """Keeps that the output was left as it is, with what others have changed.

        Raises:
            OutputError: As for :meth:`add`.
        """
        self._note({"written": None})

    def _note(self, values: Mapping[str, Any]) -> None:
        self._lines.append(values)
        self._learn(values)
        self._is_writing = False

    def _learn(self, values: Mapping[str, Any]) -> None:
        """Takes in what a line says of the output."""
        if "writing" in values:
            self._is_sure = False
            return
        self._is_sure, self.is_ahead = True, values["written"] is None
        if self.is_ahead:
            return
        changed = dict(values["written"])
        self._digests = {name: digest for name, digest in {**self._digests, **changed}.items() if digest is not None}
        self.form = str(values["as"])

    def recordings(self, items: Sequence[Item]) -> Iterator[Recording]:
        """All that are done: those that only earlier runs had, and then the rest in the order of the items."""
        given = dict.fromkeys(self._key_of(item) for item in items)
        for key in [*(key for key in self._places if key not in given), *given]:
            if key in self._places:
                yield self._read(self._places[key][0])

    def _read(self, place: Place) -> Recording:
        return Recording.of_values(json.loads(self._lines.read(place)))

    def _begin(self, options: dict[str, Any]) -> None:
        lines = iter(self._lines)
        _, first = next(lines, (None, None))
        if first is None:  # nothing is there, or less than a line, of a run that was killed at once
            if not b'{"format":'.startswith(self._lines.read(Place(0, 10))):
                raise self._is_damaged("it does not begin as it should")
            self._lines.cut(0)
            self.is_new = True
            self._lines.append({"format": _FORMAT, "folder": self._here, "options": options})
            return
        try:
            begun = json.loads(first)
            if begun["format"] != _FORMAT:
                raise ValueError(f"its format is {begun['format']!r}")
            before = dict(begun["options"])
            self._folder = folder_of_names(str(begun["folder"]), self._here, self._output)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise self._is_damaged(str(error)) from error
        for name in dict.fromkeys([*options, *before]):  # in order, so that it is always the same one
            if before.get(name) != options.get(name):
                raise InvalidOption(
                    f"{self._output} was begun with {name} {_said(before.get(name))}, and now it is "
                    f"{_said(options.get(name))}; use the same, another --output, or --overwrite"
                )
        self._index(len(first), lines)

    def _index(self, end: int, lines: Iterator[tuple[Place, bytes]]) -> None:
        """Finds where the recordings are. A last line that was not written to its end is cut off."""
        for number, (place, line) in enumerate(lines, 2):
            try:
                values = json.loads(line)
                if "writing" in values or "written" in values:
                    self._learn(values)
                else:
                    recording = Recording.of_values(values)
                    self._places[self._key(recording)] = (place, recording.error is not None)
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise self._is_damaged(f"line {number}: {error}") from error
            end = place.start + place.length
        self._lines.cut(end)

    def _is_damaged(self, why: str) -> OutputError:
        return OutputError(
            f"{self.path}, which says what is done of {self._output}, is damaged ({why}); use --overwrite, or another "
            f"--output"
        )

    def _key_of(self, item: Item) -> str:
        return self._key(Recording(self.name_of(item), start=item.start, end=item.end))

    def _key(self, recording: Recording) -> str:
        """Equal for the same file, however it was named, and the same clip of it."""
        whole = recording.start is None and recording.end is None
        place = "" if whole else exact_span(recording.start, recording.end)
        return f"{os.path.normpath(os.path.join(self._folder, recording.file))}\0{place}"


def _said(value: Any) -> str:
    return "not given" if value is None else json_text(value, ensure_ascii=False)
