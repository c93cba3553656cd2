"""The timestamp contract, of a configuration alone and of an extractor."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.contract import contract_of
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.registry.names import list_configurations, resolve


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sea_64", {}),
        ("sea_64", {"sample_rate": 8000}),
        ("sea_64", {"sample_rate": 44100.0, "hop_ms": 33.3}),
        ("sparse_95", {"hop_ms": 100}),
        ("mn04_as_b5_ts640", {"sample_rate": np.int64(32000), "hop_ms": np.float32(12.5)}),
        ("tiny", {}),
    ],
)
def test_it_is_the_extractors(name: str, options: dict[str, float]) -> None:
    configuration = resolve(name)
    extractor = Extractor(
        configuration, configuration.checkpoint.frontend.build(), configuration.net.build(), **options
    )
    found = contract_of(configuration, **options)
    assert extractor.contract == found
    assert (extractor.sample_rate, extractor.hop_ms) == (found.sample_rate, found.hop_ms)
    assert type(found.sample_rate) is int


def test_every_configuration_has_one() -> None:
    for name in list_configurations():
        row = resolve(name).checkpoint
        found = contract_of(resolve(name))
        assert (found.sample_rate, found.net_sample_rate) == (row.sample_rate, row.net_sample_rate)
        assert found.hop_ms == row.hop_ms == (48 if row.family == "image" else 50)
        assert found.minimum_samples == (
            1 if row.padding == "reflection" else -(-found.sample_rate // row.net_sample_rate)
        )


def test_in_words() -> None:
    found = contract_of(resolve("sea_64"))
    assert found.padding == "zeros, half a window on each side"
    assert found.scene == "mean of the embeddings of windows centred every 250 ms"
    found = contract_of(resolve("tiny"))
    assert found.padding == (
        "the clip's reflection, half a window on each side; a clip of 2560 or fewer samples at 32000 Hz is first "
        "followed by zeros up to 2561"
    )
    assert found.scene == (
        "one pass over the whole clip up to 10 s; beyond, the mean of the embeddings of windows of 10 s centred every "
        "2500 ms, with the clip's reflection beyond its ends"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"sample_rate": 7999},
        {"sample_rate": 192_001},
        {"sample_rate": "16000"},
        {"sample_rate": True},
        {"sample_rate": np.True_},
        {"sample_rate": 16000.5},
        {"hop_ms": 0},
        {"hop_ms": float("nan")},
        {"hop_ms": "50"},
        {"hop_ms": 0.01},
    ],
)
def test_what_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        contract_of(resolve("sea_64"), **options)
