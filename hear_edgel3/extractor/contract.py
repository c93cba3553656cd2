"""What a timestamp of a configuration means. Plain arithmetic: nothing here needs torch, a net or weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from hear_edgel3.audio.rates import check_rate, minimum_samples
from hear_edgel3.families.schema import Checkpoint, Configuration
from hear_edgel3.framing.rules import check_hop_ms

# The promise for the rate that callers feed; files may have any rate that the resampler takes.
_MIN_FED_RATE, _MAX_FED_RATE = 8000, 192_000


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


def contract_of(
    configuration: Configuration, sample_rate: float | None = None, hop_ms: float | None = None
) -> TimestampContract:
    """What the timestamps of a configuration mean.

    Args:
        configuration: what embeds.
        sample_rate: rate in Hz of the audio that a caller feeds; None for the configuration's own.
        hop_ms: milliseconds between timestamps; None for the configuration's own.

    Raises:
        InvalidOption: the rate or the hop cannot be used.
    """
    row = configuration.checkpoint
    fed, window = rate_fed(row, sample_rate), configuration.window
    return TimestampContract(
        sample_rate=fed,
        net_sample_rate=row.net_sample_rate,
        window_ms=1000.0 * window / row.net_sample_rate,
        hop_ms=check_hop_ms(row.hop_ms if hop_ms is None else hop_ms, row.net_sample_rate),
        centred=True,
        first_ms=0.0,
        last="the largest k * hop_ms that is not beyond the clip's duration",
        padding=_describe_padding(row, window),
        minimum_samples=1 if row.padding == "reflection" else minimum_samples(fed, row.net_sample_rate),
        scene=_describe_scene(row),
    )


def rate_fed(row: Checkpoint, sample_rate: float | None) -> int:
    """The rate in Hz of the audio that a caller feeds.

    Args:
        row: the checkpoint.
        sample_rate: what the caller wants, 8000 to 192000 or the net's own rate; None for the row's.

    Raises:
        InvalidOption: the rate cannot be used.
    """
    if sample_rate is None:
        return row.sample_rate
    for own in (row.sample_rate, row.net_sample_rate):  # allowed even where they lie outside the range
        if isinstance(sample_rate, Real) and not isinstance(sample_rate, bool) and sample_rate == own:
            return own
    return check_rate(sample_rate, lowest=_MIN_FED_RATE, highest=_MAX_FED_RATE)


def _describe_padding(row: Checkpoint, window: int) -> str:
    if row.padding != "reflection":
        return "zeros, half a window on each side"
    return (
        f"the clip's reflection, half a window on each side; a clip of {window // 2} or fewer samples at "
        f"{row.net_sample_rate} Hz is first followed by zeros up to {window // 2 + 1}"
    )


def _describe_scene(row: Checkpoint) -> str:
    rule, rate = row.scene, row.net_sample_rate
    if rule.segments and rule.window is not None:
        return (
            f"mean of the embeddings of segments of {rule.window / rate:g} s, one behind the other, in which each "
            f"second of the clip counts alike; zeros follow a last segment, or a clip, that is shorter"
        )
    seconds = "" if rule.window is None else f"of {rule.window / rate:g} s "
    text = f"mean of the embeddings of windows {seconds}centred every {rule.hop_ms:g} ms"
    if not rule.whole_up_to:
        return text
    return (
        f"one pass over the whole clip up to {rule.whole_up_to / rate:g} s; beyond, the {text}, with the clip's "
        f"reflection beyond its ends"
    )
