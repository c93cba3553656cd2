"""What is in a sound file, as against what a decoder takes from its header."""

from __future__ import annotations

from dataclasses import dataclass

from hear_edgel3.audio.source import Piece


@dataclass(frozen=True)
class Part:
    """A sound that is decoded by itself: a file, or one of several that were joined.

    Attributes:
        pieces: What of the source it is put together of; None for all of it as it is.
        endless: Whether its decoder must not know where it ends, since it would guess its length and stop there.
        frames: How many samples per channel it has; None if the decoder is right about it.
    """

    pieces: tuple[Piece, ...] | None = None
    endless: bool = False
    frames: int | None = None


@dataclass(frozen=True)
class Contents:
    """What was found out about a file.

    Attributes:
        parts: What to decode, one after the other.
        counted: How many samples per channel a count in the header says there are; None where there is no such count,
            so that nothing is known to be missing.
        counts_parts: Whether that count is the sum of what the decoder says of each part.
        frames: How many there are, or were before the end was lost; None if nothing has said so yet.
        slack: By how many samples the count may be off without anything being lost.
        notes: What its user should know, each a clause without the file's name.
    """

    parts: tuple[Part, ...] = (Part(),)
    counted: int | None = None
    counts_parts: bool = False
    frames: int | None = None
    slack: int = 0
    notes: tuple[str, ...] = ()
