"""What is given to functions by mistake is refused in words, with this package's errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import AudioFileError, HearEdgeL3Error, InvalidAudio, InvalidOption, UnknownConfiguration
from hear_edgel3.tagging.tagger import Tagger

AUDIO = np.zeros(16000, np.float32)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Tagger(3), InvalidOption, "configurations must be the name .* got 3"),  # type: ignore[arg-type]
        (lambda: Tagger(None), InvalidOption, "configurations must be the name .* got None"),  # type: ignore[arg-type]
        (lambda: Tagger([None]), UnknownConfiguration, "no configuration None"),  # type: ignore[list-item]
        (lambda: Tagger([]), InvalidOption, "at least one"),
        (lambda: hear_edgel3.tag(None), AudioFileError, "must be a str or a Path, .*, got None"),  # type: ignore[arg-type]
        (lambda: hear_edgel3.tag(b"a.wav"), AudioFileError, "give a path as a str or a Path"),
        (lambda: hear_edgel3.embed_file(None), AudioFileError, "a str or a Path, .*, got None"),  # type: ignore[arg-type]
        (lambda: hear_edgel3.embed_file("a.wav", 3), InvalidOption, "got int"),  # type: ignore[arg-type]
        (lambda: hear_edgel3.load("tiny", sample_rate=10**400), InvalidOption, "sample_rate must be between"),
    ],
)
def test_calls(call: Callable[[], object], error: type[HearEdgeL3Error], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("method", ["__call__", "embed_windows"])
@pytest.mark.parametrize(
    ("windows", "got"),
    [
        (AUDIO[None], "got numpy.ndarray;"),
        ([0.0] * 16000, "got list;"),
        ("a.wav", "got str;"),
        (torch.zeros(16000), r"got \(16000,\) of float32;"),
        (torch.zeros(1, 16000, dtype=torch.int16), r"got \(1, 16000\) of int16;"),
    ],
)
def test_what_is_no_windows(method: str, windows: Any, got: str) -> None:
    extractor = hear_edgel3.load("tiny")
    with pytest.raises(InvalidAudio, match=f"{got} scene_embeddings and timestamp_embeddings take arrays"):
        getattr(extractor, method)(windows)


@pytest.mark.parametrize("n", [-1, 1.5, None, "3", True, np.float32(2)])
def test_how_many_tags(n: Any, tagger: Tagger) -> None:
    tags = tagger.tag_samples(AUDIO, 16000)
    with pytest.raises(InvalidOption, match="n, how many classes, must be a whole number from 0, got"):
        tags.top(n)
    [last, *_] = list(tagger.stream([AUDIO], sample_rate=16000))
    with pytest.raises(InvalidOption, match="n, how many classes"):
        last.top(n)


def test_numbers_of_tags(tagger: Tagger) -> None:
    tags = tagger.tag_samples(AUDIO, 16000)
    assert (tags.top(0), len(tags.top(np.int64(2))), len(tags.top(10**6))) == ([], 2, 527)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [torch.nn.Linear(3, 3), None, "tiny", hear_edgel3])
def test_models_of_others(model: Any) -> None:
    for function in (hear_edgel3.tiny.get_scene_embeddings, hear_edgel3.sea_64.get_timestamp_embeddings):
        with pytest.raises(InvalidOption, match=r"model must be what load_model\(\) gave, got an object of type"):
            function(torch.zeros(1, 16000), model)


def test_the_functions_of_all_modules_are_the_same() -> None:
    """That is documented: a net's functions take another net's model."""
    model = hear_edgel3.tiny.load_model()
    found = hear_edgel3.sea_64.get_scene_embeddings(torch.zeros(1, 16000), model)
    assert torch.equal(found, model.scene_embeddings(torch.zeros(1, 16000)))


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nested_tensors(layout: torch.layout, tagger: Tagger) -> None:
    audio = torch.nested.nested_tensor([torch.zeros(9000), torch.zeros(9500)], layout=layout)
    model = hear_edgel3.load()
    for call in (model.scene_embeddings, model.timestamp_embeddings, lambda x: tagger.tag_samples(x, 32000)):
        with pytest.raises(InvalidAudio, match="audio is a nested tensor; give clips one by one, or padded"):
            call(audio)


@pytest.mark.parametrize("room", ["search", "dataset", "explore", "errors", "custom", "edgel3"])
def test_rooms_are_there_when_asked_for(room: str) -> None:
    code = (
        "import sys, hear_edgel3\n"
        f"assert 'hear_edgel3.{room}' not in sys.modules or {room!r} == 'errors'\n"
        "assert 'torch' not in sys.modules\n"
        f"print(hear_edgel3.{room}.__name__, {room!r} in dir(hear_edgel3))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == f"hear_edgel3.{room} True", done.stderr
