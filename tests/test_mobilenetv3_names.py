"""MobileNetV3 names: every configuration of the authors', both vocabularies, and everything that is no name."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.errors import InvalidOption, UnknownConfiguration
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.schema import Checkpoint, Configuration
from hear_edgel3.registry import names as registry
from hear_edgel3.registry.names import find, list_configurations, resolve, with_features
from hear_edgel3.weights.file import encode
from support import make_configs, signals

UPSTREAM = json.loads(make_configs.TARGET.read_text())
NEWER: list[dict[str, Any]] = UPSTREAM["HEAR_002"]
OLDER: list[dict[str, Any]] = UPSTREAM["HEAR_001"]
CURRENT = [c for c in NEWER if not c["module"].startswith("old_configs.")]
BROKEN = [c for c in NEWER if c["module"].startswith("old_configs.")]

# The orders in which features come, and what the words for several of them mean; from the original programs.
SE = (4, 5, 6, 11, 12, 13, 14, 15)
NEW_ORDER = ["mel_avgs", "clf1", "clf2", "logits", *(f"se{n}" for n in SE), *(f"b{n}" for n in range(16))]
NEW_SETS = {
    "all_b": ["b5", "b11", "b13", "b15"],
    "all_se": ["se5", "se11", "se13", "se15"],
    "allmode": ["mel_avgs", "logits"],
}
NEW_WORDS = [*NEW_ORDER, *NEW_SETS]
OLD_SETS = {  # in this order
    "l": ["logits"],
    "e1": ["clf1"],
    "mels": ["mel_avgs"],
    "clf": ["clf2"],
    "block": ["b0", "b5", "b10", "b16"],
    "se": ["se12", "se13", "se14", "se15"],
    "all_se": [f"se{n}" for n in SE],
}
POOLINGS = ["avg_ch", "max_ch", "add_avg_max_ch", "cat_avg_max_ch", "avg_time", "avg_max_time"]
DEFAULT = ("mel_avgs", "b5", "b11", "b13", "b15")

# Where the authors' configurations are not what they say; ours are.
DECLARED_WRONG = {"mn40_clf2": (2016, 5120), "mn40_e1_l": (1487, 4367)}
OTHER_CHECKPOINT = {"mn10_mels_256_e1_l": ("mn10_as", "mn10_as_mels_256")}
OTHER_WINDOW = {"mn10_all_b_mel_avgs_ts320": (40960, 10240)}


def expected_features(words: Sequence[str]) -> tuple[str, ...]:
    """The features of words of one vocabulary, in its order."""
    if any(word in OLD_SETS and word not in NEW_SETS for word in words):
        return tuple(name for word, names in OLD_SETS.items() if word in words for name in names)
    wanted = {name for word in words for name in NEW_SETS.get(word, [word])}
    return tuple(name for name in NEW_ORDER if name in wanted)


def older_features(config: dict[str, Any]) -> tuple[str, ...]:
    """The features of a configuration of release 0.0.1, from its flags."""
    words = {"all": ["l", "e1"], "embed_only": ["e1"], "logits": ["l"], "none": []}[config["mode"]]
    flags = {"averaged_mels": "mels", "classifier_features": "clf", "block_features": "block"}
    add = config.get("add", [])
    words = words + [word for flag, word in flags.items() if flag in add]
    if "se_features" in add:
        words.append("all_se" if config.get("se_layers") == list(SE) else "se")
    return expected_features(words)


@functools.cache
def meta_net(name: str) -> Any:
    """The net of a checkpoint without memory for its parameters; tests choose its outputs as they need them."""
    with torch.device("meta"):
        return resolve(name).net.build().eval()


@functools.cache
def small_net(name: str) -> Any:
    """The same with parameters."""
    return resolve(name).net.build().eval()


@torch.no_grad()
def real_size(net: Any, n_mels: int, n_frames: int = 16) -> int:
    """Values that come out of a net."""
    device = next(net.parameters()).device
    shape = net(torch.zeros(2, n_mels, n_frames, device=device)).shape
    assert len(shape) == 2
    assert shape[0] == 2
    return int(shape[1])


def assert_is(
    configuration: Configuration, checkpoint: str, features: Sequence[str], pooling: str = "avg_ch", window: int = 5120
) -> None:
    """That a name means this, and has the size it says. The checkpoint's net puts these features out afterwards."""
    assert configuration.checkpoint.name == checkpoint
    assert configuration.features.names == tuple(features)
    arguments = configuration.net.arguments
    assert arguments["outputs"] == tuple(features)
    assert arguments["pooling"] == pooling
    assert configuration.window == window
    net = meta_net(checkpoint)
    net.select(features, pooling)
    assert configuration.embedding_size == configuration.features.size == net.embedding_size


# --- the authors' configurations ---


def test_the_data_is_what_the_generator_makes(shared: Path) -> None:
    assert make_configs.configs(shared / "reference" / "mobilenetv3") == make_configs.TARGET.read_text()


