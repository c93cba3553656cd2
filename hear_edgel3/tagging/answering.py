"""A net that tags, as the windows of a tagger run through it."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from hear_edgel3.engine.eval_mode import in_eval_mode
from hear_edgel3.engine.runner import without_autocast
from hear_edgel3.errors import ComputationError
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.loading import load
from hear_edgel3.extractor.window_net import mean_embedding
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.schema import Checkpoint, Configuration, Local
from hear_edgel3.framing.path import WindowPath
from hear_edgel3.framing.rules import CentredFraming, SceneFraming, WindowRule
from hear_edgel3.heads import Head
from hear_edgel3.tagging.outputs import Outputs, outputs_of
from hear_edgel3.tagging.request import LONGEST_WHOLE_S

_MEAN_WINDOW_S, _MEAN_HOP_S = 10, 2.5


class AnsweringNet:
    """A net that tells classes, or guesses numbers. It is a :class:`hear_edgel3.extractor.window_net.WindowNet`.

    The head of a net that has one is run here, on the embeddings of windows, or on the mean of these where a clip is
    tagged as a whole: heads are trained on scene embeddings. So whatever engine makes embeddings can be used.

    Args:
        row: The net's.
        weights: As for :func:`hear_edgel3.load`.
        engine: As for :func:`hear_edgel3.load`.

    Attributes:
        extractor: What makes logits or, of a net with a head, embeddings.
        outputs: How its answers are read.
    """

    def __init__(self, row: Checkpoint, weights: str | os.PathLike[str] | None, engine: str) -> None:
        name = row.folder if isinstance(row, Local) else row.name
        has_head = isinstance(row, Local) and row.head is not None
        self.extractor: Extractor = load(name, weights, features=None if has_head else ["logits"], engine=engine)
        self.outputs: Outputs = outputs_of(row)
        self._name = row.name

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the audio that callers feed by default."""
        return self.extractor.sample_rate

    @property
    def net_sample_rate(self) -> int:
        """The rate in Hz of the windows."""
        return self.extractor.net_sample_rate

    @property
    def head(self) -> Head | None:
        """What makes logits of embeddings; None if the net does it itself."""
        net = self.extractor.own("net")
        return net.head if isinstance(net, HeadedNet) else None

    def window_path(
        self,
        rule: WindowRule,
        sample_rate: int,
        group: Callable[[int], int] | None = None,
        device: torch.device | None = None,
    ) -> WindowPath:
        """The way of one clip from its samples to the windows."""
        return self.extractor.window_path(rule, sample_rate, group, device)

    def windows_at_once(self, window: int) -> int:
        """How many windows of ``window`` samples to look into at once."""
        return self.extractor.windows_at_once(window)

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, n_classes) float32 answers to (n, window) samples at the net's rate, on the device of these."""
        return self._with_head(self.extractor.embed_windows(windows))

    @property
    def of_whole_clips(self) -> tuple[Extractor | AnsweringNet, SceneFraming]:
        """What to embed the windows of a whole clip with, and where these lie; :meth:`of_scene` comes behind."""
        has_head = self.head is not None
        framing = whole_clip_framing(self.extractor.configuration, has_head)
        return (self.extractor if has_head else self), framing

    def of_scene(self, rows: np.ndarray, last_weight: float) -> np.ndarray:
        """(n_classes,) float32 answer to a whole clip, of (T, D) of its windows, and how much the last one counts."""
        mean = mean_embedding(rows, last_weight)
        return mean if self.head is None else self._with_head(torch.from_numpy(mean)[None])[0].numpy()

    def _with_head(self, embeddings: torch.Tensor) -> torch.Tensor:
        head = self.head
        return embeddings if head is None else answers_of(head, embeddings, self._name)


@torch.no_grad()
def answers_of(head: Head, embeddings: torch.Tensor, name: str) -> torch.Tensor:
    """What a head says of embeddings.

    Args:
        head: The head.
        embeddings: (n, D) float32.
        name: What to call its net.

    Returns:
        (n, n_classes) float32 on their device.

    Raises:
        ComputationError: It is not finite.
    """
    parameter = head.output.weight
    with without_autocast(parameter.device):
        found: torch.Tensor = in_eval_mode(head)(embeddings.to(parameter.device, parameter.dtype))
    if not bool(torch.isfinite(found).all()):
        raise ComputationError(
            f"the head of {name} gives values that are not finite for ordinary embeddings: its parameters are damaged; "
            f"train it anew"
        )
    return found.float().to(embeddings.device)


def whole_clip_framing(configuration: Configuration, has_head: bool) -> SceneFraming:
    """The windows of a clip that is tagged as a whole.

    Args:
        configuration: Of the net.
        has_head: Whether a head sees the mean of their embeddings. Else the net's own logits are averaged.
    """
    if has_head:
        return scene_framing(configuration)
    row = configuration.checkpoint
    rate = row.net_sample_rate
    windows = CentredFraming(_MEAN_WINDOW_S * rate, rate, 1000 * _MEAN_HOP_S, row.padding == "reflection")
    return SceneFraming(windows, LONGEST_WHOLE_S * rate)
