"""Tasks as folders that heareval 2021.1.3 reads, as hear-preprocess would write them.

<name>-v1-full/
    task_metadata.json
    labelvocabulary.csv                idx,label
    fold00.json, fold01.json, ...      {"name.wav": ["label"], ...}
    <sample rate>/fold00/name.wav      mono, 16 bits, all of one second
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hear_edgel3.errors import OutputError
from tests.benchmarks.quality.clips import SECONDS, Clips

RATES = (16000, 32000, 48000)
# One point of heareval's grid, so that a run takes a minute per task; its own grid has eight.
_SMALL_GRID = {
    "hidden_layers": [1],
    "hidden_dim": [256],
    "lr": [3.2e-3],
    "max_epochs": [200],
    "check_val_every_n_epoch": [3],
    "patience": [20],
}


def write_task(name: str, clips: Clips, output: Path, full_grid: bool = False) -> tuple[Path, bool]:
    """Writes a task, whole or not at all.

    Args:
        name: of the task.
        clips: what it consists of.
        output: folder for tasks; made if need be.
        full_grid: leave heareval's own grid of hyperparameters alone.

    Returns:
        The task's folder, and whether it was written: one that is there already, with the same clips, is kept.

    Raises:
        OutputError: the folder cannot be written, or is there with other contents.
    """
    texts = _texts(name, clips, full_grid)
    folder = output / f"{name}-v1-full"
    if folder.is_dir():
        if any(not (folder / file).is_file() or (folder / file).read_text() != text for file, text in texts.items()):
            raise OutputError(f"{folder} is there with other contents: delete it, or name another folder")
        return folder, False
    temporary = output / f".{uuid.uuid4().hex}.part"
    try:
        temporary.mkdir(parents=True)
        for file, text in texts.items():
            (temporary / file).write_text(text)
        for rate in RATES:
            samples = clips.at(rate)
            for row, (clip, fold) in enumerate(zip(clips.names, clips.folds, strict=True)):
                path = temporary / str(rate) / _split(fold) / f"{clip}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, np.clip(samples[row], -1, 1), rate, subtype="PCM_16")
        os.rename(temporary, folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder, True


def _split(fold: int) -> str:
    return f"fold{fold:02d}"


def _texts(name: str, clips: Clips, full_grid: bool) -> dict[str, str]:
    """The text files of a task."""
    folds = [int(fold) for fold in np.unique(clips.folds)]
    metadata: dict[str, Any] = {
        "task_name": name,
        "version": "v1",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "new_split_kfold",
        "sample_duration": SECONDS,
        "evaluation": ["top1_acc"],
        "mode": "full",
        "splits": [_split(fold) for fold in folds],
    }
    if not full_grid:
        metadata["evaluation_params"] = {"task_specific_param_grid": _SMALL_GRID}
    vocabulary = io.StringIO()
    writer = csv.writer(vocabulary, lineterminator="\n")
    writer.writerow(["idx", "label"])
    writer.writerows(enumerate(np.unique(clips.labels)))
    texts = {"task_metadata.json": json.dumps(metadata, indent=4), "labelvocabulary.csv": vocabulary.getvalue()}
    for fold in folds:
        rows = np.flatnonzero(clips.folds == fold)
        texts[f"{_split(fold)}.json"] = json.dumps(
            {f"{clips.names[row]}.wav": [str(clips.labels[row])] for row in rows}, indent=1
        )
    return texts
