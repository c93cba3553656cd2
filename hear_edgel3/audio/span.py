"""Stretches of sound files, in words."""

from __future__ import annotations


def span(start: float | None, end: float | None) -> str:
    """The place of a clip in words: ``12.5-15 s``, or ``from 12.5 s`` to the end.

    Args:
        start: Where it begins, in seconds; None for the beginning.
        end: Where it ends; None for the end.
    """
    return f"from {start or 0:g} s" if end is None else f"{start or 0:g}-{end:g} s"


def seconds(value: float) -> str:
    """Seconds to the microsecond, without zeros at the end."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def exact_span(start: float | None, end: float | None) -> str:
    """The place of a clip to the microsecond, as it can stand in the name of a file: ``12.5-15``, ``12.5-end``.

    Args:
        start: Where it begins, in seconds; None for the beginning.
        end: Where it ends; None for the end.
    """
    return f"{seconds(start or 0)}-{'end' if end is None else seconds(end)}"
