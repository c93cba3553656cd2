"""Libraries in C99 for what has a C compiler and nothing else: a folder of sources, weights, an example and a test.

They are compiled with the compiler of this machine to be proven, and only then put in their place.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3.errors import ComputationError, ConfigurationError, InvalidOption
from hear_edgel3.exporting.folders import read_folder_card, read_folder_facts, write_card

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hear_edgel3.exporting.program import Program

# No extra: a compiler is no package.
EXTRA, SUFFIX, ENGINE, FLOAT64 = "", "_c", "C99", True
FOLDER, INT8, PARTS = True, True, ("whole",)
# The DFT is computed in double, the net in float. Observed on all kinds of sounds: 2e-6 of the largest
# value, of nets that hardly learnt 7e-6.
TOLERANCES = {"": 2e-5}
# For any processor of a kind. -O3 is as fast; -march=native is faster where it may be used.
FLAGS = ("-std=c99", "-O2")
_COMPILERS = ("cc", "gcc", "clang")
# What a compiler may take: for a library, and to say its version.
_PATIENCE_S, _PATIENCE_FOR_VERSION_S = 1800, 30


def compiler() -> str | None:
    """The C compiler: what the variable CC names, or else cc, gcc or clang."""
    given = os.environ.get("CC", "").strip()
    return shutil.which(given) if given else next((one for one in map(shutil.which, _COMPILERS) if one), None)


def check_installed() -> None:
    """Raises InvalidOption if there is no compiler to prove a library with."""
    _compiler()


def _compiler() -> str:
    found = compiler()
    if found is None:
        given = os.environ.get("CC", "").strip()
        why = f"CC names {given!r}, which is not there" if given else f"none of {', '.join(_COMPILERS)} is there"
        raise InvalidOption(
            f"exporting to C needs a C compiler, to prove what it writes, and {why}; install one (Debian: apt-get "
            f"install gcc libc6-dev), or name one in the variable CC"
        )
    return found


def engine_version() -> str:
    """The compiler and its flags."""
    words = [_compiler(), "--version"]
    done = _called(words, _PATIENCE_FOR_VERSION_S)
    return f"by {(done.stdout.splitlines() or [Path(words[0]).name])[0]} {FLAGS[-1]}"


def _called(words: Sequence[str], patience_s: float) -> subprocess.CompletedProcess[str]:
    """What a compiler says.

    Raises:
        ComputationError: It cannot be run, or does not end.
    """
    try:
        return subprocess.run(  # noqa: S603 - the user's own compiler
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ComputationError(
            f"the compiler {words[0]} did not end within {patience_s} s; name another one in the variable CC"
        ) from error
    except OSError as error:
        raise ComputationError(
            f"the compiler {words[0]} cannot be run: {error.strerror or error}; name another one in the variable CC"
        ) from error


def size_of(path: Path) -> int:
    """The bytes of its constants, which are nearly all of it; code takes some 10 KB besides."""
    found: int = _facts(path)["bytes"]
    return found


def write(program: Program, path: Path) -> None:
    """Writes a program."""
    _write(program, path, {}, program.card)


def quantize(program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:  # noqa: ARG001
    """Writes a library whose weights are in eight bits; it computes in float."""
    from hear_edgel3.exporting.c_nets import int8_rows, stays_in_float
    from hear_edgel3.exporting.int8 import choose

    chosen = choose(program, inputs, rows=int8_rows(program.module.net), in_float=stays_in_float)
    how = {"method": "weights", "in_float": list(chosen.in_float), "blocks": chosen.blocks}
    card = {**program.card, "quantization": how}
    _write(program, path, chosen.narrowed, card)
    return card


def _write(program: Program, path: Path, narrowed: Mapping[str, Any], card: dict[str, Any]) -> None:
    from hear_edgel3.exporting.c_code import library

    made = library(program, narrowed, card)
    path.mkdir()
    for name, text in made.files.items():
        (path / name).write_text(text, encoding="utf-8")
    write_card(path, "c", card, made.facts)


class _Session:
    def __init__(self, path: Path) -> None:
        self._card, facts = read_folder_card(path), read_folder_facts(path)
        prefix = facts["prefix"]
        with tempfile.TemporaryDirectory(prefix="hear_edgel3_c_") as folder:
            library = Path(folder) / "library.so"
            words = [_compiler(), *FLAGS, "-shared", "-fPIC", "-o", str(library), str(path / f"{prefix}.c"), "-lm"]
            done = _called(words, _PATIENCE_S)
            if done.returncode:
                said = done.stderr.strip()[:2000] or f"it ended with {done.returncode} and said nothing"
                raise ComputationError(
                    f"{words[0]} cannot compile {prefix}.c; name another compiler in the variable CC, if it is that. "
                    f"It said:\n{said}"
                )
            try:
                loaded = ctypes.CDLL(str(library))
            except OSError as error:
                raise ComputationError(
                    f"what {words[0]} made of {prefix}.c cannot be loaded on this machine ({error}); name a compiler "
                    f"for this machine in the variable CC"
                ) from error
        self._memory, self._clip = getattr(loaded, f"{prefix}_memory"), getattr(loaded, f"{prefix}_clip")
        self._memory.argtypes, self._memory.restype = [ctypes.c_size_t], ctypes.c_size_t
        self._clip.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self._clip.restype = ctypes.c_int
        self._sizes = {name: int(shape[0]) for name, shape in self._card["outputs"].items()}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        n_bytes = self._memory(x.shape[1])
        memory = np.empty(n_bytes, np.uint8)
        found = np.empty((len(x), sum(self._sizes.values())), np.float32)
        for samples, result in zip(np.ascontiguousarray(x, np.float32), found, strict=True):
            code = self._clip(memory.ctypes.data, n_bytes, samples.ctypes.data, len(samples), result.ctypes.data)
            if code:
                raise ComputationError(f"the library returned {code} for {len(samples)} samples")
        ends = np.cumsum([*self._sizes.values()])[:-1]
        return dict(zip(self._sizes, np.split(found, ends, axis=1), strict=True))


def open_file(path: Path, threads: int | None = 1) -> _Session:  # noqa: ARG001 it has no threads
    """Compiles a library and loads it into this process. Not for somebody else's folder: it runs what is in there."""
    return _Session(path)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a folder."""
    return read_folder_card(path)


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The layers by their number, the parameters of the net, and the MACs of one window, the front end left out."""
    facts = _facts(path)
    return {name: facts[name] for name in ("operators", "parameters", "macs_window", "window_samples")}


def _facts(path: Path) -> dict[str, Any]:
    facts = read_folder_facts(path)
    numbers = [facts.get(name) for name in ("bytes", "parameters", "macs_window", "window_samples")]
    if not all(type(one) is int for one in numbers) or not isinstance(facts.get("operators"), dict):
        raise ConfigurationError(f"{path} is damaged, or of another version: what it says of its layers is incomplete")
    return facts
