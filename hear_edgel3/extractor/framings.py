"""Where a configuration's windows lie: those of timestamps, of scenes and of files."""

from __future__ import annotations

from hear_edgel3._checks import check_flags, check_positive
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import Configuration
from hear_edgel3.framing.rules import CentredFraming, CoveringFraming, SceneFraming, SegmentFraming, milliseconds


def timestamp_framing(configuration: Configuration, hop_ms: float | None = None) -> CentredFraming:
    """The windows of timestamp embeddings.

    Args:
        configuration: What will embed them.
        hop_ms: The distance between timestamps in milliseconds; None for the configuration's.

    Raises:
        InvalidOption: The hop is not a positive number of milliseconds.
    """
    row = configuration.checkpoint
    hop = row.hop_ms if hop_ms is None else hop_ms
    return CentredFraming(configuration.window, row.net_sample_rate, hop, row.padding == "reflection")


def scene_framing(configuration: Configuration) -> SceneFraming:
    """The windows whose mean is a scene embedding.

    Args:
        configuration: What will embed them.
    """
    row = configuration.checkpoint
    window = configuration.window if row.scene.window is None else row.scene.window
    windows: CentredFraming | SegmentFraming
    if row.scene.segments:
        windows = SegmentFraming(window)
    else:
        windows = CentredFraming(window, row.net_sample_rate, row.scene.hop_ms, row.padding == "reflection")
    return SceneFraming(windows, row.scene.whole_up_to)


def file_framing(
    configuration: Configuration, hop_size: float | None = None, center: bool = True
) -> CoveringFraming | CentredFraming:
    """The windows of a file.

    Args:
        configuration: What will embed them.
        hop_size: The distance between windows in seconds; None for the configuration's.
        center: Whether timestamps are the middles of the windows (else their starts).

    Raises:
        InvalidOption: The hop is not a positive number of seconds, or the family has centred windows only.
    """
    check_flags(center=center)
    row = configuration.checkpoint
    hop = check_positive(row.file_hop_size if hop_size is None else hop_size, "hop_size", "seconds")
    if row.file_framing == "edgel3":
        return CoveringFraming(configuration.window, row.net_sample_rate, hop, bool(center))
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
    return timestamp_framing(configuration, milliseconds(hop))
