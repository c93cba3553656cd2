"""A split by which the net is trained, too: what :mod:`hear_edgel3.detectors.fine_tuning` learns, measured."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hear_edgel3.detectors.answering import logits_of_folder
from hear_edgel3.detectors.base import Base
from hear_edgel3.detectors.fine_tuning import fine_tune
from hear_edgel3.detectors.frozen import fit_head
from hear_edgel3.detectors.learning import Examples, Learned, read_logits
from hear_edgel3.detectors.linear import Fitted
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.detectors.result import Detector, write_detector
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.errors import ComputationError
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.labels.splits import Split
from hear_edgel3.training.loop import make_accelerator

if TYPE_CHECKING:
    from hear_edgel3.detectors.work import Work

_NO_MADE: Mapping[str, Any] = {
    "version": "",
    "net": "trained",
    "learning": {},
    "data": {"about": "", "split": ""},
    "calibration": {},
    "notes": [],
    "versions": {},
    "seed": 0,
    "options": {},
}


def learn_tuned(
    examples: Examples, split: Split, whole: bool = True, *, base: Base, options: TrainOptions, work: Work, folder: Path
) -> Learned:
    """Trains the net with its head.

    Args:
        examples: The sounds.
        split: Which of them are learnt from.
        whole: Whether this is the training of the detector, and not that of one split of a cross-validation.
        base: The net.
        options: How.
        work: What computes.
        folder: The detector's, in which is kept what an interrupted training goes on from.
    """
    labelled = examples.labelled
    fitted: Fitted | None = None
    if options.head_kind != "own":
        fitted = _first_head(examples, split, options)
    place = folder if whole else folder / "folds" / re.sub(r"\W+", "_", split.name)
    tuned = fine_tune(
        labelled,
        split,
        base.extractor,
        None if fitted is None else fitted.head,
        FineTuneOptions(**options.of_learning()),
        place,
        make_accelerator(options.precision or "no", work.device, "training a net", "train"),
        work.quiet,
        folder / "cache",
    )
    net_state = tuned.net_state
    if isinstance(base.extractor.net, HeadedNet):  # a detector that learns other classes: its old head is left out
        net_state = {k.removeprefix("net."): v for k, v in net_state.items() if k.startswith("net.")}
    head = None
    if fitted is not None:
        assert tuned.head_state is not None
        head = Head(fitted.head.layout)
        head.load_state_dict(tuned.head_state)
        fitted = Fitted(head.eval(), fitted.about, fitted.notes)
    rows = np.concatenate([split.validation, split.test])
    logits = _logits(base, labelled, rows, head, net_state, work)
    validation, test = logits[: len(split.validation)], logits[len(split.validation) :]
    reading = read_logits(examples, split, validation, options.threshold)
    about = {
        "fitted_by": "fine-tuning",
        "best_epoch": tuned.best_epoch,
        "seconds": tuned.seconds,
        "epochs": len(tuned.metrics),
    }
    notes = () if fitted is None else fitted.notes
    return Learned(split, fitted, dict(net_state), reading, validation, test, about, notes)


def _first_head(examples: Examples, split: Split, options: TrainOptions) -> Fitted:
    """The head that training begins with: a new one for recipes, else the one that is fitted on the net as it is."""
    if options.recipe is None:
        return fit_head(examples.part(split.train), examples.part(split.validation), options)
    size = examples.vectors.shape[1], len(examples.labelled.classes)
    layout = HeadLayout("linear", *size)
    if options.head_kind == "mlp":
        layout = HeadLayout("mlp", *size, options.hidden_units, options.hidden_activation, options.hidden_dropout)
    return Fitted(make_head(layout, options.seed), {})


def _logits(
    base: Base, labelled: Any, rows: np.ndarray, head: Head | None, state: Mapping[str, torch.Tensor], work: Work
) -> np.ndarray:
    """(N, C) what a folder with this net would say of some sounds."""
    from dataclasses import replace

    if not len(rows):
        return np.zeros((0, len(labelled.classes)), np.float32)
    with tempfile.TemporaryDirectory(prefix="hear-edgel3-") as name:
        folder = Path(name) / "detector"
        detector = Detector(
            name="tuned",
            base=base,
            labelled=labelled,
            head=head,
            state=state,
            temperature=1.0,
            thresholds=None,
            licence="none",
            made=_NO_MADE,
            scores={},
            confusion=None,
            picture=None,
            split=[],
        )
        write_detector(folder, detector)
        items = [labelled.items[row] for row in rows]
        here = replace(work, cache=Path(name) / "cache", weights=None)
        logits, failed = logits_of_folder(folder, items, here)
    if failed:
        raise ComputationError(f"{failed[0][1]} (it could be read before)")
    return logits
