"""Compiling kernels with numba, once per machine: what was compiled is kept on disk.

numba's own cache lies beside the source files, and notices changes of the one file that a kernel stands in; ours lies
in a folder of the user, and notices changes of any. Nothing in it is needed: a folder that cannot be used, or a
damaged file, only costs time.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, overload

import llvmlite
import llvmlite.binding
import numba
from numba.core import serialize
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import rtsys

from hear_edgel3 import _forks
from hear_edgel3.compiled.code import CompactCompiler, PartCompiler
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.disk.lock import lock
from hear_edgel3.disk.stderr import say

F = TypeVar("F", bound=Callable[..., Any])

_DIGEST_SIZE = hashlib.sha256().digest_size
_forks.wait_for(global_compiler_lock, _forks.NUMBA)
# Of several processes that start at once one compiles a kernel, and the others wait for it.
_LONGEST_WAIT_S, _LOOK_EVERY_S = 60.0, 0.05
# A folder for compiled kernels alone.
FOLDER_VARIABLE = "HEAR_EDGEL3_KERNELS"
_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@cache
def native_lanes() -> int:
    """Float32 lanes of this machine's vectors: 16 with AVX-512, 8 with AVX2, else 4 (SSE, NEON)."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") else 4


@cache
def many_registers() -> bool:
    """Whether there are 32 vector registers (AVX-512, NEON), not 16."""
    triple = llvmlite.binding.get_process_triple()
    return native_lanes() == 16 or triple.startswith(("aarch64", "arm64"))


@overload
def part(function: F) -> F: ...
@overload
def part(*, inlined: bool = False, alone: bool = False) -> Callable[[F], F]: ...
def part(function: F | None = None, *, inlined: bool = False, alone: bool = False) -> F | Callable[[F], F]:
    """A function that kernels are made of.

    Args:
        function: the function.
        inlined: where the compiler should know what it is called with.
        alone: whether it is optimised by itself before it is a part of kernels, too, which takes longer to compile.
            Nets of many zeros take 7 % less time so, where there are 16 vector registers.
    """
    options = {} if alone else {"pipeline_class": PartCompiler}
    made = numba.njit(**_OPTIONS, no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=inlined, **options)

    def for_kernels(function: F) -> F:
        _name_by_closure(function)
        part = made(function)

        # Python calls machine code that a part has not: numba is not told that there is any, and asks for it.
        def not_from_python(*_arguments: Any, **_keywords: Any) -> None:
            raise TypeError(f"{function.__qualname__} is a part of kernels, and cannot be called from Python")

        part.add_overload = lambda compiled: part.overloads.update({tuple(compiled.signature.args): compiled})
        part._compile_for_args = not_from_python
        return cast(F, part)

    return for_kernels if function is None else for_kernels(function)


@overload
def kernel(function: F) -> F: ...
@overload
def kernel(*, compact: bool) -> Callable[[F], F]: ...
def kernel(function: F | None = None, *, compact: bool = False) -> F | Callable[[F], F]:
    """A function to call; what it is compiled to is kept on disk.

    Args:
        function: the function.
        compact: whether it is compiled in less time, its loops being left as they are. Those that take vectors from
            memory and put them back, or whose sums wait for each other, are as fast so.
    """

    def compiled(function: F) -> F:
        _name_by_closure(function)
        options = {"pipeline_class": CompactCompiler} if compact else {}
        made = numba.njit(**_OPTIONS, no_cfunc_wrapper=True, **options)(function)
        kept = made._cache = _DiskCache(function)
        compile_for = made.compile

        def compile_and_release(signature: Any) -> Any:
            # numba tells the cache nothing of what could not be compiled, for which others would wait. Its lock is held
            # throughout: else what is released could be what another thread has begun.
            with global_compiler_lock:
                try:
                    return compile_for(signature)
                finally:
                    kept.release()

        made.compile = compile_and_release
        return cast(F, made)

    return compiled if function is None else compiled(function)


