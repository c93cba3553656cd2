"""Tagging: EfficientAT's own numbers with real weights; windows, means and ensembles with seeded ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.audio.resample import resample
from hear_edgel3.errors import (
    AudioFileError,
    InvalidAudio,
    InvalidOption,
    UnknownConfiguration,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.registry.labels import Label, labels
from hear_edgel3.registry.names import checkpoints, list_configurations, resolve
from hear_edgel3.tagging.tagger import Tagger, check_windows, tag
from hear_edgel3.tagging.tags import ClipTags, Tag
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode, read_tensors
from support import signals

RATE = 32000
NETS = ("mn01_as", "mn02_as", "mn10_as_hop_25", "mn10_as_fc")  # three front ends and heads, and two widths
AUDIOSET = labels("audioset")


def seeded(name: str, seed: int) -> dict[str, torch.Tensor]:
    """Weights that make logits of scale 1 which depend on the sound: fresh ones all but ignore it."""
    row = resolve(name).checkpoint
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        net: Any = row.net.build()
        norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0  # the statistics become those of this one batch
        mel = row.frontend.build().eval()(torch.from_numpy(signals.windows(RATE)))
        net.train()(mel)
        for norm in norms:
            norm.running_mean += 0.1 * torch.randn(norm.num_features) * norm.running_var.sqrt()
            norm.running_var *= torch.rand(norm.num_features) + 0.5
        if row.net.arguments["head"] == "mlp":
            last = net.classifier[-1]
            last.bias.zero_()
            last.weight /= net.eval()(mel).std()
            last.bias.normal_()
    state: dict[str, torch.Tensor] = net.state_dict()
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of NETS."""
    made = tmp_path_factory.mktemp("tagging")
    for seed, name in enumerate(NETS):
        (made / f"{name}.safetensors").write_bytes(encode(seeded(name, seed), {"configuration": name}))
    return made


@pytest.fixture(scope="module")
def tagger(folder: Path) -> Tagger:
    return Tagger("mn01_as", folder)


def straight(folder: Path, name: str, windows: np.ndarray) -> np.ndarray:
    """(n, 527) logits of (n, samples) at the net's rate: the row's front end and plain net, and nothing else."""
    row = resolve(name).checkpoint
    net = row.net.build()
    net.load_state_dict(read_tensors(folder / row.filename)[0])
    with torch.no_grad():
        samples = torch.from_numpy(np.ascontiguousarray(windows)).float()
        found: np.ndarray = net.eval()(row.frontend.build().eval()(samples)).numpy()
    return found


