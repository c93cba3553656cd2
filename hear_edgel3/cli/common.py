"""What several commands do: inputs that failed are counted and told, models are moved, warnings are plain."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO, TypeVar

from hear_edgel3.cli.say import say
from hear_edgel3.errors import INPUT_ERRORS, AudioWarning, ComputationError, HearEdgeL3Error, InvalidOption

_REPEATED = 1000


class _Movable(Protocol):
    def to(self, device: str) -> Any: ...


_Model = TypeVar("_Model", bound=_Movable)


def on_device(model: _Model, device: str) -> _Model:
    """Moves a model to the device that was asked for.

    Raises:
        InvalidOption: there is no such device here.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise InvalidOption(f"device {device!r} cannot be used: {error}") from error
    return model


def say_notes(notes: Iterable[str], quiet: bool) -> None:
    """Prints what there is to know of the sources besides what failed, a line each, to stderr."""
    if not quiet:
        for note in notes:
            say(f"hear-edgel3: {note}")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Has warnings about audio printed as a line each: a command's user has no use for a line of code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, AudioWarning):
                say(f"warning: {message}")
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


class Failures:
    """Inputs that failed: each is reported on stderr at once, and again at the end.

    All are counted; the first thousand are kept to be repeated, so that millions of them take no memory.

    Args:
        failed: inputs that have failed already, with their errors.
    """

    def __init__(self, failed: Iterable[tuple[str, HearEdgeL3Error]] = ()) -> None:
        self._count = 0
        self._first: list[str] = []
        for name, error in failed:
            self.add(name, error)

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, error: Exception) -> None:
        """Counts a failure and prints it, without tearing a progress bar."""
        known = error if isinstance(error, HearEdgeL3Error) else ComputationError(f"{name}: {error}")
        self._count += 1
        if len(self._first) < _REPEATED:
            self._first.append(_with_name(name, str(known).splitlines()[0]))
        say(f"error: {_with_name(name, str(known))}")

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Takes what fails inside the block as the failure of this input."""
        try:
            yield
        except INPUT_ERRORS as error:
            self.add(name, error)

    def summarise(self, total: int) -> None:
        """Lists the failures once more, unless there was but one input.

        Args:
            total: how many inputs there were.
        """
        if self._count and total > 1:
            say("failures:")
            for line in self._first:
                say(f"  {line}")
            if self._count > len(self._first):
                say(f"  and {self._count - len(self._first)} more")


def _with_name(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"
