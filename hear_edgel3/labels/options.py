"""How labels are read, where a set does not say it itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hear_edgel3._checks import check_flags, check_paths, check_texts, several_texts, shown
from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.errors import InvalidOption
from hear_edgel3.labels.names import PARTS, listed, part_of, plain

_TEXTS = ("layout", "label", "labels", "separator", "part", "fold", "group", "group_pattern")


@dataclass(frozen=True)
class LabelOptions:
    """How labels are read.

    Attributes:
        layout: The name of the layout; None to find out.
        audio: The folder that relative paths of files are relative to; None for the set's own.
        label: The column with one label per sound; None to find out.
        labels: The column with any number of labels per sound.
        separator: What stands between several labels in a cell; None to find out.
        numbers: The columns with numbers, for regression.
        relevances: The columns, one per class, that say in [0, 1] whether a sound has it; an empty cell: nobody said.
        classes: The names of the classes in their order; None for the set's own, or that of their names.
        parts: What words of a split column mean, beside the usual ones: ``{"dev": "train"}``.
        part: The column with the part of a split; None to find out (``split``, ``subset``, ``partition``, ``part``).
        fold: The column with folds; None for ``fold``.
        group: The column with what must not be divided; None for ``group``.
        group_pattern: A regular expression that finds the group in a file's path: all of its first pair of brackets, or
            all that it matches.
        whole_files: Whether to take whole files, whatever starts and ends a table has.
        channel: What is heard of files with several channels: their "mean"; the number of one, from 0; or "table", for
            what each row of a table says in its column ``channel``, from 0, or of one by Raven from 1.
        skip: Whether sounds that cannot be used (no file, no label, no number) are left out and counted in a note,
            instead of being an error.
    """

    layout: str | None = None
    audio: str | None = None
    label: str | None = None
    labels: str | None = None
    separator: str | None = None
    numbers: tuple[str, ...] = ()
    relevances: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    fold: str | None = None
    group: str | None = None
    group_pattern: str | None = None
    whole_files: bool = False
    channel: int | str = MEAN
    skip: bool = False

    def __post_init__(self) -> None:
        check_texts(**{name: getattr(self, name) for name in _TEXTS})
        check_paths(audio=self.audio)
        check_flags(whole_files=self.whole_files, skip=self.skip)
        for name in ("numbers", "relevances", "classes"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, several_texts(getattr(self, name), name))
        given = [
            name
            for name, value in (
                ("label", self.label),
                ("labels", self.labels),
                ("numbers", self.numbers),
                ("relevances", self.relevances),
            )
            if value
        ]
        if len(given) > 1:
            raise InvalidOption(f"{' and '.join(given)} contradict each other: a set has targets of one kind")
        object.__setattr__(self, "channel", check_channel(self.channel, table=True))
        if self.group is not None and self.group_pattern is not None:
            raise InvalidOption(
                "group and group_pattern contradict each other: groups are in a column, or in the paths"
            )
        if not isinstance(self.parts, Mapping):
            raise InvalidOption(
                f"parts must say of words which of {', '.join(PARTS)} they mean, as {{'dev': 'train'}}, got "
                f"{shown(self.parts)}"
            )
        for word, part in self.parts.items():
            check_texts(parts=word)
            if not isinstance(part, str) or part not in PARTS:
                raise InvalidOption(f"parts: {word!r} must mean one of {', '.join(PARTS)}, not {part!r}")
        counts = Counter(map(plain, self.classes or ()))
        alike = [name for name in self.classes or () if counts[plain(name)] > 1]
        if alike:
            raise InvalidOption(
                f"classes: {listed(alike)} are the same, or differ by case, spaces or underscores only; name each once"
            )
        if self.group_pattern is not None:
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise InvalidOption(
                    f"group_pattern {self.group_pattern!r} is no regular expression: {error}"
                ) from error

    def part_of(self, word: str) -> str | None:
        """The part of a split that a word means, or None if that is not known."""
        own = {plain(key): part for key, part in self.parts.items()}
        return own.get(plain(word)) or part_of(word)


AS_IT_IS = LabelOptions()
