"""Nets that answer together, as one: the mean of their logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hear_edgel3.framing.path import WindowPath
from hear_edgel3.framing.rules import WindowRule
from hear_edgel3.tagging.answering import AnsweringNet
from hear_edgel3.tagging.outputs import Outputs, outputs_together
from hear_edgel3.tagging.reading import in_common_scale
from hear_edgel3.tagging.tags import mean_logits


class NetsTogether:
    """Several nets that get the same windows. It is a :class:`hear_edgel3.extractor.window_net.WindowNet`.

    Args:
        nets: The nets, at least one, which fit together (:func:`hear_edgel3.tagging.request.check_ensemble`).

    Attributes:
        nets: The nets.
        outputs: How the answers are read.
    """

    def __init__(self, nets: Sequence[AnsweringNet]) -> None:
        self.nets = list(nets)
        self._every = [net.outputs for net in self.nets]
        self.outputs: Outputs = outputs_together(self._every)

    def to(self, device: str | torch.device) -> None:
        """Moves them to a device."""
        for net in self.nets:
            net.extractor.to(device)

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the audio that callers feed by default."""
        return self.nets[0].sample_rate

    @property
    def net_sample_rate(self) -> int:
        """The rate in Hz of the windows."""
        return self.nets[0].net_sample_rate

    def window_path(
        self,
        rule: WindowRule,
        sample_rate: int,
        group: Callable[[int], int] | None = None,
        device: torch.device | None = None,
    ) -> WindowPath:
        """The way of one clip from its samples to the windows, which all of them get."""
        return self.nets[0].window_path(rule, sample_rate, group, device)

    def windows_at_once(self, window: int) -> int:
        """How many windows of ``window`` samples all of them can look into at once."""
        return min(net.windows_at_once(window) for net in self.nets)

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, n_classes) float32 mean answers to (n, window) samples at the nets' rate, on the device of these."""
        if len(self.nets) == 1:
            return self.nets[0].embed_windows(windows)
        answers = [net.embed_windows(windows).cpu().numpy() for net in self.nets]
        return torch.from_numpy(mean_logits(in_common_scale(answers, self._every))).to(windows.device)
