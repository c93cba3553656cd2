"""The rows of two shapes of the L3 family, and whether a file is the seeded one of its name."""

from __future__ import annotations

import torch

from support import synthetic

SEA = synthetic.row("sea_64")
SPARSE = synthetic.row("sparse_95")


def assert_is_seeded(found: dict[str, torch.Tensor], name: str) -> None:
    """Bit for bit the tensors that went into the file."""
    expected = synthetic.state(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == torch.float32, key
        assert found[key].shape == value.shape, key
        assert found[key].numpy().tobytes() == value.numpy().tobytes(), key
