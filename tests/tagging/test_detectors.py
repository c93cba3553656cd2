"""Taggers of nets with classes of their own: probabilities, whole clips, windows, streams and ensembles."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import ComputationError, InvalidOption
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.heads import Head, HeadLayout
from hear_edgel3.registry import folder as local
from hear_edgel3.scores.calibration import probabilities_of
from hear_edgel3.tagging import request
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import encode, read_tensors
from support import signals
from support.detectors import CLASSES, RATES, straight, write_detector
from support.folders import change
from support.tagging import in_windows

KINDS = ["tiny", "sea_64", "small", "small_l3", "own"]
TARGETS = ["single", "several", "numbers"]
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """`write(kind, targets, **options)`: a detector; nobody changes it."""
    root, made = tmp_path_factory.mktemp("detectors"), {}

    def written(kind: str = "small", targets: str = "single", **options: object) -> Path:
        key = repr((kind, targets, sorted(options.items())))
        if key not in made:
            made[key] = write_detector(root / str(len(made)), kind, targets, **options)  # type: ignore[arg-type]
        return made[key]

    return written


def close(found: np.ndarray, expected: np.ndarray, atol: float = 2e-4) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_windows_by_hand(kind: str, targets: str, write: Write) -> None:
    folder, rate = write(kind, targets), RATES[kind]
    samples = signals.clip(3.2, rate).astype(np.float32)
    tags = Tagger(folder, engine="torch").tag_samples(samples, rate, window=1.0, hop=0.5)
    count = 6
    _, expected = straight(folder, in_windows(samples, rate, rate // 2, count))
    assert tags.logits.shape == (count, len(CLASSES))
    close(tags.logits, expected, atol=2e-4 * float(np.abs(expected).max()))
    assert [label.name for label in tags.labels] == list(CLASSES)
    assert tags.configurations == ("mine",)
    if targets == "numbers":
        assert np.array_equal(tags.probabilities, tags.logits)
        assert [tag.label for tag in tags.top(9, 1)] == list(CLASSES)
        assert [tag.probability for tag in tags.top(9, 1)] == tags.logits[1].tolist()
        assert not tags.said.any()
        return
    probabilities = probabilities_of(tags.logits, targets == "single")
    np.testing.assert_allclose(tags.probabilities, probabilities, rtol=1e-6, atol=1e-7)
    if targets == "single":
        np.testing.assert_allclose(tags.probabilities.sum(axis=1), 1, atol=1e-6)
        assert (tags.said == (np.arange(3) == probabilities.argmax(axis=1)[:, None])).all()
    else:
        assert (tags.said == (probabilities >= 0.5)).all()
    order = np.argsort(-probabilities[2])
    assert [tag.label for tag in tags.top(2, 2)] == [CLASSES[i] for i in order[:2]]
    assert tags.top(1, 2)[0].above_threshold is None


@pytest.mark.parametrize("mlp", [False, True])
@pytest.mark.parametrize(("kind", "seconds"), [("sea_64", 2.3), ("small", 1.7), ("small", 21.0), ("tiny", 3.0)])
def test_a_whole_clip_is_what_the_head_says_of_its_scene_embedding(
    kind: str, seconds: float, mlp: bool, write: Write
) -> None:
    folder, rate = write(kind, "several", mlp=mlp), RATES[kind]
    samples = signals.clip(seconds, rate).astype(np.float32)
    row = local.read_folder(folder)
    assert row.head is not None
    head = Head(row.head)
    state = read_tensors(folder / "model.safetensors")[0]
    head.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("head.")})
    tags = Tagger(folder, engine="torch").tag_samples(samples, rate)
    extractor = hear_edgel3.load(folder)
    framing = scene_framing(extractor.configuration)
    rule = framing.decide(len(samples), ended=True)
    assert rule is not None
    windows = []
    for k in range(rule.count(len(samples), Fraction(len(samples), rate))):
        start = rule.start(k)
        padded = np.pad(samples, rule.window, mode="reflect" if rule.reflect else "constant")
        windows.append(padded[start + rule.window : start + 2 * rule.window])
    embeddings, _ = straight(folder, np.stack(windows))
    with torch.no_grad():
        close(tags.logits, head.eval()(torch.from_numpy(embeddings.mean(axis=0, keepdims=True))).numpy())
        scene = hear_edgel3.load(folder, sample_rate=rate) if rate == 32000 else None
        if scene is not None:
            close(tags.logits, head(scene.scene_embeddings(samples[None])).numpy())
    assert (tags.starts.tolist(), tags.ends.tolist()) == ([0.0], [tags.duration])


def test_a_classifier_of_the_net_itself_sees_a_clip_in_one_pass(write: Write) -> None:
    samples = signals.clip(14.0, 32000).astype(np.float32)
    tags = Tagger(write("own")).tag_samples(samples, 32000)
    close(tags.logits, straight(write("own"), samples[None])[1])


@pytest.mark.parametrize(("targets", "mlp"), [("single", False), ("several", True), ("numbers", False)])
@pytest.mark.parametrize("kind", ["sea_64", "small", "own"])
def test_streams_give_the_windows_of_files(kind: str, targets: str, mlp: bool, write: Write) -> None:
    if kind == "own" and mlp:
        mlp = False
    tagger = Tagger(write(kind, targets, mlp=mlp), engine="torch")
    samples = signals.clip(3.3, 16000).astype(np.float32)
    whole = tagger.tag_samples(samples, 16000, window=1.0, hop=0.25)
    blocks = np.array_split(samples, 23)
    found = list(tagger.stream(blocks, sample_rate=16000))
    assert len(found) == len(whole.starts)
    close(np.stack([one.logits for one in found]), whole.logits, atol=1e-5 * float(np.abs(whole.logits).max()))
    close(
        np.stack([one.probabilities for one in found]), whole.probabilities, atol=1e-4 if targets != "numbers" else 1e-3
    )
    assert [one.start_ms / 1000 for one in found] == pytest.approx(whole.starts.tolist())
    assert found[1].outputs == whole.outputs
    assert [tag.label for tag in found[0].top(2)] == [tag.label for tag in whole.top(2)]
    assert np.array_equal(found[0].said, whole.said[0])


def test_nets_of_one_length_take_no_other(write: Write) -> None:
    tagger = Tagger(write("sea_64"), engine="torch")
    samples = np.zeros(16000, np.float32)
    for window in (0.5, 2.0, 10):
        with pytest.raises(InvalidOption, match=f"window={window!r} is not what mine takes: its windows are 1 s"):
            tagger.tag_samples(samples, 8000, window=window)
        with pytest.raises(InvalidOption, match="its windows are 1 s"):
            tagger.stream(window=window)
    assert len(tagger.tag_samples(samples, 8000, window=1).starts) == 5
    assert len(Tagger(write("small")).tag_samples(samples, 8000, window=0.5, hop=0.5).starts) == 4


@pytest.mark.parametrize("targets", ["single", "several"])
def test_temperature(targets: str, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", targets=targets)
    samples = signals.clip(1.0, 32000).astype(np.float32)
    before = Tagger(folder).tag_samples(samples, 32000)
    change(folder, temperature=2.5)
    after = Tagger(folder).tag_samples(samples, 32000)
    assert np.array_equal(before.logits, after.logits)
    wanted = probabilities_of(before.logits, targets == "single", 2.5)
    np.testing.assert_allclose(after.probabilities, wanted, rtol=1e-6)
    assert [tag.probability for tag in after.top(3)] == sorted(after.probabilities[0].tolist(), reverse=True)


def test_thresholds_of_one_class(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d")
    samples = signals.clip(1.0, 32000).astype(np.float32)
    likeliest, second, least = np.argsort(-Tagger(folder).tag_samples(samples, 32000).logits[0])
    p = Tagger(folder).tag_samples(samples, 32000).probabilities[0]

    def said(**by_class: float | None) -> tuple[list[bool | None], list[int]]:
        thresholds = [0.0] * 3
        thresholds[likeliest], thresholds[second], thresholds[least] = by_class["a"], by_class["b"], by_class["c"]
        change(folder, thresholds=thresholds)
        tags = Tagger(folder).tag_samples(samples, 32000)
        return [tag.above_threshold for tag in tags.top(3)], np.flatnonzero(tags.said[0]).tolist()

    high, low = 0.999999, 1e-9
    assert said(a=low, b=high, c=high) == ([True, False, False], [likeliest])
    assert said(a=high, b=high, c=high) == ([False, False, False], [])
    assert said(a=high, b=low, c=high) == ([False, True, False], [second])
    assert said(a=low, b=low, c=low) == ([True, True, True], [likeliest])
    assert said(a=None, b=high, c=high) == ([True, False, False], [likeliest])
    assert said(a=high, b=None, c=None) == ([False, False, False], [])
    assert said(a=float(p[likeliest]), b=high, c=high) == ([True, False, False], [likeliest])


def test_thresholds_of_several_classes(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", targets="several")
    samples = signals.clip(1.0, 32000).astype(np.float32)
    p = Tagger(folder).tag_samples(samples, 32000).probabilities[0]
    change(folder, thresholds=[float(p[0]) - 1e-4, float(p[1]) + 1e-4, None])
    assert Tagger(folder).tag_samples(samples, 32000).said[0].tolist() == [True, False, bool(p[2] >= 0.5)]


def test_ensembles(tmp_path: Path) -> None:
    one = write_detector(tmp_path / "1", seed=1, name="one", thresholds=[0.2, 0.4, None])
    two = write_detector(tmp_path / "2", seed=2, name="two", thresholds=[0.4, 0.6, 0.5], mlp=True)
    samples = signals.clip(1.5, 32000).astype(np.float32)
    each = [Tagger(folder).tag_samples(samples, 32000) for folder in (one, two)]
    tags = Tagger([one, two]).tag_samples(samples, 32000)
    assert tags.configurations == ("one", "two")
    close(tags.logits, (each[0].logits + each[1].logits) / 2)
    assert tags.outputs.thresholds is not None
    assert tags.outputs.thresholds == (pytest.approx(0.3), pytest.approx(0.5), None)
    change(two, temperature=4.0, thresholds=None)
    tags = Tagger([one, two]).tag_samples(samples, 32000)
    close(tags.logits, (each[0].logits + each[1].logits / 4) / 2)
    assert (tags.outputs.temperature, tags.outputs.thresholds) == (1.0, None)
    np.testing.assert_allclose(tags.probabilities, probabilities_of(tags.logits, True), rtol=1e-6)
    windows = Tagger([one, two])
    whole = windows.tag_samples(samples, 32000, window=1.0)
    streamed = list(windows.stream([samples], sample_rate=32000))
    close(np.stack([found.logits for found in streamed]), whole.logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("dog", "cat", "owl")}, "with the same classes, but those of mine, other differ"),
        ({"classes": ("dog", "cat")}, "with the same classes, but mine has 3 of its own, other has 2 of its own"),
        ({"targets": "several"}, "with outputs of one kind, but mine has single, other has several"),
        ({"kind": "small_l3"}, "one sample rate inside, but mine has 32000 Hz, other has 8000 Hz"),
        ({"kind": "own"}, "one way to tag a whole clip, but mine has a head on the mean over windows of 10000 ms"),
    ],
)
def test_ensembles_of_nets_that_do_not_fit(options: dict[str, str], message: str, write: Write) -> None:
    with pytest.raises(InvalidOption, match=message):
        Tagger([write(), write(name="other", **options)])
    with pytest.raises(InvalidOption, match="with the same classes, but mine has 3 of its own, tiny has audioset"):
        Tagger([write(), "tiny"])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("small", "windows of 10000 ms every 2500 ms, and whole clips up to 10000 ms"),
        ("small_l3", "windows of 1000 ms every 250 ms"),
    ],
)
def test_how_whole_clips_are_tagged_is_said(kind: str, said: str, write: Write) -> None:
    (row,) = request.tagging_rows(write(kind))
    assert request._whole_clips(row) == f"a head on the mean over {said}"


@pytest.mark.parametrize("engine", ["torch", "numba", "onnxruntime", "openvino", "eager"])
def test_engines(engine: str, write: Write) -> None:
    """The head is run behind whatever makes embeddings: compiled kernels too."""
    if engine not in ("torch", "eager"):
        pytest.importorskip(engine)
    for kind in ("small_l3", "small"):
        samples, rate = signals.clip(1.0, RATES[kind]).astype(np.float32), RATES[kind]
        tagger = Tagger(write(kind), engine=engine)
        close(tagger.tag_samples(samples, rate, window=1.0, hop=1.0).logits, straight(write(kind), samples[None])[1])
        assert tagger.extractors[0].engine == engine


def test_heads_that_overflow(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d")
    state = {key: value.clone() for key, value in read_tensors(folder / "model.safetensors")[0].items()}
    state["head.output.weight"] *= 1e38
    other = folder / "other.safetensors"
    other.write_bytes(encode(state, {}))
    with pytest.raises(ComputationError, match="the head of mine gives values that are not finite"):
        Tagger(folder, other).tag_samples(signals.clip(1.0, 32000), 32000)


def test_in_train_mode_nothing_is_dropped(write: Write) -> None:
    tagger = Tagger(write(mlp=True))
    samples = signals.clip(1.0, 32000)
    still = tagger.tag_samples(samples, 32000)
    for extractor in tagger.extractors:
        extractor.train()
    assert np.array_equal(tagger.tag_samples(samples, 32000).logits, still.logits)


def test_layouts_of_heads_are_what_is_trained(write: Write) -> None:
    """What a trainer may count on: a head of zeros with the names that a folder has."""
    row = local.read_folder(write(mlp=True))
    assert isinstance(row.head, HeadLayout)
    names = {key for key in read_tensors(row.weights_path)[0] if key.startswith("head.")}
    assert names == {f"head.{key}" for key in Head(row.head).state_dict()}
