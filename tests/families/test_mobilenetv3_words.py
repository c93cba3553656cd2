"""The words of MobileNetV3 names, one by one and together, in both vocabularies."""

from __future__ import annotations

import functools
import itertools
import random

import pytest
import torch

from hear_edgel3.errors import UnknownConfiguration
from hear_edgel3.registry.names import resolve
from support.mobilenetv3_words import (
    DEFAULT,
    NEW_ORDER,
    NEW_SETS,
    NEW_WORDS,
    OLD_SETS,
    POOLINGS,
    assert_is,
    expected_features,
    meta_net,
    real_size,
    small_net,
)


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
