"""Whether a clip is silent is a matter of all of its samples."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from hear_edgel3.extractor.clip import embed_file, embed_samples
from hear_edgel3.extractor.extractor import Extractor

RATE = 48000
LONG = 12 * RATE  # several blocks, from a file and from an array


@pytest.mark.parametrize(("place", "silent"), [(None, True), (0, False), (LONG // 2, False), (LONG - 1, False)])
def test_one_sample_that_is_heard(place: int | None, silent: bool, sea: Extractor, here) -> None:
    samples = np.zeros(LONG, np.float32)
    if place is not None:
        samples[place] = 0.5
    soundfile.write("a.wav", samples, RATE)
    assert embed_samples(samples, RATE, sea, hop_size=5.0).silent is silent
    assert embed_file("a.wav", sea, hop_size=5.0).silent is silent
