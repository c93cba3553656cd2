"""How numba turns what kernels are made of into machine code: once, with the kernel."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# What of numba is not said to stay as it is: where a version has it under other names, all is compiled as by numba, in
# two or three times the time.
_USED = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "enable_object_caching")
AS_KNOWN = all(hasattr(JITCodeLibrary, name) for name in _USED)


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a part, for linking into kernels only.

    Of every function that is called from another one numba makes machine code, at the highest level of optimisation,
    links the optimised code into the caller, and optimises that again; the time grows with the depth of calls.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """What of it numba asks for after it has compiled a function, which is not there to be called."""
        return _NotThere

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        """None."""
        return 0


class _NotThere:
    @staticmethod
    def set_env(name: str, env: Any) -> None:
        """Nothing."""


@cache
def _takes_attributes() -> bool:
    """Whether attributes of functions can be added; old versions of llvmlite add them to what functions return."""
    module = binding.parse_assembly("define i32 @f() {\n ret i32 0\n}")
    module.get_function("f").add_function_attribute("optsize")
    try:
        module.verify()
    except RuntimeError:
        return False
    return True


class _Compact(JITCodeLibrary):  # type: ignore[misc]
    """The code of a kernel whose loops are not unrolled."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and _takes_attributes():
                function.add_function_attribute("optsize")
        super()._optimize_final_module()


class PartCompiler(Compiler):  # type: ignore[misc]
    """Compiles parts."""

    def define_pipelines(self) -> Any:
        """As for other functions."""
        if AS_KNOWN and self.state.library is None:
            self.state.library = _Part(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()


class CompactCompiler(Compiler):  # type: ignore[misc]
    """Compiles kernels without unrolling their loops."""

    def define_pipelines(self) -> Any:
        """As for other functions."""
        if AS_KNOWN and self.state.library is None:
            self.state.library = _Compact(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
        return super().define_pipelines()
