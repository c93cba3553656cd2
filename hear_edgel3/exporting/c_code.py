"""The files of a C library: templates of this folder's ``c_library``, filled in, and what is counted on the way."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, comment, number, padded, string
from hear_edgel3.exporting.c_frontends import FrontendInC, frontend_in_c
from hear_edgel3.exporting.c_nets import net_in_c
from hear_edgel3.exporting.c_residuals import NetInC
from hear_edgel3.exporting.clips import synthetic_clips
from hear_edgel3.exporting.int8 import Narrowed
from hear_edgel3.exporting.program import Program
from hear_edgel3.heads import Head

# Of so many, more than any published net has, gcc takes four gigabytes of memory while it compiles them.
_MOST_PARAMETERS = 70_000_000
_LONGEST_NAME = 48
_LONGEST_S = 120
# Straight lines that NET_MEMORY is the largest of.
_MOST_BOUNDS = 3
# What the test of a library compares on.
_VECTORS = ("tone 880 Hz at 0.9", "tone 220 Hz at 0.9", "notes 2", "a click")
_ACTIVATIONS = {
    "linear": "x",
    "relu": "x > 0 ? x : 0",
    "arelu": "x >= 0 ? 1.8807970779778823 * x : .9 * x",
    "elu": "x > 0 ? x : expm1(x)",
    "selu": "1.0507009873554804934 * (x > 0 ? x : 1.6732632423543772848 * expm1(x))",
    "gelu": ".5 * x * (1 + erf(x * .70710678118654752440))",
    "swish": "x / (1 + exp(-(double)x))",
    "hardswish": "x * fmin(fmax(x + 3.0, 0), 6) / 6",
    "sigmoid": "1 / (1 + exp(-(double)x))",
    "hard_sigmoid": "fmin(fmax(.2 * x + .5, 0), 1)",
    "tanh": "tanh(x)",
    "softplus": "x > 20 ? x : log1p(exp(x))",
    "softsign": "x / (1 + fabs((double)x))",
    "exponential": "exp(x)",
}

_SAID = """
/* The probabilities from which on classes are said to be heard; less than 0 for a class that has none. */
extern const float net_thresholds[NET_CLASSES];

/* Whether a class is said to be heard: 1 or 0. It reaches its threshold, or has none and is at .5 or more. Where
   classes exclude each other, it is the likeliest that does, and one that has none is the likeliest. */
int net_is_said(const net_result *result, int index);
"""


@dataclass(frozen=True)
class Library:
    """A library.

    Attributes:
        files: Its texts by their names.
        facts: What is to be known of it later: prefix, bytes of its constants, operators, parameters, macs_window and
            window_samples.
    """

    files: dict[str, str]
    facts: dict[str, Any]


def prefix_of(name: str) -> str:
    """What identifiers and files of a library begin with: a name in C, made of a configuration's."""
    plain = re.sub(r"[^a-z0-9]+", "_", Path(name).name.lower()).strip("_")[:_LONGEST_NAME].strip("_")
    return f"net_{plain}".strip("_") if not plain or plain[0].isdigit() else plain


