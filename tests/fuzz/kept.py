"""A process apart that is kept from one mutant to the next: starting one takes a hundred times as long as reading."""

from __future__ import annotations

from typing import Any

from hear_edgel3.disk.apart import Apart


class Kept:
    """Stands for ``Apart`` in a module that starts one for each file."""

    def __init__(self) -> None:
        self._one: Apart | None = None

    def __call__(self, *how: Any) -> Kept:
        """Starts it, if there is none."""
        if self._one is None:
            self._one = Apart(*how)
        return self

    @property
    def has_ended(self) -> bool:
        """Whether the next question needs another one."""
        return self._one is None

    def ask(self, *question: Any) -> Any:
        """As ``Apart.ask``."""
        assert self._one is not None
        try:
            return self._one.ask(*question)
        finally:
            if self._one.has_ended:
                self._one.close()
                self._one = None

    def close(self) -> None:
        """Keeps it."""

    def end(self) -> None:
        """Ends it."""
        if self._one is not None:
            self._one.close()
            self._one = None
