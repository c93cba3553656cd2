"""ExecuTorch files (.pte), for phones and boards with PyTorch's own small runtime and its kernels, XNNPACK.

The card, and what is known of operators that XNNPACK has swallowed, is what the file's method ``hear_edgel3`` returns:
JSON. A file takes one window of one length at a time, and computes in float32.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3._extras import require
from hear_edgel3.errors import ConfigurationError, InvalidOption, MissingExtra
from hear_edgel3.exporting.checked import checked_card

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hear_edgel3.exporting.program import Program

EXTRA, SUFFIX, ENGINE, FLOAT64 = "executorch", ".pte", "executorch", False
FOLDER, INT8, PARTS = False, True, ("whole", "net", "frontend")
FIXED_S = 1.0
# As of OpenVINO: a DFT in float32 drowns what leaks out of pure tones.
TOLERANCES = {"tone": 1e-4, "": 1e-5}
METHOD = "hear_edgel3"
# Of the weights of a net: with fewer in eight bits a file is hardly smaller, and nobody asks for that.
_LEAST_SHARE = 0.5


def check_installed() -> None:
    """Raises MissingExtra if a package that it needs is not installed."""
    if importlib.util.find_spec("executorch") is None:
        raise MissingExtra("exporting to ExecuTorch", "executorch", EXTRA)


def engine_version() -> str:
    """The version of ExecuTorch."""
    _runtime("running an ExecuTorch file")
    return version("executorch").split("+", maxsplit=1)[0]


def size_of(path: Path) -> int:
    """The bytes of a file."""
    return path.stat().st_size


def write(program: Program, path: Path) -> None:
    """Writes a program."""
    from hear_edgel3.exporting.converting import convert

    convert(program, "executorch", path, program.card)


def quantize(program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:  # noqa: ARG001 it is written anew
    """Writes a file with weights in eight bits, those of fully connected layers and of convolutions of single pixels.

    Raises:
        InvalidOption: Most of the net's weights are others.
    """
    from hear_edgel3.exporting.converting import convert
    from hear_edgel3.exporting.executorch_int8 import takes
    from hear_edgel3.exporting.int8 import choose

    chosen = choose(program, inputs, takes)
    weights = sum(value.numel() for value in program.module.parameters())
    if sum(one.values.size for one in chosen.narrowed.values()) < _LEAST_SHARE * weights:
        raise InvalidOption(
            f"ExecuTorch takes in eight bits only weights of convolutions of single pixels and of linear layers, and "
            f"most of {program.card['name']}'s are others; leave quantize (--quantize) out"
        )
    how = {"method": "weights", "in_float": list(chosen.in_float), "blocks": chosen.blocks}
    card = {**program.card, "quantization": how}
    convert(program, "executorch", path, card, chosen.narrowed)
    return card


class _Session:
    def __init__(self, path: Path) -> None:
        self._program = _load(path)
        self._method = self._program.load_method("forward")
        self._names = [*_facts(self._program, path)["card"]["outputs"]]

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np
        import torch

        # Copies: the next call overwrites what the method holds.
        windows = [np.ascontiguousarray(x[i : i + 1]) for i in range(len(x))]
        found = [[y.numpy().copy() for y in self._method.execute([torch.from_numpy(one)])] for one in windows]
        return {name: np.concatenate([one[i] for one in found]) for i, name in enumerate(self._names)}


def open_file(path: Path, threads: int | None = 1) -> _Session:  # noqa: ARG001 it has one pool for all files
    """Opens a file in ExecuTorch on the CPU. Windows are given to it one by one."""
    return _Session(path)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file.

    Raises:
        ConfigurationError: It is not a file that was exported here, or damaged.
    """
    return checked_card(_facts(_load(path), path).get("card"), str(path))


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """The operators of the program before XNNPACK took its share, its parameters, and the MACs of its window.

    The MACs are those of convolutions and matrix products, of the front end's too.
    """
    facts = _facts(_load(path), path)
    numbers = [facts.get(name) for name in ("parameters", "macs_window")]
    if not all(type(one) is int for one in numbers) or not isinstance(facts.get("operators"), dict):
        raise ConfigurationError(
            f"{path} is damaged, or of another version: what it says of its operators is incomplete"
        )
    return {
        **{name: facts[name] for name in ("operators", "parameters", "macs_window")},
        "window_samples": card["length"],
    }


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    if data[4:6] != b"ET":
        raise ConfigurationError(f"{path} is no ExecuTorch file: it does not begin like one")
    runtime = _runtime("reading an ExecuTorch file")
    try:
        return runtime.load_program(data)
    except RuntimeError as error:
        raise ConfigurationError(f"{path} is damaged: {error}") from error


def _facts(program: Any, path: Path) -> dict[str, Any]:
    if METHOD not in program.method_names:
        raise ConfigurationError(f"{path} was not exported by hear_edgel3: it says nothing of what it is")
    try:
        (text,) = program.load_method(METHOD).execute([])
        facts = json.loads(text)
    except (RuntimeError, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged: what it says of itself is no JSON ({error})") from error
    if not isinstance(facts, dict):
        raise ConfigurationError(f"{path} is damaged: what it says of itself is no JSON object")
    return facts


def _runtime(purpose: str) -> Any:
    with _quiet():
        return require("executorch.runtime", purpose, EXTRA).Runtime.get()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what is said of libraries and types of packages that are imported on the way, and not used."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
