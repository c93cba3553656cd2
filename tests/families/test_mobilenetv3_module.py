"""The MobileNetV3 net as a module: gradients, training, folding, and other precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from support import mobilenetv3_reference as reference
from support import signals
from support.mobilenetv3_nets import SPECS, all_features, assert_features_close, build, by_feature, mels


def test_gradients_are_the_references(frontend: MobileNetV3MelSpectrogram) -> None:
    """Of the audio and of every parameter, through front end and net, in eval mode."""
    spec = SPECS["width_0.1"]
    net = build(spec, outputs=("mel_avgs", "clf2", "logits", "se5", "b11"))
    samples = torch.from_numpy(signals.windows(6400)[:2])
    mine = samples.clone().requires_grad_()
    (net(frontend(mine)).square().mean()).backward()

    theirs = samples.double().requires_grad_()
    parameters = {name: value.double() for name, value in reference.seeded_state(spec).items()}
    for name, _ in net.named_parameters():
        parameters[name].requires_grad_()
    found = reference.features(spec, parameters, reference.log_mel(theirs))
    torch.cat([found[name] for name in net.outputs], dim=1).square().mean().backward()

    gradients = {"audio": (mine.grad, theirs.grad)}
    gradients |= {name: (p.grad, parameters[name].grad) for name, p in net.named_parameters()}
    for name, (gradient, expected) in gradients.items():
        assert gradient is not None, name
        assert expected is not None, name
        assert expected.abs().max() > 0, name
        # a sum over every position of the input; where a unit is near its kink, float32 may be on the other side
        error = float((gradient.double() - expected).norm() / expected.norm())
        assert error < 1e-3, f"{name}: {error}"


def test_gradients_in_train_mode() -> None:
    net = MobileNetV3(0.1, outputs=("clf1", "logits")).train()
    torch.manual_seed(0)
    frontend = MobileNetV3MelSpectrogram(time_mask=50).train()  # half of the frames at most
    # silence included: a logarithm or square root of zero would give NaN there
    samples = torch.from_numpy(np.concatenate([signals.windows(32000)[:3], np.zeros((1, 32000), np.float32)]))
    samples.requires_grad_()
    net(frontend(samples)).square().sum().backward()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()
    assert samples.grad[:3].abs().amax(dim=1).gt(0).all()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_net_from_scratch_learns() -> None:
    """A few steps on two sounds tell them apart; batch norms keep statistics with upstream's momentum."""
    torch.manual_seed(0)
    net = MobileNetV3(0.1, n_classes=2).train()
    frontend = MobileNetV3MelSpectrogram(freq_mask=0, time_mask=0).train()
    samples = torch.from_numpy(signals.windows(16000)[[0, 3]]).repeat(2, 1)
    target = torch.tensor([0, 1, 0, 1])
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(net(frontend(samples)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-3, 0.01)}
    assert {int(n.num_batches_tracked) for n in norms if n.num_batches_tracked is not None} == {12}


def test_initial_weights() -> None:
    """Kaiming's for convolutions (by what goes out), deviation 0.01 for linear layers, no biases."""
    torch.manual_seed(0)
    net = MobileNetV3(0.4)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.weight.numel() // module.weight.shape[1]
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
        elif isinstance(module, nn.Linear):
            assert float(module.weight.detach().std()) == pytest.approx(0.01, rel=0.2)
            assert module.bias.eq(0).all()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_dropout_is_in_train_mode_only() -> None:
    spec = SPECS["width_0.4"]
    net = build(spec, outputs=["clf1", "clf2", "logits"])
    mel = mels(spec)[:1].expand(8, -1, -1)
    with torch.no_grad():
        still = by_feature(net, net(mel), ["clf1", "clf2", "logits"])
        assert torch.equal(still["logits"][0], still["logits"][1])
        net.classifier.train()  # batch norms stay as they are
        torch.manual_seed(0)
        first, second = (by_feature(net, net(mel), ["clf1", "clf2", "logits"]) for _ in range(2))
    assert torch.equal(first["clf1"], still["clf1"])
    assert torch.equal(first["clf2"], still["clf2"])  # the feature is taken before dropout
    assert not torch.equal(first["logits"], second["logits"])
    rows = first["logits"]
    assert all(not torch.equal(rows[i], rows[j]) for i in range(8) for j in range(i))
    dropout = [m for m in net.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropout] == [0.2]


def test_folding_takes_nothing_from_the_net() -> None:
    spec = SPECS["width_0.1"]
    net = build(spec, outputs=all_features(spec)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = net.folded()
    assert net.training
    assert not any(module.training for module in folded.modules() if not isinstance(module, nn.Identity))
    mine = {value.untyped_storage().data_ptr() for value in net.state_dict().values()}
    assert not mine & {value.untyped_storage().data_ptr() for value in folded.state_dict().values()}
    assert not any(p.requires_grad for p in folded.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    mel = mels(spec)
    copied = mel.clone()
    with torch.no_grad():
        folded(mel)
        net.eval()(mel)
    assert torch.equal(mel, copied)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("key", ["width_0.1", "fully_convolutional", "attention", "se_cf_max"])
def test_empty_batches(key: str, frontend: MobileNetV3MelSpectrogram) -> None:
    spec = SPECS[key]
    for n_samples in (1, 5120, 200_000):
        mel = frontend(torch.zeros(0, n_samples))
        assert mel.shape == (0, 128, frontend.n_frames(n_samples))
    for pooling in reference.POOLINGS:
        net = build(spec, outputs=all_features(spec), pooling=pooling)
        with torch.no_grad():
            assert net(mel).shape == (0, net.embedding_size)
            assert net.folded()(mel).shape == (0, net.embedding_size)


@pytest.mark.parametrize(("kind", "tolerance"), [("double", 1e-9), ("half", 2e-2), ("bfloat16", 2e-1)])
@pytest.mark.parametrize("folded", [False, True], ids=["plain", "folded"])
def test_other_precisions(kind: str, tolerance: float, folded: bool, frontend: MobileNetV3MelSpectrogram) -> None:
    """The net takes the front end's float32 whatever its own type, as that of the L3 family does."""
    spec = SPECS["width_0.1"]
    net = getattr(build(spec, outputs=all_features(spec)), kind)()
    mel = getattr(frontend, kind)()(torch.from_numpy(signals.windows(16000)[1:3]))
    assert mel.dtype == torch.float32
    expected = reference.features(spec, reference.seeded_state(spec), mel)
    variant = net.folded() if folded else net
    with torch.no_grad():
        found = variant(mel)
    assert found.dtype == next(net.parameters()).dtype
    assert_features_close(by_feature(net, found, all_features(spec)), expected, tolerance, kind)
