"""The compiled kernels of the MobileNetV3 family: their numbers for every form of net, length, batch and caller."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.compiled.jit import native_lanes
from hear_edgel3.engine.kernels.residual_net import MOST_FRAMES, ResidualKernels
from hear_edgel3.engine.runner import Runner
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.families.mobilenetv3.layout import POOLINGS
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from support import signals
from support.kernel_checks import check
from support.mobilenetv3_nets import SPECS, all_features, build, mels
from support.mobilenetv3_reference import Spec
from support.processes import python

IN_TORCH = {name for name, spec in SPECS.items() if set(spec.se_dims) - {"c"}}


@pytest.fixture(scope="module")
def tiny() -> MobileNetV3:
    """The built-in net. Nobody changes it."""
    net = hear_edgel3.load("tiny").net
    assert isinstance(net, MobileNetV3)
    return net


def noise(n: int, n_frames: int, seed: int = 0) -> torch.Tensor:
    """(n, 128, n_frames) like log-mels."""
    generator = torch.Generator().manual_seed(seed)
    return 0.6 * torch.randn(n, 128, n_frames, generator=generator) - 0.3


# --- every form of net ---


@pytest.mark.parametrize("name", sorted(set(SPECS) - IN_TORCH))
def test_every_feature_of_every_form(name: str) -> None:
    spec = SPECS[name]
    features = [f for f in all_features(spec) if f != "logits" or spec.head != "multihead_attention_pooling"]
    net = build(spec, outputs=features)
    assert net.kernel_obstacle() is None
    assert isinstance(net.kernel_residuals(), ResidualNet)
    check(net, mels(spec))
    if spec.strides == (2, 2, 2, 2) and not spec.dilated:  # of others there would be many kernels more to compile
        check(net, mels(spec, 16))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings(pooling: str) -> None:
    spec = Spec(0.1)
    net = build(spec, outputs=["b0", "mel_avgs", "b4", "b15", "b16", "clf1"], pooling=pooling)
    for n_frames in (16, 101):
        check(net, mels(spec, n_frames))


@pytest.mark.parametrize("outputs", [["mel_avgs"], ["b0"], ["b2", "mel_avgs"], ["se5"], ["logits"], ["logits", "clf2"]])
def test_only_what_is_needed(outputs: list[str]) -> None:
    spec = Spec(0.1)
    net = build(spec, outputs=outputs)
    check(net, mels(spec, 101))


def test_a_pruned_net_with_an_approximation() -> None:
    """Channels that are no multiples of eight, and a linear map from several layers."""
    torch.manual_seed(0)
    whole = MobileNetV3(0.2).layout
    net = MobileNetV3(
        0.2,
        n_classes=11,
        outputs=["teacher", "logits", "se4", "b15", "clf2"],
        n_mels=40,
        n_teacher=29,
        expanded=[b.expanded - (3 if b.expands else 0) for b in whole.blocks],
        squeeze=[3, 5, 9, 7, 8, 10, 11, 12],
        last=91,
        hidden=37,
    ).eval()
    x = torch.randn(3, 40, 77, generator=torch.Generator().manual_seed(0))
    check(net, x)


@pytest.mark.parametrize("name", ["se_f", "se_cf_max", "attention"])
@pytest.mark.parametrize("engine", ["auto", "numba"])
def test_forms_without_kernels_run_in_torch_and_say_why(name: str, engine: str) -> None:
    """Only their spectrograms are made by kernels: tests/engine/test_images_by_kernels.py."""
    spec = SPECS[name]
    net = build(spec, outputs=["logits", "b15"])
    x = mels(spec)
    assert Runner(engine).choose(net).name == "numba"
    with torch.no_grad():
        assert torch.equal(Runner(engine)(net, x), Runner("torch")(net, x))
    reason = "attention pooling" if name == "attention" else f"squeeze-and-excitation works over '{spec.se_dims}'"
    assert reason in str(net.kernel_obstacle())
    assert build(spec, outputs=["mel_avgs", "b0"]).kernel_obstacle() is None  # which need no such layer


def test_a_class_of_somebodys_own_is_not_taken_for_ours() -> None:
    class Doubled(MobileNetV3):
        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(mel)

    net = Doubled(0.1, outputs=["b5"]).eval()
    assert "Doubled" in str(net.kernel_obstacle())
    with torch.no_grad():
        x = noise(1, 33)
        torch.testing.assert_close(Runner("numba")(net, x), net(x))
        torch.testing.assert_close(Runner()(net, x), net(x))


# --- lengths, batches, callers ---


@pytest.mark.parametrize("n_frames", [1, 16, 33, 101, 331, 481, 512, 1000, 2500])
def test_lengths(tiny: MobileNetV3, n_frames: int) -> None:
    """Of the built-in net with its real weights."""
    x = noise(2, n_frames, seed=n_frames)
    check(tiny, x, of_torch=0)


@pytest.mark.parametrize("name", ["dilated", "dilated_2221", "fully_convolutional_2211", "width_1"])
@pytest.mark.parametrize("n_frames", [500, 682])
def test_strips_that_are_narrower_than_a_convolution_reaches(name: str, n_frames: int) -> None:
    """Halos are of the neighbours' neighbours, too; and columns behind the end that are seen are more than a strip."""
    # With some of these nets torch's own error is a hundred times as large for one image as for another.
    check(build(SPECS[name]).eval(), noise(4, n_frames))


