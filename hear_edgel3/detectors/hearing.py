"""What a net that was trained makes of sounds: the very numbers that its folder will give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hear_edgel3.audio.rates import check_rate
from hear_edgel3.errors import AudioFileError, ComputationError, InvalidAudio
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.window_net import scene_of_blocks
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.tagging.answering import whole_clip_framing


def hear(extractor: Extractor, items: Sequence[Item], rows: np.ndarray, has_head: bool) -> np.ndarray:
    """(N, D) float32: what a net puts out for some of N sounds, each read from its file and heard whole; else NaN.

    Args:
        extractor: The net.
        items: All of the sounds.
        rows: Which of them are heard.
        has_head: Whether the net makes embeddings, for a head; else logits.

    Raises:
        ComputationError: A sound cannot be read, which could be read before.
    """
    framing = whole_clip_framing(extractor.configuration, has_head)
    found = np.full((len(items), extractor.scene_embedding_size), np.nan, np.float32)
    opener = ItemOpener("")
    try:
        for row in rows.tolist():
            item = items[row]
            try:
                with opener.open(item) as file:
                    path = extractor.window_path(framing, check_rate(file.sample_rate, "the file's sample rate"))
                    found[row] = scene_of_blocks(extractor, file.blocks(), path)
            except (AudioFileError, InvalidAudio) as error:
                said = str(error) if item.name in str(error) else f"{item.name}: {error}"
                raise ComputationError(f"{said} (it could be read before)") from error
    finally:
        opener.close()
    return found
