"""Names of configurations: the list, looking them up, what is none, and how cheap that is."""

from __future__ import annotations

from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.errors import HearEdgeL3Error, UnknownConfiguration
from hear_edgel3.registry import names as registry
from hear_edgel3.registry.names import resolve
from support.mobilenetv3_words import CURRENT, OLDER, UPSTREAM
from support.processes import python


def test_configurations() -> None:
    names = hear_edgel3.list_configurations()
    levels = (53, 63, 72, 73, 81, 87, 90, 95)
    sparse = {f"sparse_{n}{end}" for n in levels for end in ("", "_kd")}
    assert set(hear_edgel3.list_configurations("l3")) == sparse | {f"sea_{n}" for n in (64, 128, 256, 512)}
    assert len(names) == len(set(names)) == 84
    assert names[0] == "tiny"  # the one that is there already
    of_families = [hear_edgel3.list_configurations(f) for f in ("l3", "mobilenetv3", "dymn", "ssondo", "image")]
    assert sorted(names) == sorted(name for family in of_families for name in family)
    with pytest.raises(UnknownConfiguration, match=r"no family 'l4'; .*: dymn, image, l3, mobilenetv3, ssondo"):
        hear_edgel3.list_configurations("l4")
    names.clear()  # a copy: the table is not the caller's
    assert hear_edgel3.list_configurations()


@pytest.mark.parametrize("name", ["sparse_96", "SEA_64", "", "load", None, 5, "../sea_64"])
def test_unknown_names(name: Any) -> None:
    with pytest.raises(UnknownConfiguration, match="there is no configuration") as caught:
        hear_edgel3.load(name)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, HearEdgeL3Error)


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
    ("dimn10_as", "did you mean dymn10_as"),
    ("mn", "`hear-edgel3 list` shows them all"),
    ("logits", "`hear-edgel3 list` shows them all"),
    ("my-detector", "nets of your own are named by their folders, and there is no such folder"),
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


# --- cost ---


def test_looking_up_names_does_not_import_torch() -> None:
    listed = [c["module"] for c in CURRENT + OLDER] + list(UPSTREAM["files"])
    code = f"""
import contextlib, importlib, io, sys
import hear_edgel3
from hear_edgel3.registry import names as registry
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
    done = python(code, PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
