"""ncnn, the best dense engine for these nets that we know of: an L3 net written as its files. Needs ncnn."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.engine.lanes.net import Plain
from hear_edgel3.nets.l3 import L3Net


def compile_net(net: L3Net, threads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net as ncnn runs it in float32, window by window."""
    import ncnn

    plain = Plain.of(net)
    lines, blob, last = ["Input in0 0 1 in0"], b"", "in0"

    def add(kind: str, arguments: str) -> None:
        nonlocal last
        name = f"x{len(lines)}"
        lines.append(f"{kind} {name} 1 1 {last} {name} {arguments}")
        last = name

    for i, (weights, bias) in enumerate(zip(plain.weights, plain.biases, strict=True)):
        relu = " 9=1" if plain.relus[i] else ""
        add("Convolution", f"0={len(bias)} 1=3 4=1 5=1 6={weights.size}{relu}")
        blob += struct.pack("<I", 0) + weights.tobytes() + bias.tobytes()
        if plain.pooled[i]:
            add("Pooling", "0=0 1=2 2=2 5=1")
    add("Pooling", "0=0 4=1")
    made = ncnn.Net()
    made.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(made.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        parameters, weights_file = Path(folder) / "net.param", Path(folder) / "net.bin"
        parameters.write_text(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
        weights_file.write_bytes(blob)
        made.load_param(str(parameters))
        made.load_model(str(weights_file))

    def run(x: torch.Tensor) -> torch.Tensor:
        rows = []
        for image in x.numpy():
            extractor = made.create_extractor()
            scaled = image * np.float32(plain.scale) + np.float32(plain.offset)
            extractor.input("in0", ncnn.Mat(np.ascontiguousarray(scaled)[None]))
            rows.append(np.array(extractor.extract(last)[1]).ravel())
        return torch.from_numpy(np.stack(rows))

    return run
