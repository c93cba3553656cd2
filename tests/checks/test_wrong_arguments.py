"""Whatever a public function is given in place of what it takes, an error of this package names it.

Each row of the tables says what an argument may be by the kind of things that it may not be. None of these ends in an
error of Python or torch, and none is taken for something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.adapters import SceneTransformer, SoundDataset
from hear_edgel3.dataset import Dataset
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.event_detection import EventStream
from hear_edgel3.explore.build import explore
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.heads import HeadLayout, make_head
from hear_edgel3.labels import Dividing, LabelOptions, divide, layout_of, read_labelled
from hear_edgel3.recorded import TimeAndPlace, zone_of
from hear_edgel3.scores import (
    Guesses,
    classes_said,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    probabilities_of,
    score_classes,
    score_numbers,
)
from hear_edgel3.search import SoundSearch, find_duplicates, nearest
from hear_edgel3.timeline import EventDecoder, EventRules, groups_of
from hear_edgel3.training.deepspectrumlite import read_classes, read_grid
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.images import SapAugment
from hear_edgel3.training.losses import Distillation, keras_loss
from hear_edgel3.training.optimizers import Optimizer
from hear_edgel3.training.recipes import recipe_for
from hear_edgel3.training.sampling import ShuffledEpochs, WeightedEpochs, audioset_weights
from hear_edgel3.training.schedule import Temperature, TwoPhases, UpDown
from hear_edgel3.training.spectrograms import SpectrogramAugmentation
from hear_edgel3.training.teacher_predictions import (
    TeacherPredictions,
    convert_teacher_predictions,
    write_teacher_predictions,
)
from hear_edgel3.training.waveforms import WaveformAugmentation
from support.datasets import write_part

RATE = 16000
ARRAY, TENSOR, OBJECT = np.zeros(3), torch.zeros(2), object()
NO_TEXT = (5, -1.5, True, b"x", [], ["x"], [None], {}, {"a": 1}, OBJECT, ARRAY, TENSOR, 3j)
NO_NUMBER = (True, "", "5", b"x", [], [1], {}, OBJECT, ARRAY, TENSOR, 3j, float("nan"))
NO_COUNT = (*NO_NUMBER, -1, 1.5, float("inf"))
NO_FLAG = (5, -1, float("nan"), "no", "", b"x", [], ["x"], {}, OBJECT, ARRAY, TENSOR, None, 3j)
NO_LIST = (5, True, b"x", {}, {"a": 1}, OBJECT, np.float32(0), 3j)
NO_PATHS = (*NO_LIST, None, [None], [1], [b"x"])
NO_ARRAY = (None, 5, "x", b"x", [], ["x", "y"], [[1], [1, 2]], {}, OBJECT, TENSOR.to("meta"), np.array(["x"]))

# The function, what else it is given, and by argument what it must refuse.
Row = tuple[Callable[..., Any], dict[str, Any], dict[str, tuple[Any, ...]]]


@pytest.fixture(scope="module", name="tiny")
def _tiny() -> Extractor:
    return hear_edgel3.load("tiny")


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    for name in ("dog", "cat"):
        (here / "data" / name).mkdir(parents=True)
        soundfile.write(f"data/{name}/a.wav", np.zeros(RATE), RATE)
    write_part(here / "set" / "part-0.parquet", np.eye(16, dtype=np.float32))


def _refuses(rows: list[Row]) -> Iterator[str]:
    """What is not refused as it should be."""
    for function, others, refused in rows:
        for argument, values in refused.items():
            for value in values:
                try:
                    function(**{**others, argument: value})
                    yield f"{function.__qualname__}({argument}={value!r}) is taken"
                except HearEdgeL3Error as error:
                    if argument.split("_")[0].rstrip("s") not in str(error).replace("-", "_"):
                        yield f"{function.__qualname__}({argument}={value!r}) does not name it: {error}"
                except Exception as error:
                    yield f"{function.__qualname__}({argument}={value!r}): {type(error).__name__}: {error}"


def test_loading_and_embedding(tiny: Extractor) -> None:
    wav, sound = "data/dog/a.wav", np.zeros((1, RATE), np.float32)
    rows: list[Row] = [
        (hear_edgel3.load, {}, {"sample_rate": NO_COUNT, "engine": NO_TEXT, "hop_ms": NO_NUMBER, "weights": (5, b"x")}),
        (hear_edgel3.list_configurations, {}, {"family": NO_TEXT}),
        (hear_edgel3.custom.load_model, {}, {"model_file_path": (*NO_TEXT, None)}),
        (
            hear_edgel3.load_audio,
            {"path": wav, "sample_rate": RATE},
            {"sample_rate": NO_COUNT, "start": (*NO_NUMBER, -1, float("inf")), "end": (*NO_NUMBER, -1)},
        ),
        (hear_edgel3.embed_file, {"path": wav, "extractor": tiny}, {"center": NO_FLAG, "hop_size": NO_NUMBER}),
        (hear_edgel3.embed_scene, {"path": wav, "extractor": tiny}, {"start": NO_NUMBER, "end": NO_NUMBER}),
        (tiny.timestamp_embeddings_of_each, {}, {"clips": (*NO_LIST, None, "x", "")}),
        (lambda blocks: list(tiny.stream(blocks)), {}, {"blocks": (*NO_LIST, "x", "")}),
        (tiny.scene_embeddings, {"audio": sound}, {"sample_rate": NO_COUNT}),
        (tiny.forward, {}, {"windows": (*NO_TEXT, None, sound, torch.zeros(1, RATE).to_sparse())}),
        (tiny.embed_windows, {}, {"windows": (None, sound, torch.zeros(1, RATE, device="meta"))}),
        (SceneTransformer("tiny").transform, {}, {"X": (None, 5, wav, {"a": 1}, OBJECT)}),
        (SoundDataset, {"sources": wav, "sample_rate": RATE}, {"sources": NO_PATHS, "seconds": NO_NUMBER}),
    ]
    assert list(_refuses(rows)) == []


def test_tagging_and_events() -> None:
    tagger, finder = hear_edgel3.Tagger("tiny"), hear_edgel3.EventFinder("tiny")
    rows: list[Row] = [
        (hear_edgel3.Tagger, {}, {"weights": (5, b"x", {"a": 1}, OBJECT, [5]), "engine": NO_TEXT}),
        (tagger.tag_samples, {"sample_rate": RATE, "channel": "each"}, {"audio": ([[1.0], [1.0, 2.0]], (ARRAY, RATE))}),
        (lambda blocks: list(tagger.stream(blocks)), {}, {"blocks": (*NO_LIST, "x", "")}),
        (tagger.tag_samples(np.zeros(RATE), RATE).top, {}, {"n": NO_COUNT, "window": (*NO_NUMBER, None, 1, -2, 0.5)}),
        (hear_edgel3.EventFinder, {}, {"options": NO_TEXT, "exact": NO_FLAG, "hop": NO_NUMBER, "threshold": NO_NUMBER}),
        (EventStream, {"finder": finder}, {"finder": (*NO_TEXT, None), "sample_rate": NO_COUNT}),
        (EventRules, {"thresholds": [0.5]}, {"thresholds": (None, *NO_LIST, [2]), "smooth": (*NO_NUMBER, -1)}),
        (EventDecoder, {"rules": EventRules([0.5]), "slice_length": 1}, {"rules": NO_TEXT, "slice_length": NO_NUMBER}),
        (groups_of, {"labels": tagger.labels}, {"wanted": NO_LIST, "together": (5, "x", ["x"], OBJECT)}),
    ]
    assert list(_refuses(rows)) == []


def test_exports_and_jobs(tiny: Extractor) -> None:
    rows: list[Row] = [
        (
            hear_edgel3.export,
            {"configuration": tiny, "output": "x.onnx"},
            {
                **dict.fromkeys(("to", "part", "quantize"), (*NO_TEXT, None, "odd")),
                **dict.fromkeys(("output", "check", "weights"), (*NO_TEXT, "")),
                "length": (*NO_NUMBER, 0, -1, float("inf"), "long"),
            },
        ),
        (hear_edgel3.export, {"configuration": "tiny", "output": "x.onnx"}, {"weights": NO_TEXT}),
        (hear_edgel3.export, {"output": "x.onnx", "quantize": "int8"}, {"calibrate": (*NO_TEXT, "")}),
        (
            hear_edgel3.extract,
            {"sources": "data", "output": "out"},
            {
                "sources": NO_PATHS,
                "output": (*NO_TEXT, None, ""),
                "audio": (*NO_TEXT, ""),
                **dict.fromkeys(("timestamps", "retry_failed", "whole_files", "quiet"), NO_FLAG),
                **dict.fromkeys(("workers", "threads", "files_per_part", "tags"), (*NO_COUNT, 0)),
                **dict.fromkeys(("dtype", "runner", "engine"), (*NO_TEXT, "odd")),
                "device": (*NO_TEXT, None, ""),
                "keep": (*NO_LIST, None, [1]),
                "recorded": NO_TEXT,
                "num_gpus": NO_NUMBER,
                "partition": (5, "0/4", (1,), (4, 4), (-1, 4), (0.0, 4), ARRAY),
            },
        ),
    ]
    assert list(_refuses(rows)) == []
    assert not Path("out").exists()
    assert not Path("x.onnx").exists()


def test_search_and_explore() -> None:
    search = SoundSearch("set")
    rows: list[Row] = [
        (Dataset, {}, {"folder": (*NO_TEXT, None, "")}),
        (Dataset("set").to_pandas, {}, {"columns": (*NO_LIST, [1], ["nothing"])}),
        (lambda **given: list(Dataset("set").batches(**given)), {}, {"rows": (*NO_COUNT, 0), "columns": NO_LIST}),
        (SoundSearch, {"folder": "set"}, {"config": NO_TEXT, "weights": NO_TEXT, "exact": NO_FLAG}),
        (search.neighbours_of, {"row": 0}, {"row": NO_NUMBER, "top": (*NO_COUNT, 0), "without": NO_PATHS}),
        (search.neighbours_of, {"row": 0}, {"all_moments": NO_FLAG}),
        (search.neighbours_of_file, {}, {"file": (*NO_TEXT, None)}),
        (search.query, {"query": "data/dog/a.wav"}, {"sample_rate": NO_COUNT}),
        (find_duplicates, {"folder": "set"}, {"threshold": (*NO_NUMBER, 0, 2), "threads": NO_COUNT}),
        (find_duplicates, {"folder": "set"}, {"exact": [one for one in NO_FLAG if one is not None]}),
        (nearest, {"vectors": np.eye(4), "k": 1}, {"vectors": (*NO_ARRAY, ARRAY), "k": (*NO_COUNT, 0)}),
        (
            explore,
            {"folder": "set", "output": "page.html", "tags": False},
            {
                "output": (*NO_TEXT, None, ""),
                **dict.fromkeys(("projection", "order"), (*NO_TEXT, "odd")),
                **dict.fromkeys(("tags", "embed_audio"), NO_FLAG),
                **dict.fromkeys(("title", "tagger", "audio"), NO_TEXT),
                "segments": (*NO_NUMBER, -1),
                "sample": (*NO_COUNT, 0),
                "seed": NO_COUNT,
            },
        ),
    ]
    assert list(_refuses(rows)) == []
    assert not Path("page.html").exists()


def test_labels_and_learning() -> None:
    labelled = read_labelled("data")
    rows: list[Row] = [
        (layout_of, {}, {"source": (*NO_TEXT, None, "")}),
        (read_labelled, {"source": "data"}, {"source": (*NO_TEXT, None), "options": (*NO_TEXT, None)}),
        (
            LabelOptions,
            {},
            {
                **dict.fromkeys(("layout", "label", "labels", "part", "fold", "group", "group_pattern"), NO_TEXT),
                **{name: (*NO_LIST, [1]) for name in ("numbers", "relevances", "classes")},
                "audio": NO_TEXT,
                "parts": (5, "x", ["x"], {"a": 1}, {1: "train"}, OBJECT),
                **dict.fromkeys(("whole_files", "skip"), NO_FLAG),
            },
        ),
        (Dividing, {}, {"how": NO_TEXT, "n_folds": (*NO_COUNT, 1), "seed": NO_COUNT, "copies": NO_FLAG}),
        (divide, {"labelled": labelled}, {"labelled": (*NO_TEXT, None), "dividing": NO_TEXT}),
        (
            hear_edgel3.train,
            {"data": "data", "output": "out"},
            {
                "data": (*NO_TEXT, None),
                "output": (*NO_TEXT, None, ""),
                "cache": (*NO_TEXT, ""),
                "split": NO_TEXT,
                **dict.fromkeys(("fine_tune", "threshold", "quiet"), NO_FLAG),
                **dict.fromkeys(("head", "recipe", "precision", "class_weights", "teacher", "wandb"), NO_TEXT),
                **dict.fromkeys(("workers", "epochs", "units"), (*NO_COUNT, 0)),
            },
        ),
        (hear_edgel3.evaluate, {"data": "data"}, {"on_leak": NO_TEXT, "state": NO_TEXT, "split": NO_TEXT}),
        (
            hear_edgel3.distill,
            {"teacher": "tiny", "audio": "data", "output": "out"},
            {"audio": NO_PATHS, "output": (*NO_TEXT, None, ""), "cache": NO_TEXT, "device": NO_TEXT},
        ),
        (make_head, {"layout": HeadLayout("linear", 4, 2), "seed": 0}, {"layout": NO_TEXT, "seed": (*NO_NUMBER, 1.5)}),
        (TimeAndPlace, {}, {"pattern": NO_TEXT, "zone": NO_TEXT, "site": (b"x", [], {}, OBJECT, ARRAY, 0, 1.5, True)}),
        (TimeAndPlace().look, {}, {"path": (*NO_TEXT, None)}),
        (zone_of, {}, {"name": (*NO_TEXT, None)}),
    ]
    assert list(_refuses(rows)) == []
    assert not Path("out").exists()


def test_training_of_ones_own() -> None:
    off_scale = (*NO_NUMBER, -0.1, 1.1, float("inf"))
    positive = (*NO_NUMBER, 0, -1, float("inf"))
    no_pair = (*NO_TEXT, None, (0.1,), (0.1, 2), (-1, 0.5), ("a", "b"), "ab")
    labels = np.eye(3)
    rows: list[Row] = [
        (
            UpDown,
            {"warmup": 1, "start": 1, "length": 1, "last": 0.1},
            {"warmup": NO_COUNT, "start": NO_COUNT, "length": (*NO_COUNT, 0), "last": off_scale},
        ),
        (
            TwoPhases,
            {"pre_epochs": 1, "epochs": 1, "fine": 0.1, "frozen_share": 0.5},
            {"pre_epochs": NO_COUNT, "epochs": NO_COUNT, "fine": positive, "frozen_share": off_scale},
        ),
        (Temperature, {}, {**dict.fromkeys(("highest", "lowest", "first_slope"), positive), "second_slope": NO_NUMBER}),
        (
            Optimizer,
            {"name": "adam", "learning_rate": 0.1},
            {
                "name": (*NO_TEXT, None, "lion"),
                "learning_rate": positive,
                **dict.fromkeys(("weight_decay", "eps"), (*NO_NUMBER, -1, float("inf"))),
                "betas": (*no_pair, (0.9, 1.0)),
            },
        ),
        (
            WaveformAugmentation,
            {},
            {
                **dict.fromkeys(("gain", "roll"), NO_COUNT),
                "mixup": off_scale,
                "mixup_alpha": positive,
                "roll_first": NO_FLAG,
            },
        ),
        (
            SpectrogramAugmentation,
            {},
            {
                **dict.fromkeys(("freq_mask", "time_mask"), NO_COUNT),
                **dict.fromkeys(("fmin_jitter", "fmax_jitter"), (*NO_COUNT, 0)),
                "mixup": (*NO_NUMBER, -1, float("inf")),
                "mixstyle": off_scale,
                "mixstyle_alpha": positive,
            },
        ),
        (
            SapAugment,
            {},
            {
                "a": off_scale,
                "s": positive,
                "probability": no_pair,
                **{
                    size: [one for one in (*no_pair, (0.5, 0.1)) if one is not None]
                    for size in ("cutmix", "freq", "time")
                },
                **dict.fromkeys(("n_freq", "n_time"), NO_COUNT),
            },
        ),
        (Distillation, {}, {"label_weight": off_scale, "temperature": positive}),
        (keras_loss, {"outputs": TENSOR, "targets": TENSOR}, {"name": (*NO_TEXT, None, "ctc")}),
        (recipe_for, {"name": "esc50"}, {"name": (*NO_TEXT, None, "esc10"), "net": NO_TEXT}),
        (Draws.seeded, {}, {"seed": (*NO_COUNT, 1 << 32)}),
        (lambda place, seed=0: Draws.at(seed, place), {"place": 0}, {"seed": NO_COUNT, "place": NO_COUNT}),
        (ShuffledEpochs, {"n_examples": 1, "seed": 0}, {"n_examples": (*NO_COUNT, 0)}),
        (WeightedEpochs, {"weights": np.ones(3), "n_draws": 1, "seed": 0}, {"n_draws": (*NO_COUNT, 0)}),
        (
            audioset_weights,
            {"targets": labels},
            {"offset": (*NO_NUMBER, -1, float("inf")), "combine": (*NO_TEXT, None, "mean")},
        ),
        (TeacherPredictions, {}, {"folder": (*NO_TEXT, None, "")}),
        (
            write_teacher_predictions,
            {"folder": "kept", "names": ["a"], "batches": [labels[:1]], "n_classes": 3},
            {
                "folder": (*NO_TEXT, None, ""),
                "names": (*NO_LIST, None, "a", [1]),
                "batches": (*NO_LIST, None, "a", [1], ["a"], [ARRAY]),
                "n_classes": (*NO_COUNT, 0),
                "dtype": (*NO_TEXT, None, "int8"),
            },
        ),
        (
            convert_teacher_predictions,
            {"array": "a.npy", "table": "b.csv", "folder": "kept"},
            dict.fromkeys(("array", "table", "folder"), (*NO_TEXT, None, "")),
        ),
        (read_grid, {}, {"path": (*NO_TEXT, None, "")}),
        (read_classes, {}, {"path": (*NO_TEXT, None, "")}),
    ]
    assert list(_refuses(rows)) == []
    assert not Path("kept", "names.csv").exists()


def test_scores() -> None:
    guessed, right = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    numbers = {"targets": guessed, "guesses": guessed, "names": ["a", "b"]}
    classes = {"guesses": Guesses(right, guessed), "classes": ["a", "b"]}
    lists = (*NO_LIST, [1, 2])
    rows: list[Row] = [
        (Guesses, {"targets": right, "probabilities": guessed}, {"targets": NO_ARRAY, "thresholds": (5, "x", [1.0])}),
        (score_classes, classes, {"guesses": (*NO_TEXT, None), "classes": lists, "groups": NO_LIST, "seed": NO_COUNT}),
        (score_classes, classes, {"resamples": NO_COUNT}),
        (score_numbers, numbers, {"targets": NO_ARRAY, "guesses": NO_ARRAY, "names": lists, "groups": NO_LIST}),
        (fit_temperature, {"logits": guessed, "targets": right}, {"spread": (*NO_NUMBER, 0)}),
        (fit_temperature, {"logits": guessed, "targets": right}, {"logits": NO_ARRAY, "targets": (*NO_ARRAY, [0, 2])}),
        (fit_thresholds, {"probabilities": guessed, "targets": right}, {"targets": NO_ARRAY, "mask": (5, ["x"], [1])}),
        (expected_calibration_error, {"probabilities": guessed, "targets": right}, {"bins": (*NO_COUNT, 0)}),
        (probabilities_of, {"logits": guessed, "is_single": True}, {"temperature": (*NO_NUMBER, 0, -1)}),
        (
            classes_said,
            {"probabilities": guessed, "is_single": True},
            {"probabilities": NO_ARRAY, "thresholds": ([1.0],)},
        ),
        (confusion_matrix, {}, {"guesses": (*NO_TEXT, None)}),
    ]
    assert list(_refuses(rows)) == []


def test_scores_of_lists_and_tensors() -> None:
    """Which are taken for what they hold."""
    guessed, right = [[0.9, 0.1], [0.4, 0.6]], [0, 1]
    for kind in (list, np.array, torch.tensor):
        assert fit_thresholds(kind(guessed), kind(right)).tolist() == pytest.approx([0.65, 0.35])
        assert classes_said(kind(guessed), True).tolist() == [[True, False], [False, True]]
        assert expected_calibration_error(kind(guessed), kind(right)) == pytest.approx(0.25)
        assert probabilities_of(kind([[0.0, 0.0]]), is_single=True).tolist() == [[0.5, 0.5]]


def test_what_is_said_of_long_things_is_short() -> None:
    with pytest.raises(HearEdgeL3Error) as found:
        hear_edgel3.load("tiny", engine=["x"] * 10_000)  # type: ignore[arg-type]
    assert len(str(found.value)) < 300


def test_flags_of_other_types() -> None:
    """Those of NumPy count, and 0 and 1, as in the edgel3 library."""
    for flag in (np.True_, 1, np.int64(1), 1.0):
        assert not SoundSearch("set", exact=flag).indexed  # type: ignore[arg-type]
