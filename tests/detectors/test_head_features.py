"""The features that a head is on: those that suit heads, unless others were chosen or there is something to be kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.detectors import run
from hear_edgel3.detectors.base import with_head_words
from hear_edgel3.detectors.options import make_options
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import by_name, resolve, with_logits
from support.detector_sounds import RATE, sound


def audio(label: str) -> torch.Tensor:
    return torch.from_numpy(sound(label, np.random.default_rng(5))).float()[None]


@pytest.mark.parametrize(
    ("config", "options", "learnt"),
    [
        ("tiny", {}, "tiny_avg_time_pool"),
        ("mn04_as", {"head": "mlp"}, "mn04_as_avg_time_pool"),
        ("tiny", {"fine_tune": True}, "tiny_avg_time_pool"),
        ("mn04_as", {"fine_tune": True, "head": "mlp"}, "mn04_as_avg_time_pool"),
        ("tiny", {"head": "own"}, "tiny"),
        ("tiny", {"fine_tune": True, "head": "own"}, "tiny"),
        ("mn04_as", {"recipe": "esc50"}, "mn04_as"),
        ("mn04_as", {"recipe": "esc50", "head": "linear"}, "mn04_as"),
        ("tiny_all_b_mel_avgs", {}, "tiny_all_b_mel_avgs"),
        ("tiny_all_b_mel_avgs", {"fine_tune": True}, "tiny_all_b_mel_avgs"),
        ("tiny_clf1", {}, "tiny_clf1"),
        ("sea_64", {}, "sea_64"),
        ("dymn04_as", {}, "dymn04_as"),
        ("a/folder", {}, "a/folder"),
        (Path("tiny"), {}, Path("tiny")),
    ],
)
def test_features_that_a_head_is_on(config: str | Path, options: dict[str, Any], learnt: str | Path) -> None:
    """A family says which, and what was chosen stays."""
    assert with_head_words(config, make_options(options)) == learnt


@pytest.mark.parametrize(
    ("config", "words", "like"),
    [("tiny", "avg_time_pool", "tiny_avg_time_pool"), ("tiny_all_b_mel_avgs", "all_b_mel_avgs", "tiny")],
)
def test_what_a_detector_embeds(config: str, words: str, like: str, sounds: Path, cache: Path, tmp_path: Path) -> None:
    """The net as it was, with the features that its head is on."""
    folder = hear_edgel3.train(sounds, tmp_path / "d", config, cache=cache)
    values = json.loads((folder / "configuration.json").read_text())
    wanted = hear_edgel3.load(like, sample_rate=RATE).scene_embeddings(audio("knock"))
    assert values["head"]["words"] == values["default_features"] == words
    assert values["head"]["layout"]["inputs"] == wanted.shape[1]
    torch.testing.assert_close(hear_edgel3.load(folder, sample_rate=RATE).scene_embeddings(audio("knock")), wanted)
    usual = hear_edgel3.load(folder, sample_rate=RATE, features=["all_b", "mel_avgs"])
    plain = hear_edgel3.load("tiny", sample_rate=RATE)
    torch.testing.assert_close(usual.scene_embeddings(audio("hum")), plain.scene_embeddings(audio("hum")))


def test_detectors_of_earlier_versions(
    sounds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their heads are on the default embedding, which their folders name no words for; they say and learn on that."""
    family = FAMILIES["mobilenetv3"]
    with monkeypatch.context() as earlier:
        earlier.setitem(FAMILIES, "mobilenetv3", dataclasses.replace(family, head_words=""))
        folder = hear_edgel3.train(sounds, tmp_path / "earlier", cache=cache)
    values = json.loads((folder / "configuration.json").read_text())
    assert (values["head"]["words"], values["default_features"], values["head"]["layout"]["inputs"]) == ("", "", 320)
    plain, net = hear_edgel3.load("tiny", sample_rate=RATE), hear_edgel3.load(folder).net
    assert isinstance(net, HeadedNet)
    tagger = hear_edgel3.Tagger(folder)
    for label in ("hum", "hiss", "knock"):
        with torch.inference_mode():
            wanted = net.head(plain.scene_embeddings(audio(label)))
        logits = torch.from_numpy(tagger.tag_samples(audio(label)[0].numpy(), RATE).logits)
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
    assert hear_edgel3.evaluate(sounds, folder, cache=cache).scores.overall["balanced_accuracy"] > 0.9
    again = hear_edgel3.train(sounds, tmp_path / "again", folder, cache=cache)
    assert json.loads((again / "configuration.json").read_text())["head"]["layout"]["inputs"] == 320


def test_a_net_is_evaluated_with_what_it_would_be_trained_with(sounds: Path, cache: Path) -> None:
    for head, net in (("linear", "tiny_avg_time_pool"), ("own", "tiny")):
        found = hear_edgel3.evaluate(sounds, "tiny", cache=cache, split="groups", head=head)
        assert found.what.startswith(f"{net} (as it is, head {head})")


@pytest.mark.parametrize("name", ["mn01_as", "mn10_as_mels_40", "dymn04_as"])
def test_means_over_bands(name: str) -> None:
    """Means over time in bands become the default embedding, whatever the net's sizes."""
    configuration = by_name(f"{name}_avg_time_pool")
    net = configuration.net.build().eval()
    image = torch.randn(2, configuration.checkpoint.frontend.build().n_mels, 60, generator=torch.manual_seed(0))
    with torch.inference_mode():
        bands = net(image).numpy()
        net.select(configuration.features.names, "avg_ch")
        usual = net(image).numpy()
    assert usual.shape[1] == by_name(name).features.size < bands.shape[1] == configuration.features.size
    scale = np.abs(usual).max()
    np.testing.assert_allclose(run.over_bands(bands, configuration.features), usual, rtol=1e-5, atol=1e-6 * scale)
    assert run.over_bands(usual, by_name(name).features) is usual
    assert with_logits(configuration).features.bands == (*configuration.features.bands, 1)


def test_copies_are_sought_in_the_default_embedding(
    sounds: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For which the threshold was measured; also of a folder whose head is on bands."""
    seen: list[np.ndarray] = []
    monkeypatch.setattr(run, "find_alike", lambda vectors: seen.append(vectors) or [])
    plain = hear_edgel3.train(sounds, tmp_path / "plain", "tiny_all_b_mel_avgs", cache=cache)
    bands = hear_edgel3.train(sounds, tmp_path / "bands", cache=cache)
    for folder in (plain, bands):
        hear_edgel3.train(sounds, tmp_path / f"{folder.name}-again", folder, cache=cache)
    assert resolve(bands).features.bands
    assert len(seen) == 4
    for vectors in seen[1:]:
        np.testing.assert_allclose(vectors, seen[0], rtol=1e-4, atol=1e-4)
