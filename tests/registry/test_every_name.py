"""What must hold for every configuration."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.complexity import Complexity, measure
from hear_edgel3.frontends.mobilenetv3 import MobileNetV3MelSpectrogram
from hear_edgel3.nets.mobilenetv3 import MobileNetV3
from hear_edgel3.registry import checkpoints, list_configurations, resolve
from support.mobilenetv3_nets import run_on_meta
from support.types import Captured


@pytest.mark.parametrize("name", hear_edgel3.list_configurations())
def test_every_configuration_is_a_hear_module(name: str) -> None:
    module = importlib.import_module(f"hear_edgel3.{name}")
    assert module is getattr(hear_edgel3, name)
    assert module.__name__ == f"hear_edgel3.{name}"
    assert module.__doc__ is not None
    assert name in module.__doc__
    assert sorted(module.__all__) == ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
    for function in module.__all__:
        assert callable(getattr(module, function))
        assert getattr(module, function).__doc__
    assert importlib.reload(module) is module


@pytest.mark.parametrize("name", list_configurations())
def test_info_of_every_configuration(name: str, capsys: Captured) -> None:
    assert main(["info", name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == name
    assert facts["parameters"] > 50_000


def test_every_configuration(measured) -> None:
    for name in list_configurations():
        configuration = resolve(name)
        row = configuration.checkpoint
        found = measured(name)
        with torch.device("meta"):
            net = configuration.net.build()
        # those of L3 are counted with the statistics of batch norm, as Keras does
        counted = [*net.parameters(), *(b for b in net.buffers() if row.family == "l3" and b.ndim)]
        assert found.parameters == row.n_parameters == sum(t.numel() for t in counted), name
        assert found.macs_10s == row.macs_10s, name  # the arithmetic of the rows, without a net
        assert 0 < found.macs_features_1s <= found.macs_1s < found.macs_10s, name
        assert found.macs_features_1s < found.macs_features_10s <= found.macs_10s, name
        # a window has few frames, and each halving of their number rounds it up
        seconds = configuration.window / row.net_sample_rate
        assert 0.9 < found.macs_window / (found.macs_features_1s * seconds) < 3.0, name
        assert found.macs_timestamps_1s == 20 * found.macs_window, name
        assert 1 < found.receptive_field_bands <= found.mel_bands, name
        assert found.memory_window_fp32 <= found.memory_fp32, name
        for fp32, fp16 in (
            (found.memory_fp32, found.memory_fp16),
            (found.memory_window_fp32, found.memory_window_fp16),
        ):
            assert 0.5 * fp32 <= fp16 < 0.6 * fp32, name
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict(), name


@pytest.fixture(scope="module")
def measured() -> Callable[[str], Complexity]:
    """Complexities by name, each shape counted once."""
    known: dict[str, Complexity] = {}

    def get(name: str) -> Complexity:
        configuration = resolve(name)
        key = repr((configuration.net, configuration.checkpoint.frontend, configuration.window))
        if key not in known:
            known[key] = measure(configuration)
        return known[key]

    return get


def test_every_row_builds_its_net_as_it_is() -> None:
    for name in list_configurations("mobilenetv3"):
        with torch.device("meta"):
            assert resolve(name).checkpoint.net.build().outputs in (("logits",), ("clf2",))


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


def test_rows_of_the_registry_are_their_nets() -> None:
    """Every checkpoint: size of the default features, parameters and multiplications, from the net that is built."""
    rows = [row for row in checkpoints() if row.family == "mobilenetv3"]
    assert len(rows) == 35
    alike = {f"{row.net.arguments} {row.frontend.arguments}": row for row in rows}
    for row in alike.values():  # runs of the same training are nets of the same kind
        features = row.vocabulary.read(row, "")
        frames = MobileNetV3MelSpectrogram(**row.frontend.arguments).n_frames(320000)
        last = "clf2" if row.net.arguments["n_classes"] is None else "logits"
        with torch.device("meta"):
            net = MobileNetV3(**row.net.arguments, outputs=(*features.names, last)).eval()
        found, macs = run_on_meta(net, frames)
        assert found == net.embedding_size == features.size + net._size(last), row.name
        assert row.n_parameters == sum(p.numel() for p in net.parameters())
        assert row.macs_10s == macs, row.name
    for row in rows:
        twin = alike[f"{row.net.arguments} {row.frontend.arguments}"]
        assert (row.n_parameters, row.macs_10s) == (twin.n_parameters, twin.macs_10s), row.name
