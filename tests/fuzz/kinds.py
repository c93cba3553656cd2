"""All kinds."""

from __future__ import annotations

from . import audio, datasets, nets, sources
from .kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*audio.KINDS, *nets.KINDS, *sources.KINDS, *datasets.KINDS)}