def test_many_lengths_do_not_fill_the_memory() -> None:
    net = build(Spec(0.1), outputs=["b1"])
    form = net.kernel_residuals()
    assert isinstance(form, ResidualNet)
    kernels = ResidualKernels(form, native_lanes())
    first = kernels(noise(1, 20).numpy(), 1)
    for n_frames in range(21, 60):
        kernels(noise(1, n_frames).numpy(), 1)
    assert len(kernels._sized) == 8
    np.testing.assert_array_equal(kernels(noise(1, 20).numpy(), 1), first)


def test_very_long_images_run_in_torch(tiny: MobileNetV3) -> None:
    x = noise(1, MOST_FRAMES + 1)
    with torch.no_grad():
        assert torch.equal(Runner("numba")(tiny, x), Runner("torch")(tiny, x))


@pytest.mark.parametrize("n_frames", [16, 101, 331])
def test_batches_and_threads_give_the_same_bits(
    tiny: MobileNetV3, n_frames: int, threads: Callable[[int], None]
) -> None:
    runner, x = Runner("numba"), noise(17, n_frames)
    with torch.no_grad():
        alone = torch.cat([runner(tiny, image[None]) for image in x])
        for n, n_threads in ((1, 1), (3, 2), (16, 3), (17, 1), (17, 4)):
            threads(n_threads)
            assert torch.equal(runner(tiny, x[-n:]), alone[-n:])
        assert runner(tiny, x[:0]).shape == (0, alone.shape[1])


def test_layouts_and_types_of_images(tiny: MobileNetV3) -> None:
    runner, x = Runner("numba"), noise(4, 33)
    with torch.no_grad():
        expected = runner(tiny, x)
        for same in (x.double(), x.transpose(1, 2).contiguous().transpose(1, 2), x.repeat_interleave(2, 0)[::2]):
            assert torch.equal(runner(tiny, same), expected)


def test_what_is_not_finite_stays_so_and_stays_alone(tiny: MobileNetV3) -> None:
    """In the second of four images that share vectors."""
    for n_frames, value in ((16, torch.nan), (101, torch.nan), (101, torch.inf)):
        x = noise(4, n_frames)
        with torch.no_grad():
            expected = Runner("numba")(tiny, x)
            x[1, 64, 9] = value
            found = Runner("numba")(tiny, x)
            assert not torch.isfinite(found[1]).all()
            assert torch.equal(found[[0, 2, 3]], expected[[0, 2, 3]])
            x[1, 64, 9] = 0.0
            assert torch.isfinite(Runner("numba")(tiny, x)).all()


