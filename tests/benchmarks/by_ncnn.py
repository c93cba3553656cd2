"""ncnn, the best dense engine for these nets that we know of; MobileNetV3 needs pnnx besides, which translates nets."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.engine import folded
from hear_edgel3.engine.kernels.network import Plain
from hear_edgel3.families.l3.net import L3Net


def can_run(net: torch.nn.Module) -> bool:
    """Whether what a net needs is installed."""
    needed = ["ncnn"] if isinstance(net, L3Net) else ["ncnn", "pnnx"]
    return all(importlib.util.find_spec(name) is not None for name in needed)


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
        if isinstance(net, L3Net):
            scale, offset = _write_l3(net, file)  # pnnx's translation of these crashes ncnn
        else:
            scale, offset = 1.0, 0.0
            _write_traced(net, image, file)
        made = ncnn.Net()
        made.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(made.opt, option, False)
        made.load_param(str(file.with_suffix(".ncnn.param")))
        made.load_model(str(file.with_suffix(".ncnn.bin")))

    def matrix(one: np.ndarray) -> Any:
        if isinstance(net, L3Net):
            one = (one * np.float32(scale) + np.float32(offset))[None]
        return ncnn.Mat(np.ascontiguousarray(one)).clone()

    def run(images: torch.Tensor) -> torch.Tensor:
        rows = []
        for one in images.numpy():
            extractor = made.create_extractor()
            extractor.input("in0", matrix(one))
            rows.append(np.array(extractor.extract("out0")[1]).ravel())
        return torch.from_numpy(np.stack(rows))

    return run


def _write_l3(net: L3Net, file: Path) -> tuple[float, float]:
    """Writes an L3 net as ncnn's files; returns what its input is to be multiplied with, and what to be added."""
    plain = Plain.of(net)
    lines, blob, last = ["Input in0 0 1 in0"], b"", "in0"

    def add(kind: str, arguments: str, name: str = "") -> None:
        nonlocal last
        name = name or f"x{len(lines)}"
        lines.append(f"{kind} {name} 1 1 {last} {name} {arguments}")
        last = name

    for i, (weights, bias) in enumerate(zip(plain.weights, plain.biases, strict=True)):
        relu = " 9=1" if plain.relus[i] else ""
        add("Convolution", f"0={len(bias)} 1=3 4=1 5=1 6={weights.size}{relu}")
        blob += struct.pack("<I", 0) + weights.tobytes() + bias.tobytes()
        if plain.pooled[i]:
            add("Pooling", "0=0 1=2 2=2 5=1")
    add("Pooling", "0=0 4=1", "out0")
    file.with_suffix(".ncnn.param").write_text(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
    file.with_suffix(".ncnn.bin").write_bytes(blob)
    return plain.scale, plain.offset


def _write_traced(net: torch.nn.Module, image: torch.Tensor, file: Path) -> None:
    """Writes a net, batch norm folded, as ncnn's files by way of TorchScript and pnnx."""
    import pnnx

    with torch.no_grad():
        torch.jit.trace(folded.folded_module(net).eval(), image).save(str(file))
    program = Path(str(pnnx.__file__)).parent / "pnnx"
    shape = ",".join(str(n) for n in image.shape)
    subprocess.run([program, file, f"inputshape=[{shape}]", "fp16=0"], cwd=file.parent, capture_output=True, check=True)
