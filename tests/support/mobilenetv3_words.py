"""The words of MobileNetV3 names: the authors' configurations, both vocabularies, and what a name should mean."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import torch

from hear_edgel3.families.schema import Configuration
from hear_edgel3.registry.names import resolve
from support import make_configs, meta

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
    with meta.quickly(device):
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