def library(program: Program, narrowed: Mapping[str, Narrowed], card: Mapping[str, Any]) -> Library:
    """The library of a whole program.

    Args:
        program: What it is to compute.
        narrowed: Its weights in eight bits, by the name of the parameter.
        card: What it is to say of itself.

    Raises:
        InvalidOption: It has no form in C.
    """
    name, module = card["name"], program.module
    assert module.net is not None
    n_parameters = sum(value.numel() for value in module.net.parameters())
    if n_parameters > _MOST_PARAMETERS:
        raise InvalidOption(
            f"{name} has {n_parameters / 1e6:.0f} million weights; a C library has "
            f"{_MOST_PARAMETERS / 1e6:.0f} million at most; use --to onnx"
        )
    if card["length"] is not None and card["length"] > _LONGEST_S * card["sample_rate"]:
        raise InvalidOption(
            f"length={card['length'] / card['sample_rate']:g} is too long; a C library takes {_LONGEST_S} s at most"
        )
    constants = Constants(narrowed)
    frontend = frontend_in_c(program.images, name)
    own = module.head is None and module.targets is not None
    window = card["window"] if card["length"] is None else card["length"]
    net = net_in_c(module.net, name, constants, own, frontend.n_mels, card["frames"])
    head = _head(cast("Head | None", module.head), constants)
    inner = net.text + head
    flags: dict[str, Any] = {
        "NEEDS_LINEAR": int(any("linear(" in _template(source) for source in net.sources) or module.head is not None),
        "PUTS_LOGITS": int(module.puts_logits),
        "MOST_SUMS": max(1, net.most_sums),
        "MOST_VALUES": max(padded(frontend.n_mels), constants.most_values, *_outputs(card).values()),
        "ANSWERS": next((one for one in ("logits", "numbers") if one in card["outputs"]), "none"),
    }
    memory = _memory(net, frontend, flags)
    about = _about(card, constants.any_int8)
    prefix = prefix_of(name)
    texts = {
        f"{prefix}_weights.h": "/* @about@ */\n\n"
        + "".join(f"#define {flag} {value}\n" for flag, value in flags.items())
        + frontend.text
        + constants.text()
        + inner
        + _thresholds(card)
        + ("const char *const net_labels[NET_CLASSES] = {\n@labels@};\n" if card.get("labels") else ""),
        f"{prefix}.c": "".join(map(_template, ("head.c", *frontend.sources, *net.sources, "tail.c"))),
        f"{prefix}.h": _header(card, frontend, constants.any_int8, memory),
        f"{prefix}_example.c": _template("example.c"),
        f"{prefix}_test.c": _template("test.c"),
        f"{prefix}_vectors.h": _vectors(program, narrowed, max(window, frontend.minimum), flags["ANSWERS"]),
        "Makefile": _template("Makefile"),
        "README.md": _template("README.md"),
    }
    values = {
        "prefix": prefix,
        "kilobytes_1s": f"{memory(card['sample_rate'] if card['length'] is None else window) / 1000:.0f}",
        "kilobytes_2s": f"{memory(2 * card['sample_rate'] if card['length'] is None else window) / 1000:.0f}",
        "constants": f"{(constants.n_bytes + frontend.n_bytes) / 1000:.0f}",
        "rate": str(card["sample_rate"]),
        "takes": f"of up to {_LONGEST_S} seconds" if card["length"] is None else f"of {card['length']} samples",
        "macs": f"{net.macs / 1e6:.1f}",
    }
    facts = {
        "prefix": prefix,
        "bytes": constants.n_bytes + frontend.n_bytes,
        "operators": dict(sorted(constants.layers.items())),
        "parameters": constants.parameters,
        "macs_window": net.macs,
        "window_samples": window,
    }
    # What others wrote comes last: in a class called "net_x", or "@rate@", nothing is to be put.
    plain = {"about": comment(about), "name": card["name"], "licence": card["licence"], "labels": _labels(card)}
    in_c = {**plain, "name": string(card["name"]), "licence": string(card["licence"])}
    return Library(
        {
            file: _filled(_named(_filled(text, values), prefix), plain if file.endswith(".md") else in_c)
            for file, text in texts.items()
        },
        facts,
    )


def _template(name: str) -> str:
    return files("hear_edgel3.exporting").joinpath("c_library", name).read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda found: values.get(found[1], found[0]), text)


def _named(text: str, prefix: str) -> str:
    """With this library's prefix in place of "net"."""
    text = re.sub(r"\bnet(?=_[a-z]|\.[cho]\b)", lambda _: prefix, text)
    return re.sub(r"\bNET(?=_[A-Z])", lambda _: prefix.upper(), text)


def _outputs(card: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(shape[0]) for name, shape in card["outputs"].items()}


