"""Names at random: each is one, and means what it says, or is none, and says so."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.errors import InvalidOption, UnknownConfiguration
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.registry import names as registry
from hear_edgel3.registry.names import resolve
from support.mobilenetv3_words import (
    DEFAULT,
    NEW_WORDS,
    OLD_SETS,
    POOLINGS,
    assert_is,
    expected_features,
    real_size,
    small_net,
)

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
