"""What a kind of damage is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Sound(NamedTuple):
    """A sound file that gets damaged.

    Attributes:
        name: What it is called.
        data: Its bytes.
    """

    name: str
    data: bytes


# Reads a file of that name with those bytes: it returns if they could be read, and raises the package's own errors if
# not. Anything else that it raises is a fault.
Attempt = Callable[[str, bytes], None]


class Kind(NamedTuple):
    """A kind of input.

    Attributes:
        name: What the command calls it.
        files: Makes the sound files, in a folder where it may work.
        prepare: Makes what attempts them, in that folder.
        text: Whether they are text.
    """

    name: str
    files: Callable[[Path], list[Sound]]
    prepare: Callable[[Path], Attempt]
    text: bool = False
