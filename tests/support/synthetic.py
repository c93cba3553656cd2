"""Seeded checkpoints of every shape in the L3 family, in memory and in the authors' own file layouts.

Convolutions come from a frozen NumPy stream (legacy RandomState), batch norms from small files in tests/data that were
calibrated once so that activations neither vanish nor explode. Nothing here is trained: these nets prove arithmetic.
"""

from __future__ import annotations

import gzip
import io
from functools import lru_cache

import numpy as np
import torch

from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.registry.names import resolve
from support import oracle
from support.paths import DATA

NAMES = ("sea_64", "sea_128", "sea_256", "sea_512", "sparse_95")

_PRUNED = (0.0, 70.0, 80.0, 85.0, 90.0, 94.0, 96.0)  # percent of zeros in convolutions 1..7; 8 makes up the total
_OVERALL = 95.45


def row(name: str) -> Checkpoint:
    return resolve(name).checkpoint


def _sparse(name: str) -> bool:
    return name.startswith("sparse")


@lru_cache
def conv_weights(name: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Eight (kernel HWIO float32, bias float32). Kernel values lie on a power-of-two grid, so that files compress."""
    sparse, size = _sparse(name), resolve(name).embedding_size
    rs = np.random.RandomState(1000 + size + (1 if sparse else 0))
    out, n_in = [], 1
    for n_out in row(name).net.arguments["channels"]:
        deviation = np.sqrt(2.0 / (9 * n_in))
        step = 2.0 ** np.round(np.log2(deviation / 32))
        kernel = np.round(rs.randn(3, 3, n_in, n_out) * deviation / step) * step
        bias = np.round(rs.randn(n_out) * 0.05 * 1024) / 1024
        out.append((kernel.astype(np.float32), bias.astype(np.float32)))
        n_in = n_out
    if sparse:
        total = sum(k.size for k, _ in out)
        out[7] = (out[7][0], out[7][1] - np.float32(1.25))  # so that the embedding, without ReLU, has both signs
        zeros = [round(p / 100 * k.size) for p, (k, _) in zip(_PRUNED, out, strict=False)]
        zeros.append(round(_OVERALL / 100 * total) - sum(zeros))
        for i, n in enumerate(zeros):
            kernel = out[i][0].copy().reshape(-1)
            kernel[np.argsort(np.abs(kernel), kind="mergesort")[:n]] = 0
            out[i] = (kernel.reshape(out[i][0].shape), out[i][1])
    return tuple(out)


@lru_cache
def norm_weights(name: str) -> tuple[np.ndarray, ...]:
    """(4, channels) float32 each: gamma, beta, moving_mean, moving_variance."""
    stem = "sparse9545" if _sparse(name) else name.replace("_", "")
    with np.load(DATA / f"bn_{stem}.npz") as file:
        return tuple(file[f"bn{i}"] for i in range(len(file.files)))


@lru_cache
def mel_weights(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real and imaginary DFT kernels (n_fft, 1, 1, bins) and the mel bank (bins, n_mels), as kapre stores them."""
    arguments = row(name).frontend.arguments
    real, imaginary = oracle.dft_kernels(arguments["n_fft"])
    bank = oracle.mel_htk_slaney_norm(arguments["sample_rate"], arguments["n_fft"], arguments["n_mels"])
    return (
        real[:, None, None, :].astype(np.float32),
        imaginary[:, None, None, :].astype(np.float32),
        bank.astype(np.float32),
    )


def oracle_weights(name: str) -> dict[str, object]:
    """The same weights as the float64 oracle wants them."""
    real, imaginary, bank = mel_weights(name)
    return {
        "re": real[:, 0, 0].astype(np.float64),
        "im": imaginary[:, 0, 0].astype(np.float64),
        "fb": bank.astype(np.float64),
        "hop": row(name).frontend.arguments["hop_length"],
        "bn": [list(w.astype(np.float64)) for w in norm_weights(name)],
        "conv": [(k.astype(np.float64), b.astype(np.float64)) for k, b in conv_weights(name)],
    }


def state(name: str) -> dict[str, torch.Tensor]:
    """The net's state dict, named independently of the converter."""
    result = {}
    for i, (kernel, bias) in enumerate(conv_weights(name)):
        result[f"convs.{i}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        result[f"convs.{i}.bias"] = torch.from_numpy(bias)
    for i, arrays in enumerate(norm_weights(name)):
        prefix = "input_norm" if i == 0 else f"norms.{i - 1}"
        for key, array in zip(("weight", "bias", "running_mean", "running_var"), arrays, strict=True):
            result[f"{prefix}.{key}"] = torch.from_numpy(array.copy())
    return result


def h5_bytes(
    name: str,
    *,
    full: bool = True,
    first: int = 1,
    pooled: bool = True,
    as_bytes: bool = False,
    packed: bool = True,
) -> bytes:
    """A checkpoint in the authors' layout.

    Args:
        name: checkpoint.
        full: as `model.save` writes it (groups under /model_weights), else as `save_weights` (groups at the root).
        first: number of the first layer of each kind; 0 is TF-Keras, whose first has no number.
        pooled: whether the pooling and flatten layers are there; the files of 2019 end before them.
        as_bytes: attribute strings as bytes (Keras 2.0-2.3 with h5py 2) or text.
        packed: gzipped.
    """
    import h5py

    numbers: dict[str, int] = {}

    def numbered(kind: str) -> str:
        numbers[kind] = numbers.get(kind, first - 1) + 1
        return kind if numbers[kind] == 0 else f"{kind}_{numbers[kind]}"

    norms, convs = norm_weights(name), conv_weights(name)
    norm_names = ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")
    layers: list[tuple[str, list[tuple[str, np.ndarray]]]] = [(numbered("input"), [])]
    mel_names = ("real_kernels:0", "imag_kernels:0", "Variable:0")
    layers.append((numbered("melspectrogram"), list(zip(mel_names, mel_weights(name), strict=True))))
    layers.append((numbered("batch_normalization"), list(zip(norm_names, norms[0], strict=True))))
    for i, (kernel, bias) in enumerate(convs):
        conv = numbered("conv2d") if i < 7 else "audio_embedding_layer"
        layers.append((conv, [("kernel:0", kernel), ("bias:0", bias)]))
        if i + 1 < len(norms):
            layers.append((numbered("batch_normalization"), list(zip(norm_names, norms[i + 1], strict=True))))
            layers.append((numbered("activation"), []))
        if i in (1, 3, 5) or (i == 7 and pooled):
            layers.append((numbered("max_pooling2d"), []))
    if pooled:
        layers.append((numbered("flatten"), []))

    def strings(values: list[str]) -> object:
        return np.array(values, dtype="S") if as_bytes and values else values

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("model_weights") if full else file
        if full:
            file.attrs["model_config"] = '{"class_name": "Model", "config": {"name": "__import__(\'os\')"}}'
        file.attrs["keras_version"] = "2.3.1"
        file.attrs["backend"] = "tensorflow"
        group.attrs["layer_names"] = strings([layer for layer, _ in layers])
        for layer, weights in layers:
            subgroup = group.create_group(layer)
            # a second model of a session keeps the layer's name but numbers its weights
            inner = f"{layer}_1" if layer == "audio_embedding_layer" and first > 1 else layer
            subgroup.attrs["weight_names"] = strings([f"{inner}/{key}" for key, _ in weights])
            for key, array in weights:
                subgroup[f"{inner}/{key}"] = array
    data = buffer.getvalue()
    return gzip.compress(data, 1, mtime=0) if packed else data
