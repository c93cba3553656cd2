"""What must hold for every configuration, whatever its family: each check below, of each name."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import NoInitialValues
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import checkpoints, list_configurations, resolve
from support.complexities import costs_of
from support.mobilenetv3_nets import run_on_meta

# Names with words, of both vocabularies and every kind of net; beside each the size of its embedding.
WITH_WORDS = {
    "dymn10_as_all_ctx": 1032,
    "dymn20_as_2_clf1_ts320": 1920,
    "image_effnet_lite0_block3_compat_magma": 40,
    "mn01_as_mel_avgs_ts640": 128,
    "mn04_as_b5_mel_avgs": 144,
    "mn04_e1_l": 911,
    "mn05_all_b_avg_max_time_pool": 1472,
    "mn10_all_b_mel_avgs_cat_avg_max_ch_pool": 1072,
    "mn10_all_b_mel_avgs_hop15": 600,
    "mn10_all_b_mel_avgs_mels256": 728,
    "mn10_all_b_mel_avgs_ts320": 600,
    "mn10_as_b5_11_13": 312,
    "mn10_as_fc_s2211_all_se": 560,
    "mn10_as_hop_15_all_b_mel_avgs": 600,
    "mn10_im_pytorch_clf2": 1280,
    "mn40_as_3_logits_ts320": 527,
    "mn40_as_ext_e1_l_all_se": 8423,
    "mn40_ext_clf_l": 5647,
    "ssondo_matpac_dymn_all_ctx": 1032,
    "ssondo_matpac_mn_teacher_all_se": 4400,
    "tiny_logits": 527,
}
NAMES = [*list_configurations(), *WITH_WORDS]


@functools.cache
def meta_net(name: str) -> Any:
    """The net without memory for its parameters, none of which is drawn either."""
    with torch.device("meta"), NoInitialValues():
        return resolve(name).net.build().eval()


def is_a_hear_module(name: str) -> None:
    module = importlib.import_module(f"hear_edgel3.{name}")
    assert module is getattr(hear_edgel3, name)
    assert module.__name__ == f"hear_edgel3.{name}"
    assert module.__doc__ is not None
    assert module.__doc__.startswith(f"HEAR module of {name}.")
    assert resolve(name).features.description in module.__doc__
    assert sorted(module.__all__) == ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
    for function in module.__all__:
        assert callable(getattr(module, function))
        assert getattr(module, function).__doc__
    assert importlib.reload(module) is module


def resolves_to_itself(name: str) -> None:
    configuration = resolve(name)
    assert configuration.name == name
    assert (name in list_configurations(configuration.checkpoint.family)) == (name in list_configurations())
    assert configuration.features.size == sum(configuration.features.sizes or [configuration.embedding_size])
    assert len(configuration.features.names) == len(set(configuration.features.names))
    assert configuration.embedding_size == WITH_WORDS.get(name, configuration.embedding_size) > 0


def has_a_complete_row(name: str) -> None:
    row: Any = resolve(name).checkpoint
    assert re.fullmatch(r"[a-z0-9_]+", row.name)
    assert row.filename == f"{row.name}.safetensors"
    for text in (row.family, row.summary, row.citation):
        assert text.strip()
    assert row.sample_rate in (16000, 22050, 44100, 48000)  # those of the HEAR tools
    assert 0 < row.net_sample_rate <= row.sample_rate
    assert row.padding in ("zeros", "reflection")
    assert row.file_framing in ("hear", "edgel3")
    assert 0 <= row.zeros < 1
    assert min(row.window, row.hop_ms, row.file_hop_size, row.windows_per_batch, row.embedding_version) > 0
    assert all(0 < score < 1 for score in row.reported.values())
    if row not in checkpoints():  # it lies in the package
        assert row.licence
        assert row.weights_path.is_file()
        assert re.fullmatch("[0-9a-f]{64}", row.weights_sha256)
        return
    assert row.hub.repo_id.count("/") == 1
    assert row.hub.filename.endswith(".safetensors")
    assert row.upstream.url.startswith("https://")
    assert row.upstream.filename
    assert callable(FAMILIES[row.family].read_upstream)
    for text in (row.upstream.licence, row.upstream.copyright, row.upstream.project):
        assert text.strip()


def has_info(name: str) -> None:
    """In both forms that the command prints."""
    printed = []
    for form in ([], ["--json"]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["info", name, *form]) == 0
        printed.append(out.getvalue())
    text, facts = printed[0], json.loads(printed[1])
    assert re.search(rf"^name +{re.escape(name)}$", text, re.MULTILINE)
    assert facts["name"] == name
    assert facts["parameters"] > 50_000
    assert facts["embedding_size"] == resolve(name).embedding_size


def is_measured_as_its_row_says(name: str) -> None:
    configuration = resolve(name)
    row = configuration.checkpoint
    net = meta_net(name)
    if row.layers is None:
        assert row.family == "image"  # whose counts have a test beside its nets
        return
    found = costs_of(name)
    # those of L3 are counted with the statistics of batch norm, as Keras does
    counted = [*net.parameters(), *(b for b in net.buffers() if row.family == "l3" and b.ndim)]
    assert found.parameters == row.n_parameters == sum(t.numel() for t in counted)
    assert found.macs_10s == row.macs_10s  # the arithmetic of the rows, without a net
    assert found.macs_timestamps_1s == 20 * found.macs_window
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    if name in WITH_WORDS:  # what they cost depends on the words, and may be nothing or all of it
        return
    assert 0 < found.macs_features_1s <= found.macs_1s < found.macs_10s
    assert found.macs_features_1s < found.macs_features_10s <= found.macs_10s
    # a window has few frames, and each halving of their number rounds it up
    seconds = configuration.window / row.net_sample_rate
    assert 0.9 < found.macs_window / (found.macs_features_1s * seconds) < 3.0
    assert 1 < found.receptive_field_bands <= found.mel_bands
    assert found.memory_window_fp32 <= found.memory_fp32
    for fp32, fp16 in (
        (found.memory_fp32, found.memory_fp16),
        (found.memory_window_fp32, found.memory_window_fp16),
    ):
        assert 0.5 * fp32 <= fp16 < 0.6 * fp32


@functools.cache
def counted_as_it_runs(net: str, frontend: str, name: str) -> tuple[int, int, int]:
    """Parameters, values of the default features and multiplications in ten seconds; each kind of net runs once."""
    row = resolve(name).checkpoint
    features = row.vocabulary.read(row, row.default_features)
    last = "clf2" if row.net.arguments["n_classes"] is None else "logits"
    frames = row.frontend.build().n_frames(10 * row.net_sample_rate)
    with torch.device("meta"), NoInitialValues():
        made = row.net.make(**{**row.net.arguments, "outputs": (*features.names, last)}).eval()
    found, macs = run_on_meta(made, frames)
    assert found == made.embedding_size == features.size + made._size(last)
    return sum(p.numel() for p in made.parameters()), features.size, macs


def is_the_net_of_its_row(name: str) -> None:
    configuration = resolve(name)
    row = configuration.checkpoint
    mel = row.frontend.build()(torch.zeros(2, configuration.window)).to("meta")
    assert meta_net(name)(mel).shape == (2, configuration.embedding_size)
    if row.family == "mobilenetv3":
        with torch.device("meta"), NoInitialValues():
            assert row.net.build().outputs in (("logits",), ("clf2",))
        found = counted_as_it_runs(str(row.net.arguments), str(row.frontend.arguments), row.name)
        assert found == (row.n_parameters, row.vocabulary.read(row, row.default_features).size, row.macs_10s)


def has_a_sane_contract(name: str) -> None:
    configuration = resolve(name)
    row = configuration.checkpoint
    with torch.device("meta"):
        extractor = Extractor(configuration, row.frontend.build(), meta_net(name), row.sample_rate)
    assert extractor.scene_embedding_size == extractor.timestamp_embedding_size == configuration.embedding_size
    assert (extractor.sample_rate, extractor.net_sample_rate) == (row.sample_rate, row.net_sample_rate)
    contract = extractor.contract.to_dict()
    assert (contract["sample_rate"], contract["net_sample_rate"]) == (row.sample_rate, row.net_sample_rate)
    assert contract["window_ms"] == 1000 * configuration.window / row.net_sample_rate
    assert contract["hop_ms"] == row.hop_ms <= 50  # as HEAR asks
    assert contract["centred"] is True
    assert contract["first_ms"] == 0
    assert 1 <= contract["minimum_samples"] <= 10
    assert row.padding in contract["padding"]
    assert json.loads(json.dumps(contract)) == contract


CHECKS = [
    is_a_hear_module,
    resolves_to_itself,
    has_a_complete_row,
    has_info,
    is_measured_as_its_row_says,
    is_the_net_of_its_row,
    has_a_sane_contract,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_name(check: Callable[[str], None], name: str) -> None:
    check(name)


def test_every_family_and_vocabulary_is_among_them() -> None:
    assert {resolve(name).checkpoint.family for name in NAMES} == {row.family for row in checkpoints()}
    for name in WITH_WORDS:
        assert resolve(name).words, name
