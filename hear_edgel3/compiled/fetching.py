"""Memory that is fetched before it is read: all of it at once, not one piece after the other."""

from __future__ import annotations

from typing import Any

from hear_edgel3.compiled.jit import kernel
from hear_edgel3.compiled.simd import expect_load


@kernel(compact=True)
def fetch(addresses: Any) -> None:
    """Has memory fetched into the processor's caches; it need not exist.

    Args:
        addresses: (n,) int64.
    """
    for i in range(len(addresses)):
        expect_load(addresses[i])
