"""Tags of windows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption
from hear_edgel3.tagging.tagger import Tagger, check_windows, tag
from support.tagging import RATE, assert_logits_close, in_windows, straight


@pytest.mark.parametrize(
    ("seconds", "window", "hop", "starts"),
    [
        (5.0, 2.0, 1.0, [0, 1, 2, 3]),  # ends with the clip
        (5.0, 2.0, 0.8, [0, 0.8, 1.6, 2.4, 3.2]),  # the last one reaches beyond
        (4.7, 2.0, None, [0, 0.5, 1, 1.5, 2, 2.5, 3]),
        (2.0, 2.0, None, [0]),
        (1.3, 2.0, 0.1, [0]),
        (5.0, 1.0, 2.0, [0, 2, 4]),  # apart
        (5.0, 0.5, 2.1, [0, 2.1, 4.2]),
        (0.3, 0.02, 0.05, [0, 0.05, 0.1, 0.15, 0.2, 0.25]),
    ],
)
def test_windows(
    seconds: float,
    window: float,
    hop: float | None,
    starts: list[float],
    tagging_folder: Path,
    tagger: Tagger,
    sound: np.ndarray,
) -> None:
    x = sound[: int(seconds * RATE)]
    tags = tagger.tag_samples(x, RATE, window, hop)
    count = len(starts)
    np.testing.assert_allclose(tags.starts[:count], starts, atol=1e-9)
    np.testing.assert_allclose(tags.ends[:count], np.array(starts) + window, atol=1e-9)
    assert len(tags.starts) == len(tags.ends) == len(tags.logits)
    if hop is None or hop <= window:
        assert len(tags.starts) == count
        assert tags.ends[-1] >= seconds > tags.starts[-1]
    step = int((window / 4 if hop is None else hop) * RATE)
    assert_logits_close(
        tags.logits[:count], straight(tagging_folder, "mn01_as", in_windows(x, int(window * RATE), step, count))
    )


def test_windows_that_are_not_apart_start_within_the_clip(tagger: Tagger) -> None:
    for n_samples in (RATE - 1, RATE, RATE + 1, 2 * RATE, 2 * RATE + 1):
        tags = tagger.tag_samples(np.zeros(n_samples), RATE, window=1.0, hop=1.0)
        assert len(tags.starts) == max(1, math.ceil(n_samples / RATE))
        assert (tags.starts < tags.duration).all()
        assert tags.ends[-1] >= tags.duration


def test_the_default_hop_is_a_quarter_of_the_window(tagger: Tagger, sound: np.ndarray) -> None:
    a = tagger.tag_samples(sound, RATE, window=2.0)
    b = tagger.tag_samples(sound, RATE, window=2.0, hop=0.5)
    np.testing.assert_array_equal(a.logits, b.logits)
    np.testing.assert_array_equal(a.starts, b.starts)
    assert tagger.tag_samples(np.tile(sound, 3), RATE, window=10).starts.tolist() == [0.0, 2.5, 5.0]


@pytest.mark.parametrize(
    ("window", "hop", "message"),
    [
        (None, 1.0, r"hop=1.0 goes with a window; give `window` \(--window\) too"),
        (60.5, None, "window=60.5 is more than 60 s"),
        (0.019, None, "window=0.019 is less than 0.02 s"),
        (1.0, 0.0009, "hop=0.0009 is less than 0.001 s"),
        (0, None, "window must be a positive number of seconds, got 0"),
        (-1.0, None, "window must be a positive number"),
        (math.nan, None, "window must be a positive number"),
        (math.inf, None, "window must be a positive number"),
        ("10", None, "window must be a positive number of seconds, got '10'"),
        (True, None, "window must be a positive number"),
        (1.0, 0, "hop must be a positive number of seconds, got 0"),
        (1.0, math.nan, "hop must be a positive number"),
        (1.0, "1", "hop must be a positive number"),
    ],
)
def test_windows_that_cannot_be(window: Any, hop: Any, message: str, tagger: Tagger) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_windows(window, hop)
    with pytest.raises(InvalidOption, match=message):
        tagger.tag_samples(np.zeros(RATE), RATE, window, hop)
    with pytest.raises(InvalidOption, match=message):  # before files and weights are looked for
        tag("nowhere.wav", "mn01_as", weights="nowhere.safetensors", window=window, hop=hop)


@pytest.mark.parametrize(("window", "hop"), [(60, 0.001), (0.02, 100.0), (np.float32(1), np.int64(2))])
def test_the_outermost_windows_that_can_be(window: Any, hop: Any, tagger: Tagger) -> None:
    tags = tagger.tag_samples(np.zeros(640), RATE, window, hop)
    assert (tags.starts.tolist(), tags.ends.tolist()) == ([0.0], [pytest.approx(float(window))])
