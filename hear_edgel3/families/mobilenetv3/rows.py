"""Rows of the MobileNetV3 family: EfficientAT's nets, distilled from transformers on AudioSet, or for ImageNet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.features import MobileNetV3Features
from hear_edgel3.families.schema import Checkpoint, Component, HubFile, Published, SceneRule, Upstream
from hear_edgel3.families.values import check_values, counts, is_count_or_none, is_count_to, is_factor, is_flag, one_of

if TYPE_CHECKING:
    from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
    from hear_edgel3.families.mobilenetv3.net import MobileNetV3

PROJECT = "https://github.com/fschmid56/EfficientAT"
FILES = f"{PROJECT}/releases/download/v0.0.1"
_LICENCE, _COPYRIGHT = "MIT", "(c) 2022 Florian Schmid"
_CITATION = (
    "Florian Schmid, Khaled Koutini, Gerhard Widmer. Efficient Large-Scale Audio Tagging Via Transformer-To-CNN "
    "Knowledge Distillation. ICASSP, 2023. For its embeddings: the same, Low-Complexity Audio Embedding Extractors. "
    "EUSIPCO, 2023."
)

# Converted weights on the Hub: name -> (revision, sha256, size), as `python -m weights_convert publish` prints them.
_PUBLISHED: dict[str, tuple[str, str, int]] = {}

# Upstream's name of a checkpoint trained on AudioSet: its file without ".pt", mAP reported in thousandths.
_AUDIOSET = {
    "mn01_as": ("mn01_as_mAP_298", 298),
    "mn02_as": ("mn02_as_mAP_378", 378),
    "mn04_as": ("mn04_as_mAP_432", 432),
    "mn05_as": ("mn05_as_mAP_443", 443),
    "mn10_as": ("mn10_as_mAP_471", 471),
    "mn20_as": ("mn20_as_mAP_478", 478),
    "mn30_as": ("mn30_as_mAP_482", 482),
    "mn40_as": ("mn40_as_mAP_484", 484),
    "mn40_as(2)": ("mn40_as_mAP_483", 483),
    "mn40_as(3)": ("mn40_as_mAP_483(2)", 483),
    "mn40_as_no_im_pre": ("mn40_as_no_im_pre_mAP_483", 483),
    "mn40_as_no_im_pre(2)": ("mn40_as_no_im_pre_mAP_483(2)", 483),
    "mn40_as_no_im_pre(3)": ("mn40_as_no_im_pre_mAP_482", 482),
    "mn40_as_ext": ("mn40_as_ext_mAP_487", 487),
    "mn40_as_ext(2)": ("mn40_as_ext_mAP_486", 486),
    "mn40_as_ext(3)": ("mn40_as_ext_mAP_485", 485),
    "mn10_as_hop_5": ("mn10_as_hop_5_mAP_475", 475),
    "mn10_as_hop_15": ("mn10_as_hop_15_mAP_463", 463),
    "mn10_as_hop_20": ("mn10_as_hop_20_mAP_456", 456),
    "mn10_as_hop_25": ("mn10_as_hop_25_mAP_447", 447),
    "mn10_as_mels_40": ("mn10_as_mels_40_mAP_453", 453),
    "mn10_as_mels_64": ("mn10_as_mels_64_mAP_461", 461),
    "mn10_as_mels_256": ("mn10_as_mels_256_mAP_474", 474),
    "mn10_as_fc": ("mn10_as_fc_mAP_465", 465),
    "mn10_as_fc_s2221": ("mn10_as_fc_s2221_mAP_466", 466),
    "mn10_as_fc_s2211": ("mn10_as_fc_s2211_mAP_466", 466),
}
_IMAGENET = ("mn01_im", "mn02_im", "mn04_im", "mn05_im", "mn10_im", "mn20_im", "mn30_im", "mn40_im", "mn10_im_pytorch")

# What git calls the bytes of the published files, where it is known.
_GIT_BLOBS = {
    "mn04_as": "1c675af80a401a1d54cbd01530b7411372f32601",
    "mn05_as": "0a2ca9138ae6a9865abc3e9cdeb803b393cdf2cb",
    "mn10_as": "e24657a2b147c7912ea042f6ef310af2494721cb",
    "mn20_as": "b87ae552fb68a88fc51f8151ee4621dd328b7a8a",
}
_SHA256 = {"mn04_as": "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"}

_NET_RATE = 32000
# Of nets that a folder describes: more than there are bins, and a hop longer than a window, make no sense.
_MOST_MELS, _LONGEST_HOP_MS, _WIDEST, _MOST_CHANNELS = 512, 100, 100, 1 << 16
_TEN_SECONDS = 10 * _NET_RATE


def canonical(name: str) -> str:
    """Translates the names of the authors' checkpoints and HEAR modules to ours; other names stay as they are.

    ``mn40_as(2)`` is ``mn40_as_2``; ``mn10_all_b_mel_avgs_hop15`` is ``mn10_as_hop_15_all_b_mel_avgs``;
    ``mn40_ext_e1_l`` is ``mn40_as_ext_e1_l``; ``mn10_mels_256_e1_l`` is ``mn10_as_mels_256_e1_l``.
    """
    if not name.startswith("mn"):
        return name
    name = re.sub(r"^(mn\d\d_as(?:_ext|_no_im_pre)?)\((\d)\)", r"\1_\2", name)
    found = re.fullmatch(r"(mn\d\d)_(?!as(?:_|$)|im(?:_|$))(ext_)?(?:(mels_\d+)_)?(.+?)(?:_(fc|hop\d+|mels\d+))?", name)
    if found is None:
        return name
    width, extended, front, features, behind = found.groups()
    variant = front or re.sub(r"(hop|mels)(\d+)", r"\1_\2", behind or "")
    return "_".join(part for part in (f"{width}_as", (extended or "").rstrip("_"), variant, features) if part)


def build_net(**arguments: Any) -> MobileNetV3:
    """The net; its arguments are those of :class:`hear_edgel3.families.mobilenetv3.net.MobileNetV3`."""
    from hear_edgel3.families.mobilenetv3.net import MobileNetV3

    return MobileNetV3(**arguments)


def build_frontend(**arguments: Any) -> MobileNetV3MelSpectrogram:
    """The front end, with arguments of :class:`hear_edgel3.families.mobilenetv3.frontend.MobileNetV3MelSpectrogram`."""
    from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram

    return MobileNetV3MelSpectrogram(**arguments)


def architecture(
    width_mult: float = 1.0,
    n_classes: int | None = layouts.AUDIOSET_CLASSES,
    head: str = "mlp",
    n_mels: int = 128,
    hop_ms: int = 10,
    strides: Sequence[int] = (2, 2, 2, 2),
    n_teacher: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The fields of a row that follow from the net's shape.

    Args:
        width_mult: factor of all channel counts.
        n_classes: size of the logits; None for a net without them.
        head: as for the net.
        n_mels: mel bands.
        hop_ms: milliseconds between frames.
        strides: of the blocks 2, 4, 7 and 13.
        n_teacher: size of the approximation of a teacher's embedding; None for a net without it.
        **options: ``reduced_tail`` and ``dilated``, and of a net that was pruned ``expanded``, ``squeeze``, ``last``
            and ``hidden``, as for :func:`hear_edgel3.families.mobilenetv3.layout.make_layout`.

    Raises:
        ValueError: ``width_mult``, ``strides`` or ``options`` cannot be.
    """
    net: dict[str, Any] = {
        "width_mult": width_mult,
        "head": head,
        "n_classes": n_classes,
        "n_mels": n_mels,
        "strides": tuple(strides),
    }
    if n_teacher is not None:
        net["n_teacher"] = n_teacher
    net |= {key: tuple(value) if isinstance(value, Sequence) else value for key, value in options.items()}
    hop_length = hop_ms * _NET_RATE // 1000
    layout = layouts.make_layout(width_mult, strides, **options)
    counted: dict[str, Any] = {"head": head, "n_classes": n_classes, "n_teacher": n_teacher}
    n_frames = layouts.n_frames(_TEN_SECONDS, hop_length)
    return {
        "family": "mobilenetv3",
        # The HEAR tools know no 32000 Hz; callers feed 48000 and it is converted inside, or ask for 32000.
        "sample_rate": 48000,
        "net_sample_rate": _NET_RATE,
        "window_ms": 160,
        "net": Component(build_net, net),
        "frontend": Component(build_frontend, {"hop_length": hop_length, "n_mels": n_mels}),
        "layers": layouts.MobileNetV3Layers(layout, n_mels, hop_length, **counted),
        "kernels": True,
        "vocabulary": MobileNetV3Features(),
        "n_classes": n_classes,
        "n_parameters": layouts.count_parameters(layout, n_mels=n_mels, **counted),
        "macs_10s": layouts.count_macs(layout, n_mels, n_frames, **counted),
        # EfficientAT_HEAR hear_wrapper.py: one forward for up to ten seconds, else windows of ten seconds.
        "scene": SceneRule(sample_rate=_NET_RATE, hop_ms=2500.0, window_ms=10_000, whole_up_to_ms=10_000),
        "padding": "reflection",
        # Small nets gain from more; wide ones only take more memory.
        "windows_per_batch": 128 if width_mult <= 0.5 else 64 if width_mult <= 1 else 32,
    }


