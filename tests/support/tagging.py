"""Nets that hear something, with seeded weights, and what their tags should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.registry.labels import labels
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.file import encode, read_tensors
from support import signals

RATE = 32000
NETS = ("mn01_as", "mn02_as", "mn10_as_hop_25", "mn10_as_fc")  # three front ends and heads, and two widths
AUDIOSET = labels("audioset")


def seeded(name: str, seed: int) -> dict[str, torch.Tensor]:
    """Weights that make logits of scale 1 which depend on the sound: fresh ones all but ignore it."""
    row = resolve(name).checkpoint
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        net: Any = row.net.build()
        norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0  # the statistics become those of this one batch
        mel = row.frontend.build().eval()(torch.from_numpy(signals.windows(RATE)))
        net.train()(mel)
        for norm in norms:
            norm.running_mean += 0.1 * torch.randn(norm.num_features) * norm.running_var.sqrt()
            norm.running_var *= torch.rand(norm.num_features) + 0.5
        if row.net.arguments["head"] == "mlp":
            last = net.classifier[-1]
            last.bias.zero_()
            last.weight /= net.eval()(mel).std()
            last.bias.normal_()
    state: dict[str, torch.Tensor] = net.state_dict()
    return state


def write_tagging_nets(folder: Path) -> None:
    """Writes <name>.safetensors of NETS and of mn10_as."""
    for seed, name in enumerate((*NETS, "mn10_as")):
        (folder / f"{name}.safetensors").write_bytes(encode(seeded(name, seed), {"configuration": name}))


def straight(tagging_folder: Path, name: str, windows: np.ndarray) -> np.ndarray:
    """(n, 527) logits of (n, samples) at the net's rate: the row's front end and plain net, and nothing else."""
    row = resolve(name).checkpoint
    net = row.net.build()
    net.load_state_dict(read_tensors(tagging_folder / row.filename)[0])
    with torch.no_grad():
        samples = torch.from_numpy(np.ascontiguousarray(windows)).float()
        found: np.ndarray = net.eval()(row.frontend.build().eval()(samples)).numpy()
    return found


def in_windows(x: np.ndarray, window: int, hop: int, count: int) -> np.ndarray:
    """The windows from the first sample on, with zeros behind the clip."""
    padded = np.concatenate([x, np.zeros(count * hop + window)])
    return np.stack([padded[k * hop : k * hop + window] for k in range(count)])


def assert_logits_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
