"""Classes that are told together: a class with all that lie below it, or those that somebody puts together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hear_edgel3._checks import several_texts, shown
from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.ontology import below, parents

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 20
_SUGGESTED = 3


@dataclass(frozen=True)
class ClassGroups:
    """Groups of classes.

    Attributes:
        labels: The groups. One of a single class is called as that, also one of a class with those below it.
        members: The numbers of the classes of each.
        exclusive: Whether one class is right (their probabilities add up), or any number may be.
    """

    labels: tuple[Label, ...]
    members: tuple[tuple[int, ...], ...]
    exclusive: bool = False

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """The classes of all groups, one after the other, and where those of each begin."""
        import numpy as np

        lengths = [len(some) for some in self.members]
        classes = np.array([i for some in self.members for i in some], np.intp)
        return classes, np.cumsum([0, *lengths[:-1]], dtype=np.intp)

    def probabilities(self, of_classes: np.ndarray) -> np.ndarray:
        """The probabilities of the groups: the highest of their classes or, where one class is right, the sum.

        The highest, and not that of hearing at least one of them by itself: a net that hears a sparrow raises "Bird",
        "Bird vocalization" and "Chirp" together.

        Args:
            of_classes: (n, n_classes) probabilities.

        Returns:
            (n, n_groups), of the same type.
        """
        import numpy as np

        classes, starts = self._places
        reduce = np.add if self.exclusive else np.maximum
        found: np.ndarray = reduce.reduceat(of_classes[:, classes], starts, axis=1)
        return np.minimum(found, 1) if self.exclusive else found

    def thresholds(self, of_classes: Sequence[float]) -> tuple[float, ...]:
        """The thresholds of the groups: the highest of their classes."""
        return tuple(max(of_classes[i] for i in some) for some in self.members)


def groups_of(
    labels: Sequence[Label],
    wanted: Sequence[str] | None = None,
    together: Mapping[str, Sequence[str]] | None = None,
    exact: bool = False,
    exclusive: bool = False,
) -> ClassGroups:
    """The groups that somebody asks for.

    Args:
        labels: The classes of a net.
        wanted: The names, or machine identifiers, of classes; case does not matter. A class of AudioSet stands for all
            that lie below it in its ontology, also one that the net does not tell by itself ("Human sounds"). None for
            every class by itself; with ``together``, for those groups alone.
        together: Groups by their names, each of classes as in ``wanted``.
        exact: Whether classes stand for themselves only.
        exclusive: Whether one class is right.

    Raises:
        InvalidOption: The net has no such class, or there are no groups.
    """
    if wanted is None and together is None:
        return ClassGroups(tuple(labels), tuple((i,) for i in range(len(labels))), exclusive)
    if together is not None and not isinstance(together, Mapping):
        raise InvalidOption(f"together must be lists of classes by the names of groups, got {shown(together)}")
    finder = _Finder(labels, exact)
    found: dict[Label, tuple[int, ...]] = {}
    for name in () if wanted is None else several_texts(wanted, "wanted"):
        label, members = finder.find(name)
        found[label] = members
    for name, names in (together or {}).items():
        if not name or not name.isprintable():
            raise InvalidOption(f"the group {name!r} has no name that can be shown")
        members = tuple(sorted({i for one in several_texts(names, f"the group {name!r}") for i in finder.find(one)[1]}))
        if not members:
            raise InvalidOption(f"the group {name!r} has no classes")
        if any(label.name == name for label in found):
            raise InvalidOption(f"{name!r} is asked for as a class and as a group: call the group something else")
        found[Label(name, "")] = members
    if not found:
        raise InvalidOption("no classes are asked for: name some, or leave the option out for all")
    return ClassGroups(tuple(found), tuple(found.values()), exclusive)


class _Finder:
    def __init__(self, labels: Sequence[Label], exact: bool) -> None:
        self._labels = labels
        self._exact = exact
        self._places = {label.mid: i for i, label in enumerate(labels) if label.mid}
        self._named = {label.name.casefold(): i for i, label in reversed(list(enumerate(labels)))}
        known = {mid for one in parents() for mid in below(one)}
        self._has_ontology = bool(self._places) and self._places.keys() <= known | {"/m/0jbk", "/m/04rlf"}

    def find(self, name: str) -> tuple[Label, tuple[int, ...]]:
        """A class, or one of the ontology above the net's, and the numbers of those that it stands for."""
        text = name.strip()
        place = self._places.get(text, self._named.get(text.casefold()))
        if self._has_ontology and not self._exact:
            label = self._labels[place] if place is not None else self._above(text)
            if label is not None:
                members = tuple(sorted(self._places[mid] for mid in below(label.mid) if mid in self._places))
                if members:
                    return label, members
        elif place is not None:
            return self._labels[place], (place,)
        raise InvalidOption(f"there is no class {name!r}{self._near(text)}")

    def _above(self, text: str) -> Label | None:
        for one in parents().values():
            if text == one.mid or text.casefold() == one.name.casefold():
                return Label(one.name, one.mid)
        return None

    def _near(self, text: str) -> str:
        names = [label.name for label in self._labels]
        if self._has_ontology and not self._exact:
            names += [one.name for one in parents().values() if one.mid not in self._places]
        begun = [name for name in names if text and text.casefold() in name.casefold()]
        by_case = {name.casefold(): name for name in names}
        alike = [by_case[one] for one in difflib.get_close_matches(text.casefold(), by_case, n=_SUGGESTED)]
        near = list(dict.fromkeys([*begun[:_SUGGESTED], *alike]))[:_SUGGESTED]
        if near:
            return f"; near it are {', '.join(map(repr, near))}"
        if self._has_ontology:
            return "; `hear-edgel3 tag --top 1000` shows all"
        more = f", and {len(self._labels) - _SHOWN} more" if len(self._labels) > _SHOWN else ""
        return f"; there are {', '.join(repr(shortened(label.name)) for label in self._labels[:_SHOWN])}{more}"