def test_the_data_is_complete_and_small() -> None:
    assert (len(CURRENT), len(BROKEN), len(OLDER)) == (76, 14, 14)
    assert len({c["module"] for c in CURRENT + OLDER}) == 90
    assert {c["module"] for c in BROKEN} == {f"old_configs.{c['module']}" for c in OLDER}
    assert make_configs.TARGET.stat().st_size < 40_000


def test_what_is_wrong_upstream_is_what_we_list() -> None:
    """Declared sizes, window and mel bands in the name: all others are as they say."""
    working = CURRENT + OLDER
    declared = {c["module"]: (c["declared"], c["measured"]) for c in working if c["declared"] != c["measured"]}
    assert declared == DECLARED_WRONG
    assert {c["module"] for c in working if not c["ok"]} == set(DECLARED_WRONG)
    windows = {}
    for c in working:
        named = re.search(r"_ts(\d+)$", c["module"])
        window = 32 * int(named[1]) if named else 5120
        if c["window"] != window:
            windows[c["module"]] = (c["window"], window)
    assert windows == OTHER_WINDOW
    bands = {}
    for c in working:
        named = re.search(r"_mels_(\d+)$", c["checkpoint"])
        if c["n_mels"] != (int(named[1]) if named else 128):
            bands[c["module"]] = (c["checkpoint"], f"{c['checkpoint']}_mels_{c['n_mels']}")
    assert bands == OTHER_CHECKPOINT
    # the newest release loads none of the 14 older ones
    assert not any(c["ok"] for c in BROKEN)
    for c in BROKEN:
        assert "unexpected keyword argument" in c["error"] if "error" in c else c["measured"] == 0


def our_name(config: dict[str, Any]) -> str:
    """The name that our grammar gives to a configuration of the authors': the checkpoint, then the words."""
    checkpoint = OTHER_CHECKPOINT.get(config["module"], ("", config["checkpoint"]))[1]
    words = config["module"].partition("_")[2]  # without the width
    for part in (r"^ext_", r"^mels_\d+_", r"_(hop|mels)\d+$", r"_fc$"):
        words = re.sub(part, "", words)
    return f"{checkpoint}_{words}"


def test_our_names_of_the_authors_configurations() -> None:
    names = {c["module"]: our_name(c) for c in CURRENT + OLDER}
    assert len(set(names.values())) == 90
    assert names["mn10_all_b_mel_avgs_hop15"] == "mn10_as_hop_15_all_b_mel_avgs"
    assert names["mn10_all_b_mel_avgs_fc"] == "mn10_as_fc_all_b_mel_avgs"
    assert names["mn10_all_b_mel_avgs_mels40"] == "mn10_as_mels_40_all_b_mel_avgs"
    assert names["mn10_mels_256_e1_l"] == "mn10_as_mels_256_e1_l"
    assert names["mn40_ext_e1_l_all_se"] == "mn40_as_ext_e1_l_all_se"
    assert names["mn10_b5_11_13"] == "mn10_as_b5_11_13"
    assert names["mn01_all_b_avg_max_time_pool"] == "mn01_as_all_b_avg_max_time_pool"


@pytest.mark.parametrize("config", CURRENT + OLDER, ids=lambda c: c["module"])
def test_a_configuration_of_the_authors(config: dict[str, Any]) -> None:
    module = config["module"]
    checkpoint = OTHER_CHECKPOINT.get(module, ("", config["checkpoint"]))[1]
    window = OTHER_WINDOW.get(module, (0, config["window"]))[1]
    if isinstance(config["mode"], list):
        features = tuple(name for name in NEW_ORDER if name in config["mode"])
        assert len(features) == len(config["mode"])
    else:
        features = older_features(config)
    pooling = config.get("pooling", "avg_ch_pool").removesuffix("_pool")
    names = {module, our_name(config)}
    assert len(names) == 2
    for name in names:
        configuration = resolve(name)
        assert configuration.name == name
        assert_is(configuration, checkpoint, features, pooling, window)
        assert configuration.embedding_size == config["measured"]
        frontend = configuration.checkpoint.frontend.arguments
        assert (frontend["hop_length"], frontend["n_mels"]) == (config["hop"], config["n_mels"])
        assert configuration.net.arguments["n_mels"] == config["n_mels"]
    assert real_size(meta_net(checkpoint), config["n_mels"], 1 + (window - 1) // config["hop"]) == config["measured"]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mn04_e1_l", 911),
        ("mn05_all_b_avg_max_time_pool", 1472),
        ("mn10_all_b_mel_avgs_mels256", 728),
        ("mn10_all_b_mel_avgs_cat_avg_max_ch_pool", 1072),
        ("mn10_all_b_mel_avgs_ts320", 600),
    ],
)
def test_real_audio_gives_the_size(name: str, size: int) -> None:
    configuration = resolve(name)
    row = configuration.checkpoint
    extractor = Extractor(configuration, row.frontend.build(), configuration.net.build(), row.net_sample_rate).eval()
    audio = torch.from_numpy(signals.clip(0.3, row.net_sample_rate))[None]
    assert extractor.scene_embeddings(audio).shape == (1, size)
    assert extractor.timestamp_embeddings(audio)[0].shape == (1, 7, size)


