"""Converts a program with an engine's own tools, in a process apart: ``python -m hear_edgel3.exporting.converting``.

These tools take most of a gigabyte of memory, print, start threads and change what torch and Python do for everybody
else. Nothing of that is left behind by a process that ends.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ComputationError, InvalidOption
from hear_edgel3.exporting.int8 import Narrowed

if TYPE_CHECKING:
    from hear_edgel3.exporting.program import Program

# Nets whose operations a tool does not know are told from trouble with the tool itself.
_NOT_CONVERTED = 3
_SAID = 1500
_PARTS = ("values", "scale")
# Of constants in ExecuTorch files, in bytes: what their engine asks for; its tools lay each at a multiple of 128.
_ALIGNMENT = 16
# What these tools import can look for devices and write progress, and Hugging Face's packages can ask for updates.
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def convert(
    program: Program, tool: str, path: Path, card: dict[str, Any], narrowed: Mapping[str, Narrowed] | None = None
) -> None:
    """Writes a program for one window at a time, of the length of its example.

    Args:
        program: Its module is traced here; the tool is given operations and constants, and no Python.
        tool: "litert" or "executorch".
        path: The file.
        card: For tools that put it in while they write; others leave it out.
        narrowed: Weights that are to be stored in eight bits, by the names of the module's parameters; for ExecuTorch
            alone.

    Raises:
        InvalidOption: The net has an operation that cannot be traced or that the tool does not know.
        ComputationError: The tool does not run.
    """
    import torch

    from hear_edgel3.families.banded_mel import BandedMel

    module = copy.deepcopy(program.module)
    for part in module.modules():
        if isinstance(part, BandedMel):
            part.leave_out_zeros()
    # torch.export.save tells constants apart by where they lie, and mistakes those that are parts of larger ones.
    for value in (*module.parameters(), *module.buffers()):
        value.data = value.data.clone(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory(prefix="hear_edgel3_export_") as folder:
        source, words, eight = (Path(folder) / name for name in ("source.pt2", "card.json", "int8.npz"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.export.save(torch.export.export(module, (program.example[:1],), strict=False), source)
        except OSError:
            raise
        except Exception as error:
            raise InvalidOption(
                f"{program.card['name']} cannot be exported for {tool}: torch.export does not trace it: "
                f"{_first_line(error)}"
            ) from error
        words.write_text(json_text(card), encoding="utf-8")
        parts = {f"{name} {part}": getattr(one, part) for name, one in (narrowed or {}).items() for part in _PARTS}
        np.savez(eight, **parts)
        done = subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-m", "hear_edgel3.exporting.converting", tool, *map(str, (source, words, eight, path))],
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        reason = words.read_text(encoding="utf-8")
    if done.returncode == _NOT_CONVERTED:
        raise InvalidOption(f"{program.card['name']} cannot be exported for {tool}, which does not take it: {reason}")
    said = done.stderr.strip()[-_SAID:] or f"it ended with {done.returncode} and said nothing"
    if done.returncode or not path.is_file():
        raise ComputationError(f"the tools of {tool} did not run to their end; the last that they said:\n{said}")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _litert(exported: Any, card: str, narrowed: object, path: Path) -> None:  # noqa: ARG001 both are put in later
    import litert_torch

    example, _ = exported.example_inputs
    litert_torch.convert(exported.module(), example).export(str(path))


def _executorch(exported: Any, card: str, narrowed: Mapping[str, Narrowed], path: Path) -> None:
    from executorch.backends.xnnpack.operators import node_visitor
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    from hear_edgel3.exporting.executorch_int8 import Narrowing

    narrowing = Narrowing(exported, narrowed) if narrowed else None
    said = json_text({"card": json.loads(card), **_facts(exported)})
    # Of a checksum that constants are known by, a quarter tells them apart; it stands in the file some times for each.
    node_visitor.hashlib = SimpleNamespace(sha256=lambda data: SimpleNamespace(hexdigest=lambda: _short(data)))
    lowered = to_edge_transform_and_lower(
        exported, partitioner=[XnnpackPartitioner()], constant_methods={"hear_edgel3": said}
    )
    if narrowing is not None:
        narrowing.check()
    path.write_bytes(lowered.to_executorch(ExecutorchBackendConfig(segment_alignment=_ALIGNMENT)).buffer)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _facts(exported: Any) -> dict[str, Any]:
    """The operators of a traced program by their number, the values of its parameters, and its MACs."""
    called = [node for node in exported.graph.nodes if node.op == "call_function"]
    called = [node for node in called if not node.target.__name__.startswith("_assert")]
    stored = {**exported.state_dict, **exported.constants}
    return {
        "operators": dict(sorted(Counter(_name(node) for node in called).items())),
        "parameters": sum(value.numel() for value in stored.values()),
        "macs_window": sum(map(_macs, called)),
    }


def _name(node: Any) -> str:
    """The operator, the same if it overwrites its input."""
    return str(node.target.__name__).partition(".")[0].rstrip("_")


def _macs(node: Any) -> int:
    name = _name(node)
    if name not in ("conv2d", "linear", "matmul"):
        return 0
    output, second = node.meta["val"].shape, node.args[1].meta["val"].shape
    # (out, in, ...) of weights, (..., in, out) of matrices
    return int(math.prod(output) * (second[-2] if name == "matmul" else math.prod(second[1:])))


_TOOLS = {"litert": _litert, "executorch": _executorch}


def _main(tool: str, source: str, card: str, eight: str, path: str) -> int:
    import torch

    warnings.simplefilter("ignore")
    exported, words, parts = torch.export.load(source), Path(card), np.load(eight)
    names = {one.rpartition(" ")[0] for one in parts}
    narrowed = {name: Narrowed(*(parts[f"{name} {part}"] for part in _PARTS)) for name in names}
    try:
        _TOOLS[tool](exported, words.read_text(encoding="utf-8"), narrowed, Path(path))
    except (OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        # Not on stderr, where much else is said.
        words.write_text(_first_line(error), encoding="utf-8")
        return _NOT_CONVERTED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
