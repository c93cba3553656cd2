"""Fine-tuning in two phases: what it learns, what it leaves alone, and going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.detectors.augmentation import ClipAugmentation
from hear_edgel3.detectors.targets import start_is_better
from hear_edgel3.detectors.two_phases import TwoPhaseTuning, first_of_window
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.extractor import Extractor
from hear_edgel3.framing.rules import CentredFraming, SegmentFraming
from hear_edgel3.heads import HeadLayout, make_head
from hear_edgel3.labels import Kind, Labelled, Split
from support.distilling import interrupting
from support.labelled_sounds import heard, make_labelled, new_head, same, split_of, tune


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds") / "made"


@pytest.fixture(scope="module")
def labelled(sounds: Path) -> Labelled:
    return make_labelled(sounds)


@pytest.fixture(scope="module")
def small(mobilenetv3_folder: Path) -> Extractor:
    return hear_edgel3.load("mn01_as", mobilenetv3_folder)


def test_it_learns_and_leaves_the_rest_alone(labelled: Labelled, small: Extractor, tmp_path: Path) -> None:
    """Sounds of another speaker; the extractor, the head and the caller's random numbers stay as they are."""
    head = new_head(small, 3)
    before = [value.clone() for value in (*small.net.state_dict().values(), *head.state_dict().values())]
    torch.manual_seed(1)
    np.random.seed(1)
    torch_before, numpy_before = torch.get_rng_state(), repr(np.random.get_state(legacy=False))
    tuned = tune(labelled, small, tmp_path / "out", head, epochs=12, head_epochs=2, lr=3e-3, mixup=0.0)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert repr(np.random.get_state(legacy=False)) == numpy_before
    after = [*small.net.state_dict().values(), *head.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    rows = tuned.metrics
    assert [row["epoch"] for row in rows] == list(range(13))
    assert rows[-1]["train_loss"] < 0.75 * rows[1]["train_loss"]
    assert tuned.epoch == 12
    assert rows[12]["balanced_accuracy"] > 0.75
    # The first phase leaves the net as it is; batch norm keeps its statistics; what is behind the features rests.
    changed = {name for name, value in tuned.net_state.items() if not torch.equal(value, small.net.state_dict()[name])}
    assert "features.0.0.weight" in changed
    assert not any("running" in name or name.startswith(("classifier.", "features.16.")) for name in changed)
    assert (tmp_path / "out" / "metrics.csv").read_text().count("\n") == 14


@pytest.mark.parametrize("call", [1, 3, 7])
def test_going_on(
    call: int, labelled: Labelled, small: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the first epoch, in the first of the second phase, and later: the same bits."""
    straight = tune(labelled, small, tmp_path / "straight", epochs=3)
    with monkeypatch.context() as patched:
        patched.setattr(TwoPhaseTuning, "loss", interrupting(TwoPhaseTuning.loss, call))
        with pytest.raises(KeyboardInterrupt):
            tune(labelled, small, tmp_path / "out", epochs=3)
    assert (tmp_path / "out" / "training.pt").exists() == (call >= 3)
    assert same(tune(labelled, small, tmp_path / "out", epochs=3), straight)
    with pytest.raises(OutputError, match="belongs to another training"):
        tune(labelled, small, tmp_path / "out", epochs=3, seed=1)


def test_the_seed_decides(labelled: Labelled, small: Extractor, tmp_path: Path) -> None:
    first = tune(labelled, small, tmp_path / "first", epochs=2)
    assert same(first, tune(labelled, small, tmp_path / "again", epochs=2))
    assert not same(first, tune(labelled, small, tmp_path / "other", epochs=2, seed=1))
    # So does what is heard of the files: that is another training.
    of_channel = replace(labelled, items=tuple(item._replace(channel=0) for item in labelled.items))
    with pytest.raises(OutputError, match="belongs to another training"):
        tune(of_channel, small, tmp_path / "first", epochs=2)


@pytest.mark.parametrize(("patience", "counts", "told"), [(3, 2, True), (4, 6, True), (1000, 6, False)])
def test_which_epoch_counts(
    patience: int,
    counts: int,
    told: bool,
    labelled: Labelled,
    small: Extractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last one, though another is better on the validation part; the best one where patience ends training.

    Where it cannot end it, no epoch is told to be the best.
    """
    states = []

    def measure(self: TwoPhaseTuning, net: torch.nn.Module, device: torch.device) -> dict[str, float]:
        states.append({name: value.clone() for name, value in net.state_dict().items()})
        loss = 1.0 if len(states) == 3 else 2.0
        return {"validation_loss": loss, "balanced_accuracy": 0.5}

    monkeypatch.setattr(TwoPhaseTuning, "measure", measure)
    tuned = tune(labelled, small, tmp_path / "out", epochs=6, patience=patience, quiet=False)
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("epoch 2/6,")]
    assert len(said) == 1
    assert said[0].endswith(" (best)") == told
    assert tuned.epoch == counts
    assert len(states) == 1 + min(6, 2 + patience)
    assert all(torch.equal(value, states[counts][f"net.{name}"]) for name, value in tuned.net_state.items())
    assert not torch.equal(states[2]["net.features.0.0.weight"], states[-1]["net.features.0.0.weight"])
    # Going on after all is over takes the same one.
    assert same(tune(labelled, small, tmp_path / "out", epochs=6, patience=patience), tuned)


def test_a_share_of_the_layers(labelled: Labelled, small: Extractor, tmp_path: Path) -> None:
    """Of those that the features need; without a validation part the last epoch is taken."""
    split = Split("all", np.arange(len(labelled)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    tuned = tune(labelled, small, tmp_path / "out", split=split, epochs=2, share=0.3)
    assert tuned.epoch == 2
    assert "validation_loss" not in tuned.metrics[0]
    before = small.net.state_dict()
    names = [name for name, _ in small.net.named_parameters()]
    changed = [not torch.equal(tuned.net_state[name], before[name]) for name in names]
    needed = [name for name in names if name.startswith(tuple(f"features.{i}." for i in range(16)))]
    first = changed.index(True) / len(needed)
    assert 0.65 < first < 0.75
    assert sum(changed) > 0.9 * 0.3 * len(needed)


def test_several_labels_some_unknown(sounds: Path, small: Extractor, tmp_path: Path) -> None:
    tuned = tune(make_labelled(sounds, Kind.SEVERAL), small, tmp_path / "out", epochs=6, mixup=0.0)
    assert tuned.metrics[-1]["train_loss"] < tuned.metrics[1]["train_loss"]
    assert 0 <= tuned.metrics[-1]["mAP"] <= 1


def test_numbers(sounds: Path, small: Extractor, tmp_path: Path) -> None:
    """They are learnt in scales of their own, and put out as they are: hertz and noise."""
    labelled = make_labelled(sounds, Kind.NUMBERS)
    head = new_head(small, 2)
    plain = ClipAugmentation(speed=0.0, filters=0.0, noise=0.0)
    tuned = tune(
        labelled, small, tmp_path / "out", head, epochs=8, head_epochs=2, lr=3e-3, head_lr=3e-2, augmentation=plain
    )
    assert tuned.metrics[-1]["train_loss"] < 0.7 * tuned.metrics[1]["train_loss"]
    copy = hear_edgel3.load("mn01_as", small.weights.path if small.weights else None, 32000)
    copy.net.load_state_dict(tuned.net_state)
    assert tuned.head_state is not None
    head.load_state_dict(tuned.head_state)
    rows = split_of(labelled).validation
    found = head.eval()(copy.scene_embeddings(heard(labelled, rows)))
    error = found.detach() - torch.from_numpy(labelled.targets[rows])
    assert float(error.abs().mean()) == pytest.approx(tuned.metrics[tuned.epoch]["mae"], rel=1e-3)


@pytest.mark.parametrize("head", ["new", None])
def test_numbers_far_from_zero(head: str | None, sounds: Path, small: Extractor, tmp_path: Path) -> None:
    """A new head and a classifier of the net's own learn the numbers themselves, whatever their size."""
    labelled = make_labelled(sounds, Kind.NUMBERS)
    labelled = replace(labelled, classes=("noise",), targets=1000 * labelled.targets[:, :1] + 50000)
    plain = ClipAugmentation(speed=0.0, filters=0.0, noise=0.0)
    tuned = tune(
        labelled, small, tmp_path / "out", head, epochs=8, head_epochs=2, lr=1e-3, head_lr=3e-3, augmentation=plain
    )
    losses = [row["train_loss"] for row in tuned.metrics[1:]]
    assert losses[0] < 20  # of variances: 1 is what their mean alone says, and 0 instead of that 3750
    assert min(losses) < 0.9
    assert tuned.metrics[-1]["mae"] < 1500


def test_where_windows_to_learn_from_begin() -> None:
    """Centred ones anywhere around a sound; segments with it, or inside of a longer one."""
    centred, segments = CentredFraming(100, 1000, 50.0), SegmentFraming(100)
    assert [first_of_window(centred, 30, 1.0, place) for place in (0.0, 0.5, 0.99)] == [-50, -35, -21]
    for n in (30, 100):
        assert {first_of_window(segments, n, 1.0, place) for place in (0.0, 0.5, 0.99)} == {0}
    assert [first_of_window(segments, 300, 1.0, place) for place in (0.0, 0.5, 0.999)] == [0, 100, 199]
    assert first_of_window(segments, 300, 2.0, 0.999) == 99


def test_nets_of_one_window(labelled: Labelled, weights_folder: Path, tmp_path: Path) -> None:
    """They learn from windows of a second, and the zeros of pruned ones stay."""
    sparse = hear_edgel3.load("sparse_95", weights_folder)
    # A few sounds are enough, of which every speaker has as many of each class: the net is slow.
    whole = split_of(labelled)
    few = Split("few", *(part[::stride] for part, stride in ((whole.train, 6), (whole.validation, 3), (whole.test, 3))))
    tuned = tune(labelled, sparse, tmp_path / "sparse", split=few, epochs=1, head_epochs=0, batch_size=16)
    before = sparse.net.state_dict()
    for name in ("convs.0.weight", "convs.4.weight"):
        assert torch.equal(tuned.net_state[name] == 0, before[name] == 0)
        assert bool((before[name] == 0).any())
    if tuned.epoch == 1:
        assert not torch.equal(tuned.net_state["convs.4.weight"], before["convs.4.weight"])


def test_a_classifier_of_its_own(labelled: Labelled, small: Extractor, tmp_path: Path) -> None:
    tuned = tune(labelled, small, tmp_path / "out", head=None, epochs=2)
    assert tuned.head_state is None
    assert tuned.net_state["classifier.5.weight"].shape[0] == 3
    configured = hear_edgel3.load("mn01_as", small.weights.path if small.weights else None)
    assert configured.net.state_dict()["classifier.5.weight"].shape[0] == 527


def test_mixed_precision(labelled: Labelled, small: Extractor, tmp_path: Path) -> None:
    """8-bit mantissas change the loss, and not by much."""
    full = tune(labelled, small, tmp_path / "full", epochs=1, head_epochs=0)
    half = tune(labelled, small, tmp_path / "half", epochs=1, head_epochs=0, precision="bf16")
    assert full.metrics[-1]["train_loss"] != half.metrics[-1]["train_loss"]
    assert full.metrics[-1]["train_loss"] == pytest.approx(half.metrics[-1]["train_loss"], rel=0.05)


def test_what_does_not_fit(labelled: Labelled, small: Extractor, weights_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="the head makes 3 outputs of 7 values, but mn01_as puts out"):
        tune(labelled, small, tmp_path / "a", make_head(HeadLayout("linear", 7, 3), 0))
    with pytest.raises(InvalidOption, match="sea_64 has no classifier of its own; choose a head"):
        tune(labelled, hear_edgel3.load("sea_64", weights_folder), tmp_path / "b", None)


def test_when_the_start_is_kept() -> None:
    """Of a hundred sounds, a score of 0.8 has a standard error of 0.04."""
    start = {"balanced_accuracy": 0.8, "validation_loss": 0.5}
    for score, kept in ((0.75, True), (0.77, False), (0.9, False)):
        end = {"balanced_accuracy": score, "validation_loss": 1.0}
        assert start_is_better(Kind.SINGLE, start, end, 100) == kept
        assert start_is_better(Kind.NUMBERS, start, end, 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"head_epochs": 31}, "head_epochs=31 are more than all epochs, 30"),
        ({"share": 0}, "share must be a number above 0, at most 1; got 0"),
        ({"warmup": 1.0}, "warmup must be a number from 0 to below 1, got 1.0"),
        ({"class_weights": "some"}, "class_weights must be balanced or none, got 'some'"),
        ({"recipe": "esc"}, "there is no recipe 'esc'; there are esc50,"),
        ({"precision": "fp8"}, "precision must be no, bf16 or fp16; got 'fp8'"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    from hear_edgel3.detectors.fine_tuning import FineTuneOptions

    with pytest.raises(InvalidOption, match=message):
        FineTuneOptions(**options)
