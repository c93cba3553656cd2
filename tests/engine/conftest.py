"""Nets and sounds for the engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve
from support import signals
from support.engines import WIDE, make_net


@pytest.fixture(scope="session")
def decibels() -> torch.Tensor:
    """(6, 256, 199), of noise-like sounds at 48 kHz."""
    frontend = resolve("sparse_95").checkpoint.frontend.build()
    return frontend(torch.from_numpy(signals.windows(48000)))


@pytest.fixture(scope="session")
def sparse_net() -> L3Net:
    """Of the real shape. Nobody changes it."""
    return make_net(WIDE, 0.9)


@pytest.fixture
def audio() -> torch.Tensor:
    """Half a second at 16 kHz."""
    return torch.from_numpy(signals.clip(0.5, 16000))[None]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
