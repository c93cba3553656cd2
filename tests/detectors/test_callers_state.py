"""What a caller has asked torch for does not matter to what is learnt, and to how it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from support.states import strange_state

WEIGHTS = "model.safetensors"


@pytest.mark.parametrize(
    "options", [{"head": "mlp", "epochs": 3}, {"fine_tune": True, "epochs": 2, "head_epochs": 1, "device": "cpu"}]
)
def test_the_same_detector_whatever_the_caller_has_asked_for(
    options: dict[str, Any], sounds: Path, cache: Path, tmp_path: Path
) -> None:
    usual = hear_edgel3.train(sounds, tmp_path / "usual", cache=cache, workers=1, **options)
    expected = hear_edgel3.evaluate(sounds, usual, cache=cache, workers=1).table()
    with strange_state():
        strange = hear_edgel3.train(sounds, tmp_path / "strange", cache=tmp_path / "cache", workers=1, **options)
        found = hear_edgel3.evaluate(sounds, strange, cache=tmp_path / "cache", workers=1).table()
    assert (strange / WEIGHTS).read_bytes() == (usual / WEIGHTS).read_bytes()
    assert found.replace(str(strange), str(usual)) == expected