def test_nothing_stays_of_what_was_not_finite() -> None:
    """Memory is used again: of clips alone, whose frames are computed densely, after clips that filled it with NaN."""
    extractor = hear_edgel3.load("tiny", engine="numba")
    clips = torch.from_numpy(signals.windows(32000)[:1]).repeat(8, 1)
    with torch.no_grad():
        run = extractor._runner._ready(extractor.net)[1].from_samples
        expected = run(extractor.frontend, clips[:1])
        assert not torch.isfinite(run(extractor.frontend, clips * 1e30)).all(dim=1).any()
        assert torch.equal(run(extractor.frontend, clips[:1]), expected)


def test_what_tells_whether_a_net_has_changed_is_fetched(tiny: MobileNetV3, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[np.ndarray] = []
    monkeypatch.setattr("hear_edgel3.compiled.fetching.fetch", fetched.append)
    runner, x = Runner("numba"), noise(1, 16)
    expected = runner(tiny, x)
    compiled = len(fetched)
    assert torch.equal(runner(tiny, x), expected)
    assert len(fetched) == compiled + 1
    assert id(tiny.get_submodule("features")) // 64 * 64 in fetched[-1]


def test_few_images_do_not_share_vectors(threads: Callable[[int], None]) -> None:
    """Each has its channels in the lanes; several threads take one each."""
    form = build(Spec(0.1), outputs=["b13"]).kernel_residuals()
    assert isinstance(form, ResidualNet)
    kernels = ResidualKernels(form, native_lanes())
    sized = kernels.for_size(128, 16)
    few = noise(sized.most_alone, 16).numpy()
    found = kernels(few, 1)
    assert sized._alone is not None
    assert (len(sized._alone._idle), len(sized._idle)) == (1, 0)
    np.testing.assert_array_equal(kernels(few, 3), found)
    assert sized._idle == []
    among = kernels(noise(sized.sharing.images, 16).numpy(), 1)
    assert len(sized._idle) == 1
    np.testing.assert_array_equal(among[: len(few)], found)


def test_weights_that_are_not_finite() -> None:
    """One that only zeros around the map are multiplied with: NaN is there, alone or not."""
    spec = Spec(0.1, n_mels=40)  # of two rows in block 14, whose taps reach two rows up and down
    net, runner, x = build(spec, outputs=["b14"]), Runner("numba"), noise(5, 16)[:, :40]
    with torch.no_grad():
        net.features[14].block[1][0].weight[0, 0, 0, 2] = torch.nan
        among = runner(net, x)
        assert not among.isfinite().all()
        assert torch.equal(runner(net, x[:1]).isnan(), among[:1].isnan())


def _in_child(net: MobileNetV3, x: torch.Tensor, expected: torch.Tensor, connection: object) -> None:
    with torch.no_grad():
        connection.send(torch.equal(Runner("numba")(net, x), expected))


def test_a_forked_process(tiny: MobileNetV3, threads: Callable[[int], None]) -> None:
    threads(3)
    x = noise(33, 16)
    with torch.no_grad():
        expected = Runner("numba")(tiny, x)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(tiny, x, expected, there))
    child.start()
    assert here.poll(60)
    assert here.recv()
    child.join()