# --- checkpoints ---


def test_every_checkpoint_of_the_authors_has_a_row() -> None:
    files = UPSTREAM["files"]
    assert len(files) == 35
    found = {name: resolve(name).checkpoint for name in files}
    assert {name: row.upstream.url for name, row in found.items()} == {
        name: f"{UPSTREAM['base_url']}/{file}" for name, file in files.items()
    }
    rows = [row for row in registry.checkpoints() if row.family == "mobilenetv3"]
    assert {row.name for row in found.values()} == {row.name for row in rows}
    assert len(rows) == 35


def test_every_published_url_has_a_row(shared: Path) -> None:
    urls = json.loads((shared / "reference" / "mobilenetv3" / "pretrained_urls.json").read_text())["mn"]
    assert {name: resolve(name).checkpoint.upstream.url for name in urls} == urls


@pytest.mark.parametrize("upstream", sorted(UPSTREAM["files"]))
def test_a_checkpoint(upstream: str) -> None:
    """What the settings are follows from the authors' name, and from nothing else that they publish."""
    row = resolve(upstream).checkpoint
    assert re.fullmatch(r"[a-z0-9_]+", row.name)
    assert row.name == upstream.replace("(", "_").replace(")", "")
    settings = {"hop": 10, "mels": 128} | {k: int(v) for k, v in re.findall(r"_(hop|mels)_(\d+)", upstream)}
    strides = re.search(r"_s(\d{4})$", upstream)
    assert row.frontend.arguments == {"hop_length": 32 * settings["hop"], "n_mels": settings["mels"]}
    arguments = row.net.arguments
    assert arguments["width_mult"] == int(upstream[2:4]) / 10
    assert arguments["n_mels"] == settings["mels"]
    assert arguments["strides"] == tuple(int(c) for c in strides[1]) if strides else (2, 2, 2, 2)
    assert arguments["head"] == ("fully_convolutional" if "_fc" in upstream else "mlp")
    audioset = "_as" in upstream
    assert arguments["n_classes"] == (527 if audioset else None)
    assert row.labels == ("audioset" if audioset else None)
    score = re.search(r"mAP_(\d+)", UPSTREAM["files"][upstream])
    assert row.reported == ({"AudioSet mAP": int(score[1]) / 1000} if score else {})
    configuration = resolve(row.name)
    assert_is(configuration, row.name, DEFAULT)
    assert configuration.features == resolve(f"{upstream}_all_b_mel_avgs").features
    assert configuration.embedding_size == real_size(meta_net(row.name), settings["mels"])
    assert hear_edgel3.list_configurations("mobilenetv3").count(row.name) == 1


@pytest.mark.parametrize("name", ["mn40_as(2)", "mn40_as(3)", "mn40_as_no_im_pre(2)", "mn40_as_ext(3)"])
def test_names_with_brackets(name: str) -> None:
    ours = name.replace("(", "_").replace(")", "")
    assert resolve(name).checkpoint is resolve(ours).checkpoint is resolve(f"{name}_clf1").checkpoint
    assert resolve(f"{name}_e1_l").features == resolve(f"{ours}_e1_l").features
    assert resolve(name).name == name


# --- words ---


@functools.cache
def sizes() -> dict[str, int]:
    """What each feature of mn10_as really has."""
    net = meta_net("mn10_as")
    found = {}
    for name in [*NEW_ORDER, "b16"]:
        net.select([name])
        found[name] = real_size(net, 128)
    return found


@pytest.mark.parametrize("word", [*NEW_WORDS, *OLD_SETS])
def test_a_word(word: str) -> None:
    features = expected_features([word])
    assert features
    configuration = resolve(f"mn10_as_{word}")
    assert_is(configuration, "mn10_as", features)
    assert configuration.embedding_size == sum(sizes()[name] for name in features)
    for name in features:
        assert name in configuration.features.description


def test_pairs_of_words_in_either_order() -> None:
    for vocabulary in (NEW_WORDS, list(OLD_SETS)):
        for a, b in itertools.permutations(vocabulary, 2):
            if {a, b} == {"se", "all_se"}:
                continue
            features = expected_features([a, b])
            configuration = resolve(f"mn10_as_{a}_{b}")
            assert configuration.features.names == features, (a, b)
            assert len(set(features)) == len(features)
            assert configuration.embedding_size == sum(sizes()[name] for name in features), (a, b)


def test_pairs_across_the_vocabularies_are_refused() -> None:
    for old, new in itertools.product(set(OLD_SETS) - set(NEW_SETS), set(NEW_WORDS) - set(OLD_SETS)):
        for a, b in ((old, new), (new, old)):
            with pytest.raises(UnknownConfiguration, match=f"{old} and {new} belong to two vocabularies"):
                resolve(f"mn10_as_{a}_{b}")
            with pytest.raises(UnknownConfiguration, match=f"{old} and {new} belong to two vocabularies"):
                resolve(f"mn10_as_{a}_all_se_{b}")


