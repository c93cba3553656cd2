"""Detectors whose net is trained, too: the folder, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.detectors import clips
from hear_edgel3.detectors.options import RECIPES, TrainOptions
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.training import RECIPES as ROWS


def test_the_recipes_are_those_that_there_are() -> None:
    assert set(RECIPES) == set(ROWS)
    row, mine = ROWS["deepspectrumlite"], TrainOptions(recipe="deepspectrumlite")
    assert (mine.hidden_units, mine.hidden_activation, mine.hidden_dropout) == (row.units, row.activation, row.dropout)
    assert TrainOptions(recipe="esc50").head_kind == "own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"recipe": "esc50", "lr": 0.1}, "lr is what the recipe esc50 decides"),
        ({"recipe": "esc51"}, "recipe must be one of"),
        ({"teacher": "folder"}, "teacher is for recipes"),
        ({"fine_tune": True, "share": 0}, "share must be above 0"),
        ({"fine_tune": True, "class_weights": "some"}, "class_weights must be one of"),
    ],
)
def test_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        TrainOptions(**options)


@pytest.mark.parametrize("options", [{"fine_tune": True}, {"recipe": "esc50"}], ids=["fine-tune", "recipe"])
def test_the_scores_are_those_of_the_folder(options: dict[str, Any], sounds: Path, cache: Path, tmp_path: Path) -> None:
    folder = hear_edgel3.train(sounds, tmp_path / "d", cache=cache, epochs=1, device="cpu", **options)
    values = json.loads((folder / "configuration.json").read_text())
    assert values["made"]["net"] == "trained"
    assert (values["head"] is None) == ("recipe" in options)
    found = hear_edgel3.evaluate(sounds, folder, cache=cache)
    wanted = json.loads((folder / "scores.json").read_text())["test"]["overall"]["mAP"]["value"]
    assert found.scores.overall["mAP"] == pytest.approx(wanted, abs=1e-6)
    assert values["made"]["learning"]["fitted_by"] == "fine-tuning"


def test_no_room_for_decoded_sounds(sounds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the folder that is written, wherever embeddings are kept."""
    monkeypatch.setattr(clips.shutil, "disk_usage", lambda _: SimpleNamespace(free=30_000))
    said = rf"MB in {tmp_path / 'd'}.*, and 0\.0 MB are free; make room there, or choose another folder: --output of"
    with pytest.raises(OutputError, match=said):
        hear_edgel3.train(sounds, tmp_path / "d", cache=cache, fine_tune=True, epochs=1, head_epochs=1, quiet=True)
