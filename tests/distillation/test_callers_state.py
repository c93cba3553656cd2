"""What a caller has asked torch for does not matter to what is learnt."""

from __future__ import annotations

from pathlib import Path

from support.distilling import L3, Distill
from support.states import strange_state


def test_the_same_student_whatever_the_caller_has_asked_for(
    distill: Distill, straight_l3: Path, tmp_path: Path
) -> None:
    with strange_state():
        output = distill(tmp_path / "out", **{**L3, "cache": tmp_path / "cache"})
    name = "model.safetensors"
    assert (output / name).read_bytes() == (straight_l3 / name).read_bytes()
