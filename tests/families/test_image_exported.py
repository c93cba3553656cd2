"""torch.export of image nets that have not run yet, and what is left of it behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import sys, torch
import hear_edgel3.registry.names as names
found = names.resolve(sys.argv[1])
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    net, frontend = found.net.build().eval(), found.frontend.build().eval()
path = torch.nn.Sequential(frontend, net).eval()
x = 0.1 * torch.randn(2, 16000)
exported = torch.export.export(path, (x,)).module()
with torch.no_grad():
    expected, made = path(x), exported(x)
assert type(expected) is torch.Tensor
assert float((made - expected).abs().max() / expected.abs().max()) < 1e-5
"""


@pytest.mark.parametrize("name", ["image_effnet_lite0_block0", "image_effnet_lite0_block0_compat"])
def test_before_a_first_call(name: str) -> None:
    """In a process of its own, in which nothing is remembered yet."""
    done = subprocess.run([sys.executable, "-c", _CODE, name], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
