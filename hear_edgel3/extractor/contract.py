"""What a timestamp of a configuration means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TimestampContract:
    """What a timestamp of a configuration means, readable by a program.

    Attributes:
        sample_rate: rate in Hz of the audio a caller feeds.
        net_sample_rate: rate in Hz inside; audio is converted when the two differ.
        window_ms: length of audio that one embedding sees.
        hop_ms: default distance between timestamps.
        centred: a timestamp is the middle of its window (else its start).
        first_ms: the first timestamp.
        last: rule for the last timestamp.
        padding: what a window sees beyond the ends of the clip.
        minimum_samples: shortest clip accepted, in samples at ``sample_rate``.
        scene: how the scene embedding follows.
    """

    sample_rate: int
    net_sample_rate: int
    window_ms: float
    hop_ms: float
    centred: bool
    first_ms: float
    last: str
    padding: str
    minimum_samples: int
    scene: str

    def to_dict(self) -> dict[str, Any]:
        """The contract as plain values, ready for JSON."""
        return asdict(self)