def test_whatever_the_order_of_the_words_the_order_of_features_is_one() -> None:
    source = random.Random(7)
    for words in (NEW_WORDS, [word for word in OLD_SETS if word != "se"]):
        expected = resolve("mn10_as_" + "_".join(words)).features
        assert expected.names == expected_features(words)
        for _ in range(20):
            shuffled = source.sample(words, len(words))
            assert resolve("mn10_as_" + "_".join(shuffled)).features == expected
    assert resolve("mn10_as_" + "_".join(NEW_WORDS)).features.names == tuple(NEW_ORDER)


def test_the_order_is_that_of_the_values() -> None:
    """Several features are the single ones, one behind the other."""
    net = small_net("mn01_as")
    mel = torch.randn(2, 128, 16, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def run(name: str) -> torch.Tensor:
        arguments = resolve(name).net.arguments
        net.select(arguments["outputs"], arguments["pooling"])
        result: torch.Tensor = net(mel)
        return result

    parts = torch.cat([run(f"mn01_as_{name}") for name in NEW_ORDER], dim=1)
    torch.testing.assert_close(run("mn01_as_" + "_".join(reversed(NEW_ORDER))), parts)
    parts = torch.cat([run(f"mn01_as_{word}") for word in ("l", "e1", "mels", "clf", "block", "se")], dim=1)
    torch.testing.assert_close(run("mn01_as_se_block_clf_mels_e1_l"), parts)


def test_all_se_means_what_its_vocabulary_means() -> None:
    newer, older = tuple(NEW_SETS["all_se"]), tuple(OLD_SETS["all_se"])
    assert resolve("mn10_as_all_se").features.names == newer
    assert resolve("mn10_as_all_se_avg_ch_pool_all_b").features.names == (*newer, *NEW_SETS["all_b"])
    assert resolve("mn10_as_ts320_all_se").features.names == newer
    assert resolve("mn10_as_all_se_clf1").features.names == ("clf1", *newer)
    assert resolve("mn10_as_all_se_e1").features.names == ("clf1", *older)
    assert resolve("mn10_as_l_all_se").features.names == ("logits", *older)
    # the sizes that the original programs give
    assert resolve("mn10_as_all_se").embedding_size == 560
    assert resolve("mn40_as_ext_e1_all_se_mels").embedding_size == 8024


@pytest.mark.parametrize(
    ("words", "features"),
    [
        ("b5_11_13", ("b5", "b11", "b13")),
        ("b13_11_5", ("b5", "b11", "b13")),
        ("b0_1_2_3", ("b0", "b1", "b2", "b3")),
        ("se5_11", ("se5", "se11")),
        ("b5_11_se5_11", ("se5", "se11", "b5", "b11")),
        ("se4_6_b4_6", ("se4", "se6", "b4", "b6")),
        ("b5_b11_13", ("b5", "b11", "b13")),
        ("clf1_b5_11_mel_avgs", ("mel_avgs", "clf1", "b5", "b11")),
        ("b5_11_max_ch_pool", ("b5", "b11")),
        ("ts640_b5_11", ("b5", "b11")),
        ("_".join(f"b{n}"[n > 0 :] for n in range(16)), tuple(f"b{n}" for n in range(16))),
    ],
)
def test_runs_of_numbers(words: str, features: tuple[str, ...]) -> None:
    assert resolve(f"mn10_as_{words}").features.names == features


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_pooling_word(pooling: str) -> None:
    for words, features in (
        ("all_b", NEW_SETS["all_b"]),
        ("block", OLD_SETS["block"]),
        ("b0_7_12", ["b0", "b7", "b12"]),
        ("logits_b4", ["logits", "b4"]),
    ):
        for name in (f"mn10_as_{words}_{pooling}_pool", f"mn10_as_{pooling}_pool_{words}"):
            assert_is(resolve(name), "mn10_as", features, pooling)
    assert_is(resolve(f"mn10_as_{pooling}_pool"), "mn10_as", DEFAULT, pooling)
    assert f"pooled by {pooling}" in resolve(f"mn10_as_{pooling}_pool").features.description


@pytest.mark.parametrize("checkpoint", ["mn01_as", "mn10_as_mels_40", "mn10_as_fc_s2211"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_blocks_have_the_size_they_say(checkpoint: str, pooling: str) -> None:
    net = small_net(checkpoint)
    for words in (*(f"b{n}" for n in range(16)), "block"):
        configuration = resolve(f"{checkpoint}_{words}_{pooling}_pool")
        if words in ("b0", "b5", "b13", "b15", "block"):
            net.select(configuration.features.names, pooling)
            assert real_size(net, configuration.checkpoint.frontend.arguments["n_mels"]) == configuration.embedding_size
        factor = 2 if pooling == "cat_avg_max_ch" else 1
        if not pooling.endswith("time"):
            assert configuration.embedding_size == factor * resolve(f"{checkpoint}_{words}").embedding_size


@pytest.mark.parametrize("milliseconds", [20, 21, 160, 320, 640, 1280, 9999, 10_000])
def test_a_window_word(milliseconds: int) -> None:
    assert_is(resolve(f"mn10_as_ts{milliseconds}"), "mn10_as", DEFAULT, window=32 * milliseconds)
    for name in (f"mn10_as_clf1_ts{milliseconds}", f"mn10_as_ts{milliseconds}_clf1"):
        assert_is(resolve(name), "mn10_as", ["clf1"], window=32 * milliseconds)
    assert_is(resolve(f"mn10_as_e1_ts{milliseconds}_l"), "mn10_as", ["logits", "clf1"], window=32 * milliseconds)
    pooled = resolve(f"mn10_as_ts{milliseconds}_all_b_max_ch_pool")
    assert_is(pooled, "mn10_as", NEW_SETS["all_b"], "max_ch", 32 * milliseconds)


def test_longer_checkpoint_names_come_first() -> None:
    """The words of a checkpoint are never taken for features, nor the other way round."""
    assert resolve("mn10_as_mels_40").checkpoint.name == "mn10_as_mels_40"
    assert_is(resolve("mn10_as_mels"), "mn10_as", ["mel_avgs"])
    assert_is(resolve("mn10_as_mels_40_mels"), "mn10_as_mels_40", ["mel_avgs"])
    assert resolve("mn10_as_mels_40_mels").embedding_size == 40
    assert_is(resolve("mn40_as_2_b5_2"), "mn40_as_2", ["b2", "b5"])
    assert_is(resolve("mn40_as_b5_2"), "mn40_as", ["b2", "b5"])
    assert_is(resolve("mn10_as_fc_s2221_l"), "mn10_as_fc_s2221", ["logits"])


# --- what is no name ---

VOCABULARY = (
    r"the words are mel_avgs, clf1, clf2, logits, se4 .*, allmode, of distilled nets teacher; "
    r"one of avg_ch_pool, .* or the older l, e1,"
)
REFUSED: list[tuple[str, str]] = [
    # features that a net does not have
    ("mn10_as_fc_clf2", "clf2 is the hidden layer of the mlp head, and this net has the head fully_convolutional"),
    ("mn10_as_fc_s2221_all_b_clf2", "clf2 is the hidden layer of the mlp head"),
    ("mn10_as_fc_s2211_clf", "clf2 is the hidden layer of the mlp head"),
    ("mn10_as_fc_e1_l_clf", "clf2 is the hidden layer of the mlp head"),
    ("mn10_clf2_fc", "clf2 is the hidden layer of the mlp head"),
    ("mn04_im_logits", "logits are the outputs of a classifier, and this net has none"),
    ("mn10_im_allmode", "logits are the outputs of a classifier, and this net has none"),
    ("mn10_im_pytorch_all_b_logits", "logits are the outputs of a classifier, and this net has none"),
    ("mn40_im_e1_l", "logits are the outputs of a classifier, and this net has none"),
    ("mn10_as_b16", "b16 is no word of its own: pooled, it is clf1; the last block otherwise is b15"),
    ("mn10_as_b15_b16", "b16 is no word of its own"),
    # unknown words
    ("mn10_as_clf3", rf"'clf3' is no feature; {VOCABULARY}"),
    ("mn10_as_b17", "'b17' is no feature"),
    ("mn10_as_b05", "'b05' is no feature"),
    ("mn10_as_b5_16", "b16 is no word of its own"),
    ("mn10_as_b", "'b' is no feature"),
    ("mn10_as_b-1", "'b-1' is no feature"),
    ("mn10_as_b\u0665", "'b\u0665' is no feature"),  # a digit, but not one of these ten
    ("mn10_as_se7", "'se7' is no feature"),
    ("mn10_as_se16", "'se16' is no feature"),
    ("mn10_as_se_13", "'13' is no feature"),
    ("mn10_as_11", "'11' is no feature"),
    ("mn10_as_clf1_11", "'11' is no feature"),
    ("mn10_as_b5_mel_avgs_11", "'11' is no feature"),
    ("mn10_as_b5_ts320_11", "'11' is no feature"),
    ("mn10_as_all", "'all' is no feature"),
    ("mn10_as_all_clf1", "'all' is no feature"),
    ("mn10_as_mel", "'mel' is no feature"),
    ("mn10_as_avgs", "'avgs' is no feature"),
    ("mn10_as_avg_time", "'avg' is no feature"),
    ("mn10_as_b5_pool", "'pool' is no feature"),
    ("mn10_as_Logits", "'Logits' is no feature"),
    ("mn10_as_logits ", "'logits ' is no feature"),
    ("mn10_as_logits\n", r"'logits\\n' is no feature"),
    ("mn10_as_ext", "'ext' is no feature"),
    ("mn10_as_hop_15_hop_20", "'hop' is no feature"),
    ("mn10_as(2)", "'2' is no feature"),
    # repeated words
    ("mn10_as_logits_logits", "logits is there twice"),
    ("mn10_as_all_b_mel_avgs_all_b", "all_b is there twice"),
    ("mn10_as_b5_11_5", "b5 is there twice"),
    ("mn10_as_b5_11_b11", "b11 is there twice"),
    ("mn10_as_e1_l_e1", "e1 is there twice"),
    ("mn10_as_e1_se_all_se", "se is part of all_se; keep one"),
    ("mn10_as_all_se_se", "se is part of all_se; keep one"),
    # both vocabularies
    ("mn10_as_e1_l_logits", "e1, l and logits belong to two vocabularies"),
    ("mn10_as_all_b_mels", "mels and all_b belong to two vocabularies, which order features in different ways"),
    ("mn10_as_mel_avgs_clf1_clf", "clf and mel_avgs, clf1 belong to two vocabularies"),
    ("mn10_as_all_se_se_b5", "se and b5 belong to two vocabularies"),
    # pooling
    ("mn10_as_all_b_max_ch_pool_avg_ch_pool", "it names two poolings, max_ch_pool and avg_ch_pool; keep one"),
    ("mn10_as_max_ch_pool_all_b_max_ch_pool", "it names two poolings, max_ch_pool and max_ch_pool; keep one"),
    ("mn10_as_logits_avg_time_pool", "avg_time_pool pools blocks, and no block .* is named"),
    ("mn10_as_all_se_cat_avg_max_ch_pool", "cat_avg_max_ch_pool pools blocks"),
    ("mn10_as_e1_l_max_ch_pool", "max_ch_pool pools blocks"),
    # windows
    ("mn10_as_ts19", r"ts19 must be from ts20 to ts10000 \(milliseconds\)"),
    ("mn10_as_ts0", "ts0 must be from ts20 to ts10000"),
    ("mn10_as_logits_ts10001", "ts10001 must be from ts20 to ts10000"),
    ("mn10_as_ts160_ts160", "it names two windows, ts160 and ts160; keep one"),
    ("mn10_as_ts320_clf1_ts640", "it names two windows, ts320 and ts640; keep one"),
    ("mn10_as_ts", "'ts' is no feature"),
    ("mn10_as_ts-160", "'ts-160' is no feature"),
    ("mn10_as_ts160ms", "'ts160ms' is no feature"),
    ("mn10_as_ts1.5", "'ts1.5' is no feature"),
    ("mn10_as_TS160", "'TS160' is no feature"),
    ("mn10_as_ts\u0661\u0666\u0660", "is no feature"),
    ("mn10_as_ts_160", "'ts' is no feature"),
    # underscores
    ("mn10_as_", "did you mean mn10_as "),
    ("mn10_as_logits_", "did you mean mn10_as"),
    ("mn10_as__logits", "did you mean mn10_as"),
    ("mn10_as_all__b", "did you mean mn10_as"),
    ("_mn10_as", "did you mean mn10_as"),
    ("mn10__as", "did you mean mn10_as"),
    # behind a name of the other family
    ("sea_64_logits", "sea_64 has one kind of embedding; nothing can follow its name"),
    ("sparse_95_all_b_mel_avgs", "sparse_95 has one kind of embedding"),
    ("sparse_95_kd_ts320", "sparse_95_kd has one kind of embedding"),
    # near names
    ("mn10_as_hop_10", "did you mean mn10_as_hop_20 or mn10_as_hop_15 or mn10_as_hop_5"),
    ("mn10_as_hop_16", "did you mean .*mn10_as_hop_15"),
    ("mn10_as_mels_128", "did you mean mn10_as_mels_256"),
    ("mn10_as_fc_s2222", "did you mean mn10_as_fc_s2221 or mn10_as_fc_s2211"),
    ("mn40_as_4", "did you mean mn40_as_3 or mn40_as_2"),
    ("mn10as", "did you mean mn10_as"),
    ("MN10_as", "did you mean mn10_as"),
    ("mn10-as", "did you mean mn10_as"),
    ("mn10", "did you mean .*mn10_as"),
    ("mn10_", "did you mean .*mn10_as"),
    ("mn15_as", "did you mean .*mn10_as"),
    ("mn10_as\n", "did you mean mn10_as"),
    ("dymn10_as", "did you mean mn10_as"),
    ("mn", "`hear-edgel3 list` shows them all"),
    ("logits", "`hear-edgel3 list` shows them all"),
]


@pytest.mark.parametrize(("name", "words"), REFUSED, ids=[ascii(name) for name, _ in REFUSED])
def test_a_name_that_is_none(name: str, words: str) -> None:
    with pytest.raises(UnknownConfiguration, match=words) as caught:
        resolve(name)
    assert str(caught.value).startswith(f"there is no configuration {name!r}")
    assert registry.find(name) is None
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["mn10_e1_l_logits", "mn10_all_b_fc_hop5", "mn10_mels_128_e1_l", "mn01_ext_e1"])
def test_a_name_of_the_authors_kind_that_is_none(name: str) -> None:
    with pytest.raises(UnknownConfiguration, match=f"there is no configuration '{name}': "):
        resolve(name)


# --- random names ---

JUNK = ["", "_", "mn10", "as", "hop", "15", "5", "99999", "ts", "ts160", "tsx", "pool", "b16", "b", "se", "(2)", "é"]
ANY_WORD = st.one_of(
    st.sampled_from([*NEW_WORDS, *OLD_SETS, *(f"{p}_pool" for p in POOLINGS), *JUNK]), st.text(max_size=6)
)
HEADS = ["mn10_as", "mn10", "mn40_as(2)", "mn10_as_fc", "mn04_im", "mn10_as_hop_15", "mn40_ext", "sea_64", ""]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.builds(lambda h, w: "_".join([h, *w]), st.sampled_from(HEADS), st.lists(ANY_WORD))))
def test_any_text_is_a_name_or_none(name: str) -> None:
    configuration = registry.find(name)
    if configuration is None:
        with pytest.raises(UnknownConfiguration, match=re.escape(repr(name))):
            resolve(name)
        return
    assert configuration.name == name
    assert configuration.embedding_size > 0
    assert configuration.window > 0
    assert resolve(name) == configuration


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_WORD, max_size=5))
def test_any_list_of_words_is_features_or_none(words: list[str]) -> None:
    """The option and the name agree."""
    try:
        found = registry.with_features(resolve("mn10_as"), words)
    except InvalidOption:
        if words and all(words):
            name = "mn10_as_" + "_".join(words)
            configuration = registry.find(name)
            assert configuration is None or configuration.checkpoint.name != "mn10_as" or "(" in name
        return
    assert resolve(found.name).features == found.features


