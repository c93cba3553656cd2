"""Names of classes in pictures: as they are called, and by number where the picture's font cannot write that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Longer ones leave no room for what is drawn beside them.
_LONGEST = 40

# What a picture says of the numbers.
EXPLAINED = "#n: class n of the list, for whose name there are no glyphs"


def drawn_names(names: Sequence[str], numbers: Mapping[int, str]) -> list[str]:
    """Names as matplotlib is to be given them; of long ones the middle is left out.

    Args:
        names: Of classes, in their order.
        numbers: Those that are drawn by number, as :func:`by_number` finds them.
    """
    # What a class is called is no formula.
    return [f"#{i}" if i in numbers else _short(name).replace("$", r"\$") for i, name in enumerate(names, start=1)]


def _short(name: str) -> str:
    """A name that has room: of two that begin alike, and differ at their ends, each is still another one."""
    half = (_LONGEST - 3) // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}...{name[-half:]}"


def by_number(names: Iterable[str]) -> dict[int, str]:
    """The names that have characters of which matplotlib's fonts have no glyphs, by their place from 1 on.

    Its fonts are the ones that it is set to use (``font.family`` in its own settings), where they are installed.
    Without matplotlib, which draws nothing then, there are none.
    """
    try:
        from matplotlib import font_manager
    except ImportError:
        return {}
    fonts = [font_manager.get_font(path) for path in _fonts(font_manager)]
    return {
        i: name
        for i, name in enumerate(names, start=1)
        if not all(any(font.get_char_index(ord(c)) for font in fonts) for c in name)
    }


def _fonts(manager: Any) -> list[str]:
    """The files of the fonts that a glyph is looked for in, one after the other."""
    usual = manager.FontProperties()
    found = []
    for family in usual.get_family():
        one = usual.copy()
        one.set_family(family)
        try:
            found.append(manager.findfont(one, fallback_to_default=False))
        except ValueError:  # it is not installed
            continue
    return found or [manager.findfont(usual)]
