"""The file, or the folder of tracks, that events are written into. What others have changed in it stays theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.digest import sha256_of, sha256_of_open
from hear_edgel3.disk.paths import folders_of, path_of_text, text_of_path, with_ending
from hear_edgel3.errors import OutputError
from hear_edgel3.event_detection import formats
from hear_edgel3.event_detection.journal import Journal
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.sources.item import Item


@dataclass(frozen=True)
class Output:
    """Where the events of a run go.

    Attributes:
        journal: What is known of its recordings, and of what earlier runs have written.
        path: The file or the folder.
        form: The format.
        layout: What rows have.
    """

    journal: Journal
    path: str
    form: str
    layout: Layout

    @property
    def _is_folder(self) -> bool:
        return formats.is_folder(self.path, self.form)

    def check(self, items: Sequence[Item], pending: Sequence[Item]) -> None:
        """Checks that nothing of others would be replaced: no file that was there before, none that they have changed.

        Args:
            items: The recordings of the run.
            pending: Those of them that it will do.

        Raises:
            OutputError: It would.
        """
        for path in self._to_be_begun(items):
            if path.is_file() and path.stat().st_size:
                raise OutputError(
                    f"not replacing {path}: it exists, and {self.journal.path} does not say that an earlier run has "
                    f"written it; use --overwrite, or another --output"
                )
        self._check_unchanged(items, pending)

    def _check_unchanged(self, items: Sequence[Item], pending: Sequence[Item]) -> None:
        for path in self._to_be_replaced(items, pending):
            if self._was_changed(path):
                raise OutputError(
                    f"not replacing {path}: it is not as an earlier run has written it; move it away, and the same "
                    f"command writes it anew (what is done is kept in {self.journal.path}), or use --overwrite"
                )

    def write(self, items: Sequence[Item], pending: Sequence[Item]) -> None:
        """Writes what is known, but for what others have changed and this run has found nothing new for.

        Raises:
            OutputError: The disk is full, for example, or others have changed it while the run went on.
        """
        try:
            self._check_unchanged(items, pending)
        except OutputError:
            self.journal.has_not_written()
            raise
        if self._is_folder:
            self._write_tracks(items, pending)
        elif pending or self._is_all_new() or not self._was_changed(Path(self.path)):
            digest = self._write_file(Path(self.path), self.journal.recordings(items))
            self.journal.has_written({"": digest}, self.form)

    def _write_tracks(self, items: Sequence[Item], pending: Sequence[Item]) -> None:
        recordings = list(self.journal.recordings(items))
        tracks = _tracks(recordings)
        new = tracks.keys() if self._is_all_new() else self._names_of(pending)
        digests: dict[str, str | None] = {}
        for name, some in tracks.items():
            path = Path(self.path) / name
            if name not in new and self._was_changed(path):
                continue
            make_folder(path.parent)
            digests[text_of_path(name)] = self._write_file(path, some)
        # Of earlier runs: of what has failed since, or has another name as there are two of one name now.
        for name in {name for recording in recordings for name in _names(recording.file)} - tracks.keys():
            (Path(self.path) / name).unlink(missing_ok=True)
            digests[text_of_path(name)] = None
        self.journal.has_written(digests, self.form)

    def _write_file(self, path: Path, recordings: Iterable[Recording]) -> str:
        with atomic_write(path) as target:
            formats.write(self.form, target, recordings, self.layout)
            return sha256_of_open(target)

    def _to_be_begun(self, items: Sequence[Item]) -> list[Path]:
        """What is written for the first time."""
        if not self._is_folder:
            return [Path(self.path)] if self.journal.is_new else []
        ours = {name for recording in self.journal.recordings(()) for name in _names(recording.file)}
        new = self._names_of([item for item in items if not self.journal.has(item)])
        return [Path(self.path) / name for name in sorted(new - ours)]

    def _to_be_replaced(self, items: Sequence[Item], pending: Sequence[Item]) -> list[Path]:
        """What earlier runs have written, and this one writes anew or removes, since it learns or is asked more."""
        if not self._is_folder:
            return [Path(self.path)] if pending or self._is_all_new() else []
        before = list(self.journal.recordings(items))
        tracks = _tracks(before)
        if self._is_all_new():
            return [Path(self.path) / name for name in tracks]
        after = _tracks([*before, *(Recording(self.journal.name_of(item)) for item in pending)])
        changing = self._names_of(pending) | (tracks.keys() - after.keys())
        return [Path(self.path) / name for name in tracks if name in changing]

    def _names_of(self, items: Sequence[Item]) -> set[Path]:
        """The names that the tracks of recordings may have."""
        return {name for item in items for name in _names(self.journal.name_of(item))}

    def _is_all_new(self) -> bool:
        """Whether this run writes all anew, whatever it finds: in another format, or what an earlier one could not."""
        return self.journal.is_ahead or self.journal.form not in (None, self.form)

    def _was_changed(self, path: Path) -> bool:
        """Whether others have changed a file since an earlier run wrote it, as far as that is known."""
        name = text_of_path(path.relative_to(self.path)) if self._is_folder else ""
        digest = self.journal.digest_of(name)
        return digest is not None and path.is_file() and sha256_of(path) != digest


def _tracks(recordings: Iterable[Recording]) -> dict[Path, list[Recording]]:
    """What goes into which file of a folder: a recording whose short name another one has keeps ending and folders."""
    by_file: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.error is None:
            by_file.setdefault(recording.file, []).append(recording)
    names = {file: _names(file) for file in by_file}
    taken = Counter(name for both in names.values() for name in set(both))
    return {names[file][taken[names[file][0]] > 1]: some for file, some in by_file.items()}


def _names(file: str) -> tuple[Path, Path]:
    """The names that a recording's track may have: the short one, and the one that no other recording has."""
    path = path_of_text(file)
    return Path(with_ending(path.stem, ".txt")), folders_of(file) / with_ending(path.name, ".txt")
