"""An extractor that also answers what code written for edgel3's Keras models asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hear_edgel3.audio.samples import to_samples
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.extractor import Extractor


class EmbeddingModel(Extractor):
    """What :func:`hear_edgel3.edgel3.models.load_embedding_model` returns.

    A :class:`hear_edgel3.Extractor` with the members of ``keras.models.Model`` that edgel3's users touch.
    """

    @classmethod
    def of(cls, loaded: Extractor) -> EmbeddingModel:
        """The same model, sharing its modules.

        Args:
            loaded: an extractor with the default engine.
        """
        model = cls(
            loaded.configuration,
            loaded.frontend,
            loaded.net,
            sample_rate=loaded.sample_rate,
            hop_ms=loaded.hop_ms,
            weights=loaded.weights,
        )
        return model.eval()

    @property
    def input_shape(self) -> tuple[None, int, int]:
        """Shape of what :meth:`predict` takes: (any number, 1, samples of a window)."""
        return None, 1, self.window

    @property
    def output_shape(self) -> tuple[None, int]:
        """Shape of what :meth:`predict` returns: (any number, embedding size)."""
        return None, self.timestamp_embedding_size

    def predict(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> np.ndarray:  # noqa: ARG002
        """Embeds windows that have been cut already.

        Args:
            x: (n, 1, window) floats in [-1, 1], or integers at their full scale, at ``net_sample_rate``.
            batch_size: kept for compatibility; the engine groups windows as it is fastest, with the same results.
            verbose: kept for compatibility; nothing is printed.

        Returns:
            (n, embedding size) float32.

        Raises:
            InvalidAudio: wrong shape or type, or not finite.
        """
        windows = to_samples(x, "x")
        if windows.ndim != 3 or windows.shape[1:] != (1, self.window) or len(windows) == 0:
            raise InvalidAudio(
                f"x must have shape (n, 1, {self.window}) and n be at least 1, got {tuple(windows.shape)}"
            )
        groups = torch.split(windows[:, 0].float(), self.windows_at_once(self.window))
        result: np.ndarray = torch.cat([self.embed_windows(group).cpu() for group in groups]).numpy()
        return result