def in_windows(x: np.ndarray, window: int, hop: int, count: int) -> np.ndarray:
    """The windows from the first sample on, with zeros behind the clip."""
    padded = np.concatenate([x, np.zeros(count * hop + window)])
    return np.stack([padded[k * hop : k * hop + window] for k in range(count)])


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Five seconds, each unlike the others."""
    return np.concatenate([signals.clip(1.0, RATE, seed=0), *signals.windows(RATE)[[3, 0, 5, 2]]])


# --- against the original program ---


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    found = shared / "reference" / "mobilenetv3"
    if not (found / "a_tagging_mn04_as.npz").is_file():
        pytest.skip(f"EfficientAT's outputs are not at {found}")
    return found


@pytest.fixture(scope="session")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    """mn04_as with its published weights."""
    source = shared / "checkpoints" / "mn04_as_mAP_432.pt"
    if not source.is_file():
        pytest.skip(f"the published checkpoint of mn04_as is not at {source}")
    target = tmp_path_factory.mktemp("real") / "mn04_as.safetensors"
    convert(resolve("mn04_as").checkpoint, source).write(target)
    return Tagger("mn04_as", target)


@pytest.mark.parametrize("name", ["music", "speech", "typing"])
def test_upstreams_tags_of_a_file(name: str, real: Tagger, reference: Path) -> None:
    told = json.loads((reference / "a_tagging_top10_labels.json").read_text())
    tags = real.tag_file(reference / f"{name}.wav")
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [10.0], 10.0)
    top = tags.top(10)
    assert [t.label for t in top] == [label for label, _ in told["top10"][name]]
    mids = dict(zip(told["labels"], told["ids"], strict=True))
    assert [t.mid for t in top] == [mids[label] for label, _ in told["top10"][name]]
    for found, (_, probability) in zip(top, told["top10"][name], strict=True):
        assert found.probability == pytest.approx(probability, abs=1e-4)
    with np.load(reference / "a_tagging_mn04_as.npz") as arrays:
        logits = arrays[f"{name}_logits"]
    np.testing.assert_allclose(tags.logits[0], logits, rtol=1e-4, atol=5e-5)
    np.testing.assert_allclose(tags.probabilities[0], 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-5)


def test_the_labels_are_upstreams(reference: Path) -> None:
    told = json.loads((reference / "a_tagging_top10_labels.json").read_text())
    assert [label.name for label in AUDIOSET] == told["labels"]
    assert [label.mid for label in AUDIOSET] == told["ids"]


def music14(reference: Path) -> np.ndarray:
    """(448000,) int16: ten seconds of music and four of speech."""
    music, speech = (soundfile.read(reference / f"{name}.wav", dtype="int16")[0] for name in ("music", "speech"))
    return np.concatenate([music, speech[: 4 * RATE]])


@pytest.mark.parametrize("key", ["c14_win10.0_hop2.5", "c14_win2.0_hop1.0", "c8_win10.0_hop2.5"])
def test_upstreams_windows(key: str, real: Tagger, reference: Path) -> None:
    told = json.loads((reference / "windowed_inference_mn04.json").read_text())[key]
    seconds, window, hop = (float(word.lstrip("cwinhop")) for word in key.split("_"))
    tags = real.tag_samples(music14(reference)[: int(seconds * RATE)], RATE, window, hop)
    assert tags.starts.tolist() == [row["start"] for row in told]
    assert tags.ends.tolist() == [row["end"] for row in told]
    assert tags.duration == seconds
    for number, row in enumerate(told):
        top = tags.top(10, number)
        assert [t.label for t in top] == [label for label, _ in row["tags"]]
        # upstream rounds to five digits
        assert [t.probability for t in top] == pytest.approx([p for _, p in row["tags"]], abs=2e-5)


@pytest.mark.parametrize(("window", "hop"), [(10.0, 2.5), (20.0, 10.0)])
def test_clips_shorter_than_a_window_have_one_where_upstream_has_none(
    window: float, hop: float, real: Tagger, reference: Path
) -> None:
    assert json.loads((reference / "windowed_inference_mn04.json").read_text())[f"c1_win{window}_hop{hop}"] == []
    second = music14(reference)[:RATE]
    tags = real.tag_samples(second, RATE, window, hop)
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [window], 1.0)
    padded = real.tag_samples(np.pad(second, (0, int(window * RATE) - RATE)), RATE)
    close(tags.logits, padded.logits)


# --- a clip as a whole ---


@pytest.mark.parametrize("name", NETS)
def test_a_short_clip_is_one_pass(name: str, folder: Path, sound: np.ndarray) -> None:
    tags = Tagger(name, folder).tag_samples(sound, RATE)
    assert tags.logits.shape == (1, 527)
    assert tags.logits.dtype == tags.probabilities.dtype == np.float32
    assert tags.logits.std() > 0.3
    close(tags.logits, straight(folder, name, sound[None]))
    assert (tags.starts.tolist(), tags.ends.tolist(), tags.duration) == ([0.0], [5.0], 5.0)
    assert (tags.configurations, tags.labels) == ((name,), AUDIOSET)


def test_the_seeded_nets_hear_something(tagger: Tagger, sound: np.ndarray) -> None:
    """Else the tests with them would prove little."""
    logits = [tagger.tag_samples(second, RATE).logits for second in np.split(sound, 5)]
    assert min(np.abs(a - b).max() for i, a in enumerate(logits) for b in logits[:i]) > 0.1


@pytest.mark.parametrize("more", [0, 1, 5 * RATE + 123])
def test_up_to_a_minute_is_one_pass_and_more_the_mean_of_windows(
    more: int, folder: Path, tagger: Tagger, sound: np.ndarray
) -> None:
    pieces = [sound * (0.2 + 0.8 * abs(math.cos(k))) for k in range(14)]
    x = np.concatenate(pieces)[: 60 * RATE + more]
    tags = tagger.tag_samples(x, RATE)
    if more == 0:
        expected = straight(folder, "mn01_as", x[None])
    else:
        mirrored = np.pad(x, 5 * RATE, mode="reflect")
        middles = range(0, len(x) + 1, 5 * RATE // 2)
        windows = np.stack([mirrored[middle : middle + 10 * RATE] for middle in middles])
        expected = straight(folder, "mn01_as", windows).mean(axis=0, keepdims=True)
        assert np.abs(expected - straight(folder, "mn01_as", x[None])).max() > 0.01  # one can be told from the other
    close(tags.logits, expected)
    assert (tags.starts.tolist(), tags.ends.tolist()) == ([0.0], [len(x) / RATE])


@pytest.mark.parametrize("options", [{}, {"window": 3.0}, {"window": 0.5, "hop": 2.0}])
@pytest.mark.parametrize("seconds", [3.3, 63.1])
def test_files_give_what_arrays_give(
    seconds: float, options: dict[str, float], tagger: Tagger, tmp_path: Path, sound: np.ndarray
) -> None:
    x = np.tile(sound, 13)[: int(seconds * RATE)]
    soundfile.write(tmp_path / "a.flac", x, RATE)
    from_file = tagger.tag_file(tmp_path / "a.flac", **options)
    from_array = tagger.tag_samples(x, RATE, **options)
    close(from_file.logits, from_array.logits)
    np.testing.assert_array_equal(from_file.starts, from_array.starts)
    np.testing.assert_array_equal(from_file.ends, from_array.ends)
    assert from_file.duration == from_array.duration == len(x) / RATE


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_rates_are_converted(rate: int, tagger: Tagger, tmp_path: Path) -> None:
    x = signals.clip(1.5, rate, seed=rate)
    tags = tagger.tag_samples(x, rate)
    converted = resample(torch.from_numpy(x), rate, RATE).numpy()
    close(tags.logits, tagger.tag_samples(converted, RATE).logits)
    assert tags.ends.tolist() == [1.5]
    soundfile.write(tmp_path / "a.wav", x, rate)
    close(tagger.tag_file(tmp_path / "a.wav").logits, tags.logits)
    windows = tagger.tag_samples(x, rate, window=1.0, hop=0.5)
    close(windows.logits, tagger.tag_samples(converted, RATE, window=1.0, hop=0.5).logits)
    assert windows.starts.tolist() == [0.0, 0.5]


def test_channels_are_averaged(tagger: Tagger, tmp_path: Path) -> None:
    x = signals.clip(1.0, RATE, channels=2, seed=4)
    soundfile.write(tmp_path / "stereo.wav", x, RATE)
    expected = tagger.tag_samples(x.mean(axis=1), RATE).logits
    np.testing.assert_array_equal(tagger.tag_samples(x, RATE).logits, expected)
    close(tagger.tag_file(tmp_path / "stereo.wav").logits, expected)
    assert np.abs(tagger.tag_samples(x[:, 0], RATE).logits - expected).max() > 1e-3


def test_integers_are_taken_at_their_full_scale(tagger: Tagger, sound: np.ndarray) -> None:
    pcm = np.round(sound * 32767).astype(np.int16)
    expected = tagger.tag_samples(pcm / np.float32(32768), RATE).logits
    np.testing.assert_array_equal(tagger.tag_samples(pcm, RATE).logits, expected)
    np.testing.assert_array_equal(tagger.tag_samples(torch.from_numpy(pcm), RATE).logits, expected)


@pytest.mark.parametrize("options", [{}, {"window": 10.0, "hop": 2.5}])
@pytest.mark.parametrize(("n_samples", "rate"), [(1, 8000), (1, RATE), (1, 48000), (2, 44100), (513, RATE)])
def test_the_shortest_clips(n_samples: int, rate: int, options: dict[str, float], tagger: Tagger) -> None:
    tags = tagger.tag_samples(np.full(n_samples, 0.5), rate, **options)
    assert tags.logits.shape == (1, 527)
    assert np.isfinite(tags.logits).all()
    assert tags.duration == n_samples / rate
    assert tags.ends.tolist() == [options.get("window", n_samples / rate)]


def test_silence(tagger: Tagger, folder: Path) -> None:
    tags = tagger.tag_samples(np.zeros(2 * RATE), RATE)
    assert np.isfinite(tags.logits).all()
    close(tags.logits, straight(folder, "mn01_as", np.zeros((1, 2 * RATE))))
    windows = tagger.tag_samples(np.zeros(4 * RATE), RATE, window=2.0)
    close(windows.logits, np.repeat(tags.logits, 5, axis=0))


# --- windows ---


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
    folder: Path,
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
    close(tags.logits[:count], straight(folder, "mn01_as", in_windows(x, int(window * RATE), step, count)))


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


# --- ensembles ---


def test_an_ensemble_is_the_mean_of_logits(folder: Path, sound: np.ndarray) -> None:
    singles = [Tagger(name, folder).tag_samples(sound, RATE) for name in NETS]
    tagger = Tagger(NETS, folder)
    together = tagger.tag_samples(sound, RATE)
    close(together.logits, np.mean([single.logits for single in singles], axis=0))
    assert not np.allclose(together.probabilities, np.mean([s.probabilities for s in singles], axis=0), atol=1e-3)
    assert together.configurations == tagger.configurations == NETS
    assert together.labels == AUDIOSET
    assert {e.frontend.hop_length for e in tagger.extractors} == {320, 800}
    assert {e.net.head for e in tagger.extractors} == {"mlp", "fully_convolutional"}


def test_an_ensemble_over_windows_and_from_a_file(folder: Path, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    names = ["mn02_as", "mn01_as"]
    singles = [tag(tmp_path / "a.wav", name, weights=folder, window=2.0, hop=1.5) for name in names]
    together = tag(tmp_path / "a.wav", names, weights=folder, window=2.0, hop=1.5)
    close(together.logits, np.mean([single.logits for single in singles], axis=0))
    assert together.starts.tolist() == singles[0].starts.tolist() == [0.0, 1.5, 3.0]
    assert together.configurations == ("mn02_as", "mn01_as")


def test_order_and_repetition_do_not_matter(folder: Path, sound: np.ndarray) -> None:
    first = Tagger(["mn01_as", "mn02_as"], folder).tag_samples(sound, RATE)
    second = Tagger(("mn02_as", "mn01_as", "mn02_as_e1_l", "mn01_as"), folder)
    assert second.configurations == ("mn02_as", "mn01_as")
    close(second.tag_samples(sound, RATE).logits, first.logits)


def test_weights_of_an_ensemble(folder: Path, sound: np.ndarray) -> None:
    names = ["mn01_as", "mn02_as"]
    files = [folder / f"{name}.safetensors" for name in names]
    expected = Tagger(names, folder).tag_samples(sound, RATE).logits
    choices: list[Any] = [str(folder), [folder], files, tuple(map(str, files)), [folder, files[1]]]
    for weights in choices:
        tagger = Tagger(names, weights)
        np.testing.assert_array_equal(tagger.tag_samples(sound, RATE).logits, expected)
        assert [Path(e.weights.path) for e in tagger.extractors] == files


def test_weights_in_the_environments_folder(folder: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(folder))
    expected = Tagger(["mn01_as", "mn02_as"], folder).tag_samples(sound, RATE).logits
    np.testing.assert_array_equal(Tagger(["mn01_as", "mn02_as"]).tag_samples(sound, RATE).logits, expected)


def test_weights_that_do_not_fit_an_ensemble(folder: Path, tmp_path: Path) -> None:
    one, two = folder / "mn01_as.safetensors", folder / "mn02_as.safetensors"
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
        Tagger(["mn01_as", "mn04_as"], folder)
    with pytest.raises(WeightsNotFound, match="does not exist"):
        Tagger("mn01_as", tmp_path / "mn01_as.safetensors")


# --- which configurations ---


@pytest.mark.parametrize("name", ["mn01_as_e1_l", "mn01_as_all_b_mel_avgs", "mn01_as_b15_avg_time_pool_ts640"])
def test_features_do_not_matter(name: str, folder: Path, tagger: Tagger, sound: np.ndarray) -> None:
    other = Tagger(name, folder)
    assert other.configurations == ("mn01_as",)
    np.testing.assert_array_equal(other.tag_samples(sound, RATE).logits, tagger.tag_samples(sound, RATE).logits)


@pytest.mark.parametrize("names", ["sea_64", "mn01_im", "sparse_95", ["mn01_as", "mn01_im"], ["sea_64", "mn01_as_e1"]])
def test_nets_without_a_classifier(names: str | list[str], folder: Path) -> None:
    with pytest.raises(InvalidOption, match=r"has no classifier and cannot tag; these can: ") as refused:
        Tagger(names, folder)
    text = str(refused.value)
    unable = {"sea_64", "sparse_95", "mn01_im"} & ({names} if isinstance(names, str) else set(names))
    assert text.partition(" ")[0] in unable
    able = text.split("these can: ")[1].split(", ")
    assert able == ["tiny", *(n for n in list_configurations() if n.startswith("mn") and "_as" in n)]
    assert len(able) == 27


def test_no_configuration_and_unknown_ones(folder: Path) -> None:
    none: list[Sequence[str]] = [[], ()]
    for names in none:
        with pytest.raises(InvalidOption, match="name at least one configuration"):
            Tagger(names, folder)
    with pytest.raises(UnknownConfiguration, match="did you mean mn10_as_fc"):
        Tagger("mn10_as_fx", folder)
    with pytest.raises(UnknownConfiguration, match="mn11_as"):
        Tagger(["mn01_as", "mn11_as"], folder)


def test_a_tagger_can_be_moved_and_says_what_it_is(tagger: Tagger) -> None:
    assert tagger.to("cpu") is tagger
    assert tagger.to(torch.device("cpu")).configurations == ("mn01_as",)
    assert tagger.labels == AUDIOSET
    assert hear_edgel3.Tagger is Tagger
    assert hear_edgel3.tag is tag


# --- labels and results ---


def test_the_labels() -> None:
    assert len(AUDIOSET) == 527
    assert AUDIOSET[0] == Label("Speech", "/m/09x0r")
    assert len({label.mid for label in AUDIOSET}) == len({label.name for label in AUDIOSET}) == 527
    assert all(label.mid.startswith(("/m/", "/t/", "/g/")) and label.name.strip() == label.name for label in AUDIOSET)
    assert Label("Male speech, man speaking", "/m/05zppz") in AUDIOSET  # a comma is no end
    rows = [row for row in checkpoints() if row.labels is not None]
    assert len(rows) == 26
    for row in rows:
        assert row.net.arguments["n_classes"] == len(labels(str(row.labels)))


def made(logits: Any) -> ClipTags:
    table = np.atleast_2d(np.asarray(logits, np.float32))
    names = tuple(Label(f"class {i}", f"/m/{i}") for i in range(table.shape[1]))
    times = np.arange(len(table), dtype=np.float64)
    return ClipTags(("x",), names, times, times + 1, table, float(len(table)))


def test_top() -> None:
    tags = made([[0.0, 2.0, -1.0, 1.0], [5.0, -5.0, 6.0, 0.0]])
    assert tags.top(2) == [
        Tag("class 1", "/m/1", pytest.approx(0.8807970)),
        Tag("class 3", "/m/3", pytest.approx(0.7310586)),
    ]
    assert [t.label for t in tags.top(3, window=1)] == ["class 2", "class 0", "class 3"]
    assert [t.label for t in tags.top(3, 1)] == ["class 2", "class 0", "class 3"]
    assert isinstance(tags.top(1)[0].probability, float)
    assert tags.top(0) == []
    assert len(tags.top()) == len(tags.top(99)) == 4
    with pytest.raises(IndexError):
        tags.top(1, window=2)


def test_top_of_more_than_there_are(tagger: Tagger, sound: np.ndarray) -> None:
    tags = tagger.tag_samples(sound, RATE)
    assert len(tags.top()) == 10
    everything = tags.top(1000)
    assert len(everything) == 527
    assert {(t.label, t.mid) for t in everything} == {(label.name, label.mid) for label in AUDIOSET}
    assert everything[:10] == tags.top(10)
    values = [t.probability for t in everything]
    assert values == sorted(values, reverse=True)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from([-2.0, 0.0, 1.5]), st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_equal_ones_stay_in_the_order_of_the_classes(logits: list[float], n: int) -> None:
    top = made(logits).top(n)
    expected = sorted(range(len(logits)), key=lambda i: (-np.float32(logits[i]), i))[:n]
    assert [t.mid for t in top] == [f"/m/{i}" for i in expected]
    assert all(0 <= t.probability <= 1 for t in top)


def test_the_most_probable_are_told_apart_where_probabilities_are_all_one() -> None:
    assert [t.label for t in made([30.0, 50.0, 40.0]).top(2)] == ["class 1", "class 2"]


def test_probabilities_are_the_logistic_function_of_the_logits(tagger: Tagger, sound: np.ndarray) -> None:
    tags = tagger.tag_samples(sound, RATE, window=2.0)
    assert tags.probabilities.shape == tags.logits.shape == (7, 527)
    expected = 1 / (1 + np.exp(-tags.logits.astype(np.float64)))
    np.testing.assert_allclose(tags.probabilities, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(made([-1e4, 0.0, 1e4]).probabilities, [[0, 0.5, 1]])


def test_results_do_not_depend_on_the_callers_mode(tagger: Tagger, sound: np.ndarray) -> None:
    expected = tagger.tag_samples(sound, RATE).logits
    extractor = tagger.extractors[0]
    extractor.train()
    try:
        found = tagger.tag_samples(sound, RATE).logits  # the front end would mask, the net drop out
        assert extractor.training
    finally:
        extractor.eval()
    np.testing.assert_array_equal(found, expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(tagger.tag_samples(sound, RATE).logits, expected)


# --- files and arrays that are bad ---


def test_tag_takes_paths_of_both_kinds(folder: Path, tagger: Tagger, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    expected = tagger.tag_file(tmp_path / "a.wav")
    for path in (tmp_path / "a.wav", str(tmp_path / "a.wav")):
        for weights in (folder, str(folder / "mn01_as.safetensors")):
            tags = hear_edgel3.tag(path, "mn01_as", weights=weights)
            np.testing.assert_array_equal(tags.logits, expected.logits)
            assert tags.top(10) == expected.top(10)


def test_bad_files_are_named(tagger: Tagger, sound: np.ndarray, tmp_path: Path) -> None:
    missing, empty, garbage = tmp_path / "missing.wav", tmp_path / "empty.wav", tmp_path / "garbage.wav"
    empty.write_bytes(b"")
    garbage.write_bytes(b"no audio" * 99)
    cut, silent, bad, slow = (tmp_path / f"{name}.wav" for name in ("cut", "silent", "bad", "slow"))
    soundfile.write(tmp_path / "whole.flac", sound, RATE)
    cut = tmp_path / "cut.flac"
    cut.write_bytes((tmp_path / "whole.flac").read_bytes()[:100_000])
    soundfile.write(silent, np.zeros(0), RATE)
    x = sound.copy()
    x[4321] = np.nan
    soundfile.write(bad, x, RATE, subtype="FLOAT")
    soundfile.write(slow, np.zeros(100), 500)
    expected: list[tuple[Path, type[Exception], str]] = [
        (missing, AudioFileError, "does not exist"),
        (empty, AudioFileError, r"is empty \(0 bytes\)"),
        (garbage, AudioFileError, "cannot be read as audio"),
        (tmp_path, AudioFileError, "is a folder"),
        (cut, AudioFileError, "is (damaged|truncated)"),
        (silent, AudioFileError, "has no samples"),
        (bad, InvalidAudio, "sample 4321 is NaN"),
        (slow, InvalidOption, "the file's sample rate must be between 1000 and 768000 Hz, got 500"),
    ]
    for path, kind, message in expected:
        for options in ({}, {"window": 1.0}):
            with pytest.raises(kind, match=message) as refused:
                tagger.tag_file(path, **options)
            assert str(refused.value).count(str(path)) == 1
            assert isinstance(refused.value, hear_edgel3.HearEdgeL3Error)


@pytest.mark.parametrize(
    ("audio", "kind", "message"),
    [
        (np.array([0.0, np.inf, 0.0]), InvalidAudio, "sample 1 is infinite"),
        (np.zeros(0), InvalidAudio, "empty"),
        (np.zeros((2, 3, 4)), InvalidAudio, "must have shape"),
        (np.zeros((2, 9000)), InvalidAudio, "use audio.T"),
        (np.zeros(9, np.complex64), InvalidAudio, "has type complex64"),
        ("a.wav", InvalidAudio, "must be an array of samples"),
        (None, InvalidAudio, "must be an array of samples"),
    ],
)
def test_bad_arrays(audio: Any, kind: type[Exception], message: str, tagger: Tagger) -> None:
    with pytest.raises(kind, match=message):
        tagger.tag_samples(audio, RATE)


@pytest.mark.parametrize("rate", [0, -8000, 999, 768_001, 44100.5, "48000", None, math.nan])
def test_bad_rates(rate: Any, tagger: Tagger) -> None:
    with pytest.raises(InvalidOption, match="sample_rate"):
        tagger.tag_samples(np.zeros(100), rate)
