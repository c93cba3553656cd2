"""Which classes are taken for which: as numbers, and as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from hear_edgel3._checks import check_made
from hear_edgel3.scores.classes import Guesses
from hear_edgel3.scores.names_drawn import EXPLAINED, by_number, drawn_names

NO_CLASS = "(none)"
_MOST_NUMBERED = 25
MOST_NAMED = 60
_INCHES = 0.3
# Of a character, at most; and how many of them there is room for without making the picture larger.
_INCHES_OF_CHARACTER = 0.11
_CHARACTERS = 20


def confusion_matrix(guesses: Guesses) -> np.ndarray:
    """How often which class is taken for which.

    Args:
        guesses: What was right, and what was guessed.

    Returns:
        int64. If each sound has one class (C, C), a row per true class and a column per guessed one, and (C, C + 1) if
        there are thresholds: the last column counts sounds of which nothing was guessed. Else (C, 2, 2) per class, of
        judged cells: true negatives and false positives, false negatives and true positives.
    """
    check_made(guesses, "guesses", Guesses, "Guesses, which hold what was right and what was guessed")
    right, guessed = guesses.right(), guesses.guessed()
    n = guesses.n_classes
    if guesses.is_single:
        taken = np.where(guessed.any(axis=1), guessed.argmax(axis=1), n)
        matrix = np.zeros((n, n + 1), np.int64)
        np.add.at(matrix, (guesses.targets, taken), 1)
        return matrix if guesses.thresholds is not None else matrix[:, :n]
    judged = guesses.judged()
    cells = [(judged & (right == r) & (guessed == g)).sum(axis=0) for r in (False, True) for g in (False, True)]
    return np.stack(cells, axis=1).reshape(n, 2, 2)


def draw_confusion(matrix: np.ndarray, classes: Sequence[str]) -> bytes | None:
    """A PNG of the confusions of sounds with one class each, or None if matplotlib is not installed.

    Colours are shares of the row, so that classes with many sounds look like others; numbers are counts. A class for
    whose name matplotlib's font has no glyphs is called by its number, from 1.

    Args:
        matrix: (C, C) or (C, C + 1), as :func:`confusion_matrix` gives it.
        classes: The names of the classes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    n, columns = matrix.shape
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    numbers = by_number(classes) if n <= MOST_NAMED else {}
    names = drawn_names(classes, numbers) if n <= MOST_NAMED else []
    longest = max(map(len, names), default=0)
    side = min(16.0, max(3.0, _INCHES * n + 1.5)) + _INCHES_OF_CHARACTER * max(0, longest - _CHARACTERS)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="guessed", ylabel="true")
    if n <= MOST_NAMED:
        axes.set_xticks(range(columns), [*names, NO_CLASS][:columns], rotation=90, fontsize=8)
        axes.set_yticks(range(n), names, fontsize=8)
        if numbers:
            axes.set_title(EXPLAINED, fontsize=6)
    if n <= _MOST_NUMBERED:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=7)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