@pytest.mark.parametrize("lanes", [4, 8])
def test_other_machines_vectors(lanes: int) -> None:
    """LLVM makes vectors of what a machine has, so that all run anywhere. The first blocks have all kinds of layers."""
    spec = Spec(0.1)
    net = build(spec, outputs=["b0", "se4", "b4", "mel_avgs"] if lanes == 8 else ["b0", "b1", "mel_avgs"])
    form = net.kernel_residuals()
    assert isinstance(form, ResidualNet)
    with torch.no_grad():
        for n_frames in (77, 331):
            x = mels(spec, n_frames)
            expected = build(spec, outputs=net.outputs).double()(x.double()).numpy()
            found = ResidualKernels(form, lanes)(x.numpy(), 1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# --- the engine ---


def test_the_extractor(threads: Callable[[int], None]) -> None:
    """Scenes, timestamps and streams; the last two give the same bits."""
    threads(1)
    plain, fast = hear_edgel3.load("tiny", engine="torch"), hear_edgel3.load("tiny", engine="numba")
    assert fast.engine == "numba"
    clip = torch.from_numpy(signals.clip(1.3, 32000))
    rate = {"sample_rate": 32000}
    timestamps = fast.timestamp_embeddings(clip[None], **rate)[0]
    for found, expected in (
        (fast.scene_embeddings(clip[None], **rate), plain.scene_embeddings(clip[None], **rate)),
        (timestamps, plain.timestamp_embeddings(clip[None], **rate)[0]),
    ):
        assert found.shape == expected.shape
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4  # front ends differ by as much
    stream = torch.stack([torch.as_tensor(moment.embedding) for moment in fast.stream(clip.split(4000), **rate)])
    assert torch.equal(stream, timestamps[0])


def test_changes_are_noticed() -> None:
    net, runner, x = build(Spec(0.1), outputs=["b5"]), Runner("numba"), noise(1, 33)
    with torch.no_grad():
        before = runner(net, x)
        net.features[0][0].weight.mul_(1.5)
        assert not torch.equal(runner(net, x), before)
        check(net, x)
        net.select(["b4", "se4"])
        assert runner(net, x).shape[1] == net.embedding_size
        check(net, x)


def test_gradients_and_other_types_do_not_need_the_kernels() -> None:
    extractor = hear_edgel3.load("tiny", engine="auto").double()
    assert extractor.engine == "torch"
    fast = hear_edgel3.load("tiny", engine="numba")
    windows = torch.zeros(1, 5120, requires_grad=True)
    fast(windows).sum().backward()
    assert windows.grad is not None
    with pytest.raises(InvalidOption, match="the net is float64 on cpu, not float32 on cpu"):
        _ = fast.double().engine


def test_kernels_are_found_again_on_disk() -> None:
    """What their names on disk are made of is the same in every process: numbers, and no addresses of objects."""
    from hear_edgel3.engine.kernels.entrance import make_entrance
    from hear_edgel3.engine.kernels.pointwise import make_pointwise
    from hear_edgel3.engine.kernels.pooling import make_pool
    from hear_edgel3.engine.kernels.residual import make_depthwise, make_residual, shape_of_tiles

    kernels = (
        make_residual(16),
        make_depthwise(16, 5, 2, 1, 0, 0, *shape_of_tiles(0, 8)),
        make_entrance(16),
        make_pointwise(16),
        make_pool(16),
    )
    for made in kernels:
        cells = made._cache._function.__closure__ or ()
        assert all(isinstance(cell.cell_contents, int) for cell in cells)


# What a process imports of numba for kernels that are on disk, from samples of another rate to embeddings.
FROM_DISK = """
import sys
import torch
import hear_edgel3
import hear_edgel3.compiled.jit

torch.set_num_threads(1)
before = set(sys.modules)
extractor = hear_edgel3.load("tiny", engine="numba")
extractor.scene_embeddings(torch.zeros(1, 48000), sample_rate=48000)
extractor.timestamp_embeddings(torch.zeros(1, 32000))
print(*sorted(name for name in sys.modules if name.startswith("numba") and name not in before))
"""


def test_what_is_on_disk_needs_nothing_of_numba_that_compiles() -> None:
    """An array made inside a kernel would: importing that takes each process a quarter of a second."""
    done = [python(FROM_DISK) for _ in range(2)][1]  # the first may have to compile
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_specs_are_all_there() -> None:
    assert {n for n in SPECS if n.startswith("se_")} == IN_TORCH
    assert asdict(SPECS["no_se"])["se_dims"] == ""
