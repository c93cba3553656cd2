"""The linear heads that S-SONDO's authors published for one of their nets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.families.schema import PublishedHead, Targets
from hear_edgel3.families.ssondo.rows import CITATION, FILES, LICENCE

if TYPE_CHECKING:
    import torch

_INPUTS = 960
# The authors' name, what of, classes, and how logits are read, which their package does not say.
_HEADS: tuple[tuple[str, str, int, Targets], ...] = (
    ("gtzan", "GTZAN, genres of music", 10, "single"),
    ("openmic", "OpenMIC 2018, instruments", 20, "several"),
    ("nsynth", "NSynth, kinds of instruments", 11, "single"),
    ("esc50", "ESC-50, environmental sounds", 50, "single"),
    ("us8k", "UrbanSound8K, sounds of a city", 10, "single"),
    ("magna-tag-a-tune", "MagnaTagATune, tags of music", 50, "several"),
    ("fsd50k", "FSD50K, sound events", 200, "several"),
)


def _read(data: bytes, source: str) -> tuple[torch.Tensor, torch.Tensor]:
    from hear_edgel3.families.ssondo.checkpoint import read_head

    return read_head(data, source, _INPUTS)


HEADS = tuple(
    PublishedHead(
        name=name,
        checkpoint="ssondo_matpac_mn",
        words="clf1",
        data=data,
        n_classes=n_classes,
        targets=targets,
        url=f"{FILES}/heads/{name}.pth",
        licence=LICENCE,
        citation=CITATION,
        read=_read,
    )
    for name, data, n_classes, targets in _HEADS
)
