"""What follows from the shape of an L3 net: the rate that callers feed."""

from __future__ import annotations

import pytest

from hear_edgel3.families.l3.rows import architecture

CHANNELS = (8,) * 8


@pytest.mark.parametrize(
    ("net_rate", "fed"),
    [
        (1, 16000),
        (8000, 16000),
        (15999, 16000),
        (16000, 16000),
        (16001, 22050),
        (22050, 22050),
        (22051, 44100),
        (44100, 44100),
        (44101, 48000),
        (48000, 48000),
        (48001, 48000),
        (96000, 48000),
    ],
)
def test_the_rate_that_is_fed_by_default(net_rate: int, fed: int) -> None:
    """The lowest that the HEAR tools know and that loses nothing; the highest if none does."""
    made = architecture(CHANNELS, final_norm=True, sample_rate=net_rate, n_fft=512, hop_length=100, n_mels=32)
    assert (made["sample_rate"], made["net_sample_rate"]) == (fed, net_rate)
