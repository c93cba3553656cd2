"""Folders as configurations: what they say, how they are written, which name wins, and HEAR's module for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
import hear_edgel3.custom
from hear_edgel3.errors import ConfigurationError, InvalidOption, UnknownConfiguration
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families import table
from hear_edgel3.families.schema import Local
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import BUILT_IN, by_name, resolve
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.folders import MOBILENETV3, change, make_folder

# --- a sound one ---


def test_what_a_folder_says(small: Path, small_l3: Path) -> None:
    row = local.read_folder(small)
    assert isinstance(row, Local)
    assert (row.name, row.family, row.summary, row.licence, row.citation) == (
        *("small", "mobilenetv3", "a small net", "CC0", "nobody"),
    )
    assert (row.folder, row.weights_path) == (small, small / "net.safetensors")
    assert (row.embedding_version, row.reported, row.made) == (1, {}, {})  # what need not be said
    for folder, size in ((small, 6), (small_l3, 5)):
        configuration = resolve(folder)
        assert configuration.embedding_size == size
        extractor = hear_edgel3.load(folder)
        trained = sum(parameter.numel() for parameter in extractor.net.parameters())
        if folder == small:
            assert configuration.checkpoint.n_parameters == trained
        with torch.no_grad():
            assert extractor(torch.zeros(2, extractor.window)).shape == (2, size)


@pytest.mark.parametrize(
    "options",
    [{"reduced_tail": True}, {"dilated": True}, {"reduced_tail": True, "dilated": True, "strides": [2, 2, 2, 1]}],
)
def test_other_tails_of_mobilenetv3(options: dict[str, Any], tmp_path: Path) -> None:
    """The sizes that are told, and what a net with other classes is made of, are those of the net that is built."""
    words = "all_b_clf1_clf2_logits_mel_avgs"
    folder = make_folder(tmp_path / "net", architecture={**MOBILENETV3, **options}, default_features=words)
    extractor = hear_edgel3.load(folder)
    row = local.read_folder(folder)
    assert row.n_parameters == sum(parameter.numel() for parameter in extractor.net.parameters())
    with torch.no_grad():
        found = extractor(torch.zeros(1, extractor.window))
    assert found.shape == (1, extractor.embedding_size)
    assert extractor.embedding_size == extractor.net.embedding_size
    assert options.items() <= table.FAMILIES["mobilenetv3"].shape(row).items()


@pytest.mark.parametrize("option", ["reduced_tail", "dilated"])
def test_a_tail_is_another_one_or_not(option: str, small: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(small, tmp_path / "net")
    change(copied, architecture={option: "no"})
    with pytest.raises(ConfigurationError, match=f"{option} of the architecture cannot be 'no'"):
        hear_edgel3.load(copied)


@pytest.mark.parametrize("written", ["{folder}", "{folder}/", "./{name}", "{name}", "../{parent}/{name}"])
def test_ways_to_write_a_folder(written: str, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parent)
    text = written.format(folder=small, name=small.name, parent=small.parent.name)
    for name in (text, Path(text)):
        extractor = hear_edgel3.load(name)
        assert extractor.configuration.name == "small"
        assert extractor.weights is not None
        assert os.path.samefile(extractor.weights.path, small / "net.safetensors")


def test_it_can_be_moved(small: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(small, tmp_path / "a b" / "c.d")
    x = signals.clip(0.5, 48000)[None]
    found = hear_edgel3.load(moved).scene_embeddings(x)
    assert torch.equal(found, hear_edgel3.load(small).scene_embeddings(x))


# --- names ---


def test_names_win_over_folders(
    small: Path, mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the working folder never takes the place of a configuration; with a separator it is meant."""
    monkeypatch.chdir(tmp_path)
    for name in (BUILT_IN, "mn01_as", "mn01_as_clf1"):
        shutil.copytree(small, tmp_path / name)
        assert resolve(name).checkpoint.name == by_name(name).checkpoint.name != "small"
        assert resolve(f"./{name}").name == "small"
        assert resolve(Path(name)).name == "small"
        assert resolve(str(tmp_path / name)).name == "small"
    assert hear_edgel3.load(BUILT_IN).configuration.name == BUILT_IN
    assert hear_edgel3.load("mn01_as", mobilenetv3_folder).scene_embedding_size == 184
    assert Tagger(["./tiny", "tiny"]).configurations == ("small", "tiny")
    shutil.copytree(small, tmp_path / "free")
    assert resolve("free").name == "small"  # nobody else has that name


def test_the_folders_name_is_not_the_configurations(small: Path, tmp_path: Path) -> None:
    """A folder may call itself as it likes: it takes no other's place in the table, nor its weights."""
    folder = make_folder(tmp_path / "imposter", name="tiny")
    assert hear_edgel3.load(folder).scene_embedding_size == 6
    assert Tagger(folder).extractors[0].weights != Tagger("tiny").extractors[0].weights
    assert hear_edgel3.load("tiny").configuration.checkpoint.n_parameters > 100_000
    with pytest.raises(UnknownConfiguration):
        by_name("small")


# --- the HEAR module ---


@pytest.mark.parametrize("family", ["mobilenetv3", "l3"])
def test_the_hear_module(family: str, small: Path, small_l3: Path) -> None:
    folder = small if family == "mobilenetv3" else small_l3
    model = hear_edgel3.custom.load_model(str(folder))
    assert isinstance(model, Extractor)
    assert model.sample_rate in (16000, 22050, 44100, 48000)
    x = torch.from_numpy(signals.clip(1.07, model.sample_rate, 2).T.copy()).float()
    embeddings, times = hear_edgel3.custom.get_timestamp_embeddings(x, model)
    scenes = hear_edgel3.custom.get_scene_embeddings(x, model)
    assert embeddings.shape == (2, 22, model.timestamp_embedding_size)
    assert embeddings.dtype == times.dtype == scenes.dtype == torch.float32
    torch.testing.assert_close(times, torch.arange(0.0, 1070.0, 50.0).expand(2, -1))
    assert scenes.shape == (2, model.scene_embedding_size)
    direct = hear_edgel3.load(folder)
    assert torch.equal(scenes, direct.scene_embeddings(x))
    assert torch.equal(embeddings, direct.timestamp_embeddings(x)[0])
    half = hear_edgel3.custom.load_model(folder, sample_rate=16000, hop_ms=500.0, engine="eager")
    assert (half.sample_rate, half.hop_ms, half.engine) == (16000, 500.0, "eager")
    assert set(hear_edgel3.custom.__all__) == {"load_model", "get_timestamp_embeddings", "get_scene_embeddings"}


def test_the_hear_module_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator gives an empty path where none is given; a name is no folder."""
    options: tuple[str, ...]
    for options in ((), ("",)):
        with pytest.raises(ConfigurationError, match=r"has no net of its own; give the folder.*--model path/to/folder"):
            hear_edgel3.custom.load_model(*options)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"tiny/configuration\.json cannot be read: No such file or directory"):
        hear_edgel3.custom.load_model("tiny")
    with pytest.raises(InvalidOption, match="small"):
        hear_edgel3.custom.load_model(make_folder(tmp_path / "small"), features=["nothing"])


def test_a_folder_called_as_a_name_is_the_folder(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This module takes folders only, so that nothing is in the way."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small, tmp_path / "tiny")
    assert hear_edgel3.custom.load_model("tiny").configuration.name == "small"
    assert hear_edgel3.custom.load_model(Path("tiny")).configuration.name == "small"
