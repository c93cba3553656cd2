"""Recordings of which nobody says when or where they were made: they are counted, and told."""

from __future__ import annotations

from dataclasses import dataclass

from hear_edgel3.recorded.looking import Recorded, TimeAndPlace


@dataclass
class Unknown:
    """How many recordings were looked at, and of how many nothing was found.

    Attributes:
        looked_at: How many there were.
        times: Of how many nobody says when they were made.
        sites: Of how many nobody says where.
        untimed: The first of the former.
        unplaced: The first of the latter.
    """

    looked_at: int = 0
    times: int = 0
    sites: int = 0
    untimed: str = ""
    unplaced: str = ""

    def see(self, name: str, recorded: Recorded) -> None:
        """Counts a recording."""
        no_time, no_site = recorded.began is None, recorded.site is None
        self.add(Unknown(1, no_time, no_site, name if no_time else "", name if no_site else ""))

    def add(self, other: Unknown) -> None:
        """Counts those that others have looked at."""
        self.looked_at += other.looked_at
        self.times += other.times
        self.sites += other.sites
        self.untimed = self.untimed or other.untimed
        self.unplaced = self.unplaced or other.unplaced

    def notes(self, look: TimeAndPlace, asked: bool = True) -> list[str]:
        """What the user should know.

        Args:
            look: What was asked of times and places.
            asked: Whether it was asked for; else it is said only where others of the recordings have what one lacks.
        """
        notes = []
        if self.times and (asked or self.times < self.looked_at):
            why = "nothing in them or in their names says it in a form that is known; --time-pattern is for other names"
            if look.pattern is not None:
                why = f"their names have nothing like the time pattern {look.pattern!r}, which alone counts"
            notes.append(f"{self._of(self.times, self.untimed)} have no time (recorded_at): {why}")
        if self.sites and look.site not in (None, 1):
            by_text = isinstance(look.site, str)
            why = f"their paths have nothing like {look.site!r}" if by_text else f"no folder is {look.site} above them"
            notes.append(f"{self._of(self.sites, self.unplaced)} have no site: {why}")
        return notes

    def _of(self, count: int, first: str) -> str:
        return f"{count} of {self.looked_at} recordings ({first}, for example)"
