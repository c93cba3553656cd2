"""Options and teachers that cannot be, and what is missing."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import InvalidOption, MissingExtra, UnknownConfiguration, WeightsNotFound
from hear_edgel3.registry import folder as local
from support.distilling import INF, NAN, Distill

CANNOT_BE: list[tuple[dict[str, Any], str]] = [
    ({"name": "my_net"}, "name must be letters and digits and begin with a letter, got 'my_net'"),
    ({"name": "2nd"}, "name must be letters"),
    ({"name": ""}, "name must be letters"),
    ({"name": None}, "name must be letters"),
    ({"student": "resnet"}, "student must be one of l3, mobilenetv3, dymn, pruned; got 'resnet'"),
    ({"student": None}, "student must be one of"),
    ({"width_mult": 0.04}, "width_mult must be a number from 0.05 to 10, got 0.04"),
    ({"width_mult": 11}, "width_mult must be"),
    ({"width_mult": NAN}, "width_mult must be"),
    ({"width_mult": True}, "width_mult must be"),
    ({"width_mult": "wide"}, "width_mult must be"),
    ({"student": "l3", "sample_rate": 3999}, "sample_rate must be between 4000 and 48000"),
    ({"student": "l3", "sample_rate": 96000}, "sample_rate must be between 4000 and 48000"),
    ({"student": "l3", "sample_rate": "fast"}, "sample_rate must be"),
    ({"n_mels": 15}, "n_mels must be a whole number of at least 16, got 15"),
    ({"n_mels": 64.0}, "n_mels must be"),
    ({"embedding": "mine"}, "embedding must be one of teacher, own; got 'mine'"),
    ({"student": "l3", "embedding": "own"}, 'an l3 student has one embedding.*use embedding="teacher"'),
    ({"embedding_size": 0}, "embedding_size must be a whole number of at least 1, got 0"),
    ({"embedding_size": 8.5}, "embedding_size must be"),
    ({"lengths": ()}, "lengths must be ascending seconds, each from 0.1 to 10"),
    ({"lengths": (2.0, 1.0)}, r"lengths must be ascending.*got \(2.0, 1.0\)"),
    ({"lengths": (1.0, 1.0)}, "lengths must be ascending"),
    ({"lengths": (1.0, 1.0001)}, "lengths must be ascending"),
    ({"lengths": (1.0, 20.0)}, "lengths must be"),
    ({"lengths": (0.05, 1.0)}, "lengths must be"),
    ({"lengths": 1.0}, "lengths must be"),
    ({"lengths": ("1",)}, "lengths must be"),
    ({"clips_per_file": 0}, "clips_per_file must be a whole number of at least 1"),
    ({"views": 0}, "views must be"),
    ({"views": True}, "views must be"),
    ({"gain_db": -1.0}, "gain_db must be from 0 to 60, got -1.0"),
    ({"gain_db": INF}, "gain_db must be"),
    ({"mix": 1.1}, "mix must be from 0 to 1, got 1.1"),
    ({"masking": -0.1}, "masking must be from 0 to 1"),
    ({"validation": 0.0}, "validation must be more than 0"),
    ({"validation": 0.6}, "validation must be from 0 to 0.5"),
    ({"augmentation": "wild"}, "augmentation must be one of usual, broad; got 'wild'"),
    ({"hold_out_sources": -0.1}, "hold_out_sources must be different names of sources, or a fraction of them from 0"),
    ({"hold_out_sources": 0.6}, "hold_out_sources must be .* from 0 to 0.5; got 0.6"),
    ({"hold_out_sources": NAN}, "hold_out_sources must be"),
    ({"hold_out_sources": ()}, "hold_out_sources must be"),
    ({"hold_out_sources": ("a", "a")}, "hold_out_sources must be"),
    ({"hold_out_sources": ("",)}, "hold_out_sources must be"),
    ({"hold_out_sources": "a"}, "hold_out_sources must be"),
    ({"hold_out_sources": True}, "hold_out_sources must be"),
    ({"hold_out_sources": (1,)}, "hold_out_sources must be"),
    ({"epochs": 0}, "epochs must be a whole number of at least 1"),
    ({"epochs": 2.5}, "epochs must be"),
    ({"batch_seconds": 0}, "batch_seconds must be a positive number, got 0"),
    ({"lr": -1e-3}, "lr must be a positive number"),
    ({"lr": NAN}, "lr must be"),
    ({"weight_decay": -1.0}, "weight_decay must not be negative"),
    ({"warmup": 0.6}, "warmup must be from 0 to 0.5, got 0.6"),
    ({"fix_norm": -0.1}, "fix_norm must be from 0 to 1, got -0.1"),
    ({"fix_norm": 1.01}, "fix_norm must be from 0 to 1"),
    ({"fix_norm": NAN}, "fix_norm must be"),
    ({"fix_norm": "0.4"}, "fix_norm must be"),
    ({"logits_weight": -1}, "logits_weight must not be negative"),
    ({"patience": 0}, "patience must be a whole number of at least 1"),
    ({"seed": -1}, "seed must be a whole number of at least 0"),
    ({"seed": 1 << 63}, "seed must be at most 9223372036854775807"),
    ({"precision": "fp8"}, "precision must be one of no, bf16, fp16; got 'fp8'"),
    ({"half": 1}, "half must be True or False, got 1"),
    ({"quantize": "int4"}, "quantize must be one of none, int8; got 'int4'"),
    ({"quantize": "int8", "half": True}, "half and quantize='int8' say two ways to store the weights; keep one"),
]


@pytest.mark.parametrize(("options", "message"), CANNOT_BE)
def test_options_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Said before anything is read or written, and by the option's name."""
    with pytest.raises(InvalidOption, match=message):
        Recipe(**options)
    with pytest.raises(InvalidOption, match=message):
        hear_edgel3.distill("no_such_teacher", tmp_path / "nothing", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_every_option_is_checked() -> None:
    """So that a new one has a row above."""
    checked = {key for given, message in CANNOT_BE for key in given if re.match(rf"{key} must", message)}
    assert checked == {field.name for field in dataclasses.fields(Recipe)}


def test_other_arguments_that_cannot_be(distill: Distill, tmp_path: Path) -> None:
    for options, message in {
        "width": (
            {"width": 0.5},
            "width is no option of a distillation; there are augmentation, batch_seconds, clips",
        ),
        "licence": ({"licence": ""}, "licence must be a text, got ''"),
        "version": ({"embedding_version": 0}, "embedding_version must be a whole number from 1, got 0"),
        "device": ({"device": "tpu"}, "device must be \"cpu\", or None for the GPU where there is one; got 'tpu'"),
    }.values():
        with pytest.raises(InvalidOption, match=message):
            distill(tmp_path / "out", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_largest_seed(distill: Distill, tmp_path: Path) -> None:
    options = {"student": "l3", "views": 1, "epochs": 1, "seed": (1 << 63) - 1}
    assert local.read_folder(distill(tmp_path / "out", "sea_64", **options)).made["recipe"]["seed"] == (1 << 63) - 1


def test_teachers_that_cannot_teach(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    with pytest.raises(UnknownConfiguration, match="there is no configuration 'sea_65'; did you mean sea_64"):
        distill(output, "sea_65")
    with pytest.raises(UnknownConfiguration, match="there is no such folder"):
        distill(output, str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsNotFound, match=r"empty has no mn01_as\.safetensors, which mn01_as needs"):
        distill(output, teacher_weights=tmp_path / "empty")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFound, match=r"no weights for mn01_as on this machine.*ways to get its weights"):
        distill(output, teacher_weights=None)
    with pytest.raises(InvalidOption, match="embedding_size=65 is more than the 64 values of sea_64; use at most that"):
        distill(output, "sea_64", student="l3", embedding_size=65)
    with pytest.raises(InvalidOption, match="embedding_size=185 is more than the 184 values of mn01_as"):
        distill(output, embedding_size=185)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_without_the_extras(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tensorboard and matplotlib there are no curves; without accelerate there is a word on how to get it."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    options = {"student": "l3", "views": 1, "epochs": 1}
    folder = distill(tmp_path / "out", "sea_64", curves=True, **options)
    assert {path.name for path in folder.iterdir()} & {"tensorboard", "curves.png"} == set()
    assert "curves.png" not in (folder / "README.md").read_text()
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"distilling needs the package 'accelerate'.*\"\.\[distill\]\""):
        distill(tmp_path / "none", "sea_64", **options)
    assert not (tmp_path / "none").exists()
