"""Scores, as numbers to keep and as a table to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hear_edgel3.scores.resampling import interval

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Scores:
    """Scores of a test.

    A score that cannot be told (the average precision of a class without a sound, for example) is None; means are over
    the classes that have one.

    Attributes:
        classes: The names of the classes, or of the numbers.
        n: How many sounds were scored.
        n_groups: How many groups they are of; what an interval is drawn from.
        positives: How many sounds each class has; None for numbers.
        overall: The scores over all classes.
        per_class: The scores of each class.
        overall_intervals: Their 95 % intervals, if any were computed.
        class_intervals: Those of each class.
        resamples: How many samples the intervals are from.
        notes: What the user should know.
    """

    classes: tuple[str, ...]
    n: int
    n_groups: int
    positives: tuple[int, ...] | None
    overall: Mapping[str, float | None]
    per_class: Mapping[str, tuple[float | None, ...]]
    overall_intervals: Mapping[str, Interval] = field(default_factory=dict)
    class_intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    resamples: int = 0
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What to write as JSON: numbers and null only, no infinite ones."""
        return {
            "n": self.n,
            "n_groups": self.n_groups,
            "resamples": self.resamples,
            "overall": {
                name: {"value": value, "interval": _pair(self.overall_intervals.get(name))}
                for name, value in self.overall.items()
            },
            "per_class": [
                {
                    "class": label,
                    **({} if self.positives is None else {"positives": self.positives[i]}),
                    **{
                        name: {
                            "value": values[i],
                            "interval": _pair(self.class_intervals[name][i]) if name in self.class_intervals else None,
                        }
                        for name, values in self.per_class.items()
                    },
                }
                for i, label in enumerate(self.classes)
            ],
            "notes": list(self.notes),
        }

    def table(self, most: int | None = None) -> str:
        """A table to read: overall scores with intervals, and a line per class.

        Args:
            most: How many classes are shown; None for all.
        """
        width = max(map(len, self.overall), default=0)
        lines = [
            f"{name:<{width}}  {_shown(value)}{_shown_interval(self.overall_intervals.get(name))}"
            for name, value in self.overall.items()
        ]
        names = list(self.per_class)
        if names:
            first = max(len("class"), *map(len, self.classes[:most]))
            columns = [max(6, len(name)) for name in names]
            head = f"{'class':<{first}}" + ("" if self.positives is None else f"  {'n':>6}")
            lines += ["", head + "".join(f"  {n:>{w}}" for n, w in zip(names, columns, strict=True))]
            for i, label in enumerate(self.classes[:most]):
                count = "" if self.positives is None else f"  {self.positives[i]:>6}"
                cells = (f"  {_shown(self.per_class[n][i]):>{w}}" for n, w in zip(names, columns, strict=True))
                lines.append(f"{label:<{first}}{count}" + "".join(cells))
            if most is not None and len(self.classes) > most:
                lines.append(f"... and {len(self.classes) - most} more classes")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


Figures = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def with_intervals(scores: Scores, blocks: Sequence[Figures], without: np.ndarray | None = None) -> Scores:
    """Scores with the intervals that resampled ones give.

    Args:
        scores: The scores.
        blocks: Resampled overall scores (R,) and those of classes (R, C), by their names.
        without: (C,) bool, classes that get no interval.
    """
    from dataclasses import replace

    if not blocks:
        return scores
    overall = {name: interval(np.concatenate([block[0][name] for block in blocks])) for name in scores.overall}
    per_class = {}
    for name in scores.per_class:
        values = np.concatenate([block[1][name] for block in blocks])
        known = scores.per_class[name]
        none = np.zeros(values.shape[1], bool) if without is None else without
        per_class[name] = tuple(
            None if known[i] is None or none[i] else interval(values[:, i]) for i in range(values.shape[1])
        )
    overall = {name: None if scores.overall[name] is None else found for name, found in overall.items()}
    n = sum(len(next(iter(block[0].values()))) for block in blocks)
    return replace(scores, overall_intervals=overall, class_intervals=per_class, resamples=n)


def number(value: float) -> float | None:
    """A score, or None if it is not finite."""
    return float(value) if np.isfinite(value) else None


def _pair(found: Interval) -> list[float] | None:
    return None if found is None else list(found)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shown_interval(found: Interval) -> str:
    return "" if found is None else f"  ({found[0]:.3f} to {found[1]:.3f})"
