"""What is said beside the results: whole lines on stderr, whoever else says something at that moment."""

from __future__ import annotations

import sys
from contextlib import suppress

from hear_edgel3.disk.paths import printable

LAYOUT = "\n\t"  # control characters that only lay a text out


def say(text: str) -> None:
    """Prints a line, or several, to stderr, without tearing a progress bar or a line of another thread."""
    if sys.stderr is None:  # a program without a console
        return
    # Names may hold bytes that are no text.
    line = printable(text, LAYOUT).encode("utf-8", "backslashreplace").decode()
    bars = sys.modules.get("tqdm")  # without it there is no bar, and importing it takes longer than all else here
    with suppress(OSError):  # nowhere is left to say that
        if bars is None or not getattr(bars.tqdm, "_instances", None):
            # `print` writes a line and its end one after the other, and another thread may write between them.
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        else:
            bars.tqdm.write(line, file=sys.stderr)
