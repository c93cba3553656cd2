"""What a net says of sounds, each heard whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from hear_edgel3.detectors.clips import Decoded
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import mean_of_windows
from hear_edgel3.families.schema import Configuration
from hear_edgel3.framing.path import NetInput, weight_of_last, windows_of_clips

# Samples of windows that run through the net at once.
_AT_ONCE = 1 << 20


@torch.no_grad()
def outputs_of(
    net: Callable[[torch.Tensor], torch.Tensor],
    frontend: nn.Module,
    configuration: Configuration,
    sounds: Decoded,
    device: torch.device,
) -> torch.Tensor:
    """(n, C) float32 outputs of sounds on the CPU, each heard whole, as scene embeddings are made.

    Args:
        net: Makes outputs (n, C) of images.
        frontend: Makes images of samples.
        configuration: Whose rule says what windows of a sound are heard.
        sounds: At the net's rate.
        device: Of the net.
    """
    rule, rate = scene_framing(configuration), sounds.sample_rate
    path = NetInput(configuration.name, rate, configuration.checkpoint.padding == "reflection", torch.device("cpu"))
    result: list[torch.Tensor | None] = [None] * len(sounds)
    for numbers in _of_one_length(sounds.lengths):
        samples = torch.from_numpy(np.stack([sounds.read(i) for i in numbers]))
        count, groups = windows_of_clips(samples, rule, rate, path, lambda window: max(1, _AT_ONCE // max(1, window)))
        found = torch.cat([net(frontend(group.to(device))).float().cpu() for group in groups])
        last = weight_of_last(rule, samples.shape[1], rate, rate)
        means = mean_of_windows(found.view(len(numbers), count, -1), last)
        for number, mean in zip(numbers, means, strict=True):
            result[number] = mean
    return torch.stack([one for one in result if one is not None])


def _of_one_length(lengths: np.ndarray) -> Iterator[list[int]]:
    """Numbers of sounds that are equally long, not too many at once."""
    order = np.argsort(lengths, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        most = max(1, _AT_ONCE // max(1, int(lengths[some[0]])))
        for first in range(0, len(some), most):
            yield some[first : first + most].tolist()
