"""The option `features` against the name that says the same, and lists that are no features."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import resolve, with_features
from support import signals
from support.mobilenetv3_words import DEFAULT


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    return torch.from_numpy(signals.clip(0.4, 48000))[None]


@pytest.mark.parametrize(
    "features",
    [
        ["all_se", "clf1"],
        ["clf1", "all_se"],
        ("logits",),
        ["all_b", "mel_avgs", "avg_time_pool"],
        ["b5", "11", "13"],
        ["b5_11_13"],
        ["e1", "l", "all_se"],
        ["ts320", "clf2"],
        ["all_b_mel_avgs"],
    ],
    ids="_".join,
)
def test_the_option_and_the_name_give_the_same(
    features: Sequence[str], mobilenetv3_folder: Path, audio: torch.Tensor
) -> None:
    name = "_".join(["mn01_as", *features])
    by_option = hear_edgel3.load("mn01_as", mobilenetv3_folder, features=features)
    by_name = hear_edgel3.load(name, mobilenetv3_folder)
    assert by_option.configuration == by_name.configuration
    assert by_option.configuration.name == name
    scene = by_option.scene_embeddings(audio)
    assert scene.shape == (1, by_option.scene_embedding_size) == (1, resolve(name).embedding_size)
    assert bool(torch.isfinite(scene).all())
    assert torch.equal(scene, by_name.scene_embeddings(audio))
    found, times = by_option.timestamp_embeddings(audio)
    assert found.shape == (1, 9, by_option.timestamp_embedding_size)
    assert torch.equal(times[0], torch.arange(9) * 50.0)
    assert torch.equal(found, by_name.timestamp_embeddings(audio)[0])


def test_without_features_the_default(mobilenetv3_folder: Path, audio: torch.Tensor) -> None:
    plain = hear_edgel3.load("mn01_as", mobilenetv3_folder)
    assert plain.configuration.features.names == DEFAULT
    named = hear_edgel3.mn01_all_b_mel_avgs.load_model(str(mobilenetv3_folder / "mn01_as.safetensors"))
    assert torch.equal(plain.scene_embeddings(audio), named.scene_embeddings(audio))
    assert torch.equal(hear_edgel3.mn01_as.get_scene_embeddings(audio, plain), plain.scene_embeddings(audio))


def test_a_module_takes_features_too(mobilenetv3_folder: Path) -> None:
    model = hear_edgel3.mn01_as.load_model(str(mobilenetv3_folder), features=["e1", "l"])
    assert model.configuration.features == resolve("mn01_e1_l").features
    assert model.scene_embedding_size == 96 + 527


BAD_FEATURES: list[tuple[str, Any, str]] = [
    ("mn01_as", [], "features is empty; leave it out for the default of mn01_as"),
    ("mn01_as", (), "features is empty"),
    ("mn01_as", "logits", "features must be a list of words, got 'logits'"),
    ("mn01_as", "", "features must be a list of words, got ''"),
    ("mn01_as", b"logits", "features must be a list of words"),
    ("mn01_as", [5, 11], r"features must be a list of words, got \[5, 11\]"),
    ("mn01_as", ["b5", 11], "features must be a list of words"),
    ("mn01_as", [None], "features must be a list of words"),
    ("mn01_as", [""], "features must be a list of words"),
    ("mn01_as", ["b5", ""], "features must be a list of words"),
    ("mn01_as", ["clf3"], r"features \['clf3'\] do not fit mn01_as: 'clf3' is no feature; the words are"),
    ("mn01_as", ["b16"], "do not fit mn01_as: b16 is no word of its own"),
    ("mn01_as", ["all_b mel_avgs"], "do not fit mn01_as: "),
    ("mn01_as", ["all_b,mel_avgs"], "do not fit mn01_as: "),
    ("mn01_as", ["logits_"], "do not fit mn01_as: '_' is no feature"),
    ("mn01_as", ["logits", "logits"], "logits is there twice"),
    ("mn01_as", ["logits", "e1"], "e1 and logits belong to two vocabularies"),
    ("mn01_as", ["clf1", "max_ch_pool"], "max_ch_pool pools blocks"),
    ("mn01_as", ["ts5"], "ts5 must be from ts20 to ts10000"),
    ("mn10_as", ["hop_15"], "do not fit mn10_as: 'hop' is no feature"),
    ("mn10_as", ["mels_40"], "do not fit mn10_as: '40' is no feature"),
    ("mn10_as", ["fc"], "do not fit mn10_as: 'fc' is no feature"),
    ("mn40_as", ["2"], "do not fit mn40_as: '2' is no feature"),
    ("mn10_as_fc", ["clf2"], "clf2 is the hidden layer of the mlp head"),
    ("mn04_im", ["logits"], "logits are the outputs of a classifier"),
    ("mn01_as_logits", ["clf1"], "mn01_as_logits names features already; give them in the name or in `features`"),
    ("mn01_e1_l", ["clf1"], "mn01_e1_l names features already"),
    ("mn01_as_ts320", ["clf1"], "mn01_as_ts320 names features already"),
    ("mn01_as_max_ch_pool", ["all_b"], "mn01_as_max_ch_pool names features already"),
    ("mn01_as_logits", [], "mn01_as_logits names features already"),
    ("sea_64", ["logits"], "do not fit sea_64: sea_64 has one kind of embedding"),
]


@pytest.mark.parametrize(("name", "features", "words"), BAD_FEATURES)
def test_features_that_cannot_be_used(name: str, features: Any, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        hear_edgel3.load(name, "nowhere.safetensors", features=features)  # before weights are looked for
    with pytest.raises(InvalidOption, match=words):
        importlib.import_module(f"hear_edgel3.{name}").load_model("nowhere.safetensors", features=features)


def test_features_twice_when_the_name_spells_the_default() -> None:
    for name in ("mn01_as_all_b_mel_avgs", "mn01_as_avg_ch_pool", "mn01_all_b_mel_avgs"):
        with pytest.raises(InvalidOption, match="names features already"):
            with_features(resolve(name), ["logits"])


@pytest.mark.parametrize("features", [5, 1.5, True])
def test_features_that_are_no_list(features: Any) -> None:
    with pytest.raises(InvalidOption, match="features must be a list of words"):
        with_features(resolve("mn01_as"), features)


def test_features_from_a_generator() -> None:
    assert with_features(resolve("mn01_as"), (word for word in ["logits"])).features.names == ("logits",)  # type: ignore[arg-type]
