"""Nets that tag together, and the windows that they get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3 import Tagger
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tagger import check_ensemble
from support import signals


def test_a_file_is_decoded_once(mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", signals.clip(1.2, 44100), 44100, subtype="FLOAT")
    opened: list[object] = []
    enter = AudioFile.__enter__
    monkeypatch.setattr(AudioFile, "__enter__", lambda self: opened.append(self) or enter(self))
    names = ["mn01_as", "mn04_as"]
    for options in ({}, {"window": 0.5, "hop": 0.2}):
        singles = [Tagger(name, mobilenetv3_folder).tag_file(tmp_path / "a.wav", **options) for name in names]
        opened.clear()
        together = Tagger(names, mobilenetv3_folder).tag_file(tmp_path / "a.wav", **options)
        assert len(opened) == 1
        mean = np.mean([single.logits.astype(np.float64) for single in singles], axis=0)
        np.testing.assert_allclose(together.logits, mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net_sample_rate": 16000}, "one sample rate inside, but mn04_as has 32000 Hz, mn10_as has 16000 Hz"),
        ({"padding": "zeros"}, "the same padding beyond a clip's ends, but mn04_as has reflection, mn10_as has zeros"),
        ({"labels": "openmic"}, "the same classes, but mn04_as has audioset, mn10_as has openmic"),
    ],
)
def test_nets_that_do_not_fit_together(change: dict[str, object], message: str) -> None:
    one, other = resolve("mn04_as").checkpoint, resolve("mn10_as").checkpoint
    check_ensemble([one, other])
    with pytest.raises(InvalidOption, match=message):
        check_ensemble([one, replace(other, **change)])  # type: ignore[arg-type]


def test_a_window_behind_the_clip_is_left_out() -> None:
    """With gaps between windows, the one that would be first to reach the end may begin behind it."""
    tagger = Tagger("tiny")
    for n_samples, starts in ((64000, [0.0]), (64001, [0.0, 2.0]), (1, [0.0])):
        tags = tagger.tag_samples(np.zeros(n_samples), 32000, window=0.5, hop=2.0)
        assert (tags.starts.tolist(), len(tags.ends), len(tags.logits)) == (starts, len(starts), len(starts))