ROWS: list[Checkpoint] = [row for row in registry.checkpoints() if row.family == "mobilenetv3"]


@st.composite
def names(draw: st.DrawFn, rows: Sequence[Checkpoint]) -> tuple[str, str, tuple[str, ...], str, int]:
    """A name that is one, its checkpoint, features, pooling and window."""
    row = draw(st.sampled_from(rows))
    old = draw(st.booleans())
    vocabulary = list(OLD_SETS) if old else NEW_WORDS
    forbidden = {"clf2", "clf"} if row.net.arguments["head"] != "mlp" else set()
    if row.net.arguments["n_classes"] is None:
        forbidden |= {"logits", "allmode", "l"}
    chosen = draw(st.lists(st.sampled_from([w for w in vocabulary if w not in forbidden]), unique=True, max_size=8))
    if old and {"se", "all_se"} <= set(chosen):
        chosen.remove("se")
    features = expected_features(chosen) if chosen else DEFAULT
    written = []
    for before, word in zip(["", *chosen], chosen, strict=False):
        kind = re.fullmatch(r"(b|se)(\d+)", word)
        run = kind is not None and re.fullmatch(rf"{kind[1]}\d+", before) is not None
        written.append(kind[2] if run and kind is not None and draw(st.booleans()) else word)
    pooling, window = "avg_ch", 5120
    # in front or behind: between a word and a bare number they would end the run
    if any(name.startswith("b") for name in features) and draw(st.booleans()):
        pooling = draw(st.sampled_from(POOLINGS))
        written.insert(draw(st.sampled_from([0, len(written)])), f"{pooling}_pool")
    if draw(st.booleans()):
        milliseconds = draw(st.integers(20, 10_000))
        window = 32 * milliseconds
        written.insert(draw(st.sampled_from([0, len(written)])), f"ts{milliseconds}")
    return "_".join([row.name, *written]), row.name, features, pooling, window


