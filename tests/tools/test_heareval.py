"""The recipe of tests/heareval: its tasks, its table, and heareval itself from sounds to scores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.paths import TESTS

RECIPE = TESTS / "heareval"
MODULE = "hear_edgel3.tiny"  # needs no weights
SAMPLE_RATE = 16000
SPLITS = {"synthetic_scenes-v1-full": ["fold00", "fold01", "fold02"]}
SPLITS["synthetic_events-v1-full"] = ["train", "valid", "test"]


def load(name: str) -> ModuleType:
    """A script of the recipe; its folder's name is heareval's own, so it is no package here."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heareval") / "tasks"
    load("make_tasks").write_tasks(folder, [8000, SAMPLE_RATE])
    return folder


@pytest.mark.parametrize("task", SPLITS)
def test_tasks_have_everything_that_heareval_reads(tasks: Path, task: str) -> None:
    values = json.loads((tasks / task / "task_metadata.json").read_text())
    assert task == f"{values['task_name']}-{values['version']}-{values['mode']}"
    assert values["splits"] == SPLITS[task]
    vocabulary = (tasks / task / "labelvocabulary.csv").read_text().split()
    assert vocabulary == ["idx,label", "0,hiss", "1,hum", "2,knocks", "3,siren"]
    for split in SPLITS[task]:
        labels = json.loads((tasks / task / f"{split}.json").read_text())
        for rate in (8000, SAMPLE_RATE):
            folder = tasks / task / str(rate) / split
            assert sorted(path.name for path in folder.iterdir()) == sorted(labels)
            assert {len(read(folder / name)) for name in labels} == {round(values["sample_duration"] * rate)}
        found = {e["label"] if isinstance(e, dict) else e for file in labels.values() for e in file}
        assert found == {"hiss", "hum", "knocks", "siren"}


def test_a_clip_is_the_same_at_every_rate_and_loud_where_its_events_are(tasks: Path) -> None:
    task = tasks / "synthetic_events-v1-full"
    low, high = (read(task / str(rate) / "test" / "test_00.wav") for rate in (8000, SAMPLE_RATE))
    np.testing.assert_allclose(high[::2], low, atol=2 / 32768)
    active = np.zeros(len(low), bool)
    for event in json.loads((task / "test.json").read_text())["test_00.wav"]:
        active[round(8 * event["start"]) : round(8 * event["end"])] = True
    assert np.std(low[active]) > 10 * np.std(low[~active])


def test_table(tmp_path: Path) -> None:
    evaluate = load("evaluate")
    scores = {
        ("a", "events"): (["f", "er"], {"test": {"test_f": 0.5, "test_er": 1.25, "test_f_precision": 1.0}}),
        ("b", "events"): (["f", "er"], {"test": {"test_f": 1.0, "test_er": 0.0}}),
        ("b", "folds"): (["acc"], {"fold00": {}, "aggregated_scores": {"test_acc_mean": 0.75, "test_acc_std": 0.01}}),
    }
    assert evaluate.table(tmp_path) == "nothing is finished"
    for (module, task), (names, results) in scores.items():
        folder = tmp_path / "embeddings" / module / task
        folder.mkdir(parents=True)
        (folder / "task_metadata.json").write_text(json.dumps({"evaluation": names}))
        (folder / "test.predicted-scores.json").write_text(json.dumps(results))
        (folder / "prediction-done.json").write_text("{}")
    (tmp_path / "embeddings" / "a" / "unfinished").mkdir()
    assert evaluate.table(tmp_path).splitlines() == [
        "| task | score | a | b |",
        "|---|---|---|---|",
        "| events | f | 0.500 | 1.000 |",
        "| events | er | 1.250 | 0.000 |",
        "| folds | acc |  | 0.750 ± 0.010 |",
    ]


@pytest.mark.slow
def test_heareval() -> None:
    """What the commands of docs/hear.md have made, and what goes on from there."""
    home = Path(os.environ.get("HEAR_EDGEL3_HEAREVAL", "")).absolute()
    if not (home / "results").is_dir():
        pytest.skip("HEAR_EDGEL3_HEAREVAL is not set: the folder ~/heareval that the commands of docs/hear.md make")
    folder = home / "results" / "embeddings" / MODULE
    results = {task: json.loads((folder / task / "test.predicted-scores.json").read_text()) for task in SPLITS}
    for task, splits in SPLITS.items():
        for split in splits:
            n, size = json.loads((folder / task / f"{split}.embedding-dimensions.json").read_text())
            labels = json.loads((folder / task / f"{split}.json").read_text())
            assert n == len(labels) * (161 if "events" in task else 1)  # every 50 ms of 8 s
            assert (folder / task / f"{split}.embeddings.npy").stat().st_size == 4 * n * size
        tested = [split for split in splits if split not in ("train", "valid")]
        assert all((folder / task / f"{split}.predictions.pkl").stat().st_size > 1000 for split in tested)
        assert set(tested) < set(results[task])

    # By chance: 0.25, next to 0 (the right kind within 200 ms of its onset), and 1 (nothing found) or more
    assert results["synthetic_scenes-v1-full"]["aggregated_scores"]["test_top1_acc_mean"] > 0.6
    assert results["synthetic_events-v1-full"]["test"]["test_event_onset_200ms_fms"] > 0.6
    assert results["synthetic_events-v1-full"]["test"]["test_segment_1s_er"] < 0.5

    # What is done is not done again, and what fails keeps nothing else from its table.
    command = [home / "venv" / "bin" / "python", RECIPE / "evaluate.py", "--tasks", home / "tasks"]
    command += ["--output", home / "results", "--modules", MODULE, "hear_edgel3.no_such_net"]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert [line.count("|") for line in again.stdout.splitlines()] == [4] * 6
    assert again.stderr.count("are there already") == 4
    assert again.stderr.count("embeddings FAILED with status 1") == 2
    assert "no_such_net" in again.stderr.rpartition("FAILED")[2]
