"""DyMN nets with seeded weights, without any file of the original: all their forms give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.runner import Runner
from hear_edgel3.errors import ConfigurationError, UnknownFeatures, WeightsMismatch
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.dymn.rows import ROWS, check_architecture
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode
from support import dymn_files
from support.mobilenetv3_files import pt

NAMES = ("mel_avgs", "clf1", "clf2", "logits", "ctx0", "ctx14", "b0", "b5", "b15", "b16")


def images(n: int, n_frames: int = 16) -> torch.Tensor:
    return torch.randn((n, 128, n_frames), generator=torch.Generator().manual_seed(n))


def peak(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def net() -> DyMN:
    return dymn_files.build(outputs=NAMES)


@pytest.mark.parametrize("options", [{}, {"use_dy_blocks": "replace_se"}, {"dyrelu_k": 3, "no_ca": True}], ids=str)
def test_all_forms_are_one_function_in_float64(options: dict[str, Any]) -> None:
    net = dymn_files.build(**options).double()
    net.select(tuple(name for name in NAMES if name != "ctx0" or "use_dy_blocks" not in options))
    x = images(3, 33).double()
    with torch.no_grad():
        expected = net(x)
        for form in (net.exportable(), net.folded()):
            assert peak(form(x), expected) < 1e-10
            assert peak(torch.cat([form(one[None]) for one in x]), expected) < 1e-10


@pytest.mark.parametrize("n", [0, 1, 7, 70])
def test_any_number_of_clips(net: DyMN, n: int) -> None:
    x = images(n)
    with torch.no_grad():
        found, alone = net.folded()(x), [net(one[None]) for one in x]
    assert found.shape == (n, net.embedding_size)
    if n:
        assert peak(found, torch.cat(alone)) < 1e-4


@pytest.mark.parametrize("n_frames", [1, 2, 9, 300])
def test_any_number_of_frames(net: DyMN, n_frames: int) -> None:
    with torch.no_grad():
        assert peak(net.folded()(images(2, n_frames)), net(images(2, n_frames))) < 1e-4


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 0.05), (torch.bfloat16, 0.3)], ids=str
)
def test_nothing_of_memory_that_was_never_written(dtype: torch.dtype, tolerance: float) -> None:
    """Some processors multiply half precision in pairs, and so what is beside an odd number of channels."""
    net = dymn_files.build(gain=dymn_files.FILE_GAIN, outputs=("clf1", "b1", "b7"))
    run = net.to(dtype).folded()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        with torch.no_grad():
            for n, n_frames in ((1, 16), (2, 101), (5, 33)):
                found, expected = run(images(n, n_frames)).float(), net.double()(images(n, n_frames)).float()
                assert peak(found, expected) < tolerance
                net.to(dtype)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_take_any_number_of_clips(net: DyMN, engine: str) -> None:
    pytest.importorskip(engine)
    run = Runner(engine)
    for n, n_frames in ((1, 16), (5, 16), (2, 101)):
        with torch.no_grad():
            assert peak(run(net, images(n, n_frames)), net(images(n, n_frames))) < 1e-4


def test_training_groups_give_what_eval_gives(net: DyMN) -> None:
    """The depthwise convolution of train mode, which is another one."""
    convolution = net.layers[3].depth_conv
    x, attention = torch.randn(3, 24, 9, 7), torch.softmax(torch.randn(3, 4), 1)
    x = torch.randn(3, convolution.groups, 9, 7)
    with torch.no_grad():
        expected = convolution._depthwise(x, attention)
        convolution.train()
        found = convolution._depthwise(x, attention)
        convolution.eval()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_temperature_changes_results_and_is_noticed(net: DyMN) -> None:
    run = Runner("torch")
    with torch.no_grad():
        before = run(net, images(2))
        net.set_tau(30)
        try:
            after = run(net, images(2))
            assert peak(after, net(images(2))) < 1e-4
        finally:
            net.set_tau(1)
        assert peak(after, before) > 0.01
        assert torch.equal(run(net, images(2)), before)
    for wrong in (0, -1, float("nan"), float("inf"), "1", True):
        with pytest.raises(ValueError, match="tau must be a positive number"):
            net.set_tau(wrong)  # type: ignore[arg-type]


def test_temperatures_of_single_convolutions() -> None:
    net = dymn_files.build(outputs=["b5"]).double()
    layer = net.layers[2]
    for i, name in enumerate(("exp_conv", "depth_conv", "proj_conv")):
        getattr(layer, name).tau = 0.2 + i
    mel = images(2).double()
    with torch.no_grad():
        assert peak(Runner("torch")(net, mel), net(mel)) < 1e-12


def test_rows() -> None:
    by_name = {row.name: row for row in ROWS}
    assert len(by_name) == 11
    for name, row in by_name.items():
        assert row.net.arguments["tau"] == (30 if name.endswith("_im") else 1)
        assert " " not in row.upstream.url
    assert resolve("dymn20_as(3)").checkpoint is by_name["dymn20_as_3"]
    assert by_name["dymn20_as"].upstream.filename == "dymn20_as_mAP_493.pt"


def test_words() -> None:
    assert resolve("dymn10_as").embedding_size == 600
    assert resolve("dymn10_as_all_ctx").embedding_size == 1032
    assert resolve("dymn04_as_ctx3_14_clf1").features.names == ("clf1", "ctx3", "ctx14")
    assert resolve("dymn04_replace_se_as_all_ctx").features.names == (
        *("ctx3", "ctx4", "ctx5", "ctx10", "ctx11", "ctx12", "ctx13", "ctx14"),
    )
    assert resolve("dymn04_as_b5_avg_time_pool_ts320").window_ms == 320
    for name, message in (
        ("dymn04_as_se5", "'se5' is no feature"),
        ("dymn04_as_e1", "'e1' is no feature"),
        ("dymn04_as_b16", "it is clf1"),
        ("dymn04_replace_se_as_ctx0", "no feature 'ctx0'"),
        ("dymn04_im_logits", "this net has none"),
        ("dymn04_as_clf1_max_ch_pool", "pools blocks"),
    ):
        with pytest.raises(UnknownFeatures, match=message):
            resolve(name)


def test_a_folder_must_say_its_temperature() -> None:
    with pytest.raises(KeyError, match="tau"):
        check_architecture({"width_mult": 0.4})
    with pytest.raises(ValueError, match="tau of the architecture cannot be 0"):
        check_architecture({"tau": 0})
    assert issubclass(ConfigurationError, Exception)


def test_conversion_and_loading(tmp_path) -> None:
    """The authors' file, converted, with its temperature; a file without it, or with another one, is refused."""
    row = resolve("dymn04_replace_se_as").checkpoint
    source = tmp_path / row.upstream.filename
    source.write_bytes(pt(dymn_files.state(row.name)))
    converted = convert(row, source)
    assert converted.provenance["settings"] == {"tau": 1.0}
    path = tmp_path / row.filename
    converted.write(path)
    model = hear_edgel3.load(f"{row.name}_clf1", path, sample_rate=32000)
    sound = torch.from_numpy(np.random.RandomState(0).uniform(-0.5, 0.5, (2, 16000)).astype(np.float32))
    assert model.scene_embeddings(sound).shape == (2, 384)
    assert model.net.tau == 1
    for settings, message in (({}, "does not say whether it is for tau 1"), ({"settings": {"tau": 30.0}}, "is for")):
        other = tmp_path / "other.safetensors"
        other.write_bytes(encode(converted.state, {"configuration": row.name, **settings}))
        with pytest.raises(WeightsMismatch, match=message):
            hear_edgel3.load(row.name, other)
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(pt(dymn_files.state("dymn04_as")))
    kind = "a DyMN of width 0.4 with the blocks of replace_se dynamic"
    with pytest.raises(WeightsMismatch, match=f"expected 440 tensors of {kind}, found 578 tensors, 15 dynamic blocks"):
        convert(row, wrong)
    for name, net in (("features.0.0.weight", "a MobileNetV3's"), ("x", "not a DyMN's")):
        wrong.write_bytes(pt({name: torch.zeros(1)}))
        with pytest.raises(WeightsMismatch, match=rf"found 1 that are {net} \({name}, \.\.\.\)"):
            convert(row, wrong)