@settings(max_examples=200, deadline=None)
@given(names(ROWS))
def test_any_combination_of_words(drawn: tuple[str, str, tuple[str, ...], str, int]) -> None:
    name, *expected = drawn
    assert_is(resolve(name), *expected)


@settings(max_examples=100, deadline=None)
@given(names([resolve(name).checkpoint for name in ("mn01_as", "mn04_im", "mn10_as_mels_40", "mn10_as_fc_s2221")]))
def test_any_combination_of_words_gives_what_it_says(drawn: tuple[str, str, tuple[str, ...], str, int]) -> None:
    name, checkpoint, features, pooling, _ = drawn
    net = small_net(checkpoint)
    net.select(features, pooling)
    configuration = resolve(name)
    assert real_size(net, configuration.net.arguments["n_mels"]) == configuration.embedding_size


# --- modules ---


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mn04_as", 320),
        ("mn10_as_hop_15_all_b_mel_avgs", 600),
        ("mn10_all_b_mel_avgs_hop15", 600),
        ("mn40_as_ext_e1_l_all_se", 8423),
        ("mn40_ext_clf_l", 5647),
        ("mn10_im_pytorch_clf2", 1280),
        ("mn40_as_3_logits_ts320", 527),
    ],
)
def test_a_name_is_a_module(name: str, size: int) -> None:
    module = importlib.import_module(f"hear_edgel3.{name}")
    assert getattr(hear_edgel3, name) is module
    assert sorted(module.__all__) == ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
    assert module.__doc__ is not None
    assert module.__doc__.startswith(f"HEAR module of {name}.")
    assert resolve(name).features.description in module.__doc__
    assert resolve(name).embedding_size == size


