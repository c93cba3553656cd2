"""A net as a transformer of scikit-learn: sounds in, embeddings out.

The module needs scikit-learn; :mod:`hear_edgel3` imports it when its class is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hear_edgel3._extras import require
from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.samples import each_of
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.clip import embed_scene
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.loading import load
from hear_edgel3.registry.names import BUILT_IN

_base = require("sklearn.base", "hear_edgel3.SceneTransformer", "train", "scikit-learn")


class SceneTransformer(_base.TransformerMixin, _base.BaseEstimator):  # type: ignore[misc, name-defined]
    """Scene embeddings as a step of a scikit-learn pipeline.

    >>> pipeline = make_pipeline(SceneTransformer("tiny"), StandardScaler(), LogisticRegression())
    >>> pipeline.fit(["a.wav", "b.wav"], ["dog", "cat"])

    Nothing is learnt: ``fit`` only loads the net. It can be cloned, pickled and run in several processes; a pickle
    holds the arguments, not the net, which is loaded anew where it is used.

    Args:
        config: A configuration's name, or the path of a folder that ``distill`` or ``train`` has made.
        sample_rate: The rate of arrays in Hz; None if there are none, or they have the net's ``sample_rate``. Files
            tell theirs.
        features: As for :func:`hear_edgel3.load`.
        weights: As for :func:`hear_edgel3.load`.
        engine: As for :func:`hear_edgel3.load`.
        device: Where the net runs.
        channel: What of the channels of files: "mean" of all, or the number of one, from 0.

    Attributes:
        n_features_out_: How many values an embedding has, once fitted.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] = BUILT_IN,
        *,
        sample_rate: int | None = None,
        features: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        device: str = "cpu",
        channel: int | str = MEAN,
    ) -> None:
        self.config = config
        self.sample_rate = sample_rate
        self.features = features
        self.weights = weights
        self.engine = engine
        self.device = device
        self.channel = channel

    def fit(self, X: Any = None, y: Any = None) -> SceneTransformer:  # noqa: ARG002, N803
        """Loads the net.

        Args:
            X: Not looked at.
            y: Not looked at.

        Raises:
            As :func:`hear_edgel3.load`.
        """
        check_channel(self.channel)
        self._extractor: Extractor | None = None
        self.n_features_out_ = self._net().embedding_size
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Embeds sounds.

        Args:
            X: Paths of files (or their bytes, or binary file objects), of any rates and numbers of channels, also as
                the only column of a table; or (samples,) arrays of any lengths, or one (n, samples) array, of floats in
                [-1, 1] or integers at their full scale.

        Returns:
            (n, D) float32.

        Raises:
            AudioFileError: A file is missing, damaged or not audio.
            InvalidAudio: A clip has the wrong shape or type, is not finite, or is too short.
            InvalidOption: The rate or the channel cannot be used.
        """
        net = self._net()
        if isinstance(X, (str, bytes, os.PathLike)):
            raise InvalidAudio(f"X must be several sounds, got one: [{X!r}] for a file alone")
        if self.sample_rate is not None:
            check_rate(self.sample_rate)
        rows = [
            embed_scene(sound, net, channel=self.channel) if _is_file(sound) else self._of_array(net, sound, i)
            for i, sound in enumerate(each_of(_sounds(X), "X"))
        ]
        return np.stack(rows) if rows else np.zeros((0, net.embedding_size), np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002
        """Names of the values: ``tiny_0``, ``tiny_1``, ...

        Args:
            input_features: Not looked at.
        """
        net = self._net()
        return np.array([f"{net.configuration.name}_{i}" for i in range(net.embedding_size)], dtype=object)

    def _net(self) -> Extractor:
        if getattr(self, "_extractor", None) is None:  # scikit-learn makes objects with the arguments alone
            net = load(self.config, self.weights, features=self.features, engine=self.engine)
            self._extractor = net.to(self.device)
        assert self._extractor is not None
        return self._extractor

    def _of_array(self, net: Extractor, sound: Any, number: int) -> np.ndarray:
        if (n_dims := _dimensions(sound)) != 1:
            has = "parts of different shapes" if n_dims is None else f"{n_dims} dimensions"
            raise InvalidAudio(f"sound {number} of X has {has}; give (samples,) arrays, or paths of files")
        clip = sound[None] if isinstance(sound, (np.ndarray, torch.Tensor)) else [sound]
        try:
            row: np.ndarray = net.scene_embeddings(clip, sample_rate=self.sample_rate)[0].cpu().numpy()
        except InvalidAudio as error:
            raise InvalidAudio(f"sound {number} of X: {error}") from error
        return row

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_extractor": None}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags


def _sounds(X: Any) -> Any:  # noqa: N803
    """The sounds, one by one: of a table, or of an array of files, the rows of its only column.

    Raises:
        InvalidAudio: A table has another number of columns: its names, which one gets of it, are no sounds.
    """
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):  # pandas, Polars
        X = X.to_numpy()  # noqa: N806
        if X.dtype.kind in "OUST" and X.shape[1] != 1:
            raise InvalidAudio(f"X must have one column, of files, and has {X.shape[1]}: choose it, as X[['file']]")
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUST" and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X


def _is_file(sound: object) -> bool:
    return isinstance(sound, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(sound, "read")


def _dimensions(sound: Any) -> int | None:
    """How many dimensions it has; None for what is no array of numbers: a pair of samples and their rate, say."""
    try:
        return int(sound.ndim) if isinstance(sound, torch.Tensor) else np.ndim(sound)
    except ValueError:
        return None
