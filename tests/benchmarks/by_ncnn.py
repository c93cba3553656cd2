"""ncnn, the best dense engine for these nets that we know of; MobileNetV3 needs pnnx besides, which translates nets."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.engine import folded
from hear_edgel3.families.kernel_description import dense
from hear_edgel3.families.l3.net import L3Net

# From a spectrogram, (n_mels, n_frames), to the array that ncnn gets.
_Prepare = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Translation:
    """How a kind of net becomes ncnn's files.

    Attributes:
        packages: what has to be installed.
        write: writes the files beside the one named; gets the net, an image and that name.
    """

    packages: tuple[str, ...]
    write: Callable[[Any, torch.Tensor, Path], _Prepare]


def _translation_of(net: torch.nn.Module) -> _Translation:
    return _BY_HAND if isinstance(net, L3Net) else _TRACED


def can_run(net: torch.nn.Module) -> bool:
    """Whether what a net needs is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _translation_of(net).packages)


def compile_net(net: torch.nn.Module, image: torch.Tensor, threads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net as ncnn runs it in float32, image by image.

    Args:
        net: in eval mode.
        image: (1, n_mels, n_frames), like those that it will get.
        threads: that ncnn may use.
    """
    import ncnn

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.pt"
        prepare = _translation_of(net).write(net, image, file)
        made = ncnn.Net()
        made.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(made.opt, option, False)
        made.load_param(str(file.with_suffix(".ncnn.param")))
        made.load_model(str(file.with_suffix(".ncnn.bin")))

    def matrix(one: np.ndarray) -> Any:
        # ncnn.Mat(array) borrows the array's memory and holds no reference to the array, and it reads no strides. So
        # the array has a name here, which keeps it until clone() has copied it: given as a temporary it is freed
        # before, and what is copied is whatever the allocator has put there by then.
        array = np.ascontiguousarray(prepare(one), dtype=np.float32)
        return ncnn.Mat(array).clone()

    def run(images: torch.Tensor) -> torch.Tensor:
        rows = []
        for one in images.numpy():
            extractor = made.create_extractor()
            extractor.input("in0", matrix(one))
            rows.append(np.array(extractor.extract("out0")[1]).ravel())
        return torch.from_numpy(np.stack(rows))

    return run


def _write_by_hand(net: L3Net, image: torch.Tensor, file: Path) -> _Prepare:
    """Writes an L3 net, batch norm folded, as ncnn's files: pnnx's translation of it crashes ncnn."""
    layers = net.kernel_layers()
    lines, blob, last = ["Input in0 0 1 in0"], b"", "in0"

    def add(kind: str, arguments: str, name: str = "") -> None:
        nonlocal last
        name = name or f"x{len(lines)}"
        lines.append(f"{kind} {name} 1 1 {last} {name} {arguments}")
        last = name

    for i, (weights, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        relu = " 9=1" if layers.relus[i] else ""
        add("Convolution", f"0={len(bias)} 1=3 4=1 5=1 6={weights.size}{relu}")
        blob += struct.pack("<I", 0) + dense(weights).tobytes() + bias.tobytes()
        if layers.pooled[i]:
            add("Pooling", "0=0 1=2 2=2 5=1")
    add("Pooling", "0=0 4=1", "out0")
    file.with_suffix(".ncnn.param").write_text(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
    file.with_suffix(".ncnn.bin").write_bytes(blob)
    scale, offset = np.float32(layers.scale), np.float32(layers.offset)
    return lambda one: (one * scale + offset)[None]


def _write_traced(net: torch.nn.Module, image: torch.Tensor, file: Path) -> _Prepare:
    """Writes a net, batch norm folded, as ncnn's files by way of TorchScript and pnnx."""
    import pnnx

    with torch.no_grad():
        torch.jit.trace(folded.folded_module(net).eval(), image).save(str(file))
    program = Path(str(pnnx.__file__)).parent / "pnnx"
    shape = ",".join(str(n) for n in image.shape)
    subprocess.run([program, file, f"inputshape=[{shape}]", "fp16=0"], cwd=file.parent, capture_output=True, check=True)
    return lambda one: one


_BY_HAND = _Translation(("ncnn",), _write_by_hand)
_TRACED = _Translation(("ncnn", "pnnx"), _write_traced)
