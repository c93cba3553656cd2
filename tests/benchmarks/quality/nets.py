"""What is compared: the protocol of an embedding, and those that this package provides.

Our nets give their scene embeddings. Nets of the MobileNetV3 family are fed at the 32000 Hz they have inside, others at
their default rate (16000 Hz for SEA).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

import hear_edgel3
from hear_edgel3.extractor.complexity import complexity_of
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.schema import Configuration
from hear_edgel3.registry.names import find, resolve

BASELINE, RANDOM, BUILT_IN = "mel", "random", "tiny"
_MOBILENETV3_RATE = 32000
_SEEDS = 3
_BATCH = 32


class Net(Protocol):
    """Something that embeds clips.

    Attributes:
        name: for the table.
        sample_rate: of the clips it takes, in Hz.
        parameters: trained values.
        macs: multiply-accumulates of a scene embedding of 10 s; None if unknown.
    """

    name: str
    sample_rate: int
    parameters: int
    macs: int | None

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """(n, n_samples) float32 clips to (n, size) embeddings."""


class MelStatistics:
    """The baseline: mean and standard deviation over time of the MobileNetV3 front end's log-mel spectrogram."""

    name = "mel mean + std"
    sample_rate = _MOBILENETV3_RATE
    parameters = 0
    macs: int | None = 0

    def __init__(self) -> None:
        self._frontend = MobileNetV3MelSpectrogram().eval()

    @torch.no_grad()
    def embed(self, clips: np.ndarray) -> np.ndarray:
        """(n, 256)."""
        mels = [self._frontend(part) for part in torch.split(torch.from_numpy(clips), _BATCH)]
        return torch.cat([torch.cat([mel.mean(dim=2), mel.std(dim=2)], dim=1) for mel in mels]).numpy()


class Ours:
    """An extractor of this package.

    Args:
        name: for the table.
        extractor: what embeds.
        macs: multiply-accumulates of a scene embedding of 10 s; None if unknown.
    """

    def __init__(self, name: str, extractor: Extractor, macs: int | None) -> None:
        self.name = name
        self.sample_rate = extractor.sample_rate
        self.parameters = extractor.configuration.checkpoint.n_parameters
        self.macs = macs
        self.embedding_size = extractor.scene_embedding_size
        self._extractor = extractor

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Scene embeddings."""
        parts = torch.split(torch.from_numpy(clips), _BATCH)
        return torch.cat([self._extractor.scene_embeddings(part) for part in parts]).numpy()


def _scene_macs(configuration: Configuration) -> int | None:
    costs, row = complexity_of(configuration), configuration.checkpoint
    if costs is not None:
        return costs.macs_scene_10s
    if row.family != "image" or configuration.words:  # of which only the pictures count, whatever they show
        return None
    rate = row.net_sample_rate
    scene = scene_framing(configuration).decide(10 * rate, ended=True)
    return None if scene is None else scene.count(10 * rate, Fraction(10)) * row.macs_10s


def load(name: str, weights: Path | None) -> Ours:
    """A configuration of this package with its weights.

    Args:
        name: a configuration's name, or a folder that holds one.
        weights: a folder that may hold them; else they are found as for :func:`hear_edgel3.load`.
    """
    extractor = hear_edgel3.load(name, weights_file(name, weights), _rate(resolve(name)))
    return Ours(Path(name).name, extractor, _scene_macs(extractor.configuration))


def weights_file(name: str, weights: Path | None) -> Path | None:
    """The weights of a configuration in a folder, or None if they are not there."""
    file = None if weights is None else weights / f"{resolve(name).checkpoint.name}.safetensors"
    return file if file is not None and file.is_file() else None


def untrained() -> list[Net]:
    """Nets of the architecture of the built-in one (or of mn01_as) as they are before training, from three seeds.

    Their batch norm statistics are the initial ones: means of zero, variances of one.
    """
    configuration = find(BUILT_IN) or resolve("mn01_as")
    macs = _scene_macs(configuration)
    nets: list[Net] = []
    for seed in range(_SEEDS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = configuration.net.build()
        extractor = Extractor(configuration, configuration.checkpoint.frontend.build(), net, _rate(configuration))
        name = f"untrained {configuration.name}, mean of {_SEEDS}"
        nets.append(Ours(name, extractor.eval(), macs))
    return nets


def _rate(configuration: Configuration) -> int | None:
    return _MOBILENETV3_RATE if configuration.checkpoint.net_sample_rate == _MOBILENETV3_RATE else None


def make(name: str, weights: Path | None, peers: dict[str, Callable[[], Net]]) -> Sequence[Net]:
    """The net of a name: one, or several that are one up to their seed, whose mean is reported.

    Args:
        name: "mel", "random", a peer's, a configuration's, or a folder that holds one.
        weights: as for :func:`load`.
        peers: what makes each peer.
    """
    if name == BASELINE:
        return [MelStatistics()]
    if name == RANDOM:
        return untrained()
    if name in peers:
        return [peers[name]()]
    return [load(name, weights)]
