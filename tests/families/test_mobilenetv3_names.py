"""MobileNetV3 names: every configuration and every checkpoint of the authors'."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.registry import names as registry
from hear_edgel3.registry.names import find, resolve
from support import make_configs, signals
from support.mobilenetv3_words import (
    BROKEN,
    CURRENT,
    DECLARED_WRONG,
    DEFAULT,
    NEW_ORDER,
    OLDER,
    OTHER_CHECKPOINT,
    OTHER_WINDOW,
    UPSTREAM,
    assert_is,
    meta_net,
    older_features,
    real_size,
)

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


def test_brackets_belong_to_checkpoints() -> None:
    assert find("mn10_as_b5(2)") is None
    assert find("mn40_as(2)_b5") is not None
