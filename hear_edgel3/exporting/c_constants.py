"""The constants of a C library: weights in the order that its loops read them, and other numbers as C text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hear_edgel3.exporting.int8 import Narrowed

# As in c_library/head.c: outputs that are computed together, whose weights stand side by side.
LANES = 8
_ACTIVATIONS = ("NO_ACTIVATION", "RELU", "HARDSWISH")
# Bytes of one string of constants: C99 asks compilers for 4095 at least, Microsoft's takes 2048.
_ROW = 512
# What comes before them. Newer compilers say of each string that there is no room for the zero at its end, which nobody
# reads.
BEFORE_BYTES = """
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the weights are the bytes of little-endian floats"
#endif
#if (defined(__clang__) && __clang_major__ >= 20) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 15)
#pragma GCC diagnostic ignored "-Wunterminated-string-initialization"
#endif
"""
# Each byte as it stands in a string of C.
_IN_STRING = [chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in range(256)]


def padded(n: int) -> int:
    """Channels with those that fill up the last group."""
    return -(-n // LANES) * LANES


@dataclass
class Constants:
    """What is put into the two arrays of a library, in order, and what the layers in them cost.

    Attributes:
        narrowed: The weights in eight bits, by the name of the parameter.
        layers: How many layers of each kind there are.
        parameters: How many weights and biases.
        most_values: The longest vector that a layer reads or writes.
    """

    narrowed: Mapping[str, Narrowed] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    parameters: int = 0
    most_values: int = LANES
    _floats: list[np.ndarray] = field(default_factory=list)
    _bytes: list[np.ndarray] = field(default_factory=list)
    _n_floats: int = 0
    _n_bytes: int = 0

    def put(self, values: np.ndarray) -> int:
        """Puts floats into the array of floats, and says where."""
        flat = np.ascontiguousarray(values, np.float32).ravel()
        place = self._n_floats
        self._floats.append(flat)
        self._n_floats += len(flat)
        return place

    def layer(self, name: str, weight: np.ndarray, bias: np.ndarray | None, activation: int = 0) -> str:
        """Puts a layer that sees all inputs, whose weights are (out, in) or (out, in, 3, 3); its C initialiser."""
        kind = "Linear" if weight.ndim == 2 else "Conv"
        return self._layer(self.narrowed.get(name), weight[None], bias, weight.shape[1], activation, _in_groups, kind)

    def channelwise(self, name: str, weight: np.ndarray, bias: np.ndarray | None, activation: int = 0) -> str:
        """The same of (out, 1, k, k): each channel sees itself alone, or all see the only one that there is."""
        return self._layer(self.narrowed.get(name), weight[None], bias, 1, activation, _by_taps, "Conv")

    def mixed(self, name: str, weights: np.ndarray, bias: np.ndarray, activation: int = 0) -> str:
        """A layer whose weights are mixed from several, (kernels, out, in), when it runs, or that has one kernel."""
        return self._layer(
            self.narrowed.get(name), weights, bias, weights.shape[2], activation, _in_groups, _kind(weights)
        )

    def mixed_channelwise(self, name: str, weights: np.ndarray, bias: np.ndarray, activation: int = 0) -> str:
        """The same of (kernels, out, k, k)."""
        return self._layer(self.narrowed.get(name), weights, bias, 1, activation, _by_taps, _kind(weights))

    def apart(self, weight: np.ndarray, bias: np.ndarray, narrowed: Narrowed | None) -> str:
        """A layer (out, in) whose outputs are not put where those of others are, and which may be more of them."""
        most = self.most_values
        text = self._layer(narrowed, weight[None], bias, weight.shape[1], 0, _in_groups, "Linear")
        self.most_values = max(most, padded(weight.shape[1]))
        return text

    def _layer(
        self,
        narrowed: Narrowed | None,
        weights: np.ndarray,
        bias: np.ndarray | None,
        n_in: int,
        activation: int,
        packed: Callable[[np.ndarray], np.ndarray],
        kind: str,
    ) -> str:
        out, scale = weights.shape[1], -1
        if narrowed is not None:
            flat = np.stack([packed(weight) for weight in narrowed.values.reshape(weights.shape)]).ravel()
            place = self._n_bytes
            self._bytes.append(flat)
            self._n_bytes += len(flat)
            scale = self.put(np.stack([_filled(of_kernel) for of_kernel in narrowed.scale.reshape(len(weights), out)]))
        else:
            place = self.put(np.stack([packed(weight) for weight in weights]))
        shift = self.put(_filled(np.zeros(out, np.float32) if bias is None else bias))
        self.layers[kind] = self.layers.get(kind, 0) + 1
        self.parameters += weights.size + (0 if bias is None else bias.size)
        self.most_values = max(self.most_values, padded(out), padded(n_in))
        return f"{{{n_in}, {out}, {place}, {scale}, {shift}, {_ACTIVATIONS[activation]}}}"

    @property
    def any_int8(self) -> bool:
        """Whether there are weights in eight bits."""
        return self._n_bytes > 0

    @property
    def n_bytes(self) -> int:
        """What the arrays take."""
        return sum(-(-n // _ROW) * _ROW for n in (4 * self._n_floats, self._n_bytes))

    def text(self) -> str:
        """The arrays."""
        found = BEFORE_BYTES + in_bytes("float", "FLOATS", np.concatenate(self._floats))
        if self._bytes:
            found += in_bytes("signed char", "BYTES", np.concatenate(self._bytes))
        return found


def _kind(weights: np.ndarray) -> str:
    return "Conv" if len(weights) == 1 else "DynamicConv"


def _in_groups(weight: np.ndarray) -> np.ndarray:
    """(out, in) or (out, in, k, k) as (groups of LANES outputs, taps, in, LANES), filled up with zeros."""
    out, n_in = weight.shape[:2]
    taps = weight[0, 0].size
    wide = np.zeros((padded(out), n_in, taps), weight.dtype)
    wide[:out] = weight.reshape(out, n_in, taps)
    return wide.reshape(-1, LANES, n_in, taps).transpose(0, 3, 2, 1)


def _by_taps(weight: np.ndarray) -> np.ndarray:
    """(out, 1, k, k), or without the axis of one, as (taps, out), filled up with zeros."""
    wide = np.zeros((padded(len(weight)), weight[0].size), weight.dtype)
    wide[: len(weight)] = weight.reshape(len(weight), -1)
    return wide.T


def _filled(values: np.ndarray) -> np.ndarray:
    return np.pad(values.astype(np.float32), (0, padded(len(values)) - len(values)))


def array(kind: str, name: str, values: np.ndarray) -> str:
    """An array of constants in C."""
    if kind == "float":
        numbers = [number(value, 9) + "f" for value in values.astype(np.float64).tolist()]
    elif kind == "double":
        numbers = [number(value, 17) for value in values.tolist()]
    else:
        numbers = [str(value) for value in values.tolist()]
    return f"static const {kind} {name}[{len(values)}] = {{\n{_lines(numbers)}}};\n"


def in_bytes(kind: str, name: str, values: np.ndarray) -> str:
    """An array of constants in C, of which each string is some bytes.

    Compilers read these many times as fast as numbers, and with less memory.
    """
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    rows = ["".join(map(_IN_STRING.__getitem__, content[i : i + _ROW])) for i in range(0, len(content), _ROW)]
    inner = '",\n"'.join(rows)
    held = f"union {{ char rows[{len(rows)}][{_ROW}]; {kind} values[{len(values)}]; }}"
    return f'static const {held} {name}_IN_BYTES = {{{{\n"{inner}"\n}}}};\n#define {name} {name}_IN_BYTES.values\n'


def _lines(numbers: Sequence[str], at_once: int = 12) -> str:
    return "".join(", ".join(numbers[i : i + at_once]) + ",\n" for i in range(0, len(numbers), at_once))


def number(value: float, digits: int = 17) -> str:
    """A floating-point constant in C, without its suffix; of so many digits, 9 being enough for float."""
    text = f"{value:.{digits}g}"
    return text if any(letter in text for letter in ".e") else text + ".0"


def string(text: str) -> str:
    """A string constant in C: plain ASCII, whatever the text."""
    return f'"{"".join(map(_IN_STRING.__getitem__, text.encode()))}"'


def comment(lines: Iterable[str]) -> str:
    """Text inside of a comment in C, which nothing in it ends: plain ASCII."""
    plain = "\n".join(lines).encode("ascii", "replace").decode()
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\\n", "\\ \n").replace("??", "? ?")
