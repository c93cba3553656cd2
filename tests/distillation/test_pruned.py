"""Students that are pruned from their teacher, from the command to the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.cli.distill import _sources
from hear_edgel3.distillation import training
from hear_edgel3.distillation.recipe import PrunedRecipe, Recipe
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.registry import folder as local
from support.distilling import N_FILES, PER_FILE, Distill, interrupting, leftovers, table, without_times
from support.types import Captured

PRUNED: dict[str, Any] = {
    "student": "pruned",
    "parameters": 100_000,
    "lengths": (1.0, 2.0),
    "epoch_hours": 32 / 3600,
    "batch_seconds": 8.0,
    "fit_clips": 32,
    "clips_per_file": PER_FILE,
    "epochs": 2,
}


@pytest.fixture
def prune(audio: Path, cache: Path, mobilenetv3_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Distill:
    """`prune(output, **options)`: of mn01_as."""
    from hear_edgel3.distillation import run

    monkeypatch.setattr(run, "draw_curves", lambda metrics: None)

    def distilled(output: Path, teacher: str = "mn01_as", **options: Any) -> Path:
        given = {"teacher_weights": mobilenetv3_folder, "cache": cache, "device": "cpu", "audio": audio}
        return hear_edgel3.distill(teacher, output=output, **{**given, **PRUNED, **options})

    return distilled


def test_from_teacher_to_folder(prune: Distill, tmp_path: Path, mobilenetv3_folder: Path) -> None:
    """It has the teacher's embedding in its layout, fewer parameters, tags, and a description that says all of it."""
    output = prune(tmp_path / "out", name="small", embedding_version=2)
    row = local.read_folder(output)
    net = hear_edgel3.load(output)
    teacher = hear_edgel3.load("mn01_as", mobilenetv3_folder)
    assert row.n_parameters <= 100_000 < teacher.configuration.checkpoint.n_parameters
    assert row.n_parameters == sum(p.numel() for p in hear_edgel3.load(output, features=["logits"]).net.parameters())
    assert net.scene_embedding_size == teacher.scene_embedding_size
    assert net.configuration.features.names == teacher.configuration.features.names
    card = (output / "README.md").read_text()
    assert "> Copyright (c) 2022 Florian Schmid\n" in card  # MIT: its text goes with any part of the weights
    assert "> The above copyright notice and this permission notice shall be included in all copies" in card
    assert "not trained on AudioSet" not in card  # its teacher was
    description = json.loads((output / "configuration.json").read_text())
    assert description["embedding_version"] == row.embedding_version == 2
    assert set(description["architecture"]) >= {"expanded", "squeeze", "last", "hidden", "width_mult"}
    assert all(size % 8 == 0 for size in description["architecture"]["expanded"])
    assert "width_mult" not in description["made"]["recipe"]
    assert "(c) 2022 Florian Schmid, licence MIT" in (output / "README.md").read_text()
    sound = torch.from_numpy(np.random.RandomState(0).randn(1, 48000).astype(np.float32) * 0.1)
    mine, theirs = net.scene_embeddings(sound), teacher.scene_embeddings(sound)
    assert torch.equal(mine[:, :128], theirs[:, :128])  # mel_avgs
    assert torch.cosine_similarity(mine[:, 128:], theirs[:, 128:]).item() > 0.9
    assert leftovers(output) == []


def test_it_comes_nearer_to_its_teacher(prune: Distill, tmp_path: Path) -> None:
    rows = table(prune(tmp_path / "out", epochs=6, parameters=45_000))
    # The teacher's random classifier is sure of everything, so that most of the loss is on its classes.
    assert rows[-1]["validation_loss"] < 0.8 * rows[0]["validation_loss"]
    assert rows[-1]["r2"] > 0.8


def test_what_was_interrupted_goes_on_to_the_same(
    prune: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prune(tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(training, "_epoch", interrupting(training._epoch, 1))
        with pytest.raises(KeyboardInterrupt):
            prune(tmp_path / "parts")
    assert len(table(tmp_path / "parts")) == 1
    assert without_times(prune(tmp_path / "parts")) == without_times(whole)


def test_eight_bits(prune: Distill, tmp_path: Path) -> None:
    """What was measured is what is stored, and it is near the floats."""
    floats = hear_edgel3.load(prune(tmp_path / "floats"))
    folder = prune(tmp_path / "eight", quantize="int8")
    eight = hear_edgel3.load(folder)
    assert (folder / "model.safetensors").stat().st_size < 0.5 * (tmp_path / "floats/model.safetensors").stat().st_size
    sound = torch.from_numpy(np.random.RandomState(0).randn(4, 48000).astype(np.float32) * 0.1)
    a, b = floats.scene_embeddings(sound), eight.scene_embeddings(sound)
    assert not torch.equal(a, b)
    assert torch.cosine_similarity(a, b).min().item() > 0.999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": None}, "the student 'pruned' needs parameters or macs, which say how small it shall be"),
        ({"parameters": 0}, "parameters must be a whole number of at least 1, got 0"),
        ({"macs": 1.5}, "macs must be a whole number of at least 1, got 1.5"),
        ({"epoch_hours": 0}, "epoch_hours must be more than 0 and at most 1000, got 0"),
        ({"fit_clips": 3}, "fit_clips must be a whole number of at least 16, got 3"),
        ({"width_mult": 0.2}, "width_mult does nothing with the student 'pruned'; leave it out"),
        ({"views": 4}, "views does nothing with the student 'pruned'; leave it out"),  # the default of other students
        ({"masking": 0.1}, "masking does nothing with the student 'pruned'; leave it out"),
        ({"parameters": 1000}, r"cannot be pruned to 1,000 parameters: at [\d,]+ parameters"),
        ({"parameters": 123_783}, r"the net has 123,783 parameters and [\d,]+ MACs per 10 s, which is no more than"),
        ({"macs": 1_000_000}, r"cannot be pruned to 100,000 parameters, 1,000,000 MACs per 10 s: at [\d,]+ parameters"),
        ({"teacher": "sea_64"}, "sea_64 cannot be pruned; teachers that can are nets with tags of the families mobile"),
        (
            {"teacher": "mn01_as_clf1"},
            "mn01_as_clf1 cannot be pruned: its embedding has clf1, of layers that are pruned",
        ),
        ({"teacher": "mn01_as_b5_se11_clf2"}, "its embedding has clf2, se11, of layers that are pruned"),
    ],
)
def test_what_cannot_be(
    prune: Distill, tmp_path: Path, weights_folder: Path, options: dict[str, Any], message: str
) -> None:
    weights = {"teacher_weights": weights_folder} if options.get("teacher") == "sea_64" else {}
    with pytest.raises(InvalidOption, match=message):
        prune(tmp_path / "out", **{**options, **weights})