def test_the_import_statement() -> None:
    import hear_edgel3.mn40_as_ext_e1_l_all_se
    from hear_edgel3 import mn10_as_b5_11_13

    assert callable(hear_edgel3.mn40_as_ext_e1_l_all_se.load_model)
    assert mn10_as_b5_11_13.__name__ == "hear_edgel3.mn10_as_b5_11_13"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mn10_as_clf3", "'clf3' is no feature; the words are mel_avgs"),
        ("mn10_as_fc_clf2", "clf2 is the hidden layer of the mlp head"),
        ("mn40_as_ext_e1_l_all_b", "e1, l and all_b belong to two vocabularies"),
        ("mn10_as_hop_10", "did you mean mn10_as_hop_20"),
        ("mn10_as__logits", "did you mean mn10_as"),
        ("mn99_as", "did you mean"),
    ],
)
def test_a_module_that_is_none_says_why(name: str, reason: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"No module named 'hear_edgel3.{name}': .*{reason}") as caught:
        importlib.import_module(f"hear_edgel3.{name}")
    assert caught.value.name == f"hear_edgel3.{name}"
    assert f"hear_edgel3.{name}" not in sys.modules
    assert not hasattr(hear_edgel3, name)


# --- load ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of the smallest net."""
    row = resolve("mn01_as").checkpoint
    generator = torch.Generator().manual_seed(1)
    state = {}
    for key, value in meta_net("mn01_as").state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(3)
        elif value.ndim == 1:
            state[key] = torch.rand(value.shape, generator=generator) * 0.5 + 0.5
        else:
            state[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
    path = tmp_path_factory.mktemp("weights")
    (path / row.filename).write_bytes(encode(state, {"configuration": row.name}))
    return path


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
def test_the_option_and_the_name_give_the_same(features: Sequence[str], folder: Path, audio: torch.Tensor) -> None:
    name = "_".join(["mn01_as", *features])
    by_option = hear_edgel3.load("mn01_as", folder, features=features)
    by_name = hear_edgel3.load(name, folder)
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


def test_without_features_the_default(folder: Path, audio: torch.Tensor) -> None:
    plain = hear_edgel3.load("mn01_as", folder)
    assert plain.configuration.features.names == DEFAULT
    named = hear_edgel3.mn01_all_b_mel_avgs.load_model(str(folder / "mn01_as.safetensors"))
    assert torch.equal(plain.scene_embeddings(audio), named.scene_embeddings(audio))
    assert torch.equal(hear_edgel3.mn01_as.get_scene_embeddings(audio, plain), plain.scene_embeddings(audio))


def test_a_module_takes_features_too(folder: Path) -> None:
    model = hear_edgel3.mn01_as.load_model(str(folder), features=["e1", "l"])
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


# --- cost ---


def test_looking_up_names_does_not_import_torch() -> None:
    listed = [c["module"] for c in CURRENT + OLDER] + list(UPSTREAM["files"])
    code = f"""
import contextlib, importlib, io, sys
import hear_edgel3
from hear_edgel3 import registry
for name in {listed!r}:
    configuration = registry.resolve(name)
    assert configuration.embedding_size > 0 and configuration.checkpoint.n_parameters > 0
assert registry.with_features(registry.resolve("mn10_as"), ["logits"]).embedding_size == 527
assert "numpy" not in sys.modules
import hear_edgel3.mn40_as_ext_e1_l_all_se
try:
    import hear_edgel3.mn10_as_clf3
except ModuleNotFoundError:
    pass
from hear_edgel3.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    assert main(["list"]) == main(["list", "--json"]) == main(["list", "--family", "mobilenetv3"]) == 0
assert "mn10_as_fc_s2211" in out.getvalue()
heavy = {{"torch", "safetensors", "huggingface_hub", "hear_edgel3.families.mobilenetv3.net"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_lists_the_family() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hear_edgel3.cli", "list", "--family", "mobilenetv3", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert list(entries) == hear_edgel3.list_configurations("mobilenetv3")
    for name, entry in entries.items():
        assert entry["embedding_size"] == resolve(name).embedding_size
        assert tuple(entry["features"]) == DEFAULT


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


def test_every_row_builds_its_net_as_it_is() -> None:
    for name in list_configurations("mobilenetv3"):
        with torch.device("meta"):
            assert resolve(name).checkpoint.net.build().outputs in (("logits",), ("clf2",))


def test_brackets_belong_to_checkpoints() -> None:
    assert find("mn10_as_b5(2)") is None
    assert find("mn40_as(2)_b5") is not None
