"""Pretrained nets of others, whose weights are inside their PyPI packages, as those packages run them.

    pip install --no-deps aisfx==0.1.2 openwakeword==0.4.0 Resemblyzer==0.1.4
    pip install -c constraints.txt essentia librosa onnxruntime tqdm webrtcvad-wheels

The first line leaves out their dependencies because aisfx pins a NumPy of 2022, and Resemblyzer wants webrtcvad, which
has to be compiled: webrtcvad-wheels is the same module, compiled (only imported here; no clip is cut by it). Nothing is
imported before a peer is asked for, and nothing in them is changed.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.quality.nets import Net


class Aisfx:
    """aisfx 0.1.2: a VGG-like net for sound effects, with its authors' spectrograms (essentia, not librosa).

    A clip of a second is one block of the 2.3 s that the net takes, zeros behind it as aisfx has it.
    """

    name = "aisfx"
    sample_rate = 44100
    # A block is 100 frames of 1024 samples, the next one half a block later: 7 of them cover 10 s.
    _BLOCK, _BLOCKS_10S = (100, 96), 7

    def __init__(self) -> None:
        from aisfx import inference

        self._package = inference
        # Its checkpoint holds a few NumPy numbers besides tensors; these and nothing else are let in.
        number = np.float64(0).__reduce__()[0]
        allowed = [(number, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.int64))]
        with torch.serialization.safe_globals(allowed):
            weights, datasets = inference.load_weights("cpu")
        self._model = inference.load_bestModel(weights, datasets, "cpu")
        self._spectrogram = inference.spectrogram_selector("essentia")
        net = self._model.embedding_net
        self.parameters = sum(parameter.numel() for parameter in net.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, *self._BLOCK))
        self.macs: int | None = self._BLOCKS_10S * int(counter.get_total_flops()) // 2

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """(n, 512)."""
        with tempfile.TemporaryDirectory() as folder:
            return np.stack([self._embed(clip, Path(folder) / "clip.wav") for clip in clips])

    def _embed(self, clip: np.ndarray, path: Path) -> np.ndarray:
        package = self._package
        soundfile.write(path, clip, self.sample_rate, subtype="FLOAT")
        spectrogram = self._spectrogram(
            filename=str(path),
            sr=package.SAMPLE_RATE,
            block_size=package.SPEC_BLOCK_LENGTH,
            hop_size=package.SPEC_HOP_LENGTH,
            n_mels=package.MEL_BINS,
            f_min=package.F_MIN,
            f_max=package.F_MAX,
        )
        spectrogram = package.spectrogram_normalize(spectrogram)
        # A hop of a quarter, not half, of a block: aisfx asserts that it is shorter than the clip. There is one block.
        embedding = package.model_get_embedding(spectrogram, 0.25, False, self._model, "cpu")
        return embedding.mean(dim=0).numpy()


class OpenWakeWord:
    """openwakeword 0.4.0: Google's speech_embedding in ONNX; the mean of its embeddings every 80 ms."""

    name = "openwakeword"
    sample_rate = 16000
    # Of the embedding net alone; counted once in the graph of its ONNX file, which nothing installed here can read.
    parameters = 328_201
    _MACS_PER_WINDOW, _WINDOWS_10S = 41_955_840, 116
    macs: int | None = _WINDOWS_10S * _MACS_PER_WINDOW

    def __init__(self) -> None:
        from openwakeword.utils import AudioFeatures

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no CUDA
            self._features = AudioFeatures()

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """(n, 96)."""
        integers = np.clip(np.rint(clips * 32767), -32768, 32767).astype(np.int16)
        return self._features.embed_clips(integers).mean(axis=1)


class Resemblyzer:
    """Resemblyzer 0.1.4: a speaker encoder (GE2E), without its trimming of what is not speech."""

    name = "Resemblyzer"
    sample_rate = 16000

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder("cpu", verbose=False)
        self.parameters = sum(parameter.numel() for parameter in self._encoder.parameters())
        slices, _ = self._encoder.compute_partial_slices(10 * self.sample_rate, rate=1.3, min_coverage=0.75)
        lstm = self._encoder.lstm
        per_frame = sum(weight.numel() for name, weight in lstm.named_parameters() if name.startswith("weight"))
        frames = sum((part.stop - part.start) // (self.sample_rate // 100) for part in slices)
        self.macs: int | None = per_frame * frames + len(slices) * self._encoder.linear.weight.numel()

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """(n, 256)."""
        return np.stack([self._encoder.embed_utterance(clip) for clip in clips])


PEERS: dict[str, Callable[[], Net]] = {"aisfx": Aisfx, "openwakeword": OpenWakeWord, "resemblyzer": Resemblyzer}
