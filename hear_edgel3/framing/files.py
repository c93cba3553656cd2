"""Where the windows of whole files lie, by the configuration that embeds them. Imports neither torch nor NumPy."""

from __future__ import annotations

from fractions import Fraction

from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import Configuration
from hear_edgel3.framing.rules import CentredFraming, EdgeL3Framing, check_positive


def file_framing(
    configuration: Configuration, hop_size: float | None = None, center: bool = True
) -> EdgeL3Framing | CentredFraming:
    """Where the windows of a file lie.

    Args:
        configuration: what will embed them.
        hop_size: seconds between windows; None for the configuration's.
        center: whether timestamps are the middles of the windows (else their starts).

    Raises:
        InvalidOption: the hop is not a positive number of seconds, or the family has centred windows only.
    """
    row = configuration.checkpoint
    hop = check_positive(row.file_hop_size if hop_size is None else hop_size, "hop_size", "seconds")
    if row.file_framing == "edgel3":
        return EdgeL3Framing(configuration.window, row.net_sample_rate, hop, bool(center))
    if not center:
        raise InvalidOption(
            f"{configuration.name} has timestamps at the middles of its windows only; leave center=False "
            f"(--no-centering) out"
        )
    if hop * row.net_sample_rate < 1:
        raise InvalidOption(
            f"hop_size={hop_size!r} is less than one sample at {row.net_sample_rate} Hz; use at least "
            f"{1 / row.net_sample_rate:g} (seconds)"
        )
    # By way of the shortest decimal, so that 0.07 s are 70 ms and not a rounding error more.
    hop_ms = float(Fraction(repr(hop)) * 1000)
    return CentredFraming(configuration.window, row.net_sample_rate, hop_ms, row.padding == "reflection")
