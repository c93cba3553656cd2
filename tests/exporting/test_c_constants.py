"""Constants of libraries in C, which stand there as strings of bytes: their bits, whatever they are."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.exporting import c as target
from hear_edgel3.exporting.c_constants import BEFORE_BYTES, Constants, in_bytes
from support.compiling import STRICT, needed, run

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")


def read_back(text: str, kind: str, name: str, place: Path, *flags: str) -> bytes:
    """The bytes of an array, as a program has them that was compiled with all warnings as errors."""
    (place / "a.c").write_text(f"{text}\nconst {kind} *get(void);\nconst {kind} *get(void) {{ return {name}; }}\n")
    library = place / "a.so"
    run(["gcc", *STRICT, *flags, "-shared", "-fPIC", "-o", str(library), str(place / "a.c")])
    get = ctypes.CDLL(str(library)).get
    get.restype = ctypes.c_void_p
    size = int(run(["sh", "-c", f"grep -o 'values\\[[0-9]*' {place / 'a.c'} | head -1"]).stdout.strip()[7:])
    return ctypes.string_at(get(), size * (4 if kind == "float" else 1))


@pytest.mark.parametrize("n", [1, 127, 128, 129, 1000])
def test_floats(n: int, tmp_path: Path) -> None:
    """Of any bits: zeros of both signs, the smallest, the largest, infinite ones, and those that are no numbers."""
    needed("gcc")
    values = np.random.default_rng(n).integers(0, 2**32, n, dtype=np.uint32).view(np.float32)
    special = np.array([0, -0.0, 1e-45, -3.4028235e38, np.inf, np.nan, 1], np.float32)
    values[: len(special)] = special[:n]
    found = read_back(BEFORE_BYTES + in_bytes("float", "FLOATS", values), "float", "FLOATS", tmp_path)
    assert found == values.tobytes()


def test_bytes(tmp_path: Path) -> None:
    """Every byte in front of every other: digits behind what is written in octal, quotes, and trigraphs."""
    needed("gcc")
    every = np.arange(256, dtype=np.uint8)
    pairs = np.stack(np.meshgrid(every, every), -1).ravel()
    values = np.concatenate([pairs, np.frombuffer(b'??/??=\\"%s\n', np.uint8)]).view(np.int8)
    text = in_bytes("signed char", "BYTES", values)
    for flags in ((), ("-trigraphs",)):
        assert read_back(text, "signed char", "BYTES", tmp_path, *flags) == values.tobytes()


def test_what_they_take(tmp_path: Path) -> None:
    """What is said of a library's constants is what its object holds of them."""
    needed("gcc", "size")
    constants = Constants()
    place = constants.put(np.arange(131, dtype=np.float32))
    assert place == 0
    (tmp_path / "a.c").write_text(constants.text() + "const float *get(void) { return FLOATS; }\n")
    run(["gcc", "-std=c99", "-c", "-o", str(tmp_path / "a.o"), str(tmp_path / "a.c")])
    sections = run(["size", "-A", str(tmp_path / "a.o")]).stdout.splitlines()
    [held] = [int(line.split()[1]) for line in sections if line.startswith(".rodata")]
    assert held == constants.n_bytes == 1024


def test_other_processors(tmp_path: Path) -> None:
    """Whose floats have their bytes in another order are told so by the compiler."""
    needed("gcc")
    (tmp_path / "a.c").write_text(BEFORE_BYTES + "int one;\n")
    other = ["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"]
    said = run(["gcc", *other, "-c", "-o", str(tmp_path / "a.o"), str(tmp_path / "a.c")], 1).stderr
    assert "the weights are the bytes of little-endian floats" in said
