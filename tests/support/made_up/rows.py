"""Rows of the made-up family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.schema import Component, HubFile, OneKind, Published, SceneRule, Upstream
from hear_edgel3.families.values import check_values, is_count

if TYPE_CHECKING:
    from support.made_up.frontend import Bands
    from support.made_up.net import Murmur

RATE, N_FFT, HOP_LENGTH, N_MELS = 16000, 256, 160, 16


def build_net(**arguments: Any) -> Murmur:
    from support.made_up.net import Murmur

    return Murmur(**arguments)


def build_frontend(**arguments: Any) -> Bands:
    from support.made_up.frontend import Bands

    return Bands(**arguments)


def architecture(channels: int, size: int) -> dict[str, Any]:
    """The fields of a row that follow from the net's shape."""
    return {
        "family": "murmur",
        "sample_rate": RATE,
        "net_sample_rate": RATE,
        "window_ms": 500.0,
        "net": Component(build_net, {"channels": channels, "size": size}),
        "frontend": Component(build_frontend, {"n_fft": N_FFT, "hop_length": HOP_LENGTH, "n_mels": N_MELS}),
        "vocabulary": OneKind(size),
        "n_parameters": 12 * channels + (channels + 1) * size,
        "macs_10s": 9 * channels * N_MELS * 1000 + channels * size,
        "scene": SceneRule(sample_rate=RATE, hop_ms=250.0),
    }


def check_architecture(shape: Mapping[str, Any]) -> None:
    check_values(shape, {"channels": is_count, "size": is_count})


def canonical(name: str) -> str:
    """``hum_8`` is another name of ``murmur_8``."""
    return name.replace("hum_", "murmur_", 1) if name.startswith("hum_") else name


def _rows() -> Iterator[Published]:
    for size in (8, 12):
        yield Published(
            name=f"murmur_{size}",
            summary=f"a made-up net of {size} values",
            **architecture(channels=4, size=size),
            upstream=Upstream(f"https://example.org/murmur{size}.npz", None, "MIT", "nobody", "https://example.org"),
            hub=HubFile(f"example/murmur_{size}", "model.safetensors"),
            citation="Nobody, Nothing, never.",
        )


ROWS = tuple(_rows())
