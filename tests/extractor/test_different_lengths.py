"""Lists of clips that are not equally long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.extractor.extractor import Extractor
from support import signals


@pytest.fixture(scope="module", params=["tiny", "sea"])
def extractor(request: pytest.FixtureRequest) -> Extractor:
    return hear_edgel3.load() if request.param == "tiny" else request.getfixturevalue("sea")


@pytest.fixture(scope="module")
def clips(extractor: Extractor) -> list[np.ndarray]:
    return [signals.clip(seconds, extractor.sample_rate).astype(np.float32) for seconds in (1.0, 3.3, 0.4)]


@pytest.mark.parametrize(
    "kind",
    [list, tuple, lambda clips: [torch.from_numpy(clip) for clip in clips], lambda clips: [c.tolist() for c in clips]],
)
def test_each_has_the_scene_embedding_that_it_has_alone(
    extractor: Extractor, clips: list[np.ndarray], kind: Any
) -> None:
    found = extractor.scene_embeddings(kind(clips))
    assert found.shape == (3, extractor.scene_embedding_size)
    for clip, embedding in zip(clips, found, strict=True):
        torch.testing.assert_close(embedding, extractor.scene_embeddings(clip[None])[0], rtol=0, atol=1e-6)


def test_the_hear_function_takes_them(extractor: Extractor, clips: list[np.ndarray]) -> None:
    from hear_edgel3.hear import get_scene_embeddings

    found = get_scene_embeddings([torch.from_numpy(clip) for clip in clips], extractor)  # type: ignore[arg-type]
    torch.testing.assert_close(found, extractor.scene_embeddings(clips), rtol=0, atol=0)


def test_timestamps_of_them_are_refused_in_words(extractor: Extractor, clips: list[np.ndarray]) -> None:
    shortest, longest = len(clips[2]), len(clips[1])
    words = rf"audio is 3 clips of different lengths \({shortest} to {longest} samples\).*timestamp_embeddings_of_each"
    with pytest.raises(InvalidAudio, match=words):
        extractor.timestamp_embeddings(clips)


def test_a_bad_one_is_named(extractor: Extractor, clips: list[np.ndarray]) -> None:
    with pytest.raises(InvalidAudio, match=r"clip 1 of audio of shape \(1, 0\) has no samples"):
        extractor.scene_embeddings([clips[0], clips[1][:0]])
    bad = clips[1].copy()
    bad[77] = np.nan
    with pytest.raises(InvalidAudio, match=r"clip 1 of audio: sample 77 is NaN"):
        extractor.scene_embeddings([clips[0], bad])


def test_clips_of_equal_length_are_one_batch(extractor: Extractor, clips: list[np.ndarray]) -> None:
    equal = [clip[:3000] for clip in clips]
    torch.testing.assert_close(
        extractor.scene_embeddings(equal), extractor.scene_embeddings(np.stack(equal)), rtol=0, atol=0
    )
    assert extractor.timestamp_embeddings(equal)[0].shape[0] == 3


@pytest.mark.parametrize("wrong", [[np.zeros((2, 3)), np.zeros((2, 4))], [[1.0, 2.0], 3.0], ["a", "bc"]])
def test_what_is_no_list_of_clips_is_refused_as_before(extractor: Extractor, wrong: Any) -> None:
    with pytest.raises(InvalidAudio):
        extractor.scene_embeddings(wrong)
