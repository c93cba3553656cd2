"""Kernels that call kernels, what they are told in tables, and how numba compiles them in less time."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba.core.errors import NumbaError

from hear_edgel3.compiled import code, jit
from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.fetching import fetch
from hear_edgel3.compiled.told import reader
from support.processes import python

# A kernel that multiplies a table by calling another one; both are kept on disk.
CALLS = """
import numpy as np
from hear_edgel3.compiled import jit
from hear_edgel3.compiled.calls import caller
from hear_edgel3.engine.kernels.pixel_ops import store_number
from hear_edgel3.compiled.simd import number_at

call = caller(3)

@jit.part
def product(x, factor):
    return x * factor

@jit.kernel
def multiply(x, n, factor):
    for i in range(n):
        store_number(product(number_at(x + 4 * i), np.float32(factor)), x + 4 * i)

@jit.kernel(compact=True)
def twice(function, x, n):
    call(function, x, n, 3)
    call(function, x, n, 2)

x = np.arange(5, dtype=np.float32)
function = jit.address(multiply)
assert function == jit.address(multiply) != 0
twice(function, x.ctypes.data, len(x))
assert x.tolist() == [0, 6, 12, 18, 24]
print(len(multiply.overloads), sorted(path.name.split("-")[0] for path in jit.kernels_folder().glob("*.bin")))
"""

# Kernels of one function, for several factors, each of which is called by its address.
SEVERAL = """
import os
import numpy as np
from hear_edgel3.compiled import jit
from hear_edgel3.compiled.calls import caller
from hear_edgel3.compiled.simd import number_at
from hear_edgel3.engine.kernels.pixel_ops import store_number

call = caller(1)

def make_multiply(factor):
    @jit.kernel
    def multiply(x):
        store_number(number_at(x) * np.float32(factor), x)
    return multiply

@jit.kernel(compact=True)
def called(function, x):
    call(function, x)

kernels = [make_multiply(int(factor)) for factor in os.environ["FACTORS"].split()]
for multiply in kernels:
    jit.address(multiply)
for multiply in kernels:
    x = np.full(1, 10, np.float32)
    called(jit.address(multiply), x.ctypes.data)
    print(int(x[0]))
"""


@pytest.fixture(autouse=True)
def _in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the test's own, not in that which all tests share."""
    monkeypatch.delenv("HEAR_EDGEL3_KERNELS")


class Facts(NamedTuple):
    """As of a kernel."""

    first: int = 0
    second: int = 0
    third: int = 0


def _refused(kernel: Any, match: str) -> None:
    with pytest.raises(NumbaError, match=match):
        kernel(0)


def test_a_kernel_is_called_by_its_address() -> None:
    """In the process that compiles both, and in one that finds both on disk, which compiles nothing."""
    first = python(CALLS)
    assert (first.returncode, first.stdout) == (0, "1 ['multiply', 'twice']\n")
    assert "compiling kernels" in first.stderr
    second = python(CALLS)
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, "")


def test_memory_that_is_fetched_need_not_exist() -> None:
    x = np.arange(100.0)
    fetch(np.array([x.ctypes.data, 0, 1, -1, 2**47, 2**63 - 1], np.int64))
    assert x.tolist() == list(range(100))


def test_kernels_of_several_processes_stay_apart(tmp_path: Path) -> None:
    """What each process compiles first has one name, for numba, which then found the last one that was loaded."""
    for factors in ("2", "3", "2 3", "3 5 2"):
        done = python(SEVERAL, FACTORS=factors, HEAR_EDGEL3_KERNELS=str(tmp_path))
        assert done.stdout.split() == [f"{factor}0" for factor in factors.split()], done.stderr
    assert len(list(tmp_path.glob("multiply-*.bin"))) == 3


def test_a_table_is_read_by_names() -> None:
    read = reader(Facts)

    @jit.kernel
    def told(table: int) -> int:
        facts = read(table)
        return facts.third * 100 + facts.first * 10 + facts.second

    table = np.array(Facts(first=1, second=2, third=-3), np.int64)
    assert told(table.ctypes.data) == -300 + 10 + 2


def test_a_name_that_a_table_has_not() -> None:
    read = reader(Facts)

    @jit.kernel
    def told(table: int) -> int:
        return read(table).fourth

    _refused(told, "fourth")


def test_the_numbers_of_arguments() -> None:
    """A kernel that is called with others than it takes would read what is not there: numba refuses that."""
    call = caller(2)

    @jit.kernel
    def wrong(function: int) -> None:
        call(function, 1)

    _refused(wrong, "call_with_2|argument")


def test_parts_are_compiled_within_kernels_only() -> None:
    """As numba is known to the package: no machine code, which takes most of the time, is made of a part alone."""
    assert code.AS_KNOWN

    @jit.part
    def half(x: float) -> float:
        return x / 2

    @jit.kernel
    def quarter(x: float) -> float:
        return half(half(x))

    assert quarter(2.0) == 0.5
    (compiled,) = half.overloads.values()
    assert not compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    for _ in range(2):  # compiled or not
        with pytest.raises(TypeError, match="half is a part of kernels, and cannot be called from Python"):
            half(2.0)
    (compiled,) = quarter.overloads.values()
    function = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    assert ctypes.c_void_p(function).value


def test_another_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that has not what compiles parts in less time: they are compiled as by numba alone."""
    monkeypatch.setattr(code, "AS_KNOWN", False)

    @jit.part
    def third(x: float) -> float:
        return x / 3

    @jit.kernel(compact=True)
    def ninth(x: float) -> float:
        return third(third(x))

    assert ninth(9.0) == 1.0
    (compiled,) = third.overloads.values()
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
