"""Batches that are made by other threads while one is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_AHEAD = 4
_MAKERS = 2

Plan = TypeVar("Plan")
Made = TypeVar("Made")
Batch = TypeVar("Batch")


class Ahead(Generic[Plan, Made, Batch]):
    """The batches of an epoch.

    Args:
        plans: What each is made of.
        make: Makes one, in another thread.
        finish: Makes a batch of that, in the thread that wants it.
    """

    def __init__(self, plans: Sequence[Plan], make: Callable[[Plan], Made], finish: Callable[[Made], Batch]) -> None:
        self._plans, self._make, self._finish = plans, make, finish

    def __len__(self) -> int:
        return len(self._plans)

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(_MAKERS) as pool:
            coming: list[Future[Made]] = []
            try:
                for plan in self._plans:
                    coming.append(pool.submit(self._make, plan))
                    if len(coming) > _AHEAD:
                        yield self._finish(coming.pop(0).result())
                while coming:
                    yield self._finish(coming.pop(0).result())
            finally:
                for future in coming:
                    future.cancel()