def _about(card: Mapping[str, Any], int8: bool) -> list[str]:
    rate, length = card["sample_rate"], card["length"]
    takes = f"{card['minimum_samples']} to {_LONGEST_S * rate}" if length is None else str(length)
    puts = ", ".join(f"{name} ({size})" for name, size in _outputs(card).items())
    parts = ", ".join(f"{name} ({size})" for name, size in card["features"].items())
    sha256 = card["weights_sha256"]
    source = "weights of no file" if sha256 is None else f"weights with the SHA-256 {sha256}"
    return [
        f"{card['name']}: takes {takes} samples at {rate} Hz; puts out {puts}.",
        f"   The embedding consists of: {parts}.",
        f"   Weights are in {'eight bits' if int8 else 'float'}; their licence: {card['licence']}.",
        f"   {card['citation']}",
        "   The code is hear_edgel3's: MIT, (c) the hear_edgel3 authors.",
        f"   Written by hear_edgel3 {card['version']} from {source}.",
    ]


def _memory(net: NetInC, frontend: FrontendInC, flags: Mapping[str, Any]) -> _Memory:
    doubles = frontend.n_fft + 2 + flags["MOST_SUMS"] + 1
    inside = int(re.search(r"INSIDE = (\d+)", net.text)[1])  # type: ignore[index]
    always = 8 * doubles + 4 * (inside + 2 * flags["MOST_VALUES"])
    bounds = tuple(
        (math.ceil(4 * (frontend.n_mels + per_frame)), always + math.ceil(4 * fixed)) for per_frame, fixed in net.bounds
    )
    return _Memory(_outermost(bounds), frontend)


