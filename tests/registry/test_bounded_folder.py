"""Folders whose description asks for too much, or cannot be shown: said before anything large is built."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError, HearEdgeL3Error, WeightsMismatch
from hear_edgel3.registry import folder as local
from support.folders import change
from support.types import Captured


def deep(n: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(n):
        found = [found]
    return found


TOO_LARGE = [
    *({"width_mult": width} for width in (101, 1e3, 1e9, 1e300)),
    *({"n_mels": n} for n in (513, 10**6, 10**12, 10**30)),
    *({"hop_ms": n} for n in (101, 10**30)),
]


@pytest.mark.parametrize("changes", TOO_LARGE, ids=repr)
def test_shapes_that_nobody_needs(changes: dict[str, Any], copied: Path) -> None:
    change(copied, architecture=changes)
    with pytest.raises(ConfigurationError, match=f"{next(iter(changes))} of the architecture cannot be"):
        hear_edgel3.load(copied)


@pytest.mark.parametrize(
    "changes",
    [{"sample_rate": 10**9}, {"n_fft": 1 << 20}, {"n_mels": 10**12}, {"hop_length": 10**30}],
    ids=repr,
)
def test_l3_front_ends_that_nobody_needs(changes: dict[str, Any], copied_l3: Path) -> None:
    change(copied_l3, architecture=changes)
    with pytest.raises(ConfigurationError, match=f"{next(iter(changes))} of the architecture cannot be"):
        hear_edgel3.load(copied_l3)


@pytest.mark.parametrize("changes", [{"width_mult": 100}, {"n_teacher": 10**12}, {"n_classes": 10**30}], ids=repr)
def test_nets_that_their_weights_cannot_fill(changes: dict[str, Any], copied: Path) -> None:
    change(copied, architecture=changes, labels=None)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsMismatch, match=r"has \d+ values, and .* describes a net of \d+ parameters"):
            hear_edgel3.load(copied)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_wide_l3_nets_that_their_weights_cannot_fill(copied_l3: Path) -> None:
    change(copied_l3, architecture={"channels": [10**9] * 8})
    with pytest.raises(WeightsMismatch, match=r"describes a net of \d+ parameters"):
        hear_edgel3.load(copied_l3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"summary": "\ud800"}, "surrogates not allowed"),
        ({"made": {"\udfff": 1}}, "surrogates not allowed"),
        ({"made": {"x": deep(31)}}, "nested more than 32 levels deep"),
        ({"made": {"x": deep(900)}}, "nested more than 32 levels deep"),
        ({"architecture": {"n_mels": deep(300)}}, "nested more than 32 levels deep"),
        ({"reported": {"x": 1e999}}, "not JSON compliant"),
        ({"weights_file": "w" * 256}, "weights_file must be a file name of at most 255 bytes"),
        ({"weights_file": "é" * 128}, "weights_file must be a file name of at most 255 bytes"),
        ({"labels": "w" * 300}, "there is no list of labels"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_values_that_cannot_be_shown_or_opened(
    changes: dict[str, Any], message: str, copied: Path, capsys: Captured
) -> None:
    change(copied, **changes)
    with pytest.raises(ConfigurationError, match=message):
        local.read_folder(copied)
    for command in (["info", str(copied)], ["info", str(copied), "--json"]):
        assert main(command) != 0
        assert message in capsys.readouterr().err


def test_what_is_not_too_deep_is_shown(copied: Path, capsys: Captured) -> None:
    change(copied, made={"x": deep(20)})
    assert main(["info", str(copied), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_a_weights_file_of_a_long_name_that_is_not_there(copied: Path) -> None:
    change(copied, weights_file="w" * 255)
    with pytest.raises(HearEdgeL3Error, match=r"has no w+, the weights of"):
        hear_edgel3.load(copied)
