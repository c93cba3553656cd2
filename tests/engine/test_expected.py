"""What "auto" would take for a net that is not built."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from hear_edgel3.engine import numba
from hear_edgel3.engine.expected import Choice, expected
from hear_edgel3.registry.names import list_configurations, resolve


def test_rows_say_what_the_kernels_can_run() -> None:
    for name in list_configurations():
        row = resolve(name).checkpoint
        with torch.device("meta"):
            assert row.kernels == numba.takes(row.net.build()), name


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
def test_why() -> None:
    assert expected(False, 0.9) == Choice("torch", "it runs every net everywhere")
    assert expected(True, 0.0) == Choice("numba", "its kernels are faster than torch's for nets of this kind")
    assert expected(True, 0.9545) == Choice("numba", "95.5 % of its weights are zero")


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert expected(True, 0.9) == Choice(
        "torch",
        'numba, which would run this net faster, is not installed: pip install ".[fast]" in the folder of the clone',
    )
    assert expected(False, 0.0) == Choice("torch", "it runs every net everywhere")