def test_options_of_another_student() -> None:
    with pytest.raises(InvalidOption, match="macs is no option of a distillation; it is for the student 'pruned'"):
        hear_edgel3.distill("mn01_as", "audio", "out", macs=5)
    with pytest.raises(InvalidOption, match="has options of its own: use PrunedRecipe"):
        Recipe(student="pruned")
    with pytest.raises(InvalidOption, match="student must be one of pruned; got 'l3'"):
        PrunedRecipe(student="l3", parameters=5)


def test_the_command(audio: Path, cache: Path, mobilenetv3_folder: Path, tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "out"
    options = ["--student", "pruned", "--parameters", "100000", "--lengths", "1", "--epoch-hours", "0.005"]
    options += ["--epochs", "1", "--fit-clips", "16", "--batch-seconds", "8", "--clips-per-file", "8", "-q"]
    given = ["distill", "--teacher", "mn01_as", "--teacher-weights", str(mobilenetv3_folder), "--audio", str(audio)]
    assert main([*given, "--output", str(output), "--cache", str(cache), *options]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert local.read_folder(output).made["recipe"]["parameters"] == 100_000
    assert main([*given, "--output", str(output), "--student", "pruned", "-q"]) == 2
    assert "needs parameters or macs" in capsys.readouterr().err
    assert local.read_folder(output).made["files"] == N_FILES


def test_a_part_of_a_part_is_still_a_part_of_the_first(prune: Distill, tmp_path: Path) -> None:
    """Whose weights they are is said however often they were pruned."""
    first = prune(tmp_path / "first")
    second = prune(tmp_path / "second", str(first), teacher_weights=None, parameters=90_000)
    for folder in (first, second):
        assert local.read_folder(folder).made["weights_of"] == "mn01_as"
        card = (folder / "README.md").read_text()
        assert "a part of those of mn01_as, (c) 2022 Florian Schmid, licence MIT" in card
        assert "MIT License" in card
    assert local.read_folder(second).n_parameters <= 90_000


def test_a_student_that_approximates_is_no_teacher_to_prune(distill: Distill, prune: Distill, tmp_path: Path) -> None:
    student = distill(tmp_path / "student", epochs=1, views=1)
    with pytest.raises(InvalidOption, match="its embedding is an approximation of another net's"):
        prune(tmp_path / "out", str(student), teacher_weights=None, parameters=20_000)


def test_nets_are_not_lost(prune: Distill, tmp_path: Path) -> None:
    """Neither the teacher, nor another net, is overwritten; the same distillation may be begun anew."""
    first = prune(tmp_path / "first", epochs=1)
    before = (first / "model.safetensors").read_bytes()
    (first / "training.pt").unlink()
    with pytest.raises(OutputError, match="first holds the net custom, which belongs to another distillation"):
        prune(first, str(first), teacher_weights=None, parameters=90_000)
    with pytest.raises(OutputError, match="belongs to another distillation"):
        prune(first, epochs=2)
    assert (first / "model.safetensors").read_bytes() == before
    assert (prune(first, epochs=1) / "model.safetensors").read_bytes() == before


def test_a_damaged_net_in_the_cache_is_made_again(prune: Distill, tmp_path: Path, capsys: Captured) -> None:
    cache = tmp_path / "cache"
    first = (prune(tmp_path / "first", epochs=1, cache=cache) / "model.safetensors").read_bytes()
    [kept] = cache.rglob("pruned-*.safetensors")
    for content in (b"", kept.read_bytes()[:1000]):
        kept.write_bytes(content)
        again = prune(tmp_path / f"again{len(content)}", epochs=1, cache=cache)
        assert (again / "model.safetensors").read_bytes() == first
        assert f"damaged, made again: {kept}" in capsys.readouterr().err


def test_a_shared_cache_changes_nothing(prune: Distill, tmp_path: Path) -> None:
    prune(tmp_path / "other", epochs=1, batch_seconds=16.0, cache=tmp_path / "shared")
    found = [
        (prune(tmp_path / name, epochs=1, cache=tmp_path / cache) / "model.safetensors").read_bytes()
        for name, cache in (("a", "shared"), ("b", "fresh"))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("0.2", 0.2), ("1", ("1",)), ("10", ("10",)), ("a,b", ("a", "b")), ("1,2", ("1", "2"))],
)
def test_names_of_sources_on_the_command_line(text: str, value: object) -> None:
    """Folders of folds are called by numbers."""
    assert _sources(text) == value