def with_classes(row: Checkpoint, n_classes: int) -> dict[str, Any]:
    """The fields of a row that are other ones for a net of the same shape with other classes.

    Args:
        row: of this family.
        n_classes: size of the logits.
    """
    return architecture(**{**shape(row), "n_classes": n_classes})


def shape(row: Checkpoint) -> dict[str, Any]:
    """The arguments of :func:`architecture` that made a row of this family, as plain values."""
    net = row.net.arguments
    keys = ("width_mult", "n_classes", "head", "n_mels", "strides", "n_teacher", *layouts.OPTIONS)
    found = {key: list(net[key]) if isinstance(net[key], tuple) else net[key] for key in keys if key in net}
    return {**found, "hop_ms": hop_ms_of(row)}


def hop_ms_of(row: Checkpoint) -> int:
    """Milliseconds between the frames of a row of this family."""
    hop_length: int = row.frontend.arguments["hop_length"]
    return 1000 * hop_length // _NET_RATE


def _is_width(value: object) -> bool:
    return is_factor(value) and isinstance(value, (int, float)) and value <= _WIDEST


def check_architecture(shape: Mapping[str, Any]) -> None:
    """Checks the arguments of :func:`architecture` as they stand in a file, which that function takes as they are.

    Raises:
        ValueError: One of them cannot be.
    """
    rules = {
        "width_mult": _is_width,
        "head": one_of(layouts.HEADS),
        "n_mels": is_count_to(_MOST_MELS),
        "hop_ms": is_count_to(_LONGEST_HOP_MS),
        "strides": counts(4),
        "n_classes": is_count_or_none,
        "n_teacher": is_count_or_none,
        "expanded": counts(layouts.N_BLOCKS),
        "squeeze": counts(layouts.N_SQUEEZED),
        "last": is_count_to(_MOST_CHANNELS),
        "hidden": is_count_to(_MOST_CHANNELS),
        "reduced_tail": is_flag,
        "dilated": is_flag,
    }
    check_values(shape, rules)
    if shape.get("n_classes", 1) is None and shape.get("head", "mlp") != "mlp":
        raise ValueError(f"the head {shape['head']} cannot be without n_classes")