def _outermost(bounds: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """At most so many straight lines, as slope and offset, that nowhere are below the largest of some."""
    frames = np.arange(1, _LONGEST_S * 1000)
    largest = {int(i) for i in np.argmax([slope * frames + offset for slope, offset in bounds], axis=0)}
    chosen = sorted((bounds[i] for i in largest), reverse=True)
    first, others = chosen[: _MOST_BOUNDS - 1], chosen[_MOST_BOUNDS - 1 :]
    return (*first, *([(others[0][0], max(offset for _, offset in others))] if others else []))


@dataclass(frozen=True)
class _Memory:
    """Bytes of working memory: as NET_MEMORY of the header. The largest of the bounds is that."""

    bounds: tuple[tuple[int, int], ...]
    frontend: FrontendInC

    def __call__(self, samples: int) -> int:
        frames = self.frontend.n_frames(samples)
        return max(fixed + per_frame * frames for per_frame, fixed in self.bounds)

    def in_c(self) -> str:
        """The same as an expression in C, which is constant where ``samples`` is."""
        *others, text = (f"((size_t){fixed} + (size_t){slope} * NET_FRAMES(samples))" for slope, fixed in self.bounds)
        for one in reversed(others):
            text = f"NET_LARGER({one}, \\\n               {text})"
        return text


def _header(card: Mapping[str, Any], frontend: FrontendInC, int8: bool, memory: _Memory) -> str:
    outputs = _outputs(card)
    labels = card.get("labels") or []
    lines = [f"#define NET_EMBEDDING {outputs['embedding']} /* values of the embedding: {_parts(card)} */"]
    lines.append(f"#define NET_CLASSES {len(labels)}")
    lines.append(f"#define NET_HAS_PROBABILITIES {int('probabilities' in outputs)}")
    if "probabilities" in outputs:
        lines.append(
            f"#define NET_ONE_OF_ALL {int(card['targets'] == 'single')} /* whether classes exclude each other */"
        )
        lines.append(f"#define NET_TEMPERATURE {number(float(card['temperature']))} /* what logits are divided by */")
    lines.append(f"#define NET_HAS_THRESHOLDS {int(card.get('thresholds') is not None)}")
    fields = [f"    float {name}[{'NET_EMBEDDING' if name == 'embedding' else 'NET_CLASSES'}];" for name in outputs]
    declared = (
        "\n/* The names of the classes, UTF-8. */\nextern const char *const net_labels[NET_CLASSES];\n"
        if labels
        else ""
    )
    if card.get("thresholds") is not None:
        declared += _SAID
    sha256 = card["weights_sha256"]
    values = {
        "version": card["version"],
        "sha256": string(sha256 or ""),
        "sample_rate": str(card["sample_rate"]),
        "window": str(card["window"]),
        "hop_ms": number(float(card["hop_ms"]), 9),
        "length": str(card["length"] or 0),
        "minimum": str(frontend.minimum),
        "longest": str(_LONGEST_S * card["sample_rate"]),
        "frame_hop": str(frontend.hop_length),
        "mels": str(frontend.n_mels),
        "int8": str(int(int8)),
        "outputs": "\n".join(lines),
        "frames": frontend.frames_in_c(),
        "bytes": memory.in_c(),
        "slack": "some thousand",
        "fields": "\n".join(fields),
        "declared": declared if labels else "",
    }
    return _filled(_template("net.h"), values)


def _parts(card: Mapping[str, Any]) -> str:
    return comment([", ".join(f"{name} {size}" for name, size in card["features"].items())])


def _labels(card: Mapping[str, Any]) -> str:
    labels = card.get("labels") or []
    return "".join(f"{string(one)},\n" for one in labels)


def _thresholds(card: Mapping[str, Any]) -> str:
    """The probabilities from which on classes are said; less than zero for classes without one."""
    if card.get("thresholds") is None:
        return ""
    values = ",".join("-1.f" if one is None else f"{number(float(one), 9)}f" for one in card["thresholds"])
    return f"const float net_thresholds[NET_CLASSES] = {{{values}}};\n"


def _head(head: Head | None, constants: Constants) -> str:
    """The head of classes of somebody's own."""
    if head is None:
        return "#define HAS_HEAD 0\n"
    lines = ["#define HAS_HEAD 1\n", f"#define HEAD_STANDARDIZES {int(head.mean is not None)}\n"]
    if head.mean is not None and head.deviation is not None:
        for what, values in (("MEAN", head.mean), ("DEVIATION", head.deviation)):
            lines.append(f"#define HEAD_{what} {constants.put(values.detach().numpy())}L\n")
    lines.append(f"#define HEAD_IS_DEEP {int(head.hidden is not None)}\n")
    layers = [("HEAD_OUTPUT", head.output)]
    if head.hidden is not None and head.activation is not None:
        layers.append(("HEAD_HIDDEN", head.hidden))
        lines.append(f"#define HEAD_ACTIVATION ({_ACTIVATIONS[head.activation.name]})\n")
    for what, layer in layers:
        text = constants.layer("", layer.weight.detach().numpy(), layer.bias.detach().numpy())
        lines.append(f"static const layer {what} = {text};\n")
    return "".join(lines)


def _vectors(program: Program, narrowed: Mapping[str, Narrowed], n_samples: int, answers: str) -> str:
    """Samples, and what they give: computed by PyTorch, with the weights that the library has."""
    rate = program.card["sample_rate"]
    clips = [one for one in synthetic_clips(rate, n_samples) if one.name in _VECTORS]
    assert len(clips) >= 2
    samples = np.stack([np.round(32767 * one.samples).clip(-32768, 32767).astype(np.int64) for one in clips])
    module = copy.deepcopy(program.module)
    parameters = dict(module.named_parameters())
    for name, one in narrowed.items():
        wide = (one.values.astype(np.float32) * one.scale).reshape(parameters[name].shape)
        parameters[name].data.copy_(torch.from_numpy(wide))
    x = torch.from_numpy((samples / 32768).astype(np.float32))
    expected = torch.cat([one.flatten(1) for one in module(x)], dim=1).numpy()
    rows = (f"{{{','.join(map(str, row))}}},\n" for row in samples.tolist())
    numbers = (f"{{{','.join(number(value, 9) + 'f' for value in row)}}},\n" for row in expected.tolist())
    return (
        f"enum {{ N_VECTORS = {len(samples)}, N_SAMPLES = {n_samples} }};\n"
        + (f"#define ANSWERS {answers}\n" if answers != "none" else "")
        + f"static const short SAMPLES[N_VECTORS][N_SAMPLES] = {{\n{''.join(rows)}}};\n"
        + f"static const float EXPECTED[N_VECTORS][{expected.shape[1]}] = {{\n{''.join(numbers)}}};\n"
    )
