"""Rows of the DyMN family: EfficientAT's dynamic MobileNets, distilled from transformers on AudioSet or ImageNet's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.features import DyMNFeatures
from hear_edgel3.families.mobilenetv3 import layout as mobilenetv3
from hear_edgel3.families.mobilenetv3 import rows as mobilenetv3_rows
from hear_edgel3.families.mobilenetv3.layout import AUDIOSET_CLASSES
from hear_edgel3.families.schema import Checkpoint, Component, HubFile, Published, Upstream
from hear_edgel3.families.values import check_values, counts, is_count_or_none, is_count_to, is_factor, is_flag, one_of

if TYPE_CHECKING:
    from hear_edgel3.families.dymn.net import DyMN

_LICENCE, _COPYRIGHT = "MIT", "(c) 2022 Florian Schmid"
_CITATION = (
    "Florian Schmid, Khaled Koutini, Gerhard Widmer. Dynamic Convolutional Neural Networks as Efficient Pre-trained "
    "Audio Models. IEEE/ACM Transactions on Audio, Speech, and Language Processing, 2024."
)
# Temperatures of published nets: training for AudioSet ends at the one, that for ImageNet at the other.
AUDIOSET_TAU, IMAGENET_TAU = 1.0, 30.0

# Converted weights on the Hub: name -> (revision, sha256, size), as `python -m weights_convert publish` prints them.
_PUBLISHED: dict[str, tuple[str, str, int]] = {}

# Upstream's name of a checkpoint trained on AudioSet: its file, mAP reported in thousandths. The address of one file
# has a blank in its authors' code; the name without it is the likelier one.
_AUDIOSET: dict[str, tuple[str, int | None]] = {
    "dymn04_as": ("dymn04_as", 450),
    "dymn10_as": ("dymn10_as", 477),
    "dymn20_as": ("dymn20_as_mAP_493", 493),
    "dymn20_as(1)": ("dymn20_as", None),
    "dymn20_as(2)": ("dymn20_as_mAP_489", 489),
    "dymn20_as(3)": ("dymn20_as_mAP_490", 490),
    "dymn04_replace_se_as": ("dymn04_replace_se_as", None),
    "dymn10_replace_se_as": ("dymn10_replace_se_as", None),
}
_IMAGENET = ("dymn04_im", "dymn10_im", "dymn20_im")

# What git calls the bytes of the published files, where it is known.
_GIT_BLOBS = {
    "dymn04_as": "d7a26e5f5bca6a26079fa5720d95d2ce31e5aea2",
    "dymn10_as": "cd7b5f5f9ab8fa1abde2b87faf3baad8c274ad76",
}
_MOST_MELS, _LONGEST_HOP_MS, _WIDEST, _MOST_CONTEXT, _MOST_KERNELS = 512, 100, 100, 1 << 12, 64


def canonical(name: str) -> str:
    """Translates the names of the authors' checkpoints to ours; other names stay as they are.

    ``dymn20_as(2)`` is ``dymn20_as_2``.
    """
    return re.sub(r"^(dymn\d\d_as)\((\d)\)", r"\1_\2", name)


def build_net(**arguments: Any) -> DyMN:
    """The net; its arguments are those of :class:`hear_edgel3.families.dymn.net.DyMN`."""
    from hear_edgel3.families.dymn.net import DyMN

    return DyMN(**arguments)


def architecture(
    tau: float,
    width_mult: float = 1.0,
    n_classes: int | None = AUDIOSET_CLASSES,
    head: str = "mlp",
    n_mels: int = 128,
    hop_ms: int = 10,
    n_teacher: int | None = None,
    strides: Sequence[int] = (2, 2, 2, 2),
    **options: Any,
) -> dict[str, Any]:
    """The fields of a row that follow from the net's shape.

    Args:
        tau: temperature of the softmax over kernels, which no tensor shows.
        width_mult: factor of all channel counts.
        n_classes: size of the logits; None for a net without them.
        head: as for the net.
        n_mels: mel bands.
        hop_ms: milliseconds between frames.
        n_teacher: size of the approximation of a teacher's embedding; None for a net without it.
        strides: of the blocks 2, 4, 7 and 13.
        **options: the others of :func:`hear_edgel3.families.dymn.layout.make_layout`.

    Raises:
        ValueError: an option cannot be.
    """
    chosen = {"width_mult": width_mult, "strides": tuple(strides), **options}
    net: dict[str, Any] = {"tau": tau, "head": head, "n_classes": n_classes, "n_mels": n_mels, **chosen}
    if n_teacher is not None:
        net["n_teacher"] = n_teacher
    layout = layouts.make_layout(**chosen)
    counted: dict[str, Any] = {"head": head, "n_classes": n_classes, "n_teacher": n_teacher}
    # Front end, framing, rates, scenes: as those of the MobileNetV3 of the same width.
    fields = mobilenetv3_rows.architecture(width_mult, None, "mlp", n_mels, hop_ms)
    hop_length = fields["frontend"].arguments["hop_length"]
    n_frames = mobilenetv3.n_frames(10 * fields["net_sample_rate"], hop_length)
    return {
        **fields,
        "family": "dymn",
        "net": Component(build_net, net),
        "layers": layouts.DyMNLayers(layout, n_mels, hop_length, **counted),
        "kernels": True,
        "vocabulary": DyMNFeatures(),
        "n_classes": n_classes,
        "n_parameters": layouts.count_parameters(layout, n_mels=n_mels, **counted),
        "macs_10s": layouts.count_macs(layout, n_mels, n_frames, **counted),
    }


def with_classes(row: Checkpoint, n_classes: int) -> dict[str, Any]:
    """The fields of a row that are other ones for a net of the same shape and temperature with other classes.

    Args:
        row: of this family.
        n_classes: size of the logits.
    """
    return architecture(**{**shape(row), "n_classes": n_classes})


def shape(row: Checkpoint) -> dict[str, Any]:
    """The arguments of :func:`architecture` that made a row of this family, as plain values."""
    net = row.net.arguments
    keys = ("tau", "n_classes", "head", "n_mels", "n_teacher", *layouts.OPTIONS)
    found = {key: list(net[key]) if isinstance(net[key], tuple) else net[key] for key in keys if key in net}
    return {**found, "hop_ms": mobilenetv3_rows.hop_ms_of(row)}


def _is_width(value: object) -> bool:
    return is_factor(value) and isinstance(value, (int, float)) and value <= _WIDEST


def check_architecture(shape: Mapping[str, Any]) -> None:
    """Checks the arguments of :func:`architecture` as they stand in a file, which that function takes as they are.

    Raises:
        KeyError: there is no ``tau``.
        ValueError: One of them cannot be.
    """
    shape["tau"]  # which nothing else tells
    rules = {
        "tau": is_factor,
        "width_mult": _is_width,
        "head": one_of(layouts.HEADS),
        "n_mels": is_count_to(_MOST_MELS),
        "hop_ms": is_count_to(_LONGEST_HOP_MS),
        "strides": counts(4),
        "n_classes": is_count_or_none,
        "n_teacher": is_count_or_none,
        "use_dy_blocks": one_of(layouts.DYNAMIC_BLOCKS),
        "context_ratio": is_count_to(_MOST_CONTEXT),
        "max_context_size": is_count_to(_MOST_CONTEXT),
        "min_context_size": is_count_to(_MOST_CONTEXT),
        "dyrelu_k": is_count_to(_MOST_KERNELS),
        "dyconv_k": is_count_to(_MOST_KERNELS),
        **dict.fromkeys(("reduced_tail", "dilated", "no_dyrelu", "no_dyconv", "no_ca"), is_flag),
    }
    check_values(shape, rules)
    if shape.get("n_classes", 1) is None and shape.get("head", "mlp") != "mlp":
        raise ValueError(f"the head {shape['head']} cannot be without n_classes")


def _row(upstream_name: str, file: str, mean_average_precision: int | None, tau: float) -> Published:
    name = canonical(upstream_name)
    audioset = tau == AUDIOSET_TAU
    width_mult = int(name[4:6]) / 10
    parts = [
        f"DyMN of width {width_mult:g}",
        "trained on AudioSet" if audioset else "trained on ImageNet, not on sound",
    ]
    options: dict[str, Any] = {}
    if "_replace_se" in name:
        parts.append("dynamic where a MobileNetV3 has squeeze-and-excitation")
        options["use_dy_blocks"] = "replace_se"
    if name[-2:] in ("_1", "_2", "_3"):
        parts.append(f"run {name[-1]}")
    return Published(
        name=name,
        summary=", ".join(parts),
        # Those for ImageNet have another list of classes in the last layer: it is left out.
        **architecture(tau, width_mult, AUDIOSET_CLASSES if audioset else None, **options),
        upstream=Upstream(
            f"{mobilenetv3_rows.FILES}/{file}.pt",
            _GIT_BLOBS.get(name),
            _LICENCE,
            _COPYRIGHT,
            mobilenetv3_rows.PROJECT,
        ),
        hub=HubFile(f"hear-edgel3/{name}", "model.safetensors", *_PUBLISHED.get(name, ())),
        citation=_CITATION,
        labels="audioset" if audioset else None,
        reported={} if mean_average_precision is None else {"AudioSet mAP": mean_average_precision / 1000},
    )


def _rows() -> Iterator[Published]:
    for name, (file, mean_average_precision) in _AUDIOSET.items():
        yield _row(name, file, mean_average_precision, AUDIOSET_TAU)
    for name in _IMAGENET:
        yield _row(name, name, None, IMAGENET_TAU)


ROWS = tuple(_rows())