def address(made: Callable[..., None]) -> int:
    """The address of a kernel of integers, for other kernels to call (:mod:`hear_edgel3.compiled.calls`)."""
    dispatcher = cast(Any, made)
    signature = (numba.types.int64,) * dispatcher.py_func.__code__.co_argcount
    with global_compiler_lock:  # llvmlite has a lock of its own, which a forked child must not inherit locked either
        dispatcher.compile(signature)
        compiled = dispatcher.overloads[signature]
        return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def kernels_folder() -> Path:
    """Where compiled kernels are kept: ``$HEAR_EDGEL3_KERNELS``, else in the folder of the converted weights."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else cache_folder() / "kernels"


class _DiskCache:
    """What numba asks before it compiles a function, and tells after it.

    One file for each kernel, kind of machine and version of everything; numba's own machinery has an index besides, and
    raises when a file is damaged or cannot be written.

    Args:
        function: the kernel's.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._held: tuple[Path, BinaryIO] | None = None

    @property
    def cache_path(self) -> str:
        """The folder, for numba's statistics."""
        return str(kernels_folder())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """What was compiled for a signature, or None."""
        # All that machine code which is there needs of numba; what compiling needs takes half a second to import.
        rtsys.initialize(target_context)
        self.release()
        found = self._load(signature, target_context)
        if found is None:
            _say_once()
            self._wait(signature, target_context.codegen())
            found = self._load(signature, target_context)  # another process may have compiled it meanwhile
            if found is None:
                target_context.refresh()
            else:
                self.release()
        return found

    def _load(self, signature: Any, target_context: Any) -> Any:
        try:
            content = self._path(signature, target_context.codegen()).read_bytes()
            digest, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
            if hashlib.sha256(payload).digest() == digest:  # damaged machine code would crash
                return CompileResult._rebuild(target_context, *pickle.loads(payload))  # noqa: S301
        except Exception:  # noqa: S110 - there is none, or numba cannot use it and raises whatever it likes
            pass
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keeps what was compiled, if it can be kept."""
        try:
            path = self._path(signature, result.codegen)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                payload = serialize.dumps(result._reduce())
                file.write(hashlib.sha256(payload).digest() + payload)
        except Exception:  # no such folder, no permission, no room: it will be compiled again
            return
        finally:
            self.release()

    def _wait(self, signature: Any, codegen: Any) -> None:
        """Makes sure, as far as the file system can, that no other process compiles this, for a minute at most."""
        end = time.monotonic() + _LONGEST_WAIT_S
        try:
            path = self._path(signature, codegen)
            place = path.with_name(f".{path.name}.lock")
            place.parent.mkdir(parents=True, exist_ok=True)
            file = place.open("wb")
        except Exception:  # no home, no such folder, no permission: nothing is kept, and nobody is waited for
            return
        self._held = (place, file)
        with suppress(OSError):  # nothing can be locked there: several may compile it
            while time.monotonic() < end:
                try:
                    lock(file)
                except BlockingIOError:
                    time.sleep(_LOOK_EVERY_S)
                else:
                    return

    def release(self) -> None:
        """Lets other processes go on."""
        if self._held is not None:
            place, file = self._held
            self._held = None
            with suppress(OSError):
                place.unlink()  # who still waits for it finds the kernel, or compiles it
            file.close()

    def _path(self, signature: Any, codegen: Any) -> Path:
        code = self._function.__code__
        sources = _sources(Path(code.co_filename).parent)
        key = (sources, code.co_qualname, _closure(self._function), signature, codegen.magic_tuple())
        return kernels_folder() / f"{code.co_name}-{_digest_of(key)}.bin"


def _name_by_closure(function: Callable[..., Any]) -> None:
    """Gives a function a name that it shares only with those of the same code.

    numba names machine code by this, the types of its arguments, and a number that each process counts from 1. What
    several processes compiled comes together on disk, and of two with one name one would be taken for both
    (https://github.com/numba/numba/issues/10486).
    """
    if function.__closure__:
        function.__qualname__ += f"_{_digest_of(_closure(function))}"


def _closure(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The names and values of what a function takes from the one that it was defined in."""
    cells = function.__closure__ or ()
    return [(name, cell.cell_contents) for name, cell in zip(function.__code__.co_freevars, cells, strict=True)]


def _digest_of(key: Any) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


@cache
def _sources(folder: Path) -> str:
    """A digest of all that code of a folder, once it is compiled, depends on, but for the machine."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    ours = Path(__file__).parent
    for place in (ours, folder) if folder.is_relative_to(ours.parent) else (ours,):
        for file in sorted(place.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def _say_once() -> None:
    say("hear_edgel3: compiling kernels for this machine; this takes some seconds, once")
