"""Rows of the S-SONDO family: students of MATPAC++, distilled on AudioSet without its labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.dymn import rows as dymn
from hear_edgel3.families.layers import Layers, Operation
from hear_edgel3.families.mobilenetv3 import rows as mobilenetv3
from hear_edgel3.families.schema import (
    Checkpoint,
    Component,
    HubFile,
    Published,
    SceneRule,
    Upstream,
)
from hear_edgel3.families.ssondo.features import SsondoFeatures
from hear_edgel3.families.values import check_values, is_factor, one_of

if TYPE_CHECKING:
    from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram

PROJECT = "https://github.com/MedAliAdlouni/ssondo"
FILES = "https://huggingface.co/mohammedali2501/ssondo/resolve/main"
NETS = ("mobilenetv3", "dymn")
RATE, SEGMENT_MS = 32000, 10_000.0
# The values of the teacher's embedding.
TEACHER_SIZE = 3840
# The code's is MIT. Nothing published says under which the weights are.
LICENCE = "not stated by their authors (of their code: MIT)"
CITATION = (
    "Mohammed Ali El Adlouni, Aurian Quelennec, Pierre Chouteau, Geoffroy Peeters, Slim Essid. S-SONDO: "
    "Self-Supervised Knowledge Distillation for General Audio Foundation Models. ICASSP, 2026."
)
# The temperature of the published DyMN: its training began with an ImageNet net's, and never stepped it.
_TAU = dymn.IMAGENET_TAU
_FRONT_END = {"sample_rate": RATE, "n_fft": 1024, "hop_length": 512, "n_mels": 128, "fmin": 50.0, "fmax": 16000.0}

# Our name, the authors' name, kind of net, and a word on whether there is a file.
_ROWS = (
    ("ssondo_matpac_mn", "matpac-mobilenetv3", "mobilenetv3", ""),
    ("ssondo_matpac_dymn", "matpac-dymn", "dymn", ", announced and not published yet when this was written"),
)
_TITLES = {"mobilenetv3": "MobileNetV3", "dymn": "DyMN"}
_CANONICAL = {theirs: ours for ours, theirs, *_ in _ROWS}


def canonical(name: str) -> str:
    """Translates the names of the authors' package to ours: ``matpac-mobilenetv3`` is ``ssondo_matpac_mn``."""
    return _CANONICAL.get(name, name)


def build_frontend(**arguments: Any) -> SsondoMelSpectrogram:
    """The front end; its arguments are those of :class:`hear_edgel3.families.ssondo.frontend.SsondoMelSpectrogram`."""
    from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram

    return SsondoMelSpectrogram(**arguments)


@dataclass(frozen=True)
class SsondoLayers:
    """A net and its front end, for :class:`hear_edgel3.families.layers.Layers`.

    Attributes:
        net: What the net does.
        n_fft: Samples under one frame.
        hop_length: Samples between frames.
    """

    net: Layers
    n_fft: int
    hop_length: int

    @property
    def n_mels(self) -> int:
        """Mel bands of an image."""
        return self.net.n_mels

    @property
    def frame_length(self) -> int:
        """Samples under one frame."""
        return self.n_fft

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        return 1 + max(0, n_samples - self.n_fft) // self.hop_length

    def operations(self, n_frames: int, features: Mapping[str, Any] | None = None) -> Sequence[Operation]:
        """What the net does with one image of ``n_frames``."""
        return self.net.operations(n_frames, features)


def architecture(net: str, tau: float | None = None) -> dict[str, Any]:
    """The fields of a row that follow from the kind of net, and the front end that belongs to it.

    Args:
        net: "mobilenetv3" or "dymn", both of width 1.
        tau: the temperature of a DyMN, as for :func:`hear_edgel3.families.dymn.rows.architecture`.

    Raises:
        ValueError: there is no such kind of net, or it has no temperature, or needs one.
    """
    _check(net, tau)
    fields = (
        mobilenetv3.architecture(n_classes=TEACHER_SIZE)
        if tau is None
        else dymn.architecture(tau, n_classes=TEACHER_SIZE)
    )
    layers = SsondoLayers(fields["layers"], _FRONT_END["n_fft"], _FRONT_END["hop_length"])  # type: ignore[arg-type]
    n_frames = layers.n_frames(round(RATE * SEGMENT_MS / 1000))
    return {
        **fields,
        "family": "ssondo",
        "frontend": Component(build_frontend, _FRONT_END),
        "layers": layers,
        "vocabulary": SsondoFeatures(fields["vocabulary"]),
        # Its head's outputs are no classes.
        "n_classes": None,
        "macs_10s": sum(operation.macs for operation in layers.operations(n_frames)),
        # Training and the authors' own uses cut clips into these, and append zeros to shorter ones.
        "scene": SceneRule(sample_rate=RATE, hop_ms=SEGMENT_MS, window_ms=SEGMENT_MS, segments=True),
        "padding": "zeros",
    }


def _check(net: str, tau: float | None) -> None:
    if net not in NETS:
        raise ValueError(f"net of the architecture must be one of {', '.join(NETS)}; got {net!r}")
    if (net == "dymn") != (tau is not None):
        raise ValueError(f"tau is for the net dymn, which needs it; got {net!r} with tau {tau!r}")


def shape(row: Checkpoint) -> dict[str, Any]:
    """The arguments of :func:`architecture` that made a row of this family, as plain values."""
    tau = row.net.arguments.get("tau")
    return {"net": "mobilenetv3"} if tau is None else {"net": "dymn", "tau": tau}


def check_architecture(shape: Mapping[str, Any]) -> None:
    """Checks the arguments of :func:`architecture` as they stand in a file, which that function takes as they are.

    Raises:
        ValueError: One of them cannot be.
    """
    check_values(shape, {"net": one_of(NETS), "tau": is_factor})


def _rows() -> Iterator[Published]:
    for name, theirs, net, note in _ROWS:
        yield Published(
            name=name,
            summary=f"{_TITLES[net]} of width 1, distilled from MATPAC++ on AudioSet without labels{note}",
            **architecture(net, _TAU if net == "dymn" else None),
            upstream=Upstream(
                f"{FILES}/{theirs.replace('-', '_')}.ckpt",
                None,
                LICENCE,
                "(c) 2025 Mohammed Ali El Adlouni",
                PROJECT,
            ),
            hub=HubFile(f"hear-edgel3/{name}", "model.safetensors"),
            citation=CITATION,
        )


ROWS = tuple(_rows())
