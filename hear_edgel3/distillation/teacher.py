"""The teacher: any configuration, asked for the embedding of a clip and, if it tags, for its logits."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from hear_edgel3.engine.runner import Runner
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import load
from hear_edgel3.registry.names import resolve


@dataclass(frozen=True)
class Answer:
    """What the teacher says of some clips.

    Attributes:
        embedding: (n, D) The embeddings, float32.
        logits: (n, n_classes) The logits, float32, or None.
    """

    embedding: torch.Tensor
    logits: torch.Tensor | None


class Teacher:
    """Any configuration, fed at its net's own rate.

    Args:
        name: of the configuration.
        weights: as for :func:`hear_edgel3.load`.

    Attributes:
        extractor: The extractor of the configuration.
        sample_rate: The rate of the clips to ask about, in Hz.
        embedding_size: The values of its embedding.
        labels: The name of the list of its classes, or None.
        n_classes: The size of its logits; None if it has none, or cannot give them beside its embedding.

    Raises:
        UnknownConfiguration, WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: as for ``load``.
    """

    def __init__(self, name: str, weights: str | os.PathLike[str] | None = None) -> None:
        row = resolve(name).checkpoint
        self.extractor: Extractor = load(name, weights, sample_rate=row.net_sample_rate)
        row = self.extractor.configuration.checkpoint  # with the classes of its weights file, if that has its own
        self.sample_rate = row.net_sample_rate
        self.embedding_size = self.extractor.scene_embedding_size
        self.labels = row.labels
        has_logits = row.labels is not None and hasattr(self.extractor.net, "adding")
        self.n_classes: int | None = row.n_classes if has_logits else None
        self._whole_up_to = row.scene.whole_up_to
        self._at_once = row.windows_per_batch
        self._runner = Runner()

    @property
    def name(self) -> str:
        """The configuration's name."""
        return self.extractor.configuration.name

    @property
    def weights_sha256(self) -> str:
        """Of its weights file."""
        return self.extractor.weights.sha256 if self.extractor.weights is not None else ""

    def to(self, device: torch.device) -> Teacher:
        """Moves it to a device."""
        self.extractor.to(device)
        return self

    def ask(self, clips: torch.Tensor, windows: bool = False) -> Answer:
        """The scene embeddings, and the logits, of clips of one length.

        Args:
            clips: (n, samples) at ``sample_rate``, of up to ten seconds.
            windows: whether each clip is one window of the student. If it is just one of the teacher too, the teacher's
                embedding of that window is meant: its scene embedding is the mean over several, with half of the first
                and of the last one outside of the clip.
        """
        if windows and clips.shape[1] == self.extractor.window:
            with torch.inference_mode():
                parts = [
                    self._runner(self.extractor.net, self.extractor.frontend(part))
                    for part in torch.split(clips, self._at_once)
                ]
            return Answer(torch.cat(parts), None)
        if self.n_classes is None or clips.shape[1] > self._whole_up_to:
            return Answer(self.extractor.scene_embeddings(clips), None)
        with torch.inference_mode():
            images = self.extractor.frontend(clips)
        return self.ask_of_images(images)

    def ask_of_images(self, images: torch.Tensor) -> Answer:
        """The outputs for images as they are: for a net whose scene embedding is one pass over a clip, and which tags.

        Args:
            images: (n, n_mels, n_frames) from its own front end.
        """
        assert self.n_classes is not None
        net = self.extractor.net
        with torch.inference_mode(), net.adding("logits"):  # type: ignore[operator]
            values = self._runner(net, images)
        return Answer(values[:, : -self.n_classes].clone(), values[:, -self.n_classes :].clone())
