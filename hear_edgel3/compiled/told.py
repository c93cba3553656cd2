"""What a kernel is told in many numbers: a table of integers, whose address it is given.

numba takes one number in a tenth of the time that it takes a tuple of so many, and parts of a kernel that are handed
such a tuple on take it longer to compile than all that they do with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from hear_edgel3.compiled.primitive import INT64, at


class Told(types.Type):  # type: ignore[misc]
    """Type of the address of a table of integers, whose fields are its attributes."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        super().__init__(name=f"Told{fields}")


@register_model(Told)
class _ToldModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Told) -> None:
        super().__init__(dmm, fe_type, INT64)


@infer_getattr
class _ToldFields(AttributeTemplate):  # type: ignore[misc]
    key = Told

    def generic_resolve(self, told: Told, name: str) -> Any:
        """The type of a field, if there is one of that name."""
        return types.int64 if name in told.fields else None


@lower_getattr_generic(Told)  # type: ignore[untyped-decorator]
def _load_field(_context: Any, builder: Any, told: Told, address: Any, name: str) -> Any:
    place = at(builder, address, 8 * told.fields.index(name))
    loaded = builder.load(builder.inttoptr(place, INT64.as_pointer()))
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))  # nothing is ever written there
    return loaded


def reader(fields: type[NamedTuple]) -> Any:
    """A function for kernels that makes of an address a tuple of integers of a class of such tuples."""
    told = Told(fields._fields)

    def read(_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba reads the number of arguments from it
        return told(types.int64), lambda _context, _builder, _signature, arguments: arguments[0]

    return intrinsic(read)
