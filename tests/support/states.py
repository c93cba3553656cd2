"""What a caller may have asked torch for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def strange_state() -> Iterator[None]:
    """All at once, as a program of somebody's own may have it, and still has it behind what is done within."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
            yield
            assert torch.get_default_dtype() == torch.float64
            assert torch.empty(0).is_meta
            assert torch.is_inference_mode_enabled()
            assert not torch.is_grad_enabled()
            one = torch.ones(1, 1, device="cpu", dtype=torch.float32)
            assert (one @ one).dtype == torch.bfloat16
    finally:
        torch.set_default_dtype(before)
