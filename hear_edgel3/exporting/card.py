"""The card: what an exported file says of itself, as plain values, so that programs need no other knowledge of it."""

from __future__ import annotations

from typing import Any

import torch

from hear_edgel3._version import __version__
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.loading import load_configuration
from hear_edgel3.families.schema import Local, Published
from hear_edgel3.framing.rules import SceneFraming, SegmentFraming
from hear_edgel3.tagging.answering import whole_clip_framing
from hear_edgel3.tagging.outputs import outputs_of

FORMAT = 1
# What of a configuration a file has.
WHOLE, NET, FRONTEND = "whole", "net", "frontend"


def make_card(
    extractor: Extractor, part: str, length: int | None, takes: list[int | None], outputs: dict[str, list[int | None]]
) -> dict[str, Any]:
    """The card of a file.

    Args:
        extractor: What is exported.
        part: "whole", "net" (images in) or "frontend" (images out).
        length: The samples of the only windows that it takes; None if it takes any number of them.
        takes: The shape of its input behind the number of windows; None where it may be of any size.
        outputs: By name, the shape of each output behind the number of windows; None where it follows the input.
    """
    configuration = extractor.configuration
    row = configuration.checkpoint
    frontend: Any = extractor.frontend
    card: dict[str, Any] = {
        "format": FORMAT,
        "name": configuration.name,
        "family": row.family,
        "version": __version__,
        "embedding_version": row.embedding_version,
        "licence": _licence(row),
        "citation": row.citation,
        "weights_sha256": _weights_sha256(extractor),
        "part": part,
        "sample_rate": extractor.net_sample_rate,
        "window": extractor.window,
        "frames": frontend.n_frames(extractor.window if length is None else length),
        "length": length,
        "minimum_samples": getattr(frontend, "minimum_samples", 1) if length is None else length,
        "input": "spectrogram" if part == NET else "samples",
        "input_shape": takes,
        "outputs": outputs,
        "features": dict(zip(configuration.features.names, configuration.features.sizes, strict=True)),
        "hop_ms": extractor.hop_ms,
        "padding": row.padding,
        "scene": _windows(scene_framing(configuration)),
        "contract": extractor.contract.to_dict(),
    }
    if "probabilities" in outputs or "numbers" in outputs:
        assert extractor.labels is not None
        read = outputs_of(row)
        own = isinstance(row, Local) and row.head is not None
        card |= {
            "labels": [label.name for label in extractor.labels],
            "targets": read.targets,
            "temperature": read.temperature,
            "thresholds": None if read.thresholds is None else list(read.thresholds),
            "clip": _windows(whole_clip_framing(configuration, own)),
        }
    return card


def _weights_sha256(extractor: Extractor) -> str | None:
    """The checksum of the file that its weights are those of; None if they were changed since, or it is gone."""
    info = extractor.weights
    if info is None:
        return None
    try:
        file = load_configuration(extractor.configuration, info.path, engine="eager")
    except HearEdgeL3Error:
        return None
    there, here = file.net.state_dict(), extractor.net.state_dict()
    same = there.keys() == here.keys() and all(torch.equal(value, here[name]) for name, value in there.items())
    return info.sha256 if same and file.weights is not None and file.weights.sha256 == info.sha256 else None


def _licence(row: Any) -> str:
    if isinstance(row, Published):
        return f"{row.upstream.licence}, {row.upstream.copyright}"
    assert isinstance(row, Local)
    return row.licence


def _windows(framing: SceneFraming) -> dict[str, Any]:
    """The windows of a whole clip, whose outputs are averaged, in samples."""
    windows = framing.windows
    if isinstance(windows, SegmentFraming):
        return {"segment": windows.window}
    return {"window": framing.window, "hop_ms": windows.hop_ms, "whole_up_to": framing.whole_up_to}
