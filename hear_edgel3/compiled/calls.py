"""Calling kernels from kernels: one of them is compiled once, whichever others it is called by.

numba compiles a function anew for every one that calls it. A kernel whose address another one is told, as a number, is
not; the call takes some nanoseconds, which is nothing where it does some thousand multiplications.
"""

from __future__ import annotations

import inspect
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def caller(n: int) -> Any:
    """A function for kernels that calls the kernel at an address with n integers.

    :func:`hear_edgel3.compiled.jit.address` gives the address; the kernel returns nothing.
    """
    integers = [types.int64] * n

    def typing(_context: Any, *_kinds: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            kind = context.call_conv.get_function_type(types.none, integers)
            room = [cgutils.alloca_once(builder, argument.pointee) for argument in kind.args[:2]]
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [*room, *arguments[1:]])
            return context.get_dummy_value()

        return types.void(types.int64, *integers), generate

    # numba reads the number of arguments from the signature.
    names = ["context", "address", *(f"x{i}" for i in range(n))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    typing.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
    typing.__name__ = typing.__qualname__ = f"call_with_{n}"
    return intrinsic(typing)