def _row(upstream_name: str, file: str, mean_average_precision: int | None) -> Published:
    name = canonical(upstream_name)
    audioset = mean_average_precision is not None
    width_mult = int(name[2:4]) / 10
    hop_ms = _number(r"_hop_(\d+)", name, 10)
    n_mels = _number(r"_mels_(\d+)", name, 128)
    strides = tuple(int(c) for c in str(_number(r"_s(\d{4})", name, 2222)))
    return Published(
        name=name,
        summary=_summary(name, width_mult, hop_ms, n_mels, strides),
        **architecture(
            width_mult,
            # Those for ImageNet have another list of classes, or random weights, in the last layer: it is left out.
            layouts.AUDIOSET_CLASSES if audioset else None,
            "fully_convolutional" if "_fc" in name else "mlp",
            n_mels,
            hop_ms,
            strides,
        ),
        upstream=Upstream(f"{FILES}/{file}.pt", _GIT_BLOBS.get(name), _LICENCE, _COPYRIGHT, PROJECT, _SHA256.get(name)),
        hub=HubFile(f"hear-edgel3/{name}", "model.safetensors", *_PUBLISHED.get(name, ())),
        citation=_CITATION,
        labels="audioset" if audioset else None,
        reported={"AudioSet mAP": mean_average_precision / 1000} if mean_average_precision is not None else {},
    )


def _number(pattern: str, name: str, default: int) -> int:
    found = re.search(pattern, name)
    return default if found is None else int(found[1])


def _summary(name: str, width_mult: float, hop_ms: int, n_mels: int, strides: tuple[int, ...]) -> str:
    parts = [f"MobileNetV3 of width {width_mult:g}"]
    if "_im" in name and "no_im" not in name:
        parts.append(
            "ImageNet weights from torchvision, clf2 random"
            if name.endswith("pytorch")
            else "trained on ImageNet, not on sound"
        )
    else:
        parts.append("trained on AudioSet")
    if "_ext" in name:
        parts.append("for longer")
    if "_no_im_pre" in name:
        parts.append("without ImageNet first")
    if name[-2:] in ("_2", "_3"):
        parts.append(f"run {name[-1]}")
    if "_hop_" in name:
        parts.append(f"hop of {hop_ms} ms")
    if "_mels_" in name:
        parts.append(f"{n_mels} mel bands")
    if "_fc" in name:
        parts.append("fully convolutional head")
    if strides != (2, 2, 2, 2):
        parts.append(f"strides {', '.join(map(str, strides))}")
    return ", ".join(parts)


def _rows() -> Iterator[Published]:
    for name, (file, mean_average_precision) in _AUDIOSET.items():
        yield _row(name, file, mean_average_precision)
    for name in _IMAGENET:
        yield _row(name, name, None)


ROWS = tuple(_rows())
