"""Compares what compiled kernels give with float64, feature by feature, and images alone with images among others."""

from __future__ import annotations

import copy

import numpy as np
import torch

from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.image.net import SpectrogramImageNet
from hear_edgel3.families.mobilenetv3.parts import ChoosingNet

# Of a feature's peak. Nets of random weights have features that nearly cancel out, and magnify every rounding: with
# them torch in float32 is off by up to 8e-6 itself, so that what it is off by is the measure, and twice that allowed.
TOLERANCE = 3e-6
OF_TORCH = 2.0


def check(
    net: ChoosingNet | SpectrogramImageNet, x: torch.Tensor, of_torch: float = OF_TORCH, least: float = TOLERANCE
) -> None:
    """Compares each feature of images with float64, and each image's bits alone with those among many others.

    Args:
        net: In eval mode.
        x: (n, n_mels, n_frames).
        of_torch: How much of the worst error that torch has with them is allowed besides.
        least: What is allowed in any case.
    """
    with torch.no_grad():
        runner, torchs = Runner("numba"), Runner("torch")(net, x).numpy()
        among = runner(net, x.repeat(5, 1, 1)).numpy()  # more than are taken one after the other
        found = np.concatenate([runner(net, image[None]).numpy() for image in x])
        expected = copy.deepcopy(net).double()(x.double()).numpy()
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert found.shape[1] == net.embedding_size
    for i in range(0, len(among), len(x)):
        np.testing.assert_array_equal(among[i : i + len(x)].view(np.int32), found.view(np.int32))
    tolerance = least + of_torch * max(_errors(net, torchs, expected).values())
    errors = _errors(net, found, expected)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] < tolerance, f"{worst} of {tuple(x.shape)}: {errors[worst]:.1e}, not {tolerance:.1e}"


def _errors(net: ChoosingNet | SpectrogramImageNet, found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest error of each feature, of its peak in each image."""
    errors, begin = {}, 0
    for name in net.outputs:
        size = net.graph.shape(name)[0] if isinstance(net, SpectrogramImageNet) else net._size(name)
        part = slice(begin, begin + size)
        peak = np.abs(expected[:, part]).max(axis=1, keepdims=True) + 1e-30
        errors[name] = float((np.abs(found[:, part] - expected[:, part]) / peak).max())
        begin = part.stop
    return errors
