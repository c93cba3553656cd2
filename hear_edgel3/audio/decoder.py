"""What decodes sound files: one interface, whatever reads them."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

SampleType = Literal["float32", "float64"]


class Decoder(Protocol):
    """An open sound file.

    Attributes:
        sample_rate: Its rate in Hz.
        channels: How many channels it has.
        frames: How many samples per channel it has; None if that is not known before it has been decoded.
        counted: How many samples per channel a count in its header says; None if there is no such count.
        slack: By how many samples the count may be off without anything being lost.
        notes: What its user should know, each a clause without the file's name; all of them once it has been decoded.
    """

    sample_rate: int
    channels: int
    frames: int | None
    counted: int | None
    slack: int
    notes: list[str]

    def read(self, count: int, dtype: SampleType) -> np.ndarray:
        """The next samples.

        Args:
            count: how many per channel.
            dtype: of what type.

        Returns:
            (n, channels); fewer than ``count`` at the end only, and none behind it.

        Raises:
            DecodingError: they are damaged.
        """
        ...

    def seek(self, frame: int) -> None:
        """Goes to a sample, so that what is read then is what would be read there from the beginning on.

        Raises:
            DecodingError: what lies before is damaged.
        """
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


class DecodingError(Exception):
    """What a decoder has to say about a bad file, without the file's name."""
