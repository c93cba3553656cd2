"""The benchmark that tells where the time of a net goes, block by block."""

from __future__ import annotations

import re

import pytest

from support.types import Captured
from tests.benchmarks import blocks

pytest.importorskip("numba")


@pytest.mark.parametrize("path", blocks.PATHS)
def test_every_step_has_a_line(path: str, capsys: Captured) -> None:
    blocks.measure("tiny", path, repeats=2, peak=1e9)
    lines = capsys.readouterr().out.splitlines()
    numbers = [int(line.split(":")[0].split()[1]) for line in lines if line.startswith("block ")]
    assert numbers == list(range(1, 16))
    front_end, net = (next(line for line in lines if line.startswith(name)) for name in ("front end", "the net"))
    assert float(front_end.split()[-1]) > 0
    times = [float(re.findall(r"[\d.]+", line[58:])[0]) for line in lines if line.startswith(("block ", "pooling"))]
    assert sum(times) <= float(net.split()[2]) + 16  # each is rounded
