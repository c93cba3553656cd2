"""Tags of several nets at once, and which nets can tag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption, UnknownConfiguration, WeightsMismatch, WeightsNotFound
from hear_edgel3.registry.names import list_configurations
from hear_edgel3.tagging.tagger import Tagger, tag
from support.tagging import AUDIOSET, NETS, RATE, assert_logits_close

# --- ensembles ---


def test_an_ensemble_is_the_mean_of_logits(tagging_folder: Path, sound: np.ndarray) -> None:
    singles = [Tagger(name, tagging_folder).tag_samples(sound, RATE) for name in NETS]
    tagger = Tagger(NETS, tagging_folder)
    together = tagger.tag_samples(sound, RATE)
    assert_logits_close(together.logits, np.mean([single.logits for single in singles], axis=0))
    assert not np.allclose(together.probabilities, np.mean([s.probabilities for s in singles], axis=0), atol=1e-3)
    assert together.configurations == tagger.configurations == NETS
    assert together.labels == AUDIOSET
    assert {e.frontend.hop_length for e in tagger.extractors} == {320, 800}
    assert {e.net.head for e in tagger.extractors} == {"mlp", "fully_convolutional"}


def test_an_ensemble_over_windows_and_from_a_file(tagging_folder: Path, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    names = ["mn02_as", "mn01_as"]
    singles = [tag(tmp_path / "a.wav", name, weights=tagging_folder, window=2.0, hop=1.5) for name in names]
    together = tag(tmp_path / "a.wav", names, weights=tagging_folder, window=2.0, hop=1.5)
    assert_logits_close(together.logits, np.mean([single.logits for single in singles], axis=0))
    assert together.starts.tolist() == singles[0].starts.tolist() == [0.0, 1.5, 3.0]
    assert together.configurations == ("mn02_as", "mn01_as")


def test_order_and_repetition_do_not_matter(tagging_folder: Path, sound: np.ndarray) -> None:
    first = Tagger(["mn01_as", "mn02_as"], tagging_folder).tag_samples(sound, RATE)
    second = Tagger(("mn02_as", "mn01_as", "mn02_as_e1_l", "mn01_as"), tagging_folder)
    assert second.configurations == ("mn02_as", "mn01_as")
    assert_logits_close(second.tag_samples(sound, RATE).logits, first.logits)


def test_weights_of_an_ensemble(tagging_folder: Path, sound: np.ndarray) -> None:
    names = ["mn01_as", "mn02_as"]
    files = [tagging_folder / f"{name}.safetensors" for name in names]
    expected = Tagger(names, tagging_folder).tag_samples(sound, RATE).logits
    choices: list[Any] = [
        str(tagging_folder),
        [tagging_folder],
        files,
        tuple(map(str, files)),
        [tagging_folder, files[1]],
    ]
    for weights in choices:
        tagger = Tagger(names, weights)
        np.testing.assert_array_equal(tagger.tag_samples(sound, RATE).logits, expected)
        assert [Path(e.weights.path) for e in tagger.extractors] == files


def test_weights_in_the_environments_folder(
    tagging_folder: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tagging_folder))
    expected = Tagger(["mn01_as", "mn02_as"], tagging_folder).tag_samples(sound, RATE).logits
    np.testing.assert_array_equal(Tagger(["mn01_as", "mn02_as"]).tag_samples(sound, RATE).logits, expected)


def test_weights_that_do_not_fit_an_ensemble(tagging_folder: Path, tmp_path: Path) -> None:
    one, two = tagging_folder / "mn01_as.safetensors", tagging_folder / "mn02_as.safetensors"
    for weights in (one, str(one), [one]):
        with pytest.raises(InvalidOption, match=r"weights is one file, .*mn01_as.safetensors, for 2 configurations"):
            Tagger(["mn01_as", "mn02_as"], weights)
    with pytest.raises(InvalidOption, match=r"2 weights files for 3 configurations \(mn01_as, mn02_as, mn04_as\)"):
        Tagger(["mn01_as", "mn02_as", "mn04_as"], [one, two])
    with pytest.raises(InvalidOption, match=r"2 weights files for 1 configurations"):
        Tagger("mn01_as", [one, two])
    with pytest.raises(InvalidOption, match=r"0 weights files for 1 configurations"):
        Tagger("mn01_as", [])
    with pytest.raises(WeightsMismatch, match="holds the weights of mn02_as, not of mn01_as"):
        Tagger(["mn01_as", "mn02_as"], [two, one])
    with pytest.raises(WeightsNotFound, match=r"has no mn04_as.safetensors, which mn04_as needs"):
        Tagger(["mn01_as", "mn04_as"], tagging_folder)
    with pytest.raises(WeightsNotFound, match="does not exist"):
        Tagger("mn01_as", tmp_path / "mn01_as.safetensors")


# --- which configurations ---


@pytest.mark.parametrize("name", ["mn01_as_e1_l", "mn01_as_all_b_mel_avgs", "mn01_as_b15_avg_time_pool_ts640"])
def test_features_do_not_matter(name: str, tagging_folder: Path, tagger: Tagger, sound: np.ndarray) -> None:
    other = Tagger(name, tagging_folder)
    assert other.configurations == ("mn01_as",)
    np.testing.assert_array_equal(other.tag_samples(sound, RATE).logits, tagger.tag_samples(sound, RATE).logits)


@pytest.mark.parametrize("names", ["sea_64", "mn01_im", "sparse_95", ["mn01_as", "mn01_im"], ["sea_64", "mn01_as_e1"]])
def test_nets_without_a_classifier(names: str | list[str], tagging_folder: Path) -> None:
    with pytest.raises(InvalidOption, match=r"has no classifier and cannot tag; these can: ") as refused:
        Tagger(names, tagging_folder)
    text = str(refused.value)
    unable = {"sea_64", "sparse_95", "mn01_im"} & ({names} if isinstance(names, str) else set(names))
    assert text.partition(" ")[0] in unable
    able = text.split("these can: ")[1].split(", ")
    assert able == ["tiny", *(n for n in list_configurations() if n.startswith(("mn", "dymn")) and "_as" in n)]
    assert len(able) == 35


def test_no_configuration_and_unknown_ones(tagging_folder: Path) -> None:
    none: list[Sequence[str]] = [[], ()]
    for names in none:
        with pytest.raises(InvalidOption, match="name at least one configuration"):
            Tagger(names, tagging_folder)
    with pytest.raises(UnknownConfiguration, match="did you mean mn10_as_fc"):
        Tagger("mn10_as_fx", tagging_folder)
    with pytest.raises(UnknownConfiguration, match="mn11_as"):
        Tagger(["mn01_as", "mn11_as"], tagging_folder)


def test_a_tagger_can_be_moved_and_says_what_it_is(tagger: Tagger) -> None:
    assert tagger.to("cpu") is tagger
    assert tagger.to(torch.device("cpu")).configurations == ("mn01_as",)
    assert tagger.labels == AUDIOSET
    assert hear_edgel3.Tagger is Tagger
    assert hear_edgel3.tag is tag
