"""Looking at a recording for when and where it was made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from hear_edgel3._checks import check_path, check_texts, is_whole, shown
from hear_edgel3.audio.source import ReadAt
from hear_edgel3.disk.paths import path_of_text, text_of
from hear_edgel3.errors import InvalidOption
from hear_edgel3.recorded.chunks import chunks_of, moments_in
from hear_edgel3.recorded.names import NamePattern, moment_in
from hear_edgel3.recorded.zones import zone_of

if TYPE_CHECKING:
    from hear_edgel3.audio.file import AudioFile


@dataclass(frozen=True)
class Recorded:
    """When and where a recording was made.

    Attributes:
        began: When it begins, in ISO 8601; with an offset from UTC only where that is known. None if nobody says.
        says_who: What says when it begins: "name", "pattern", "GUANO", "wamd", "AudioMoth", "bext" or "iXML"; None if
            nothing does.
        has_zone: Whether the time zone is known.
        site: Where it was made; None if nobody says.
    """

    began: str | None = None
    says_who: str | None = None
    has_zone: bool = False
    site: str | None = None


@dataclass(frozen=True)
class TimeAndPlace:
    """What is asked of time and place.

    Attributes:
        pattern: A pattern of the time in names of files, in the words of ``strptime``; None for those of usual
            recorders, and the metadata in files.
        zone: The time zone of times that say none, in which all are told; None to leave them as they are. It is never
            guessed.
        site: How many folders above a file is the one that is called as its site: 1 for its own; or a regular
            expression that finds the site in its path, as its first group if it has one. None for no site.

    Raises:
        InvalidOption: There is no such zone, or a pattern makes no sense.
    """

    pattern: str | None = None
    zone: str | None = None
    site: int | str | None = 1

    def __post_init__(self) -> None:
        check_texts(pattern=self.pattern, zone=self.zone)
        if self.pattern is not None:
            NamePattern(self.pattern)
        if self.zone is not None:
            zone_of(self.zone)
        if isinstance(self.site, str):
            try:
                re.compile(self.site)
            except re.error as error:
                raise InvalidOption(f"site {self.site!r} is no regular expression: {error}") from error
        elif self.site is not None and not is_whole(self.site, 1):
            raise InvalidOption(f"site must be how many folders above a file it is, from 1; got {shown(self.site)}")

    @property
    def tz(self) -> tzinfo | None:
        """The time zone, if there is one."""
        return None if self.zone is None else zone_of(self.zone)

    @cached_property
    def _own_pattern(self) -> NamePattern | None:
        return None if self.pattern is None else NamePattern(self.pattern)

    def look(self, path: str | os.PathLike[str], read_at: ReadAt | None = None, size: int = 0) -> Recorded:
        """Looks at a recording.

        Of several that say when it begins the first one that knows its time zone counts, else the first one, in this
        order: the pattern (which alone counts, if there is one), GUANO, wamd, AudioMoth's comment, the name if it has a
        zone, bext, iXML, and the name if it has none.

        Args:
            path: Where it is; of a member of a tar file, what it is called.
            read_at: Reads the file; None to look at its name only.
            size: How many bytes it has.
        """
        check_path(path, "path", empty=True)
        moment, who = self._moment(os.fspath(path), read_at, size)
        site = self._site(os.path.abspath(path))
        if moment is None:
            return Recorded(site=site)
        zone = self.tz
        if zone is not None:
            moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
        precise = "milliseconds" if moment.microsecond else "seconds"
        return Recorded(moment.isoformat(timespec=precise), who, moment.tzinfo is not None, site)

    def of_file(self, name: str, folder: str, file: AudioFile | None = None) -> Recorded:
        """Looks at a recording that is open.

        Args:
            name: What the ``file`` column calls it.
            folder: The folder that it is relative to.
            file: The recording; None if it cannot be opened, to look at its name only.
        """
        path = os.path.join(folder, path_of_text(name))
        return self.look(path) if file is None else self.look(path, file.read_at, file.n_bytes)

    def _moment(self, path: str, read_at: ReadAt | None, size: int) -> tuple[datetime | None, str | None]:
        stem = PurePath(path).stem
        if self._own_pattern is not None:
            moment = self._own_pattern.moment_in(path, stem)
            return moment, None if moment is None else "pattern"
        of_name = moment_in(stem)
        said = [] if read_at is None else list(moments_in(chunks_of(read_at, size)))
        for who, moment in said:
            if moment.tzinfo is not None:
                return moment, who
        if of_name is not None and of_name.tzinfo is not None:
            return of_name, "name"
        if said:
            return said[0][1], said[0][0]
        return of_name, None if of_name is None else "name"

    def _site(self, path: str) -> str | None:
        if self.site is None:
            return None
        if isinstance(self.site, str):
            found = re.search(self.site, path)
            return None if found is None else text_of(found[1] if found.groups() else found[0])
        folders = PurePath(path).parent.parts
        name = folders[-self.site] if len(folders) >= self.site else os.sep
        return None if name == os.sep else text_of(name)
